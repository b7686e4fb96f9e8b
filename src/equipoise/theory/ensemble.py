"""The problems of the experiment, with all that is known of them exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from equipoise.settings import require
from equipoise.theory.cmdp import CMDP, stack
from equipoise.theory.families import garnet, grid_world
from equipoise.theory.optimum import best, margin, solve, span


class Ensemble(NamedTuple):
    """N problems of one size, and what the linear programme says of them."""

    name: str
    """Name of the family that the problems are of."""
    cmdps: Sequence[CMDP]
    """The problems one by one."""
    stacked: CMDP
    """The problems, stacked along a first axis."""
    reward: Float[np.ndarray, " N"]
    """J*, the constrained optimum."""
    multipliers: Float[np.ndarray, "N K"]
    """λ*."""
    slater: Float[np.ndarray, " N"]
    """ξ, by how much all limits can be kept at once."""
    span: Float[np.ndarray, " N"]
    """A bound on max_a Q − min_a Q of every objective and policy."""
    room: Float[np.ndarray, " N"]
    """By how much the policy that is best for the reward alone exceeds a limit: a wider tolerance never switches."""

    @property
    def discount(self) -> Float[np.ndarray, " N"]:
        """γ of every problem."""
        return self.stacked.discount

    @property
    def states(self) -> int:
        """S, the number of states."""
        return self.stacked.reward.shape[1]

    @property
    def actions(self) -> int:
        """A, the number of actions."""
        return self.stacked.reward.shape[2]


def describe(name: str, cmdps: Sequence[CMDP]) -> Ensemble:
    """Solve every problem; `UsageError` if one cannot be met."""
    optima = [solve(cmdp) for cmdp in cmdps]
    unlimited = [(best(cmdp, cmdp.reward).occupancy * cmdp.cost).sum((1, 2)) - cmdp.limits for cmdp in cmdps]
    return Ensemble(
        name=name,
        cmdps=cmdps,
        stacked=stack(list(cmdps)),
        reward=np.array([optimum.reward for optimum in optima]),
        multipliers=np.array([optimum.multipliers for optimum in optima]),
        slater=np.array([margin(cmdp) for cmdp in cmdps]),
        span=np.array([span(cmdp) for cmdp in cmdps]),
        room=np.array([excess.max() for excess in unlimited]),
    )


def draw(problems: int, seed: int) -> list[Ensemble]:
    """Draw `problems` in all: Garnets of one cost, 20 % with two costs, 10 % grid worlds; seeds from 1000 · `seed` on.

    `UsageError` for fewer than 10: intervals need several problems.
    """
    require(problems >= 10, f"problems is {problems}; allowed: 10 or more, for intervals over problems")
    require(seed >= 0, f"seed is {seed}; allowed: 0 or more")
    two_costs, grids = problems // 5, problems // 10
    first = 1000 * seed
    return [
        describe("Garnet, 1 cost", [garnet(first + i) for i in range(problems - two_costs - grids)]),
        describe("Garnet, 2 costs", [garnet(first + i, costs=2) for i in range(two_costs)]),
        describe("grid world", [grid_world(first + i) for i in range(grids)]),
    ]
