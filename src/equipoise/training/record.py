"""What a run says of itself, read without JAX and without its networks: enough for its picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from equipoise.problem import Problem
from equipoise.training.config_file import read_config_file
from equipoise.training.rows import Row, read_metrics


@dataclass(frozen=True)
class Record:
    """A run's folder, and what was written down in it."""

    path: Path
    """The folder."""
    problem: Problem
    """The problem it was trained on."""
    algorithm_name: str
    """What its algorithm is called."""
    seed: int
    """Its seed."""
    metrics: list[Row]
    """One row an iteration."""

    @classmethod
    def read(cls, path: str | Path) -> Record:
        """Read the run in `path`; `UsageError` if it is none, or what is there cannot be read."""
        path = Path(path)
        file = read_config_file(path)
        rows = read_metrics(path / "metrics.csv", file.problem.cost_names)
        return cls(path.absolute(), file.problem, file.algorithm_name, file.seed, rows)
