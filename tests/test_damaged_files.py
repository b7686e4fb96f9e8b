"""Damaged and hostile files of a run folder: each is opened, or refused with one clear line that names it."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

import damage
import equipoise
from equipoise.cli import main
from equipoise.training.record import Record


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of three iterations."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = {"total_steps": 120, "num_envs": 2, "steps_per_iteration": 40, "limits": (1.0,)}
    equipoise.train("pcrpo", "rail:QuickRail-v0", run_dir=folder, **options)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it, to be spoiled."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def refusal(opening, *arguments):
    """What is said when something is refused."""
    with pytest.raises(equipoise.UsageError) as error:
        opening(*arguments)
    return str(error.value)


@pytest.mark.slow
def test_damaged_runs_are_opened_or_refused_in_one_line(finished, tmp_path):
    ways, refused, cases = damage.openings(), 0, 330
    for case, path in damage.damaged_runs(finished, cases, seed=13, work=tmp_path):
        refused += damage.judge(case, path, ways) > 0
    assert 0.8 * cases < refused < cases  # a byte changed in a number is a number


@pytest.mark.parametrize("seed", range(4))
def test_the_command_line_says_one_line(seed, finished, tmp_path, capsys):
    for case, path in damage.damaged_runs(finished, 6, 100 + seed, tmp_path):
        run = tmp_path / "a" / "run"
        if damage.judge(case, path, damage.openings()[1:2]) == 0:
            continue
        for command in (["evaluate", "--episodes", "2"], ["conflict"], ["resume"]):
            assert main([command[0], str(run), *command[1:], "--environment", "rail:QuickRail-v0"]) == 2, case
            said = capsys.readouterr().err
            assert said.startswith("equipoise: ") and said.count("\n") == 1 and "\x1b" not in said, case


# Each door names the place, what was found, and what is allowed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_envs": "two"}, "num_envs is 'two'; allowed: a whole number"),
        ({"steps_per_iteration": 0}, "steps_per_iteration is 0; allowed: from 2"),
        ({"seed": 10**80}, "seed is 1000"),
        ({"cost_names": [["a"]]}, "cost_names[0] is a list; allowed: a text"),
        ({"limits": [float("nan")]}, "the limit on cost is nan; allowed: a finite number"),
        ({"task": "a\x1b[31mb"}, "task is 'a\\x1b[31mb'; allowed: a text of at most 1000 printable characters"),
        ({"horizon": True}, "horizon is True; allowed: a whole number"),
    ],
)
def test_a_config_names_place_and_allowed(change, said, run):
    path = run / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    text = refusal(equipoise.Run.load, run)
    assert said in text and str(path) in text


def test_settings_are_checked_as_for_a_new_run(run):
    path = run / "config.json"
    content = json.loads(path.read_text())
    content["algorithm"]["learner"]["discount"] = 25.0
    path.write_text(json.dumps(content))
    assert "discount is 25.0; allowed: from 0 to 1" in refusal(equipoise.Run.load, run)
    content["algorithm"]["rule"]["balance"]["aggregator"] = "mine:own"
    path.write_text(json.dumps(content))
    assert "discount is 25.0" in refusal(equipoise.Run.load, run)


@pytest.mark.parametrize(
    ("line", "column", "cell", "said"),
    [
        (3, 2, "many", "line 3: reward is 'many'; allowed: a number"),
        (3, 0, "3", "line 3: iteration is 3; allowed: 2"),
        (4, 1, "7", "line 4: steps is 7; allowed: a whole number above 80"),
        (1, 2, "Reward", "line 1: there is no column 'reward'"),
        (2, 2, "1,2", "line 2: "),
    ],
)
def test_a_table_names_line_and_column(line, column, cell, said, run):
    path = run / "metrics.csv"
    lines = [text.split(",") for text in path.read_text().splitlines()]
    lines[line - 1][column] = cell
    path.write_text("\n".join(map(",".join, lines)) + "\n")
    text = refusal(Record.read, run)
    assert said in text and str(path) in text


def test_names_that_look_like_checkpoints_are_none(run):
    for name in ("²²²²²².npz", "-00001.npz", "000000.npz", "9.npz", "1e0009.npz", "000009.npz.bak"):
        (run / "checkpoints" / name).touch()
    assert equipoise.Run.load(run).state.iteration == 3


# Sizes


def test_a_large_array_is_refused_before_it_is_unpacked(run):
    path = damage.newest(run)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez_compressed(path, **arrays, more=np.zeros(2 * 10**7))
    tracemalloc.start()
    refusal(equipoise.Run.load, run)
    assert tracemalloc.get_traced_memory()[1] < 2e7
    tracemalloc.stop()


def test_an_array_that_claims_to_be_large_is_refused(run):
    path = damage.newest(run)
    content = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(content, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"'shape': (2,), }    ", b"'shape': (2000000000,)}"[:20], 1))
    path.write_bytes(content.getvalue())
    tracemalloc.start()
    refusal(equipoise.Run.load, run)
    assert tracemalloc.get_traced_memory()[1] < 2e7
    tracemalloc.stop()


@pytest.mark.parametrize("hidden", [[10_000_000, 10_000_000], [9_999, 9_999], [64] * 900])
def test_networks_are_not_built_from_a_config_that_the_checkpoint_contradicts(hidden, run):
    path = run / "config.json"
    content = json.loads(path.read_text())
    content["algorithm"]["learner"]["hidden"] = hidden
    path.write_text(json.dumps(content))
    started = time.monotonic()
    tracemalloc.start()
    said = refusal(equipoise.Run.load, run)
    assert tracemalloc.get_traced_memory()[1] < 1e8
    tracemalloc.stop()
    assert time.monotonic() - started < 5
    assert "hidden" in said or "belongs to another run" in said


def test_a_file_that_never_ends_is_not_read(run):
    (run / "metrics.csv").unlink()
    os.mkfifo(run / "metrics.csv")
    assert "is no file" in refusal(Record.read, run)


@pytest.mark.slow
def test_a_picture_needs_no_checkpoint_and_no_jax(run):
    shutil.rmtree(run / "checkpoints")
    script = (
        f"import sys; from equipoise.cli import main; main(['plot', {str(run)!r}]); assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert (run / "plot.png").exists()
