"""The vocabulary that every room shares: what a problem is, what a rollout returns, what was estimated from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy.special import stdtrit

from equipoise.errors import UsageError

Array = Any
"""A NumPy array where a rollout fills it, a JAX array inside the compiled update."""


@dataclass(frozen=True)
class Problem:
    """A constrained problem as the learner sees it: maximise the return subject to K limits on episode costs."""

    id: str
    """Task id, for messages and files."""
    observation_size: int
    """Length of an observation."""
    action_size: int
    """Length of an action."""
    horizon: int
    """H, the steps after which an episode is truncated."""
    cost_names: tuple[str, ...]
    """One name for each of the K constraints."""
    limits: tuple[float, ...] | None
    """Default limits b_k on the mean episode cost (undiscounted); None where the user has to give them."""
    action_middle: tuple[float, ...] = ()
    """Middle of each action's range; by default 0."""
    action_unit: tuple[float, ...] = ()
    """Half the width of each action's range, the unit that policies work in; by default 1."""
    action_low: tuple[float, ...] = ()
    """What actions are clipped to from below before they act; empty where they are passed on as they are."""
    action_high: tuple[float, ...] = ()
    """What they are clipped to from above."""
    observation: str = ""
    """How the environment's observation becomes a vector (`environments.observations`); empty where it is one."""
    action_choices: tuple[int, ...] = ()
    """How many values each entry of a discrete action has, numbered from 0; empty where actions are continuous."""
    action: str = ""
    """What the environment takes of an action (`environments.actions`); empty where that is a vector of fractions."""

    def __repr__(self) -> str:
        actions = f"a choice of {' × '.join(map(str, self.action_choices))}" if self.action_choices else ""
        actions = actions or f"{self.action_size} actions"
        sizes = f"{self.observation_size} numbers observed, {actions}, {self.horizon} steps"
        return f"<Problem {self.id}: {sizes}, costs {', '.join(self.cost_names)}>"


NO_BOUND = float(np.finfo(np.float32).max)
"""A bound that is none; many environments write it."""


def middle_and_unit(
    low: Float[np.ndarray, " act"], high: Float[np.ndarray, " act"]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the middle and half the width of each action's range.

    One that is not bounded on both sides counts as that range of width 2 within it which is nearest to 0: from −1 to 1
    without any bound, from 5 to 7 where nothing below 5 is allowed.
    """
    low, high = low.astype(float), high.astype(float)
    bounded = (np.abs(low) < NO_BOUND) & (np.abs(high) < NO_BOUND) & (low < high)
    nearest = np.where(low < high, np.minimum(np.maximum(0.0, low + 1), high - 1), 0.0)
    with np.errstate(invalid="ignore"):  # of infinite bounds
        middle, unit = np.where(bounded, (low + high) / 2, nearest), np.where(bounded, (high - low) / 2, 1.0)
    return tuple(middle.tolist()), tuple(unit.tolist())


MOST_COSTS = 7
"""With the reward, as many objectives as the projection handles."""


MOST_VALUES = 10**5
"""Values of a choice: each has an output of the policy's network."""


def check_cost_names(names: tuple[str, ...]) -> None:
    """Raise `UsageError` unless there are 1 to 7 different cost names, none of them that of the reward."""
    if not 1 <= len(names) <= MOST_COSTS:
        raise UsageError(f"{len(names)} costs ({', '.join(names)}); allowed: 1 to {MOST_COSTS}")
    for name in names:
        if not (name.isprintable() and 0 < len(name) <= 100):
            raise UsageError(f"the cost name {name[:100]!r}; allowed: 1 to 100 printable letters")
        if names.count(name) > 1 or name == "reward":
            raise UsageError(f"the cost name {name!r} is taken; give every cost a name of its own")


def check_limits(problem: Problem, limits: tuple[float, ...]) -> None:
    """Raise `UsageError` unless `limits` holds one finite number ≥ 0 for each constraint of `problem`."""
    if len(limits) != len(problem.cost_names):
        raise UsageError(
            f"{problem.id} has {len(problem.cost_names)} constraint(s) ({', '.join(problem.cost_names)}) but "
            f"{len(limits)} limit(s) were given; give {len(problem.cost_names)}"
        )
    for name, limit in zip(problem.cost_names, limits, strict=True):
        if not (np.isfinite(limit) and limit >= 0):
            raise UsageError(f"the limit on {name} is {limit}; allowed: a finite number ≥ 0")


class Estimate(NamedTuple):
    """Ĵ: what an iteration's whole episodes say about reward and costs (undiscounted sums over an episode).

    Costs hold one entry per constraint. All are means over exactly the episodes whose start left at least H steps.
    """

    reward: Float[Array, ""]
    """Ĵ_r, the mean episode return."""
    reward_se: Float[Array, ""]
    """SE_r, the standard error of Ĵ_r: sd/√n with ddof 1."""
    cost: Float[Array, " K"]
    """Ĵ_k, the mean episode costs."""
    cost_se: Float[Array, " K"]
    """SE_k, the standard errors of Ĵ_k."""
    episodes: Int[Array, ""]
    """n, the number of episodes counted."""
    length: Float[Array, ""]
    """Mean length of the episodes counted, in steps."""
    t95: Float[Array, ""]
    """The 95 % quantile of Student's t with n − 1 degrees of freedom."""


def estimate(
    returns: Float[np.ndarray, " n"], costs: Float[np.ndarray, "n K"], lengths: Int[np.ndarray, " whole"]
) -> Estimate:
    """Estimate Ĵ and its standard errors from `n` episodes' sums; `UsageError` if n < 2."""
    n = len(returns)
    if n < 2:
        raise UsageError(
            f"{n} whole episode(s) left to estimate the episode cost from; at least 2 are needed "
            "(more environments, more episodes an environment, or a simulation that diverges less)"
        )
    return Estimate(
        reward=np.asarray(returns.mean(), np.float64),
        reward_se=np.asarray(returns.std(ddof=1) / np.sqrt(n), np.float64),
        cost=costs.mean(0),
        cost_se=costs.std(0, ddof=1) / np.sqrt(n),
        episodes=np.asarray(n, np.int32),
        length=np.asarray(lengths.mean(), np.float64),
        t95=np.asarray(stdtrit(n - 1, 0.95), np.float64),
    )


class Batch(NamedTuple):
    """One iteration's rollout of N environments × T steps: everything an algorithm learns from.

    Arrays are NumPy when the rollout fills them and JAX inside the compiled update. Time runs along the first axis.
    """

    observation: Float[Array, "T N obs"]
    """What the policy saw, not normalised."""
    action: Num[Array, "T N act"]
    """What the policy did, before any simulator clamps it; of finitely many values, whole numbers from 0."""
    reward: Float[Array, "T N"]
    """r(s, a, s′)."""
    cost: Float[Array, "T N K"]
    """c_k(s, a, s′) ≥ 0, one column per constraint."""
    next_observation: Float[Array, "T N obs"]
    """What the step led to, before any reset."""
    terminated: Bool[Array, "T N"]
    """The episode ended for good: nothing follows, nothing is bootstrapped."""
    done: Bool[Array, "T N"]
    """The episode ended or was cut: what follows in the environment is another episode."""
    valid: Bool[Array, "T N"]
    """False for the step in which a simulation diverged, or an environment was only reset: it counts in nothing."""
    estimate: Estimate
    """Ĵ_r and Ĵ_k with their standard errors."""
