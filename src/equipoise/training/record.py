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

    def __repr__(self) -> str:
        what = f"{self.algorithm_name} on {self.problem.id}, seed {self.seed}"
        return f"<{type(self).__name__} of {what}: {self._stands()}>"

    def _stands(self) -> str:
        """Say how far the run has come, and where it is."""
        if not self.metrics:
            return f"no iteration yet, in {self.path}"
        last = self.metrics[-1]
        names = self.problem.cost_names[:3]  # as many as there is room for
        costs = "".join(f", {name} {last[f'cost/{name}']:.4g} of {last[f'limit/{name}']:.4g}" for name in names)
        return f"{last['iteration']} iterations, reward {last['reward']:.4g}{costs}, in {self.path}"

    @classmethod
    def read(cls, path: str | Path) -> Record:
        """Read the run in `path`; `UsageError` if it is none, or what is there cannot be read."""
        path = Path(path)
        file = read_config_file(path)
        rows = read_metrics(path / "metrics.csv", file.problem.cost_names)
        return cls(path.absolute(), file.problem, file.algorithm_name, file.seed, rows)
