"""Car: two driven wheels side by side and a ball behind."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float

from equipoise.tasks.navigation.build import box, joint, motor, rod, sphere
from equipoise.tasks.navigation.robots.robot import Robot, rotation
from equipoise.tasks.task import Random, State, namespace

Array = Any

HULL = {
    "agent": ((0.1, 0.1, 0.05), (0, 0, 0)),
    "back_bumper": ((0.1, 0.01, 0.05), (0, 0.15, 0)),
    "back_connector": ((0.01, 0.025, 0.03), (0, 0.125, 0)),
    "front_bumper": ((0.05, 0.01, 0.05), (0, -0.165, 0)),
    "front_connector": ((0.05, 0.03, 0.01), (0, -0.13, 0.04)),
}
"""The boxes of the body: half lengths and places (m)."""
DENSITY = 5.0
DAMPING = 0.001


class Car(Robot):
    """Car. Forward is −y of its body. Positions: free joint, left and right wheel (rad), quaternion of the ball."""

    name = "Car"
    timestep = 0.004
    height = 0.1
    proprioception = 24
    nq = 13
    box = (0.125, 5e-4)

    def build(self, spec: mujoco.MjSpec) -> None:
        """Add body, wheels and ball, and a motor of little force for each wheel."""
        agent = spec.worldbody.add_body(name="agent", pos=[0, 0, self.height])
        agent.add_freejoint()
        for name, (half, place) in HULL.items():
            box(agent, half, name=name, pos=place, density=DENSITY)
        agent.add_site(name="agent")
        for name, side in (("left", -1), ("right", 1)):
            wheel = agent.add_body(name=name, pos=[0.1 * side, 0.1, -0.05])
            joint(wheel, name, [1, 0, 0], damping=DAMPING)
            inner, outer = sorted((0.005 * side, 0.055 * side))
            rod(wheel, 0.05, [inner, 0, 0, outer, 0, 0], round_ends=False, name=name, density=DENSITY)
        ball = agent.add_body(name="rear", pos=[0, -0.1, -0.05])
        ball.add_joint(name="rear", type=mujoco.mjtJoint.mjJNT_BALL, damping=[DAMPING, 0, 0])
        sphere(ball, 0.05, name="rear", density=DENSITY)
        motor(spec, "left", "left", [1], force=0.02)
        motor(spec, "right", "right", [1], force=0.02)

    def start(
        self, xy: Float[np.ndarray, "n 2"], yaw: Float[np.ndarray, " n"], randoms: list[Random]
    ) -> Float[np.ndarray, "n nq"]:
        """Return its positions with nothing turned, the ball neither."""
        qpos = super().start(xy, yaw, randoms)
        qpos[:, 9] = 1.0
        return qpos

    def observe(self, state: State) -> Float[Array, "... n"]:
        """Return what all observe, the ball's angular velocity (rad/s), and its rotation matrix row by row."""
        xp = namespace(state.qpos)
        spin = state.qvel[..., 8:11]
        ball = rotation(state.qpos[..., 9:13]).reshape(*spin.shape[:-1], 9)
        return xp.concatenate([state.sensordata[..., :12], spin, ball], axis=-1)
