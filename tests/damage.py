"""Damage to the files of a run folder, seeded: what fails, was half copied, was edited, or was made to be hostile.

`python tests/damage.py [CASES] [SEED]` opens that many damaged copies of a run, and stops at the first that is neither
opened nor refused with one line that names its file.
"""

from __future__ import annotations

import copy
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.errors import UsageError

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**63, -(2**70), 10**80, 0.5, float("nan"), float("inf"), 1e-320),
    *("", "x", "1", "\x1b[31mred", "\ud800", "a\nb", "a" * 5000, "../../etc", "__class__", "²"),
    *([], {}, [1], ["x"], [[]], [10_000_000, 10_000_000], {"kind": "PCRPO"}, {"a": {"b": []}}),
)
"""Values of the wrong kind or size, or of the right one for once."""

ODD_CELLS = (
    "",
    "x",
    "nan",
    "1e999",
    "9" * 80,
    "-1",
    "0",
    "0x10",
    "1,5",
    '"',
    "\x1b[2J",
    "²",
    "=1+1",
    "True",
    " ",
    "1_0",
)
"""Cells of a table that a program of equipoise does not write, or seldom."""

TYPES = ("datetime64[s]", "?", "S8", "U4", "O", "complex64", "float64", "int8", ">f4", "V16")
"""Types of arrays that no checkpoint has."""


def damage_bytes(content: bytes, chance: random.Random) -> bytes:
    """Damage any file."""
    at = chance.randrange(len(content))
    length = chance.choice((1, 2, 10, 1000))
    return chance.choice(
        (
            content[:at],
            content[at:],
            content[:at] + content[at + length :],
            content[:at] + chance.randbytes(length) + content[at + length :],
            content[:at] + b"\0" * length + content[at:],
            content[:at] + content[at : at + length] * 2 + content[at + length :],
            bytes(b ^ (chance.random() < 0.01) << chance.randrange(8) for b in content[:5000]) + content[5000:],
            content.decode("latin-1").encode("utf-16"),
            b"\xef\xbb\xbf" + content,
            b"\xff\xfe" + content,
            b"",
        )
    )


def damage_config(content: bytes, chance: random.Random) -> bytes:
    """Damage a config.json."""
    if chance.random() < 0.2:
        return damage_bytes(content, chance)
    if chance.random() < 0.05:
        deep = b"[" * 10_000 + b"]" * 10_000
        return chance.choice(
            (deep, b'{"a":' * 10_000, b"null", b"3", b'"x"', b"[]", b"{}", b"1" * 10_000, b'{"a":1e999}')
        )
    table = json.loads(content)
    for _ in range(chance.choice((1, 1, 1, 3))):
        _damage_tree(table, chance)
    return json.dumps(table).encode()


def _damage_tree(table: Any, chance: random.Random) -> None:
    """Change one place of a tree of tables and lists."""
    inside = [
        value for value in (table.values() if isinstance(table, dict) else table) if isinstance(value, dict | list)
    ]
    if any(inside) and chance.random() < 0.7:
        _damage_tree(chance.choice([value for value in inside if value]), chance)
        return
    places = list(table) if isinstance(table, dict) else list(range(len(table)))
    place, what = chance.choice(places), chance.random()
    if what < 0.1:
        del table[place]
    elif what < 0.2 and isinstance(table, dict):
        table[chance.choice(("x", "", "__init__", "\x1b[1m", "seed"))] = copy.deepcopy(chance.choice(ODD_VALUES))
    else:
        table[place] = copy.deepcopy(chance.choice(ODD_VALUES))


def damage_metrics(content: bytes, chance: random.Random) -> bytes:
    """Damage a metrics.csv."""
    if chance.random() < 0.25:
        return damage_bytes(content, chance)
    lines = [line.split(",") for line in content.decode().splitlines()]
    at = chance.randrange(len(lines))
    column = chance.randrange(len(lines[at]))
    match chance.randrange(10):
        case 0:
            lines[at].insert(column, chance.choice(ODD_CELLS))
        case 1:
            del lines[at][column]
        case 2:
            lines[at] = chance.choice(([], [""], ["a", "b"], lines[at] * 2))
        case 3:
            del lines[at]
        case 4:
            lines.insert(at, lines[chance.randrange(len(lines))])
        case 5:
            chance.shuffle(lines)
        case 6:
            lines[0] = chance.choice((["time", "loss"], lines[0][::-1], [*lines[0], lines[0][0]]))
        case _:
            lines[at][column] = chance.choice(ODD_CELLS)
    return ("\n".join(",".join(line) for line in lines) + chance.choice(("\n", "\n", ""))).encode()


def damage_checkpoint(content: bytes, chance: random.Random) -> bytes:
    """Damage a checkpoint."""
    if chance.random() < 0.3:
        return damage_bytes(content, chance)
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in file.files}
    name = chance.choice(list(arrays))
    made = io.BytesIO()
    match chance.randrange(9):
        case 0:
            np.save(made, arrays[name])
            return made.getvalue()
        case 1:
            odd = (
                b"null",
                b'"x"',
                b"[]",
                b"{}",
                b'{"format": "3"}',
                b'{"format": true}',
                b"\xff",
                b"[" * 4000,
                b"1" * 9999,
            )
            arrays["header"] = np.frombuffer(chance.choice(odd), np.uint8)
        case 2:
            arrays[name] = np.zeros(arrays[name].shape, chance.choice(TYPES))
        case 3:
            arrays[name] = np.zeros(chance.choice(((), (0,), (3,), (2, 2), (1,) * 30)), arrays[name].dtype)
        case 4:
            del arrays[name]
        case 5:
            arrays[chance.choice(("x", "../x", "a" * 300, "²"))] = np.zeros(3)
        case 6:
            arrays[name] = np.full(arrays[name].shape, chance.choice((-1.0, 200.0, 0.0))).astype(arrays[name].dtype)
        case 7:
            np.savez_compressed(made, **arrays)
            return made.getvalue()
        case _:
            return _foreign_archive(content, chance)
    np.savez(made, **arrays)  # type: ignore[arg-type]
    return made.getvalue()


def _foreign_archive(content: bytes, chance: random.Random) -> bytes:
    """Change what the archive's directory says: version, flags, method or a size; or what an array claims to be."""
    spoiled = bytearray(content)
    entry = chance.choice([i for i in range(len(spoiled)) if spoiled[i : i + 4] == b"PK\x01\x02"])
    offset, length = chance.choice(((6, 2), (8, 2), (10, 2), (20, 4), (24, 4), (28, 2), (42, 4)))
    spoiled[entry + offset : entry + offset + length] = chance.randbytes(length)
    if chance.random() < 0.3:
        claims = chance.choice((b"(99999999999,)", b"(-1,)", b"(1e9,)", b"((((((((1", b"__import__"))
        return bytes(content).replace(b"(64, 64)", claims[:8].ljust(8), 1)
    return bytes(spoiled)


def damage_folder(run: Path, chance: random.Random) -> str:
    """Put something else where a file of a run should be; return the file's name."""
    target = chance.choice((run / "config.json", run / "metrics.csv", run / "checkpoints", newest(run)))
    shutil.move(target, run.parent / "moved")
    match chance.randrange(5):
        case 0:
            target.mkdir()
            (target / "000009.npz").touch()
        case 1:
            os.mkfifo(target)
        case 2:
            target.symlink_to(run.parent / "moved")
        case 3:
            target.symlink_to("/dev/zero")
        case _:
            target.write_bytes(chance.randbytes(100))
    return target.name


DAMAGED: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "config.json": damage_config,
    "metrics.csv": damage_metrics,
    "checkpoint": damage_checkpoint,
}
"""How to damage each kind of file."""


def newest(run: Path) -> Path:
    """Return a run's newest checkpoint."""
    return max((run / "checkpoints").glob("*.npz"))


def damaged_runs(run: Path, cases: int, seed: int, work: Path) -> Iterator[tuple[str, Path]]:
    """Yield copies of `run` in the folder `work`, one after the other, with the name of what is damaged in each."""
    for number in range(cases):
        chance = random.Random(f"{seed} {number}")
        spoiled = work / "a" / "run"
        shutil.rmtree(work / "a", ignore_errors=True)
        shutil.copytree(run, spoiled)
        kind = chance.choice((*DAMAGED, *DAMAGED, "folder"))
        if kind == "folder":
            yield f"case {number}, folder", spoiled / damage_folder(spoiled, chance)
            continue
        path = newest(spoiled) if kind == "checkpoint" else spoiled / kind
        path.write_bytes(DAMAGED[kind](path.read_bytes(), chance))
        yield f"case {number}, {kind}", path


def judge(case: str, path: Path, openings: tuple[Callable[[Path], Any], ...], seconds: float = 2.0) -> int:
    """Open a damaged run in each way; return how many of them were refused. Anything but a proper refusal fails."""
    run = path.parent if path.parent.name == "run" else path.parent.parent
    refused = 0
    for opening in openings:
        started = time.monotonic()
        try:
            opening(run)
        except UsageError as error:
            refused += 1
            assert str(run) in str(error), f"{case}: {error} does not name the file"
            assert len(str(error)) < 3000, f"{case}: {len(str(error))} characters"
        except Exception as error:
            raise AssertionError(f"{case} at {path}: {type(error).__name__}: {error}") from error
        assert time.monotonic() - started < seconds, f"{case} took {time.monotonic() - started:.1f} s"
    return refused


def openings() -> tuple[Callable[[Path], Any], ...]:
    """Return the ways in which a run's folder is opened: for its picture, and for its policy or to go on."""
    from equipoise.training.record import Record
    from equipoise.training.run import Run

    return Record.read, Run.load


def main(cases: str = "5000", seed: str = "0") -> None:
    """Train a run, and open damaged copies of it."""
    import equipoise

    refused, ways, train = 0, openings(), {"total_steps": 120, "num_envs": 2, "steps_per_iteration": 40}
    with tempfile.TemporaryDirectory() as work:
        run = equipoise.train("pcrpo", "rail:QuickRail-v0", run_dir=f"{work}/run", limits=(1.0,), **train).path
        for case, path in damaged_runs(run, int(cases), int(seed), Path(work)):
            refused += judge(case, path, ways) > 0
    print(f"{cases} damaged runs: {refused} refused in one line, the others opened")


if __name__ == "__main__":
    main(*sys.argv[1:])
