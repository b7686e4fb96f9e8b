"""Every whole episode of a run, to `episodes.csv`: what Ĵ is the mean of, iteration by iteration."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from equipoise.files import append_or_nothing, write_atomically
from equipoise.training.metrics import Row, read_metrics
from equipoise.training.rollout import Rollout


class EpisodeLog:
    """The run's episodes on disk; opening it forgets those after `iteration`, which a killed run may have left."""

    def __init__(self, run: Path, iteration: int, cost_names: Sequence[str]) -> None:
        self._path, self._names = run / "episodes.csv", cost_names
        if self._path.exists():
            kept = [row for row in read_metrics(self._path) if row["iteration"] <= iteration]
            write_atomically(self._path, encode(kept, header=True, columns=["iteration", *columns(cost_names)]))

    def append(self, iteration: int, rollout: Rollout) -> None:
        """Add an iteration's episodes. Raises `OSError` if they do not fit on the disk, and then adds none."""
        rows = [{"iteration": iteration, **row} for row in episode_rows(rollout.returns, rollout.costs, self._names)]
        append_or_nothing(self._path, encode(rows, header=not self._path.exists()))


def columns(cost_names: Sequence[str]) -> list[str]:
    """Return the columns of an episode."""
    return ["reward", *(f"cost/{name}" for name in cost_names)]


def episode_rows(
    returns: Float[np.ndarray, " n"], costs: Float[np.ndarray, "n K"], cost_names: Sequence[str]
) -> list[Row]:
    """Return one row for each episode: its return and its costs, both undiscounted."""
    names = columns(cost_names)
    values = np.column_stack([returns, costs]).tolist()
    return [dict(zip(names, episode, strict=True)) for episode in values]


def encode(rows: Sequence[Row], header: bool, columns: Sequence[str] | None = None) -> bytes:
    """Return the rows as CSV; without `columns`, those of the first row."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(columns or rows[0]), restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
