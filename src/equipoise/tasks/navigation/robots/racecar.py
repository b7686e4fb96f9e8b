"""Racecar: a car with steered front wheels and a rear axle of one piece, all on huge rotational inertias."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float

from equipoise.tasks.navigation.build import Body, Numbers, box, cylinder, joint, motor
from equipoise.tasks.navigation.robots.robot import Robot
from equipoise.tasks.task import State

Array = Any

UP, ACROSS = [0.707105, 0, 0.707108, 0], [0.707105, 0.707108, 0, 0]
"""Turns of the steering hinges, and of the front wheels in them and the rear wheels' cylinders."""
WHEEL = {"radius": 0.05, "half": 0.0225}
RING = [0.04411, 0.02467, 0.02467]
HALF_TURNED = [0.5, 0.5, -0.5, 0.5]
STEERING = 0.785
DAMPING = 0.001


def mass(
    body: Body,
    kg: float,
    inertia: Numbers,
    place: Numbers = (0, 0, 0),
    turn: Numbers = (),
) -> None:
    """Give a body its mass (kg) and its diagonal inertia (kg·m²), not those of its geoms."""
    body.explicitinertial = True
    body.mass, body.inertia, body.ipos = kg, inertia, place
    body.iquat = turn or [1, 0, 0, 0]


def chassis() -> Float[np.ndarray, "n 3"]:
    """Return the corners of the chassis's hull in the frame of `car_body` (m)."""
    arcs = [
        ((-0.02, 0.07), 0.02, np.arange(90, 181, 22.5)),
        ((0.235, 0.07), 0.02, np.array([90, 67.5])),
        ((0.345, 0.04), 0.02, np.arange(67.5, -1, -22.5)),
    ]
    corners = []
    for (x, y), radius, degrees in arcs:
        for angle in np.radians(degrees):
            for side in (-1, 1):
                for z in (-0.03, 0.03):
                    corners.append([x + radius * np.cos(angle), side * (y + radius * np.sin(angle)), z])
    for x in (0.0, 0.325):
        for angle in np.radians(np.arange(0, 360, 30)):
            for y in (-0.1, 0.1):
                corners.append([x + 0.005 * np.cos(angle), y, 0.005 * np.sin(angle)])
    return np.array(corners)


class Racecar(Robot):
    """Racecar. Positions: free joint, left steering and wheel, right steering and wheel, rear axle (rad)."""

    name = "Racecar"
    timestep = 0.004
    integrator = mujoco.mjtIntegrator.mjINT_RK4
    height = 0.05
    proprioception = 12
    nq = 12

    def build(self, spec: mujoco.MjSpec) -> None:
        """Add chassis, steering, axles and wheels, and servos of the axle's speed and of the steering angle."""
        agent = spec.worldbody.add_body(name="agent", pos=[0, 0, self.height])
        agent.add_freejoint()
        agent.add_site(name="agent", pos=[0.02, 0, 0])
        frame = agent.add_body(name="pos_change", pos=[-0.16, 0, 0])
        box(frame, [0.0165, 0.0875, 0.015], pos=[0.39, 0, 0.04], density=5)
        self._chassis(spec, frame)
        for name, side in (("left", 1), ("right", -1)):
            self._front(frame, name, side)
        self._rear(frame)
        self._idle_axle(frame)
        spec.add_equality(
            type=mujoco.mjtEq.mjEQ_JOINT,
            name1="left_steer",
            name2="right_steer",
            objtype=mujoco.mjtObj.mjOBJ_JOINT,
            data=[0, 1, *[0] * 10],
        )
        for name in ("left", "right"):
            spec.add_exclude(bodyname1="car_body", bodyname2=f"{name}_front_wheel")
        motor(spec, "diff_ring", "diff_ring", [1], control=20.0, force=1.0).set_to_velocity(kv=1)
        motor(spec, "steering_hinge", "left_steer", [1], control=STEERING, force=1.0).set_to_position(kp=1)

    def _chassis(self, spec: mujoco.MjSpec, frame: Body) -> None:
        body = frame.add_body(name="car_body")
        turn = [0.0017669, 0.707104574, -0.0017669, 0.707104574]
        place = [0.1555799275, -3.826658731e-4, 6.8e-10]
        mass(body, 0.0176055376183, [2.706324172e-4, 2.385001308e-4, 4.125453652e-5], place, turn)
        # Corners are given in the body's frame; MuJoCo moves a mesh to its own middle and its geom back again.
        hull = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
        spec.add_mesh(name="chassis", uservert=chassis().ravel().tolist(), inertia=hull)
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="chassis", density=0)

    def _front(self, frame: Body, name: str, side: int) -> None:
        hinge = frame.add_body(name=f"{name}_steering_hinge", pos=[0.325, 0.1 * side, 0], quat=UP)
        joint(hinge, f"{name}_steer", [-1, 0, 0], range=[-STEERING, STEERING], limited=True, damping=DAMPING)
        mass(hinge, 0.1, [4e-6] * 3)
        wheel = hinge.add_body(name=f"{name}_front_wheel", quat=ACROSS)
        joint(wheel, f"{name}_front_wheel", [0, 0, -1], damping=DAMPING)
        middle = [0, 0, -0.0225 * side]
        mass(wheel, 0.34055, [4.1226e-4, 2.6046e-4, 2.6046e-4], middle, HALF_TURNED)
        cylinder(wheel, **WHEEL, pos=middle)

    def _rear(self, frame: Body) -> None:
        ring = frame.add_body(name="diff_ring")
        mass(ring, 0.0637, RING, turn=HALF_TURNED)
        cylinder(ring, 0.025, 0.005, pos=[0, 0.025, 0], quat=[0.707107, 0.707106, 0, 0])
        for name, sign in (("A", 1), ("B", -1)):
            spider = ring.add_body(name=f"diff_spider{name}", quat=[0.707107, 0, 0, 0.707106 * sign])
            mass(spider, 0.056, RING, turn=HALF_TURNED)
        axle = ring.add_body()
        joint(axle, "diff_ring", [0, 1, 0], damping=DAMPING)
        mass(axle, 0.0, [0, 0, 0])
        for name, sign in (("A", 1), ("B", -1)):
            side = axle.add_body(name=f"diff_side{name}")
            place = [0, 0.105201 * sign, 7.09759e-8 * sign]
            mass(side, 0.39655, [0.0450921, 0.0256521, 0.0250823], place, HALF_TURNED)
            cylinder(side, **WHEEL, pos=[0, 0.1225 * sign, 8.26471e-8 * sign], quat=ACROSS)

    def _idle_axle(self, frame: Body) -> None:
        ring = frame.add_body(name="diff2_ring", pos=[0.32, 0, 0])
        mass(ring, 0.0637, RING, turn=HALF_TURNED)
        for name, turn in (
            ("spiderA", [0.707107, 0, 0, 0.707106]),
            ("spiderB", [0.707107, 0, 0, -0.707106]),
            ("sideA", [1, 0, 0, 0]),
            ("sideB", [1, 0, 0, 0]),
        ):
            mass(ring.add_body(name=f"diff2_{name}", quat=turn), 0.056, RING, turn=HALF_TURNED)

    def observe(self, state: State) -> Float[Array, "... n"]:
        """Return accelerometer, velocimeter, gyro and magnetometer."""
        return state.sensordata[..., :12]
