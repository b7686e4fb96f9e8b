"""Ant: a small ball with four legs, whose feet are heavy."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from jaxtyping import Bool, Float

from equipoise.tasks.navigation.build import joint, joint_sensor, motor, rod, site_sensor, sphere
from equipoise.tasks.navigation.robots.robot import Robot, angles
from equipoise.tasks.task import Random, State, namespace

Array = Any

LEGS = {
    1: ("front_left", (1, 1), (-1, 1, 0), (0.52, 1.74)),
    2: ("front_right", (-1, 1), (1, 1, 0), (-1.74, -0.52)),
    3: ("left_back", (-1, -1), (-1, 1, 0), (-1.74, -0.52)),
    4: ("right_back", (1, -1), (1, 1, 0), (0.52, 1.74)),
}
"""Each leg's name, direction, and the axis and range of its ankle (rad)."""
JOINTS = tuple(f"{name}_{i}" for i in LEGS for name in ("hip", "ankle"))
"""The joints, in the order of positions, controls and observations."""
REST = np.array([0, np.pi / 2, 0, -np.pi / 2, 0, -np.pi / 2, 0, np.pi / 2])
"""Angles at the start, before noise (rad)."""
NOISE = np.array([1, 1, 1, -1, 1, -1, 1, 1])
"""Which way noise turns each joint: the two ankles that are bent the other way are turned the other way, too."""
DENSITY, FOOT_DENSITY = 5.0, 50_000.0
HINGE: dict[str, Any] = {"damping": 1.0, "armature": 1.0}
LOWEST = 0.08
"""Height of the torso at or below which it is dead (m)."""


class Ant(Robot):
    """Ant. Positions: free joint, and of each leg hip and ankle (rad)."""

    name = "Ant"
    timestep = 0.01
    integrator = mujoco.mjtIntegrator.mjINT_RK4
    height = 0.18
    proprioception = 40
    nq = 15

    def build(self, spec: mujoco.MjSpec) -> None:
        """Add torso and legs, and a strong motor for every joint."""
        agent = spec.worldbody.add_body(name="agent", pos=[0, 0, self.height])
        agent.add_freejoint()
        sphere(agent, 0.0625, name="agent", density=DENSITY)
        agent.add_site(name="agent", pos=[0, 0, -0.02])
        for i, (name, (a, b), axis, (low, high)) in LEGS.items():
            half = [0.05 * a, 0.05 * b, 0]
            leg = agent.add_body(name=name)
            rod(leg, 0.02, [0, 0, 0, *half], name=f"leg_{i}", density=DENSITY)
            aux = leg.add_body(name=f"aux_{i}", pos=half)
            joint(aux, f"hip_{i}", [0, 0, 1], range=[-0.7, 0.7], limited=True, **HINGE)
            rod(aux, 0.02, [0, 0, 0, *half], name=f"aux_{i}", density=DENSITY)
            foot = aux.add_body(name=f"foot_{i}", pos=half)
            joint(foot, f"ankle_{i}", axis, range=[low, high], limited=True, **HINGE)
            rod(foot, 0.02, [0, 0, 0, 0.1 * a, 0.1 * b, 0], name=f"foot_{i}", density=FOOT_DENSITY)
        for name in JOINTS:
            motor(spec, name, name, [150])
        for name in JOINTS:
            joint_sensor(spec, f"jointvel_{name}", "jointvel", name)
        site_sensor(spec, "framepos", "framepos", "agent")
        site_sensor(spec, "frameangvel", "frameangvel", "agent")
        for name in JOINTS:
            joint_sensor(spec, f"jointpos_{name}", "jointpos", name)

    def start(
        self, xy: Float[np.ndarray, "n 2"], yaw: Float[np.ndarray, " n"], randoms: list[Random]
    ) -> Float[np.ndarray, "n nq"]:
        """Return its positions with its legs bent, each joint within ±0.1 rad of its rest."""
        qpos = super().start(xy, yaw, randoms)
        qpos[:, 7:] = REST + NOISE * np.array([random.uniform(-0.1, 0.1, len(JOINTS)) for random in randoms])
        return qpos

    def observe(self, state: State) -> Float[Array, "... n"]:
        """Return what all observe, joint velocities (rad/s), height of the site (m), its angular velocity, angles."""
        xp, sensed = namespace(state.qpos), state.sensordata
        return xp.concatenate([sensed[..., :20], sensed[..., 22:26], angles(sensed[..., 26:34])], axis=-1)

    def dead(self, state: State) -> Bool[Array, ...]:
        """Return where the torso is 0.08 m high or lower."""
        return state.qpos[..., 2] <= LOWEST
