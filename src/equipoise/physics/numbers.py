"""What the numbers of a step have to be where a user's own code makes them: finite, and no cost below 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from equipoise.errors import UsageError
from equipoise.physics.simulator import Transition
from equipoise.problem import Problem

LARGEST = float(np.finfo(np.float32).max)
"""The largest number that single precision holds, in which everything is stored."""
FINITE = "allowed: finite numbers, as large as single precision holds (for a sensor that sees nothing, its range)"
"""How a message ends that refuses a number."""


def check_first(problem: Problem, observation: Float[np.ndarray, " obs"], entry: Callable[[int], str] = str) -> None:
    """Raise `UsageError` unless the first observation of an episode is finite; `entry` names one of its entries."""
    wrong = _broken(observation)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise UsageError(f"{problem.id}.reset gives {_seen(observation[i], entry(i))}; {FINITE}")


def checked(problem: Problem, step: Transition, entry: Callable[[int], str] = str) -> Transition:
    """Return a step in which environments with a broken number have diverged, and `reason` names the first of them.

    `entry` names an entry of an observation. `UsageError` for a cost below 0.
    """
    numbers = np.concatenate([step.observation, step.reward[:, None], step.cost], axis=1)
    wrong = _broken(numbers) & ~step.diverged[:, None]
    diverged = step.diverged | wrong.any(axis=1)
    negative = (step.cost < 0) & ~diverged[:, None]
    if negative.any():
        env, k = np.argwhere(negative)[0].tolist()
        raise UsageError(
            f"{problem.id} has a cost of {step.cost[env, k]:g}{_called(problem, k)}; allowed: 0 or more, lower is "
            "better (if its costs are negative rewards, negate them)"
        )
    if not wrong.any():
        return step
    env, i = np.argwhere(wrong)[0].tolist()
    size = problem.observation_size
    names = ["a reward", *[f"a {cost!r}" for cost in problem.cost_names]]
    value = numbers[env, i]
    what = f"{names[i - size]} of {value:g}" if i >= size else _seen(value, entry(i))
    return step._replace(
        terminated=step.terminated & ~diverged,
        diverged=diverged,
        reason=step.reason or f"{problem.id}.step gives {what}; {FINITE}",
    )


def _broken(numbers: Float[np.ndarray, ...]) -> Bool[np.ndarray, ...]:
    return ~(np.abs(numbers) <= LARGEST)


def _seen(value: float, entry: str) -> str:
    return f"an observation with {value:g} at {entry}"


def _called(problem: Problem, k: int) -> str:
    """Return a cost's name in brackets, where there are several."""
    return f" ({problem.cost_names[k]})" if len(problem.cost_names) > 1 else ""
