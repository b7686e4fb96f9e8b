"""Families of CMDPs: random Garnets, a grid world with hazards, and the classic cases where a hard switch oscillates.

The limits of the random ones bind and can be met with room to spare: between what the cost of the safest policy and
that of the policy best for the reward alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from equipoise.errors import UsageError
from equipoise.settings import require
from equipoise.theory.cmdp import CMDP, check
from equipoise.theory.optimum import best, solve

Draw = Callable[[np.random.Generator], CMDP]
"""Draw a CMDP, its limits not yet decided."""


def garnet(
    seed: int, states: int = 8, actions: int = 3, branching: int = 3, costs: int = 1, discount: float = 0.8
) -> CMDP:
    """Draw a Garnet (Archibald, McKinnon & Thomas, 1995) with uniform rewards and costs.

    From every state and action `branching` states can follow, with probabilities uniform on the simplex; the first
    state is uniform. `UsageError` for sizes that make no CMDP.
    """
    require(min(states, actions, costs) >= 1, f"{states} states, {actions} actions, {costs} costs; allowed: 1 or more")
    require(1 <= branching <= states, f"branching is {branching}; allowed: from 1 to the number of states, {states}")

    def draw(random: np.random.Generator) -> CMDP:
        order = random.random((states, actions, states)).argsort(-1)
        shares = np.zeros((states, actions, states))
        shares[..., :branching] = random.dirichlet(np.ones(branching), (states, actions))
        return CMDP(
            transition=np.take_along_axis(shares, order, -1),
            reward=random.random((states, actions)),
            cost=random.random((costs, states, actions)),
            initial=np.full(states, 1 / states),
            discount=np.asarray(discount),
            limits=np.zeros(costs),
        )

    return binding(draw, seed)


def grid_world(seed: int, side: int = 4, hazards: int = 4, slip: float = 0.1, discount: float = 0.9) -> CMDP:
    """Draw a square grid: from one corner to the opposite one, where the reward is and one starts again.

    Four moves, each turned into a random one with probability `slip`; walls keep one in place. Each step from one of
    the `hazards` cells, drawn anew for every seed, costs 1, so the shortest safe way and the shortest way differ.
    """
    cells = side * side
    require(side >= 2, f"the grid's side is {side}; allowed: 2 or more")
    require(
        1 <= hazards <= cells - 2, f"{hazards} hazards; allowed: from 1 to {cells - 2}, the cells between the corners"
    )
    require(0 <= slip <= 1, f"the probability of slipping is {slip}; allowed: from 0 to 1")

    def draw(random: np.random.Generator) -> CMDP:
        transition = np.zeros((cells, 4, cells))
        for cell in range(cells - 1):
            row, column = divmod(cell, side)
            for action, (down, right) in enumerate([(1, 0), (0, 1), (-1, 0), (0, -1)]):
                to = np.clip(row + down, 0, side - 1) * side + np.clip(column + right, 0, side - 1)
                transition[cell, action, to] += 1 - slip
                transition[cell, :, to] += slip / 4
        transition[-1, :, 0] = 1
        reward, cost = np.zeros((cells, 4)), np.zeros((1, cells, 4))
        reward[-1] = 1
        cost[0, random.choice(np.arange(1, cells - 1), hazards, replace=False)] = 1
        return CMDP(transition, reward, cost, np.eye(cells)[0], np.asarray(discount), np.zeros(1))

    return binding(draw, seed)


def binding(draw: Draw, seed: int) -> CMDP:
    """Draw until limits bind, and put them between the costs of the safest policy and the reward's best one.

    b_k = J_k(safest) + f·(J_k(best for reward) − J_k(safest)), f uniform on [0.3, 0.7], so the mixture of the two
    policies with a smaller share meets every limit strictly (Slater), and the reward's best meets none. The safest
    policy is that of the least sum of costs. Kept are problems where the two differ in every cost by 5 % of its range
    or more, and the largest multiplier is 0.05 or more.
    """
    random = np.random.default_rng(seed)
    for _ in range(100):
        cmdp = check(draw(random))
        safest = best(cmdp, -cmdp.cost.sum(0)).occupancy
        room = ((best(cmdp, cmdp.reward).occupancy - safest) * cmdp.cost).sum((1, 2))
        if (room < 0.05 / (1 - cmdp.discount)).any():
            continue
        limits = (safest * cmdp.cost).sum((1, 2)) + random.uniform(0.3, 0.7) * room
        cmdp = check(cmdp._replace(limits=limits))
        if solve(cmdp).multipliers.max() >= 0.05:
            return cmdp
    raise UsageError(f"of 100 problems drawn from seed {seed} in none do the limits bind")


def bandit(reward: list[float], cost: list[list[float]], limits: list[float]) -> CMDP:
    """Build a bandit: one state, no future (γ = 0), one row of `cost` for each constraint."""
    return check(
        CMDP(
            transition=np.ones((1, len(reward), 1)),
            reward=np.asarray([reward]),
            cost=np.asarray(cost)[:, None, :],
            initial=np.ones(1),
            discount=np.zeros(()),
            limits=np.asarray(limits),
        )
    )


def see_saw() -> CMDP:
    """One action pays and costs, the other does neither; the limit is half. A hard switch flips at every step."""
    return bandit([1.0, 0.0], [[1.0, 0.0]], [0.5])


def saw_tooth() -> CMDP:
    """The see-saw with a reward of a tenth: many small steps up to the limit, one large step back from it."""
    return bandit([0.1, 0.0], [[1.0, 0.0]], [0.3])


def two_masters() -> CMDP:
    """What lowers one cost raises the other: rectifying one constraint at a time makes the two take turns."""
    return bandit([1.0, 0.0, 0.0], [[1.0, 0.8, 0.0], [1.0, 0.0, 0.8]], [0.45, 0.45])


CLASSICS: dict[str, Callable[[], CMDP]] = {"see-saw": see_saw, "saw-tooth": saw_tooth, "two masters": two_masters}
"""The classic cases where a hard switch oscillates, by name."""
