"""Doggo: four legs of two joints each at the hip and one at the ankle, and a waist that nothing drives."""

from __future__ import annotations

from typing import Any

import mujoco
from jaxtyping import Float

from equipoise.tasks.navigation.build import Body, Numbers, joint, joint_sensor, motor, rod, site_sensor
from equipoise.tasks.navigation.robots.robot import Robot, angles
from equipoise.tasks.task import State, namespace

Array = Any

SIDE = {1: 1, 2: 1, 3: -1, 4: -1}
"""On which side each leg is: 1 left, −1 right. Legs 1 and 4 are in front."""
LEGS = (1, 2, 3, 4)
DRIVEN = tuple(name.format(i) for name in ("hip_{}_z", "hip_{}_y", "ankle_{}") for i in LEGS)
"""The driven joints, in the order of controls and observations."""
TOUCH = tuple(f"ankle_{i}{part}" for part in "ab" for i in LEGS)
"""The sites whose touch is observed, in this order: the ankles, then the feet."""
HINGE: dict[str, Any] = {"stiffness": 1e-4, "armature": 5e-5}
WAIST = 0.523599


def hinge(body: Body, name: str, axis: Numbers, low: float, high: float, rest: float) -> None:
    """Add a joint with a spring."""
    joint(body, name, axis, range=[low, high], springref=rest, limited=True, **HINGE)


class Doggo(Robot):
    """Doggo. Positions: free joint, legs 1 and 4, waist, legs 2 and 3; of each leg both hips and the ankle (rad)."""

    name = "Doggo"
    timestep = 0.01
    height = 0.22
    proprioception = 56
    nq = 20

    def build(self, spec: mujoco.MjSpec) -> None:
        """Add a torso of two halves, four legs, and a motor for every joint but the waist."""
        agent = spec.worldbody.add_body(name="agent", pos=[0, 0, self.height])
        agent.add_freejoint()
        rod(agent, 0.0375, [0, 0, 0, 0.1, 0, 0], round_ends=False, name="agent", density=2)
        agent.add_site(name="agent")
        self._leg(agent, 1)
        self._leg(agent, 4)
        rear = agent.add_body(name="rear")
        hinge(rear, "waist_x", [1, 0, 0], -WAIST, WAIST, 0.0)
        rod(rear, 0.0375, [-0.1, 0, 0, 0, 0, 0], round_ends=False, name="agent2", density=2)
        self._leg(rear, 2)
        self._leg(rear, 3)
        for name in DRIVEN:
            motor(spec, name, name, [0.00625])
        for site in TOUCH:
            site_sensor(spec, f"touch_{site}", "touch", site)
        for kind in ("jointvel", "jointpos"):
            for name in DRIVEN:
                joint_sensor(spec, f"{kind}_{name}", kind, name)

    def _leg(self, torso: Body, i: int) -> None:
        side, front = SIDE[i], i in (1, 4)
        x, y = (0.1 if front else -0.1), 0.05 * side
        leg = torso.add_body(name=f"leg_{i}")
        rod(leg, 0.016, [x / 2, 0, 0, x, y, 0], name=f"aux_{i}", density=20)
        aux = leg.add_body(name=f"aux_{i}", pos=[x, y, 0])
        hinge(aux, f"hip_{i}_z", [0, 0, side], -0.174533, 0.523599, 0.0)
        low, high, rest = (-1.308998, 0.2618, -0.174533) if front else (0.0, 2.356196, 0.0)
        hinge(aux, f"hip_{i}_y", [0, 1, 0], low, high, rest)
        knee = [0.049, 0.0283 * side, -0.025]
        rod(aux, 0.016, [0, 0, 0, *knee], name=f"hip_{i}", density=20)
        foot = aux.add_body(pos=knee)
        hinge(foot, f"ankle_{i}", [-0.5 * side, 0.866, 0], -1.308998, 0.0, -0.349066)
        tip = [-0.0588, -0.0339 * side, -0.05]
        rod(foot, 0.016, [0, 0, 0, *tip], name=f"ankle_{i}", density=20)
        foot.add_site(name=f"ankle_{i}a", size=[0.018, 0, 0])
        foot.add_site(name=f"ankle_{i}b", size=[0.018, 0, 0], pos=tip)

    def observe(self, state: State) -> Float[Array, "... n"]:
        """Return what all observe, touches (N), velocities (rad/s) and angles of the driven joints."""
        xp, sensed = namespace(state.qpos), state.sensordata
        return xp.concatenate([sensed[..., :32], angles(sensed[..., 32:44])], axis=-1)
