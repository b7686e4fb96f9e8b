"""The vertical scale of a film's curve: known before the film begins, in round numbers, and never smaller again."""

from __future__ import annotations

import math
from collections.abc import Sequence

from equipoise.training.run import Run

STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
"""The first digits of a scale's ends."""
DEVIATIONS = 2.0
"""Standard deviations from the mean that an episode of the run is expected within."""
ABOVE_LIMIT = 1.25
"""How far a cost's scale goes at least, as a multiple of its limit."""


def round_up(value: float) -> float:
    """Return the nearest round number that is not below `value` ≥ 0."""
    if not 0 < value < math.inf:
        return 0.0
    unit = 10.0 ** math.floor(math.log10(value))
    return unit * next(step for step in STEPS if value <= step * unit * (1 + 1e-9))


class Scale:
    """From where to where a curve is drawn; 0 is always on it."""

    def __init__(self, low: float = 0.0, high: float = 0.0) -> None:
        self.low, self.high = 0.0, 0.0
        """Its ends, round numbers."""
        self.cover(low, high)

    def cover(self, low: float, high: float) -> None:
        """Reach at least from `low` to `high`; nothing changes if it does already."""
        self.low = min(self.low, -round_up(-low))
        self.high = max(self.high, round_up(high))

    @property
    def span(self) -> float:
        """Length of the scale."""
        return self.high - self.low or 1.0


def scales_of(run: Run) -> list[Scale]:
    """Return the scales of reward and costs that the episodes of the run's policy are expected to stay on."""
    row = run.metrics[min(run.state.iteration, len(run.metrics)) - 1]
    width = DEVIATIONS * math.sqrt(row.get("episodes", 1))

    def usual(column: str, error: str) -> tuple[float, float]:
        return row[column] - width * row[error], row[column] + width * row[error]

    scales = [Scale(*usual("reward", "reward_se"))]
    for name, limit in zip(run.problem.cost_names, run.limits, strict=True):
        _, high = usual(f"cost/{name}", f"cost_se/{name}")
        scales.append(Scale(0.0, max(high, ABOVE_LIMIT * limit)))
    return scales


def plain_scales(limits: Sequence[float]) -> list[Scale]:
    """Return the scales where nothing is known of the episodes but the limits on their costs."""
    return [Scale(), *(Scale(0.0, ABOVE_LIMIT * limit) for limit in limits)]
