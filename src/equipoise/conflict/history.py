"""What a run's metrics.csv already says of its conflict, by mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from equipoise.algorithms.rule import MODES
from equipoise.training.run import Run


class History(NamedTuple):
    """What metrics.csv says of one cost, one entry per iteration."""

    iteration: Float[np.ndarray, " n"]
    """Number of the iteration, from 1."""
    steps: Float[np.ndarray, " n"]
    """Environment steps taken up to the iteration's end."""
    mode: tuple[str, ...]
    """What the iteration's update was for."""
    cost: Float[np.ndarray, " n"]
    """Ĵ_k."""
    cost_se: Float[np.ndarray, " n"]
    """SE_k."""
    limit: float
    """b_k."""
    cos: Float[np.ndarray, " n"]
    """cos φ in the Fisher metric, of the reward and this cost, noise and all."""
    multiplier: Float[np.ndarray, " n"]
    """The implied multiplier, noise and all."""
    gain_reward: Float[np.ndarray, " n"]
    """Predicted change of the reward along a step from half of the environments, on the others; in the metric trained
    with. NaN where the run did not log it (`--step.heldout`)."""
    gain_cost: Float[np.ndarray, " n"]
    """Predicted decrease of the cost along that step, on the other environments; NaN where the run did not log it."""

    def __repr__(self) -> str:
        return f"<History of {len(self.mode)} iterations>"

    def of(self, mode: str) -> np.ndarray:
        """Mark the iterations in `mode`."""
        return np.array(self.mode) == mode

    @property
    def modes(self) -> list[str]:
        """The modes that occur."""
        return [mode for mode in MODES if mode in self.mode]


def history(run: Run, cost: str) -> History:
    """Read the history of the cost called `cost`."""
    rows = run.metrics

    def column(name: str) -> Float[np.ndarray, " n"]:
        return np.array([row.get(name, np.nan) for row in rows], float)

    return History(
        iteration=column("iteration"),
        steps=column("steps"),
        mode=tuple(row["mode"] for row in rows),
        cost=column(f"cost/{cost}"),
        cost_se=column(f"cost_se/{cost}"),
        limit=float(rows[0][f"limit/{cost}"]),
        cos=column(f"cos_fisher/{cost}"),
        multiplier=column(f"implied_multiplier/{cost}"),
        gain_reward=column("heldout_change/reward"),
        gain_cost=-column(f"heldout_change/{cost}"),
    )


def by_mode(values: Float[np.ndarray, " n"], modes: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """Return the 10 %, 50 % and 90 % quantiles of `values` in each mode that occurs."""
    label = np.array(modes)
    return {
        mode: tuple(np.quantile(values[label == mode], [0.1, 0.5, 0.9]).tolist()) for mode in MODES if mode in modes
    }
