"""The door to whatever is stepped: many slots at once, each an episode of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from equipoise.problem import Problem


class Transition(NamedTuple):
    """What one step of all slots brought. Rows of diverged slots hold no meaning but in `diverged`."""

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


@runtime_checkable
class Simulator(Protocol):
    """N slots of one problem. Physics and foreign environments alike stand behind these three methods."""

    problem: Problem
    slots: int

    def reset(self, slots: Sequence[int], randoms: Sequence[np.random.Generator]) -> Float[np.ndarray, "n obs"]:
        """Start a new episode in each of `slots`, each with its own source of noise; return what they see."""

    def step(self, action: Float[np.ndarray, "N act"]) -> Transition:
        """Step every slot. Nothing resets by itself."""

    def close(self) -> None:
        """Release what the simulator holds."""
