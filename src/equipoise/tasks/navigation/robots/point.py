"""Point: a sphere that slides on the plane, pushed along its heading and turned by a servo."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float

from equipoise.tasks.navigation.build import box, joint, motor, sphere
from equipoise.tasks.navigation.robots.robot import Robot
from equipoise.tasks.task import Random, State, namespace

Array = Any


class Point(Robot):
    """Point. Its positions are x, y (m) and its heading (rad) in the world.

    The original's slides follow the first heading and begin at 0, which is the same motion in other coordinates.
    """

    name = "Point"
    timestep = 0.002
    height = 0.1
    proprioception = 12
    nq = 3
    free = False

    def build(self, spec: mujoco.MjSpec) -> None:
        """Add a sphere with an arrow; thrust along the heading, and a servo of the yaw rate, both of little force."""
        agent = spec.worldbody.add_body(name="agent", pos=[0, 0, self.height])
        joint(agent, "x", [1, 0, 0], "slide", damping=0.01)
        joint(agent, "y", [0, 1, 0], "slide", damping=0.01)
        joint(agent, "z", [0, 0, 1], damping=0.005)
        sphere(agent, 0.1, name="agent", density=1, friction=[1, 0.01, 0.01])
        box(agent, [0.05, 0.05, 0.05], name="pointarrow", density=1, pos=[0.1, 0, 0])
        agent.add_site(name="agent")
        motor(spec, "x", "agent", [0.3], force=0.05, site=True)
        motor(spec, "z", "z", [0.3], force=0.05).set_to_velocity(kv=1)

    def start(
        self, xy: Float[np.ndarray, "n 2"], yaw: Float[np.ndarray, " n"], randoms: list[Random]
    ) -> Float[np.ndarray, "n nq"]:
        """Return place and heading."""
        return np.concatenate([xy, yaw[:, None]], axis=1)

    def observe(self, state: State) -> Float[Array, "... n"]:
        """Return accelerometer, velocimeter, gyro and magnetometer."""
        return state.sensordata[..., :12]

    def place(self, state: State) -> Float[Array, "... 3"]:
        """Return the position of the body `agent` (m)."""
        xp, xy = namespace(state.qpos), state.qpos[..., :2]
        return xp.concatenate([xy, xp.full_like(xy[..., :1], self.height)], axis=-1)

    def axes(self, state: State) -> Float[Array, "... 2 3"]:
        """Return the body's own x and y axes in the world."""
        xp, yaw = namespace(state.qpos), state.qpos[..., 2]
        cos, sin, zero = xp.cos(yaw), xp.sin(yaw), xp.zeros_like(yaw)
        return xp.stack([cos, sin, zero, -sin, cos, zero], axis=-1).reshape(*yaw.shape, 2, 3)
