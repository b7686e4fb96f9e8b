"""Safety-Gymnasium's face: six values a step, the cost third."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import equipoise
from equipoise.environments import safety_gymnasium
from equipoise.environments.safety_gymnasium import Gymnasium2SafetyGymnasium, SafetyGymnasium2Gymnasium
from equipoise.errors import UsageError
from registries import SAMPLE


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path, monkeypatch):
    """MuJoCo writes its warnings to MUJOCO_LOG.TXT in the working folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("task_id", SAMPLE)
def test_a_step_gives_six_values_with_the_cost_third(task_id):
    env, plain = safety_gymnasium.make(task_id), gymnasium.make(f"equipoise/{task_id}")
    observation, info = env.reset(seed=3)
    np.testing.assert_array_equal(observation, plain.reset(seed=3)[0])
    assert info == {}
    env.action_space.seed(0)
    for _ in range(5):
        action = env.action_space.sample()
        observation, reward, cost, terminated, truncated, info = env.step(action)
        expected = plain.step(action)
        np.testing.assert_array_equal(observation, expected[0])
        assert (reward, cost, terminated, truncated) == (expected[1], expected[4]["cost"], *expected[2:4])
        assert isinstance(cost, float) and info == expected[4]


def test_options_are_those_of_gymnasium():
    env = safety_gymnasium.make("SafetyHopperVelocity-v1", max_episode_steps=2)
    env.reset(seed=0)
    assert [env.step(np.zeros(3, np.float32))[4] for _ in range(2)] == [False, True]


def test_there_and_back_is_the_same():
    env = SafetyGymnasium2Gymnasium(safety_gymnasium.make("SafetyHopper-v4"))
    plain = gymnasium.make("equipoise/SafetyHopper-v4")
    env.reset(seed=0), plain.reset(seed=0)
    ours, theirs = env.step(np.ones(3, np.float32)), plain.step(np.ones(3, np.float32))
    np.testing.assert_array_equal(ours[0], theirs[0])
    assert ours[1:] == theirs[1:]
    assert ours[4]["cost"] > 0


def test_gymnasiums_wrappers_go_in_between():
    """As Safety-Gymnasium's manual has it: to five values, the wrapper, and back to six."""
    inside = gymnasium.wrappers.RescaleAction(
        SafetyGymnasium2Gymnasium(safety_gymnasium.make("SafetyPusher-v5")), np.float32(-1), np.float32(1)
    )
    env = Gymnasium2SafetyGymnasium(inside)
    env.reset(seed=0)
    assert env.step(np.ones(7, np.float32))[2] == pytest.approx(0.1 * 7 * 2.0**2)  # its actuators take ±2


def test_an_environment_without_a_cost_is_refused():
    env = Gymnasium2SafetyGymnasium(gymnasium.make("Pendulum-v1"))
    env.reset(seed=0)
    with pytest.raises(UsageError, match=r"there is no 'cost' in the info \(there: nothing\)"):
        env.step(np.zeros(1, np.float32))


def test_an_unknown_task_is_told_with_the_nearest():
    for make in (safety_gymnasium.make, safety_gymnasium.make_vec):
        with pytest.raises(UsageError, match="unknown task 'SafetyHoper-v4'; did you mean 'SafetyHopper-v4'"):
            make("SafetyHoper-v4")


def test_the_vector_face_resets_within_a_step_and_keeps_what_that_hides():
    env = safety_gymnasium.make_vec("SafetyHopperVelocity-v1", num_envs=2, max_episode_steps=3)
    single = safety_gymnasium.make("SafetyHopperVelocity-v1", max_episode_steps=3)
    env.reset(seed=0), single.reset(seed=1)
    action = np.full((2, 3), 0.5, np.float32)
    for _ in range(3):
        observation, reward, cost, terminated, truncated, infos = env.step(action)
        expected = single.step(action[1])
        assert (reward[1], cost[1], terminated[1], truncated[1]) == expected[1:5]
    assert cost.shape == (2,) and truncated.all()
    np.testing.assert_array_equal(infos["final_observation"][1], expected[0])
    assert infos["_final_observation"].all() and infos["final_info"]["cost"][1] == expected[2]
    assert (observation[1] != expected[0]).any()
    np.testing.assert_array_equal(observation[1], single.reset()[0])


class Foreign(gymnasium.Env):
    """A Safety-Gymnasium environment of somebody else."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), float(action[0]), float(action[0] ** 2), False, False, {}


@pytest.mark.slow
@pytest.mark.parametrize("make", [Foreign, lambda: SafetyGymnasium2Gymnasium(Foreign())])
def test_such_an_environment_is_trained_on(make, tmp_path):
    options = {"limits": (3.0,), "horizon": 50, "total_steps": 2000, "steps_per_iteration": 1000}
    run = equipoise.train("pcrpo", make, run_dir=tmp_path / "run", **options)
    assert run.metrics[-1]["cost/cost"] > 0
    assert run.problem.cost_names == ("cost",)
