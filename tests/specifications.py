"""Every task a second time: written from its suite's specification, one environment at a time, on plain MuJoCo.

Nothing of the library is used here: no batch, no vectorised formula, no class of a task.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import gymnasium
import mujoco
import numpy as np
from scipy import stats

ASSETS = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"


class Step(NamedTuple):
    """A step of one simulation; `before` and `after` are what MuJoCo held right after the step before and this one."""

    model: mujoco.MjModel
    before: mujoco.MjData
    action: np.ndarray
    after: mujoco.MjData
    dt: float


class Start(NamedTuple):
    """Many first states, a row each, mapped to what has a law without parameters if they follow theirs."""

    uniforms: np.ndarray
    """Columns independent and uniform on [0, 1]: Rosenblatt's transformation (1952) of what is drawn."""
    zeros: np.ndarray
    """What is not drawn, less its value."""


@dataclasses.dataclass(frozen=True)
class Spec:
    """A task as its specification has it."""

    model: str
    frame_skip: int
    observation_size: int
    observation: Callable[[mujoco.MjData], np.ndarray]
    reward: Callable[[Step], float]
    costs: dict[str, Callable[[Step], float]]
    start: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Start]  # of rows of qpos and qvel, and q0, v0
    terminated: Callable[[mujoco.MjData], bool] = lambda data: False
    horizon: int = 1000


class Reference:
    """One environment of a specification."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.model = load(spec.model)
        self.data, self.before = mujoco.MjData(self.model), mujoco.MjData(self.model)
        self.dt = spec.frame_skip * self.model.opt.timestep

    def set_state(self, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = qpos, qvel
        mujoco.mj_forward(self.model, self.data)
        return self.spec.observation(self.data)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, list[float], bool]:
        mujoco.mj_copyData(self.before, self.model, self.data)
        self.data.ctrl[:] = action
        for _ in range(self.spec.frame_skip):
            mujoco.mj_step(self.model, self.data)
        mujoco.mj_rnePostConstraint(self.model, self.data)
        return self.spec.observation(self.data), *self.pay(action), self.spec.terminated(self.data)

    def pay(self, action: np.ndarray) -> tuple[float, list[float]]:
        """Reward and costs of the last step, had it been under `action`."""
        step = Step(self.model, self.before, action, self.data, self.dt)
        return self.spec.reward(step), [cost(step) for cost in self.spec.costs.values()]


def load(file: str) -> mujoco.MjModel:
    """The model in the Gymnasium wheel, without MuJoCo's remarks on attributes that it deprecates."""
    listener = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        return mujoco.MjModel.from_xml_path(str(ASSETS / file))
    finally:
        mujoco.set_mju_user_warning(listener)


# Words that several specifications use


def squares(step: Step) -> float:
    return float(np.dot(step.action, step.action))


def weighted_squares(weight: float) -> Callable[[Step], float]:
    return lambda step: weight * squares(step)


def root_velocity(step: Step) -> np.ndarray:
    return (step.after.qpos[:2] - step.before.qpos[:2]) / step.dt


def torso_velocity(step: Step) -> np.ndarray:
    return (step.after.body("torso").xpos[:2] - step.before.body("torso").xpos[:2]) / step.dt


def centre_velocity(step: Step) -> np.ndarray:
    before, after = (
        sum(step.model.body_mass[i] * data.xipos[i] for i in range(step.model.nbody)) / sum(step.model.body_mass)
        for data in (step.before, step.after)
    )
    return (after[:2] - before[:2]) / step.dt


def distance(data: mujoco.MjData, one: str, other: str) -> float:
    return float(np.sqrt(np.sum((data.body(one).xpos - data.body(other).xpos) ** 2)))


# Observations


def without_first(entries: int, clip: float = np.inf) -> Callable[[mujoco.MjData], np.ndarray]:
    return lambda data: np.array([*data.qpos[entries:], *(max(-clip, min(clip, v)) for v in data.qvel)])


def humanoid_sees(data: mujoco.MjData) -> np.ndarray:
    bodies = [data.cinert.ravel(), data.cvel.ravel(), data.qfrc_actuator, data.cfrc_ext.ravel()]
    return np.array([*data.qpos[2:], *data.qvel, *(x for part in bodies for x in part)])


def pusher_sees(data: mujoco.MjData) -> np.ndarray:
    places = [data.body(name).xpos for name in ("tips_arm", "object", "goal")]
    return np.array([*data.qpos[:7], *data.qvel[:7], *(x for place in places for x in place)])


def reacher_sees(data: mujoco.MjData) -> np.ndarray:
    one, two = data.qpos[:2]
    reach = data.body("fingertip").xpos - data.body("target").xpos
    return np.array([np.cos(one), np.cos(two), np.sin(one), np.sin(two), *data.qpos[2:], *data.qvel[:2], *reach])


# Health


def ant_is_healthy(data: mujoco.MjData) -> bool:
    return bool(np.isfinite([*data.qpos, *data.qvel]).all() and 0.2 <= data.qpos[2] <= 1.0)


def hopper_is_healthy(data: mujoco.MjData) -> bool:
    rest = [*data.qpos, *data.qvel][2:]
    return all(-100 < x < 100 for x in rest) and data.qpos[1] > 0.7 and -0.2 < data.qpos[2] < 0.2


def humanoid_is_healthy(data: mujoco.MjData) -> bool:
    return 1.0 < data.qpos[2] < 2.0


def walker_is_healthy(data: mujoco.MjData) -> bool:
    return 0.8 < data.qpos[1] < 2.0 and -1.0 < data.qpos[2] < 1.0


def when_not(healthy: Callable[[mujoco.MjData], bool]) -> Callable[[mujoco.MjData], bool]:
    return lambda data: not healthy(data)


def unhealthy(healthy: Callable[[mujoco.MjData], bool]) -> Callable[[Step], float]:
    return lambda step: 0.0 if healthy(step.after) else 1.0


# Starts


def within(width: float, noise: np.ndarray) -> np.ndarray:
    """U(−width, width) made uniform on [0, 1]."""
    return (noise + width) / (2 * width)


def all_within(width: float) -> Callable[..., Start]:
    def start(qpos: np.ndarray, qvel: np.ndarray, q0: np.ndarray, v0: np.ndarray) -> Start:
        return Start(within(width, np.hstack([qpos - q0, qvel - v0])), np.zeros((len(qpos), 0)))

    return start


def with_normal_velocities(qpos: np.ndarray, qvel: np.ndarray, q0: np.ndarray, v0: np.ndarray) -> Start:
    return Start(np.hstack([within(0.1, qpos - q0), stats.norm.cdf((qvel - v0) / 0.1)]), np.zeros((len(qpos), 0)))


def reacher_starts(qpos: np.ndarray, qvel: np.ndarray, q0: np.ndarray, v0: np.ndarray) -> Start:
    """The target is uniform in a disc of radius 0.2: so are the square of its radius, and its angle."""
    x, y = qpos[:, 2:].T
    disc = np.stack([(x**2 + y**2) / 0.2**2, np.arctan2(y, x) / (2 * np.pi) + 0.5], axis=1)
    drawn = [within(0.1, qpos[:, :2] - q0[:2]), disc, within(0.005, qvel[:, :2] - v0[:2])]
    return Start(np.hstack(drawn), qvel[:, 2:])


def pusher_starts(qpos: np.ndarray, qvel: np.ndarray, q0: np.ndarray, v0: np.ndarray) -> Start:
    """The cylinder is uniform in (−0.3, 0) × (−0.2, 0.2) without the disc of radius 0.17 about the goal."""
    x, y = qpos[:, 7:9].T
    hole = np.sqrt(np.maximum(0.17**2 - x**2, 0))  # half the width of the disc at x
    inside = np.clip(x, -0.17, 0)
    disc_so_far = inside * hole + 0.17**2 * (np.arcsin(inside / 0.17) + np.pi / 2)
    along = (0.4 * (x + 0.3) - disc_so_far) / (0.4 * 0.3 - 0.17**2 * np.pi / 2)
    across = np.where(y < 0, y + 0.2, y + 0.2 - 2 * hole) / (0.4 - 2 * hole)
    across[x**2 + y**2 <= 0.17**2] = np.nan
    drawn = [np.stack([along, across], axis=1), within(0.005, qvel[:, :7] - v0[:7])]
    return Start(np.hstack(drawn), np.hstack([qpos[:, :7] - q0[:7], qpos[:, 9:], qvel[:, 7:]]))


# The robots


ANT = {
    "model": "ant.xml",
    "frame_skip": 5,
    "observation_size": 27,
    "observation": without_first(2),
    "start": with_normal_velocities,
}
HALF_CHEETAH = {
    "model": "half_cheetah.xml",
    "frame_skip": 5,
    "observation_size": 17,
    "observation": without_first(1),
    "start": with_normal_velocities,
}
HOPPER = {
    "model": "hopper.xml",
    "frame_skip": 4,
    "observation_size": 11,
    "observation": without_first(1, clip=10.0),
    "start": all_within(5e-3),
}
HUMANOID = {
    "model": "humanoid.xml",
    "frame_skip": 5,
    "observation_size": 376,
    "observation": humanoid_sees,
    "start": all_within(0.01),
}
SWIMMER = {
    "model": "swimmer.xml",
    "frame_skip": 4,
    "observation_size": 8,
    "observation": without_first(2),
    "start": all_within(0.1),
}
WALKER = {
    "model": "walker2d.xml",
    "frame_skip": 4,
    "observation_size": 17,
    "observation": without_first(1, clip=10.0),
    "start": all_within(5e-3),
}


# Safety-MuJoCo


def hopper(costs: dict[str, Callable[[Step], float]]) -> Spec:
    return Spec(**HOPPER, reward=lambda step: root_velocity(step)[0], costs=costs)


def humanoid(costs: dict[str, Callable[[Step], float]]) -> Spec:
    return Spec(**HUMANOID, reward=lambda step: 1.25 * centre_velocity(step)[0], costs=costs)


def standup(costs: dict[str, Callable[[Step], float]]) -> Spec:
    lying = {**HUMANOID, "model": "humanoidstandup.xml"}
    return Spec(**lying, reward=lambda step: step.after.qpos[2] / step.model.opt.timestep, costs=costs)


def pusher(model: str) -> Spec:
    return Spec(
        model=model,
        frame_skip=5,
        observation_size=23,
        observation=pusher_sees,
        reward=lambda step: (
            -distance(step.before, "object", "goal") - 0.5 * distance(step.before, "object", "tips_arm")
        ),
        costs={"cost": weighted_squares(0.1)},
        start=pusher_starts,
    )


def impact(step: Step) -> float:
    return min(0.5e-6 * float((step.after.cfrc_ext**2).sum()), 10.0)


def walker_reward(step: Step) -> float:
    _, height, angle = step.after.qpos[:3].tolist()
    return root_velocity(step)[0] + (0.8 < height < 2.0) + (-1.0 < angle < 1.0)


SAFETY_MUJOCO = {
    "SafetyAnt-v4": Spec(
        **ANT,
        reward=lambda step: torso_velocity(step)[0],
        costs={"cost": weighted_squares(0.5)},
    ),
    "SafetyHalfCheetah-v4": Spec(
        **HALF_CHEETAH,
        reward=lambda step: -abs(root_velocity(step)[0] - 0.3),
        costs={"cost": lambda step: abs(step.after.qpos[1])},
    ),
    "SafetyHopper-v4": hopper(
        {"cost": lambda step: 0.5 * squares(step) + unhealthy(hopper_is_healthy)(step)},
    ),
    "SafetyHopperSplit-v4": hopper(
        {"control": weighted_squares(0.5), "unhealthy": unhealthy(hopper_is_healthy)},
    ),
    "SafetyHumanoid-v4": humanoid(
        {"cost": lambda step: 0.1 * squares(step) + unhealthy(humanoid_is_healthy)(step)},
    ),
    "SafetyHumanoidSplit-v4": humanoid(
        {"control": weighted_squares(0.1), "unhealthy": unhealthy(humanoid_is_healthy)},
    ),
    "SafetyHumanoidStandup-v4": standup(
        {"cost": lambda step: 0.1 * squares(step) + impact(step)},
    ),
    "SafetyHumanoidStandupSplit-v4": standup(
        {"control": weighted_squares(0.1), "impact": impact},
    ),
    "SafetyPusher-v4": pusher("pusher.xml"),
    "SafetyPusher-v5": pusher("pusher_v5.xml"),
    "SafetyReacher-v4": Spec(
        model="reacher.xml",
        frame_skip=2,
        observation_size=11,
        observation=reacher_sees,
        reward=lambda step: -distance(step.before, "fingertip", "target"),
        costs={"cost": weighted_squares(1.0)},
        start=reacher_starts,
    ),
    "SafetyWalker2d-v4": Spec(
        **WALKER,
        reward=walker_reward,
        costs={"cost": lambda step: np.sqrt(1e-3 * squares(step))},
    ),
}


# Safety-Gymnasium's velocity tasks


def signed(velocity: np.ndarray) -> float:
    return velocity[0]


def in_plane(velocity: np.ndarray) -> float:
    return float(np.sqrt(velocity[0] ** 2 + velocity[1] ** 2))


def limited_velocity(
    robot: dict,
    velocity: Callable[[Step], np.ndarray],
    speed: Callable[[np.ndarray], float],
    threshold: float,
    reward: tuple[float, float, float],
    healthy: Callable[[mujoco.MjData], bool] = lambda data: True,
) -> Spec:
    forward, alive, effort = reward
    return Spec(
        **robot,
        reward=lambda step: forward * velocity(step)[0] + alive - effort * squares(step),
        costs={"cost": lambda step: 1.0 if speed(velocity(step)) > threshold else 0.0},
        terminated=when_not(healthy),
    )


def ant_below(threshold: float) -> Spec:
    return limited_velocity(ANT, torso_velocity, in_plane, threshold, (1.0, 1.0, 0.5), ant_is_healthy)


def half_cheetah_below(threshold: float) -> Spec:
    return limited_velocity(HALF_CHEETAH, root_velocity, signed, threshold, (1.0, 0.0, 0.1))


def hopper_below(threshold: float) -> Spec:
    return limited_velocity(HOPPER, root_velocity, signed, threshold, (1.0, 1.0, 1e-3), hopper_is_healthy)


def humanoid_below(threshold: float) -> Spec:
    return limited_velocity(HUMANOID, centre_velocity, in_plane, threshold, (1.25, 5.0, 0.1), humanoid_is_healthy)


def swimmer_below(threshold: float, speed: Callable[[np.ndarray], float]) -> Spec:
    return limited_velocity(SWIMMER, root_velocity, speed, threshold, (1.0, 0.0, 1e-4))


def walker_below(threshold: float) -> Spec:
    return limited_velocity(WALKER, root_velocity, signed, threshold, (1.0, 1.0, 1e-3), walker_is_healthy)


SAFETY_VELOCITY = {
    "SafetyAntVelocity-v1": ant_below(2.6222),
    "SafetyAntVelocity-v0": ant_below(2.5745),
    "SafetyHalfCheetahVelocity-v1": half_cheetah_below(3.2096),
    "SafetyHalfCheetahVelocity-v0": half_cheetah_below(2.8795),
    "SafetyHopperVelocity-v1": hopper_below(0.7402),
    "SafetyHopperVelocity-v0": hopper_below(0.37315),
    "SafetyHumanoidVelocity-v1": humanoid_below(1.4149),
    "SafetyHumanoidVelocity-v0": humanoid_below(2.3475),
    "SafetySwimmerVelocity-v1": swimmer_below(0.2282, signed),
    "SafetySwimmerVelocity-v0": swimmer_below(0.04845, in_plane),
    "SafetyWalker2dVelocity-v1": walker_below(2.3415),
    "SafetyWalker2dVelocity-v0": walker_below(1.7075),
}

SPECS = {**SAFETY_MUJOCO, **SAFETY_VELOCITY}
"""By task id. A registered task without an entry here fails the tests: its specification is to be written twice."""
