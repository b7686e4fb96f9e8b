"""Which runs there are, and what each of them reached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from equipoise.errors import UsageError
from equipoise.training.evaluation import Evaluation, read_evaluation_file
from equipoise.training.record import Record

DEEPEST = 4
"""Folders within folders that are looked into."""


@dataclass(frozen=True)
class Found:
    """A run that was found: what was written down in it, or why that cannot be read."""

    path: Path
    """Its folder."""
    record: Record | None
    """What it says of itself; None if it is damaged."""
    evaluation: Evaluation | None
    """Its last evaluation; None if there is none."""
    damage: str = ""
    """Why it cannot be read; empty if it can."""

    @property
    def certified(self) -> bool | None:
        """Whether its last evaluation certifies every limit, for the stochastic policy; None if there is none."""
        return None if self.evaluation is None else self.evaluation.stochastic.certified


def find_runs(folder: Path) -> list[Found]:
    """Find the runs in `folder`, or in folders in there, in the order of their paths. Links are not followed.

    Raises `UsageError` if there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; give the one that runs are in")
    return [_look_at(path) for path in _run_folders(folder, DEEPEST)]


def _run_folders(folder: Path, deep: int) -> Iterator[Path]:
    """Yield the folders that have a configuration; in such a folder no other run is looked for."""
    if (folder / "config.json").exists():
        yield folder
    elif deep:
        try:
            inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
        except PermissionError:
            return
        for path in inner:
            yield from _run_folders(path, deep - 1)


def _look_at(path: Path) -> Found:
    try:
        return Found(path, Record.read(path), read_evaluation_file(path))
    except UsageError as error:
        return Found(path, None, None, str(error))
