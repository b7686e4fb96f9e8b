"""Fetch's arm as a task of one's own: the robot whose MJCF the wheel gymnasium-robotics ships, reaching over its table.

    pip install --no-deps gymnasium-robotics
    equipoise train pcrpo fetch:Reach

There a mocap body drags the gripper along. Here the arm's own seven joints move it. Only the wheel's files are used:
its package is not imported, so what that depends on need not be there.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np

import equipoise
from equipoise.errors import UsageError

JOINTS = {
    "shoulder_pan": (0.0, 1.25, 33.82),
    "shoulder_lift": (-0.9, 1.45, 131.76),
    "upperarm_roll": (0.0, 1.57, 76.94),
    "elbow_flex": (1.7, 1.52, 66.18),
    "forearm_roll": (0.0, 1.57, 29.35),
    "wrist_flex": (0.77, 2.26, 25.70),
    "wrist_roll": (0.0, 2.26, 7.36),
}
"""Of each joint of the arm its first angle (rad), and what it is rated for: speed (rad/s) and torque (N·m)."""
FIRST = np.array([first for first, _, _ in JOINTS.values()])
PACE = 0.3
"""Share of a joint's rated speed that can be asked of it."""
LOCKED = ("slide0", "slide1", "slide2", "torso_lift_joint", "head_pan_joint", "head_tilt_joint")
LOCKED += ("r_gripper_finger_joint", "l_gripper_finger_joint")
"""Joints that are taken out: of the base, the torso, the head and the fingers."""


def model_file() -> str:
    """Return where the wheel has its MJCF; `UsageError` where it is not installed."""
    package = importlib.util.find_spec("gymnasium_robotics")
    if package is None or not package.submodule_search_locations:
        raise UsageError("Fetch's model is in the wheel gymnasium-robotics: pip install --no-deps gymnasium-robotics")
    return str(Path(package.submodule_search_locations[0]) / "envs" / "assets" / "fetch" / "reach.xml")


def model() -> mujoco.MjSpec:
    """Return the model: before its table, with nothing but its arm free, and with servos and sensors of its own."""
    spec = mujoco.MjSpec.from_file(model_file())
    spec.option.timestep = 0.004
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST  # stable with the servos' damping
    for unwanted in (*spec.equalities, spec.body("robot0:mocap"), spec.body("floor0")):
        spec.delete(unwanted)
    for name in LOCKED:
        spec.delete(spec.joint(f"robot0:{name}"))
    spec.body("robot0:base_link").pos = [0.69, 0.75, 0]
    for body in spec.bodies:
        body.gravcomp = 1  # as Fetch's own controller does for its arm
    for name, (_, speed, torque) in JOINTS.items():
        add_servo(spec, f"robot0:{name}_joint", speed, torque)
    add_sensors(spec)
    view = {"pos": [2.5, -0.45, 1.45], "xyaxes": [0.62, 0.78, 0, -0.37, 0.29, 0.88]}
    spec.worldbody.add_camera(name="track", **view)  # the camera that pictures and films are taken with
    return spec


def add_servo(spec: mujoco.MjSpec, name: str, speed: float, torque: float) -> None:
    """Drive a joint by a servo of its velocity, with no more torque than it is rated for."""
    joint = spec.joint(name)
    joint.damping, joint.stiffness, joint.armature = [1, 0, 0], [0, 0, 0], 0.1  # not made for being dragged along
    servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    servo.set_to_velocity(kv=4 * torque / speed)
    servo.ctrlrange, servo.forcerange = [-PACE * speed, PACE * speed], [-torque, torque]


def add_sensors(spec: mujoco.MjSpec) -> None:
    """Add where the gripper is and how it moves, and whether the arm or the gripper touches the table."""
    kind, thing = mujoco.mjtSensor, mujoco.mjtObj
    gripper = {"objtype": thing.mjOBJ_SITE, "objname": "robot0:grip"}
    spec.add_sensor(name="place", type=kind.mjSENS_FRAMEPOS, **gripper)
    spec.add_sensor(name="velocity", type=kind.mjSENS_FRAMELINVEL, **gripper)
    arm = {"objtype": thing.mjOBJ_XBODY, "objname": "robot0:shoulder_pan_link"}  # with all that it carries
    table = {"reftype": thing.mjOBJ_BODY, "refname": "table0"}
    found = [1 << int(mujoco.mjtConDataField.mjCONDATA_FOUND), 0, 1]
    spec.add_sensor(name="touch", type=kind.mjSENS_CONTACT, intprm=found, **arm, **table)


class Kept(NamedTuple):
    """What is kept of each environment."""

    place: np.ndarray
    """Where the gripper is to be (m)."""


@equipoise.register_task
class Reach(equipoise.Task):
    """Bring the gripper to a place just above the table, soon, but slowly enough for people to be near.

    Observation (17): the arm's joint angles (rad), their velocities (rad/s), and the way from the gripper to the place
    (m). Action (7): the joints' velocities (rad/s), within 0.3 of their ratings. Reward: 1 − tanh(distance / 0.2 m).
    Costs: `touch`, 1 in a step that ends with arm or gripper touching the table; `speed`, 1 in a step that ends with
    the gripper faster than 0.25 m/s, the reduced speed of ISO 10218-1.
    """

    frame_skip = 10
    horizon = 100
    observation_size = 17
    cost_names = ("touch", "speed")
    fields = ("sensordata",)

    def __init__(self, slow: float = 0.25) -> None:
        self.slow = slow
        self.model = model()

    def limits(self) -> tuple[float, ...]:
        """Return limits of half a step and of 5 of the 100."""
        return 0.5, 5.0

    def begin(self, randoms):
        """Draw joint angles near the first ones, and a place 2 to 10 cm above the table."""
        count = len(randoms)
        qpos = FIRST + [random.uniform(-0.05, 0.05, 7) for random in randoms]
        place = [random.uniform((1.15, 0.5, 0.42), (1.4, 1.0, 0.5), 3) for random in randoms]
        return qpos, np.zeros((count, 7)), Kept(np.array(place))

    def read(self, state, sensor):
        """Return what a sensor of the model says."""
        return state.sensordata[..., self.mechanism.sensors[sensor]]

    def way(self, state):
        """Return the way from the gripper to the place (m)."""
        return state.memory.place - self.read(state, "place")

    def observation(self, state):
        """Return what the policy sees."""
        return np.concatenate([state.qpos, state.qvel, self.way(state)], axis=-1)

    def reward(self, before, action, after):
        """Return what is paid for being near."""
        return 1.0 - np.tanh(np.linalg.norm(self.way(after), axis=-1) / 0.2)

    def costs(self, before, action, after):
        """Return what is charged."""
        speed = np.linalg.norm(self.read(after, "velocity"), axis=-1)
        return {"touch": 1.0 * (self.read(after, "touch")[..., 0] > 0), "speed": 1.0 * (speed > self.slow)}

    def marks(self, state):
        """Draw the place."""
        x, y, z = state.memory.place.tolist()
        return [equipoise.Mark("sphere", (0.03, 0, 0), (x, y, z), (0, 1, 0, 0.6))]
