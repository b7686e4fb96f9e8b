"""What a robot of the navigation tasks is: its body, its start, and what it senses of itself."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import mujoco
import numpy as np
from jaxtyping import Bool, Float

from equipoise.tasks.navigation.build import site_sensor
from equipoise.tasks.task import Random, State, length, namespace

Array = Any

SENSED = ("accelerometer", "velocimeter", "gyro", "magnetometer")
"""What every robot observes first: three numbers each, in the frame of the site `agent`."""


class Robot(abc.ABC):
    """A robot: a body `agent` with a site `agent`, which is turned and moved by its first joints.

    A subclass is the robot's numbers, how its model is built, and what follows the twelve numbers that all observe.
    """

    name: ClassVar[str]
    """As it stands in a task's id."""
    timestep: ClassVar[float]
    """Seconds of a substep."""
    integrator: ClassVar[mujoco.mjtIntegrator] = mujoco.mjtIntegrator.mjINT_EULER
    """How a substep is integrated."""
    height: ClassVar[float]
    """z of the body `agent` at the start (m)."""
    proprioception: ClassVar[int]
    """How many numbers it observes of itself."""
    nq: ClassVar[int]
    """How many of the positions are its own."""
    free: ClassVar[bool] = True
    """Whether its first joint is a free one; else it slides along x and y, and turns about the vertical axis. The first
    two positions are x and y of the body `agent` in either case."""
    box: ClassVar[tuple[float, float]] = (0.2, 1e-3)
    """Half the width of the box that it pushes (m), and the box's density (kg/m³)."""

    @abc.abstractmethod
    def build(self, spec: mujoco.MjSpec) -> None:
        """Add its bodies, actuators and further sensors to a scene."""

    def sense(self, spec: mujoco.MjSpec) -> None:
        """Add the sensors that every robot has, which come first."""
        for kind in SENSED:
            site_sensor(spec, kind, kind, "agent")

    def start(
        self, xy: Float[np.ndarray, "n 2"], yaw: Float[np.ndarray, " n"], randoms: list[Random]
    ) -> Float[np.ndarray, "n nq"]:
        """Return its positions at the start of episodes in which it stands at `xy` with a heading of `yaw`."""
        qpos = np.zeros((len(yaw), self.nq))
        qpos[:, :2], qpos[:, 2] = xy, self.height
        qpos[:, 3], qpos[:, 6] = np.cos(yaw / 2), np.sin(yaw / 2)
        return qpos

    @abc.abstractmethod
    def observe(self, state: State) -> Float[Array, "... n"]:
        """Return what it observes of itself."""

    def dead(self, state: State) -> Bool[Array, ...]:
        """Return where it cannot go on; by default nowhere."""
        return namespace(state.qpos).zeros(state.qpos.shape[:-1], dtype=bool)

    def place(self, state: State) -> Float[Array, "... 3"]:
        """Return the position of the body `agent` (m)."""
        return state.qpos[..., :3]

    def axes(self, state: State) -> Float[Array, "... 2 3"]:
        """Return the body's own x and y axes in the world."""
        return rotation(state.qpos[..., 3:7])[..., :2].swapaxes(-1, -2)


FIRST, SECOND = np.array([10, 6, 7, 6, 5, 11, 7, 11, 5]), np.array([15, 3, 2, 3, 15, 1, 2, 1, 10])
"""Which two of the products of a quaternion's w, x, y and z, in pairs, are in each entry of its rotation matrix."""
TWICE_FIRST, TWICE_SECOND = np.array([-2, 2, 2, 2, -2, 2, 2, 2, -2]), np.array([-2, -2, 2, 2, -2, -2, -2, 2, -2])
"""How often they are in it, beside the 1 on its diagonal."""


def rotation(quaternion: Float[Array, "... 4"]) -> Float[Array, "... 3 3"]:
    """Return the rotation matrices of quaternions of any length but 0.

    Number by number that takes 30 operations on arrays. A product of matrices would be less, but its last bits depend
    on how many there are.
    """
    shape = quaternion.shape[:-1]
    unit = quaternion / length(quaternion)[..., None]
    products = (unit[..., :, None] * unit[..., None, :]).reshape(*shape, 16)
    entries = TWICE_FIRST * products[..., FIRST] + TWICE_SECOND * products[..., SECOND]
    return np.eye(3) + entries.reshape(*shape, 3, 3)


def angles(angle: Float[Array, "... n"]) -> Float[Array, "... m"]:
    """Return angles as pairs of sine and cosine, one pair after the other."""
    xp = namespace(angle)
    return xp.stack([xp.sin(angle), xp.cos(angle)], axis=-1).reshape(*angle.shape[:-1], -1)
