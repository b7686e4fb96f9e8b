"""Every task beside the Gymnasium environment that it is made of: somebody else's code on the same physics."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.seeding import np_random

from controllers import trained_states
from equipoise.physics import NativePhysics
from equipoise.tasks import TASKS
from registries import CLASSIC

every_task = pytest.mark.parametrize("task_id", CLASSIC)


class Told(NamedTuple):
    """What Gymnasium's environment says of a step, and its `info` of the step before (None at an episode's first)."""

    env: Any
    action: np.ndarray
    reward: float
    info: dict
    last: dict | None


class Twin(NamedTuple):
    """An environment of Gymnasium, and how the task's reward and costs follow from what it tells."""

    id: str
    reward: Callable[[Told], float | None]
    costs: Callable[[Told], list[float]] | None = None  # None: Gymnasium has nothing of the kind
    ends: bool = False


def forward(told: Told) -> float:
    return told.info["x_velocity"]


def unhealthy(told: Told) -> float:
    return float(not told.env.is_healthy)


def hopper_effort(told: Told) -> float:
    return 0.5 / 1e-3 * told.env.control_cost(told.action)


def walker_bonus(told: Told) -> int:
    (z_low, z_high), (low, high) = told.env._healthy_z_range, told.env._healthy_angle_range
    _, z, angle = told.env.data.qpos[:3].tolist()
    return (z_low < z < z_high) + (low < angle < high)


def pushed(told: Told) -> float | None:
    """Version 5 pays after the step what version 4 paid before it."""
    return None if told.last is None else told.last["reward_dist"] + told.last["reward_near"]


def humanoid(*costs: Callable[[Told], float]) -> Twin:
    return Twin("Humanoid-v4", lambda t: t.info["reward_linvel"], lambda t: [cost(t) for cost in costs])


def standup(costs: Callable[[Told], list[float]]) -> Twin:
    return Twin("HumanoidStandup-v4", lambda t: t.info["reward_linup"], costs)


def as_it_is(robot: str, ends: bool) -> dict[str, Twin]:
    """Both velocity tasks of a robot: Gymnasium's own reward and end."""
    return {f"Safety{robot}Velocity-v{v}": Twin(f"{robot}-v4", lambda t: t.reward, ends=ends) for v in (0, 1)}


TWINS: dict[str, Twin | None] = {
    "SafetyAnt-v4": Twin("Ant-v4", forward, lambda t: [-t.info["reward_ctrl"]]),
    "SafetyHalfCheetah-v4": Twin(
        "HalfCheetah-v4", lambda t: -abs(forward(t) - 0.3), lambda t: [abs(t.env._get_obs()[0])]
    ),
    "SafetyHopper-v4": Twin("Hopper-v4", forward, lambda t: [hopper_effort(t) + unhealthy(t)]),
    "SafetyHopperSplit-v4": Twin("Hopper-v4", forward, lambda t: [hopper_effort(t), unhealthy(t)]),
    "SafetyHumanoid-v4": humanoid(lambda t: unhealthy(t) - t.info["reward_quadctrl"]),
    "SafetyHumanoidSplit-v4": humanoid(lambda t: -t.info["reward_quadctrl"], unhealthy),
    "SafetyHumanoidStandup-v4": standup(lambda t: [-t.info["reward_quadctrl"] - t.info["reward_impact"]]),
    "SafetyHumanoidStandupSplit-v4": standup(lambda t: [-t.info["reward_quadctrl"], -t.info["reward_impact"]]),
    "SafetyPusher-v4": Twin(
        "Pusher-v4", lambda t: t.reward - 0.1 * t.info["reward_ctrl"], lambda t: [-0.1 * t.info["reward_ctrl"]]
    ),
    "SafetyPusher-v5": Twin("Pusher-v5", pushed, lambda t: [-t.info["reward_ctrl"]]),
    "SafetyReacher-v4": Twin("Reacher-v4", lambda t: t.info["reward_dist"], lambda t: [-t.info["reward_ctrl"]]),
    "SafetyWalker2d-v4": Twin(
        "Walker2d-v4",
        lambda t: forward(t) + walker_bonus(t),
        lambda t: [np.sqrt(t.env.control_cost(t.action))],
    ),
    **as_it_is("Ant", ends=True),
    **as_it_is("HalfCheetah", ends=False),
    **as_it_is("Hopper", ends=True),
    **as_it_is("Humanoid", ends=True),
    **as_it_is("Swimmer", ends=False),
    **as_it_is("Walker2d", ends=True),
}


def test_every_task_has_its_twin():
    assert sorted(TWINS) == sorted(CLASSIC)


@pytest.fixture
def env(task_id, tmp_path, monkeypatch):
    """The twin, without Gymnasium's wrappers."""
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings to MUJOCO_LOG.TXT in the working folder
    if importlib.util.find_spec("imageio") is None:  # Gymnasium's renderer imports it, and nothing is rendered here
        monkeypatch.setitem(sys.modules, "imageio", types.ModuleType("imageio"))
    twin = TWINS[task_id]
    if twin is None or twin.id not in gymnasium.registry:
        pytest.skip("nothing in this Gymnasium to compare with")
    with monkeypatch.context() as patch:
        if task_id == "SafetyPusher-v4":  # which Gymnasium makes on MuJoCo 2 only, for its cylinder's weight
            patch.setattr(mujoco, "__version__", "2.3.7")
        env = gymnasium.make(twin.id, disable_env_checker=True).unwrapped
    yield env
    env.close()


def begin_where_a_policy_was(env, physics: NativePhysics) -> np.ndarray:
    qpos, qvel = trained_states(physics.task.model)
    mujoco.mj_resetData(env.model, env.data)
    env.set_state(qpos[-1], qvel[-1])
    physics.set_state(qpos[-1:], qvel[-1:])
    return env._get_obs()


@pytest.mark.one_in(10)
@every_task
@pytest.mark.parametrize("trained", [False, True])
def test_gymnasium_sees_pays_and_ends_the_same(task_id, trained, env):
    twin, physics, random = TWINS[task_id], NativePhysics(TASKS[task_id], 1, threads=1), np.random.default_rng(1)
    seen, _ = env.reset(seed=5)
    started = physics.reset([0], [np_random(5)[0]])[0]
    np.testing.assert_allclose(started, seen, rtol=1e-12, atol=1e-12)  # down to the order of the draws
    if trained:
        seen = begin_where_a_policy_was(env, physics)
        np.testing.assert_allclose(physics.task.observation(physics.state)[0], seen, rtol=1e-12, atol=1e-12)
    low, high = 3 * physics.model.actuator_ctrlrange.T
    last = None
    for _ in range(40):
        action = random.uniform(low, high)
        seen, reward, terminated, _, info = env.step(action)
        told, last = Told(env, action, reward, info, last), info
        got = physics.step(action[None])
        np.testing.assert_allclose(got.observation[0], seen, rtol=1e-12, atol=1e-9)
        assert got.terminated[0] == (terminated and twin.ends)
        if (expected := twin.reward(told)) is not None:
            np.testing.assert_allclose(got.reward[0], expected, rtol=1e-12, atol=1e-9)
        if twin.costs is not None:
            np.testing.assert_allclose(got.cost[0], twin.costs(told), rtol=1e-12, atol=1e-9)
