"""Every whole episode of a run, to `episodes.csv`: what Ĵ is the mean of, iteration by iteration."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from equipoise.errors import UsageError
from equipoise.files import append, write_atomically
from equipoise.training.rollout import Rollout
from equipoise.training.rows import Row, columns_of_episodes, read_episodes


class EpisodeLog:
    """The run's episodes on disk; opening it forgets those after `iteration`, which a killed run may have left.

    Raises `UsageError` if it is not there although there were iterations before: what is gone is not made up for.
    """

    def __init__(self, run: Path, iteration: int, cost_names: Sequence[str]) -> None:
        self._path, self._names = run / "episodes.csv", cost_names
        kept = [row for row in read_episodes(self._path, cost_names) if row["iteration"] <= iteration]
        if iteration and not kept:
            raise UsageError(f"{self._path} has no episodes of the {iteration} iterations before; put it back")
        columns = columns_of_episodes("iteration", cost_names)
        write_atomically(self._path, encode(kept, header=True, columns=columns))

    def append(self, iteration: int, rollout: Rollout) -> None:
        """Add an iteration's episodes. Raises `OSError` if they do not fit on the disk, and then adds none."""
        rows = [{"iteration": iteration, **row} for row in episode_rows(rollout.returns, rollout.costs, self._names)]
        append(self._path, encode(rows, columns=columns_of_episodes("iteration", self._names)))


def episode_rows(
    returns: Float[np.ndarray, " n"], costs: Float[np.ndarray, "n K"], cost_names: Sequence[str]
) -> list[Row]:
    """Return one row for each episode: its return and its costs, both undiscounted."""
    _, *names = columns_of_episodes("", cost_names)
    values = np.column_stack([returns, costs]).tolist()
    return [dict(zip(names, episode, strict=True)) for episode in values]


def encode(rows: Sequence[Row], header: bool = False, columns: Sequence[str] | None = None) -> bytes:
    """Return the rows as CSV; without `columns`, those of the first row."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0] if columns is None else columns), restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
