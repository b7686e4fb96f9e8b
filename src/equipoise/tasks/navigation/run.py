"""Run: run straight on, between two walls that cannot be felt."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from equipoise.tasks.navigation.navigation import Navigation
from equipoise.tasks.navigation.world import World
from equipoise.tasks.task import State, length, namespace

Array = Any

TARGET = (0.0, -1000.0)
"""Where it runs to, and never arrives (m)."""
WEIGHT = 60.0


class Run(Navigation):
    """Run along −y as fast as possible, between two walls.

    Observation: the robot's own sensors. Reward: 60 × the distance that was shortened to a point 1000 m ahead, in m.
    Cost: 1 in a step that ends with the robot's origin outside of |x| ≤ 0.5 m. The episode ends when the Ant's torso is
    0.08 m high or lower. Source: Safety-Gymnasium 1.2.0, SafetyPointRun0-v0 to SafetyAntRun0-v0.
    """

    horizon = 500
    worlds = (World(start=(-0.2, 0.2, 16.5, 16.5), charged=("out_of_boundary",), walls=(0.5,)),)

    def potential(self, state: State) -> Float[Array, ...]:
        """Return the distance to the point far ahead (m)."""
        return length(state.qpos[..., :2] - namespace(state.qpos).asarray(np.array(TARGET)))

    def reward(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, ...]:
        """Return 60 × the distance that was shortened."""
        return WEIGHT * (self.potential(before) - self.potential(after))
