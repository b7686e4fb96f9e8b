"""Every task as a Gymnasium environment, made by id after nothing but `import equipoise`."""

from __future__ import annotations

import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.seeding import np_random

import equipoise  # noqa: F401 (registers the tasks)
from equipoise.errors import UsageError
from equipoise.physics import NativePhysics
from equipoise.tasks import TASKS
from registries import SAMPLE

every_task = pytest.mark.parametrize("task_id", SAMPLE)
EXPECTED_WARNINGS = (
    "is different from the unwrapped version",
    "-infinity",
    "is infinity",
    "symmetric and normalized",
)


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path, monkeypatch):
    """MuJoCo writes its warnings to MUJOCO_LOG.TXT in the working folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def env(task_id):
    env = gymnasium.make(f"equipoise/{task_id}")
    yield env
    env.close()


def actions_of(env: gymnasium.Env, steps: int) -> list[np.ndarray]:
    env.action_space.seed(0)
    return [1.5 * env.action_space.sample() for _ in range(steps)]


def test_importing_the_package_registers_every_task():
    code = "import equipoise, gymnasium; print(*(i for i in gymnasium.registry if i.startswith('equipoise/')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == sorted(f"equipoise/{task_id}" for task_id in TASKS)


@pytest.mark.one_in(10)
@every_task
@pytest.mark.parametrize("wrapped", [False, True])
def test_gymnasiums_checker_finds_nothing(env, wrapped):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # Without its check of rendering, which opens a window; tests/test_rendering.py has pictures.
        check_env(env if wrapped else env.unwrapped, skip_render_check=True)
    messages = [str(w.message) for w in caught]
    assert [m for m in messages if not any(known in m for known in EXPECTED_WARNINGS)] == []


@every_task
def test_gymnasiums_passive_checker_says_nothing_while_it_is_used(env):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        env.reset(seed=0)
        for action in actions_of(env, 20):
            if env.step(np.clip(action, env.action_space.low, env.action_space.high))[2]:
                env.reset()
    messages = [str(w.message) for w in caught]
    assert [m for m in messages if not any(known in m for known in EXPECTED_WARNINGS)] == []


@every_task
def test_spaces_are_the_tasks_and_the_actuators(env, task_id):
    physics = NativePhysics(TASKS[task_id], 1, threads=1)
    assert env.observation_space.shape == (TASKS[task_id].observation_size,)
    np.testing.assert_array_equal(env.action_space.low, physics.model.actuator_ctrlrange[:, 0].astype(np.float32))
    np.testing.assert_array_equal(env.action_space.high, physics.model.actuator_ctrlrange[:, 1].astype(np.float32))
    assert env.unwrapped.limits == TASKS[task_id].limits()


@pytest.mark.one_in(10)
@every_task
def test_steps_are_those_of_native_physics_with_the_cost_in_info(env, task_id):
    physics = NativePhysics(TASKS[task_id], 1, threads=1)
    observation, info = env.reset(seed=11)
    assert info == {}
    np.testing.assert_array_equal(observation, physics.reset([0], [np_random(11)[0]])[0])
    for action in actions_of(env, 50):
        observation, reward, terminated, truncated, info = env.step(action)
        step = physics.step(np.asarray(action, np.float64)[None])
        np.testing.assert_array_equal(observation, step.observation[0])
        assert (reward, terminated, truncated) == (step.reward[0], step.terminated[0], False)
        assert isinstance(reward, float) and isinstance(info["cost"], float)
        assert info["cost"] == step.cost[0].sum()


@pytest.mark.one_in(10)
@every_task
def test_an_episode_is_truncated_after_exactly_its_horizon(env, task_id):
    env.reset(seed=0)
    start = env.unwrapped.state.qpos[0], env.unwrapped.state.qvel[0]
    idle = np.zeros(env.action_space.shape, np.float32)
    cut = []
    horizon = TASKS[task_id].horizon
    for _ in range(horizon):
        env.unwrapped.set_state(*start)  # so that no task terminates before
        _, _, terminated, truncated, _ = env.step(idle)
        assert not terminated
        cut.append(truncated)
    assert cut == [False] * (horizon - 1) + [True]
    assert horizon == (500 if "Circle" in task_id or "Run" in task_id else 1000)


@every_task
def test_a_seeded_reset_is_reproducible_and_the_next_one_differs(env):
    first, _ = env.reset(seed=3)
    following, _ = env.reset()
    again, _ = env.reset(seed=3)
    following_again, _ = env.reset()
    other, _ = env.reset(seed=4)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(following, following_again)
    assert (first != following).any() and (first != other).any()


@every_task
def test_set_state_observes_and_steps_as_native_physics_does(env, task_id):
    physics = NativePhysics(TASKS[task_id], 1, threads=1)
    qpos, qvel = physics.model.qpos0 + 0.05, np.linspace(-1.0, 1.0, physics.model.nv)
    env.reset(seed=0)
    observation = env.unwrapped.set_state(qpos, qvel)
    physics.set_state(qpos[None], qvel[None])
    np.testing.assert_array_equal(observation, physics.task.observation(physics.state)[0])
    np.testing.assert_array_equal(env.unwrapped.state.qpos, [qpos])
    np.testing.assert_array_equal(env.unwrapped.state.qvel, [qvel])
    for action in actions_of(env, 5):
        expected = physics.step(np.asarray(action, np.float64)[None])
        np.testing.assert_array_equal(env.step(action)[0], expected.observation[0])


@every_task
def test_a_diverged_simulation_raises_until_it_is_reset(env):
    env.reset(seed=0)
    qpos, qvel = (x[0] for x in (env.unwrapped.state.qpos, env.unwrapped.state.qvel))
    env.unwrapped.set_state(qpos, np.full_like(qvel, 1e9))
    idle = np.zeros(env.action_space.shape, np.float32)
    with pytest.raises(RuntimeError, match="diverged"):
        env.step(idle)
    env.reset(seed=0)
    assert np.isfinite(env.step(idle)[0]).all()


@pytest.mark.parametrize("task_id", ["SafetyHopper-v4"])
def test_an_action_that_is_not_finite_is_refused(env):
    env.reset(seed=0)
    with pytest.raises(UsageError, match="action holds nan"):
        env.unwrapped.step(np.array([0.0, np.nan, 0.0]))
