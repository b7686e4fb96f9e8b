"""The door to whatever is stepped: many environments at once, each an episode of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Num

from equipoise.problem import Problem


class Transition(NamedTuple):
    """What one step of all environments brought. Of diverged environments only `diverged` has a meaning."""

    observation: Float[np.ndarray, "N obs"]
    """What the step led to."""
    reward: Float[np.ndarray, " N"]
    """r(s, a, s′)."""
    cost: Float[np.ndarray, "N K"]
    """c_k(s, a, s′)."""
    terminated: Bool[np.ndarray, " N"]
    """The episode ended for good."""
    truncated: Bool[np.ndarray, " N"]
    """The environment itself cut the episode short."""
    diverged: Bool[np.ndarray, " N"]
    """The simulation broke down (NaN, a MuJoCo warning or error)."""
    reason: str = ""
    """What broke down, if anything did and more is known."""
    idle: Bool[np.ndarray, " N"] | None = None
    """Where this was no step of an episode: the environment waited for its reset, or was only reset, and what is
    observed is that of the reset. Reward and costs are 0 there. None where there is no such environment."""


@runtime_checkable
class Simulator(Protocol):
    """N environments of one problem. Physics and foreign environments alike stand behind these three methods."""

    problem: Problem
    """The problem that every environment is of."""
    num_envs: int
    """N, the number of environments."""

    def reset(self, indices: Sequence[int], randoms: Sequence[np.random.Generator]) -> Float[np.ndarray, "n obs"]:
        """Start an episode in each environment of `indices`, each with its own source of noise; return observations.

        One that can only be reset within a step is `idle` in the next steps, until it is, and its observation here is
        no more than a place for the first one.
        """

    def step(self, action: Num[np.ndarray, "N act"]) -> Transition:
        """Step every environment. Nothing resets by itself.

        Where the problem has `action_choices`, an action's entries are whole numbers from 0.
        """

    def close(self) -> None:
        """Release what the simulator holds."""
