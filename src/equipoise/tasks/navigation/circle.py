"""Circle: run around a circle, inside of walls that cannot be felt."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float

from equipoise.tasks.navigation.navigation import MOST, Navigation, within
from equipoise.tasks.navigation.world import Group, World
from equipoise.tasks.task import State, length

Array = Any

RADIUS, WALL = 1.5, 1.125
"""Radius of the circle, and distance of the walls from its middle (m)."""
WEIGHT = 0.1
SHARED: dict[str, Any] = {"start": (-0.8, 0.8, -0.8, 0.8), "groups": (Group("circle", 1, 0.0),), "reach": 6.0}


class Circle(Navigation):
    """Run around a circle of radius 1.5 m, counter-clockwise and as fast as possible.

    Observation: the robot's own sensors, and a lidar of 16 bins and a range of 6 m of the circle's middle.
    Reward: 0.1 × the robot's speed around the middle in m/s, divided by 1 + |its distance from the middle − 1.5 m|.
    Cost: 1 in a step that ends with the robot's origin outside of |x| ≤ 1.125 m (levels 1 and 2) or |y| ≤ 1.125 m
    (level 2). The episode ends when the Ant's torso is 0.08 m high or lower. Source: Safety-Gymnasium 1.2.0,
    SafetyPointCircle0-v0 to SafetyAntCircle2-v0.
    """

    horizon = 500
    worlds = (
        World(**SHARED),
        World(**SHARED, charged=("out_of_boundary",), walls=(WALL,)),
        World(**SHARED, charged=("out_of_boundary",), walls=(WALL, WALL)),
    )

    def reward(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, ...]:
        """Return 0.1·((v·x − u·y)/ρ)/(1 + |ρ − 1.5|), within ±10; (u, v) is the velocity of the robot's origin."""
        x, y = after.qpos[..., 0], after.qpos[..., 1]
        u, v = after.qvel[..., 0], after.qvel[..., 1]
        radius = length(after.qpos[..., :2])
        reward = WEIGHT * ((v * x - u * y) / radius) / (1 + abs(radius - RADIUS))
        return within(reward, MOST)
