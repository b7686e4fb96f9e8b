"""How reward and cost trade off over several limits of a task, and how much of the plane each algorithm covers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from equipoise import statistics
from equipoise.report.cells import Cells


@dataclass(frozen=True)
class Front:
    """An algorithm's mean reward and cost at each limit of a task."""

    task: str
    """The task."""
    cost: str
    """The cost's name."""
    method: str
    """The algorithm."""
    scales: Float[np.ndarray, " n"]
    """The limits as multiples of the task's own, from the lowest."""
    costs: Float[np.ndarray, " n"]
    """Mean episode cost at each limit."""
    rewards: Float[np.ndarray, " n"]
    """Mean episode reward at each limit."""
    reward_range: tuple[float, float]
    """The lowest and the highest mean reward of all algorithms at all limits; the lower one is the reference's."""
    most_cost: float
    """The cost of the reference: the highest of all algorithms, or the highest limit if that is more."""

    @property
    def on_front(self) -> Bool[np.ndarray, " n"]:
        """Which points no other point of the same algorithm dominates."""
        return statistics.on_front(self.rewards, self.costs)

    @property
    def hypervolume(self) -> float:
        """The share, 0 to 1, that the points dominate of the rectangle from the reference to no cost and most reward.

        It is not a number where that rectangle is empty.
        """
        least, most = self.reward_range
        area = (most - least) * self.most_cost
        dominated = statistics.hypervolume(self.rewards, self.costs, least, self.most_cost)
        return dominated / area if area > 0 else float("nan")


def fronts(cells: Cells, task: str, cost: str) -> list[Front]:
    """Return the front of every algorithm that has finished runs at several limits of a task."""
    points: dict[str, list[list[float]]] = {}
    limits = []
    for condition in sorted(c for c in cells.results.conditions if c.task == task):
        for cell in cells.of(condition):
            for part in cell.costs:
                if part.name == cost:
                    limits.append(part.limit)
                    points.setdefault(cell.method, []).append([condition.scale, part.mean.value, cell.reward.value])
    every = np.array([point for of_method in points.values() for point in of_method])
    rewards, most_cost = every[:, 2], max(*limits, every[:, 1].max())
    found = []
    for method, of_method in points.items():
        if len(of_method) > 1:
            scales, costs, reached = np.array(of_method).T
            ends = (float(rewards.min()), float(rewards.max()))
            found.append(Front(task, cost, method, scales, costs, reached, ends, float(most_cost)))
    return found
