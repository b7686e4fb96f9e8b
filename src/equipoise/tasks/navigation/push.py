"""Push: push a box to the goal, past hazards and pillars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from equipoise.tasks.navigation.memory import Memory
from equipoise.tasks.navigation.navigation import Navigation
from equipoise.tasks.navigation.world import Group, World
from equipoise.tasks.task import Random, State, length, namespace

Array = Any

GOAL, BOX = Group("goal", 1, 0.4), Group("push_box", 1, 0.2)
NEAR = 0.3
"""The box is at the goal within this distance (m)."""
GOAL_HEIGHT = 0.16
"""Height of the goal's middle (m)."""


class Push(Navigation):
    """Push a box to the goal; when it is there, a new goal appears elsewhere.

    Observation: the robot's own sensors, and lidars of 16 bins and a range of 3 m of goal, hazards, pillars and box.
    Reward: the distance between robot and box that was shortened, and that between box and goal, both between origins
    in space, in m, and 1 where the latter is within 0.3 m. Costs: each 1 in a step in which there is any: `hazards`,
    the robot's origin is within 0.3 m of a hazard's middle (levels 1 and 2); `pillars`, the robot touches a pillar
    (level 2). Without Split they are one cost, 1 where any of them is. The episode ends when the Ant's torso is 0.08 m
    high or lower. Source: Safety-Gymnasium 1.2.0, SafetyPointPush0-v0 to SafetyAntPush2-v0.
    """

    worlds = (
        World(1.0, groups=(GOAL, BOX)),
        World(
            1.5,
            groups=(GOAL, Group("hazard", 2, 0.4), Group("pillar", 1, 0.3), BOX),
            charged=("hazards",),
            hazard_radius=0.3,
        ),
        World(
            2.0,
            groups=(GOAL, Group("hazard", 4, 0.4), Group("pillar", 4, 0.3), BOX),
            charged=("hazards", "pillars"),
            hazard_radius=0.3,
        ),
    )

    def to_box(self, state: State) -> Float[Array, ...]:
        """Return the distance from the robot to the box in space (m)."""
        return length(self.robot.place(state) - self.body(state, "push_box")[..., :3])

    def to_goal(self, state: State) -> Float[Array, ...]:
        """Return the distance from the box to the goal in space (m)."""
        xp = namespace(state.qpos)
        goal = state.memory.places[..., self.world.columns["goal"].start, :]
        goal = xp.concatenate([goal, xp.full_like(goal[..., :1], GOAL_HEIGHT)], axis=-1)
        return length(self.body(state, "push_box")[..., :3] - goal)

    def potential(self, state: State) -> Float[Array, ...]:
        """Return both distances together (m)."""
        return self.to_box(state) + self.to_goal(state)

    def success(self, state: State) -> Bool[Array, ...]:
        """Return where the box is within 0.3 m of the goal."""
        return self.to_goal(state) <= NEAR

    def renew(
        self, qpos: Float[np.ndarray, "n nq"], memory: Memory, where: Bool[np.ndarray, " n"], randoms: Sequence[Random]
    ) -> Memory:
        """Put the goal elsewhere."""
        return self.move_goal(qpos, memory, where, randoms)
