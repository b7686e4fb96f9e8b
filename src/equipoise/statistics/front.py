"""The front of reward and cost over several limits, and how much it covers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def on_front(rewards: Float[np.ndarray, " n"], costs: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Return which points no other dominates: none has as much reward at as little cost, and one of them better."""
    as_good = (rewards[:, None] >= rewards) & (costs[:, None] <= costs)
    better = (rewards[:, None] > rewards) | (costs[:, None] < costs)
    return np.asarray(~np.any(as_good & better, axis=0))


def hypervolume(
    rewards: Float[np.ndarray, " n"], costs: Float[np.ndarray, " n"], least_reward: float, most_cost: float
) -> float:
    """Return the area that the points dominate within the corner (`least_reward`, `most_cost`), the stated reference.

    It is the S-metric of Zitzler and Thiele (PPSN 1998), reward maximised and cost minimised.
    A point outside of the corner adds nothing.
    """
    area, reached = 0.0, least_reward
    for i in np.lexsort((-rewards, costs)):  # from the lowest cost up, each adds the reward it has more
        if costs[i] < most_cost and rewards[i] > reached:
            area += (rewards[i] - reached) * (most_cost - costs[i])
            reached = rewards[i]
    return float(area)
