"""Tasks as one batch behind Gymnasium's vector interface, held against single environments side by side."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import equipoise  # noqa: F401 (registers the tasks)
from equipoise.environments.vector_env import SafetyVectorEnv
from equipoise.errors import UsageError
from registries import SAMPLE

MODES = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)
ENDING = "SafetyHopperVelocity-v1"
"""A task whose episodes terminate early, and at different times."""


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path, monkeypatch):
    """MuJoCo writes its warnings to MUJOCO_LOG.TXT in the working folder."""
    monkeypatch.chdir(tmp_path)


def batch(task_id=ENDING, num_envs=3, mode=AutoresetMode.NEXT_STEP, **options) -> SafetyVectorEnv:
    return gymnasium.make_vec(f"equipoise/{task_id}", num_envs=num_envs, autoreset_mode=mode, **options)


def side_by_side(task_id=ENDING, num_envs=3, mode=AutoresetMode.NEXT_STEP, **options):
    return gymnasium.make_vec(
        f"equipoise/{task_id}",
        num_envs=num_envs,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        **options,
    )


def assert_same(ours, theirs):
    """Compare infos, which hold arrays, arrays of arrays or None, and dictionaries."""
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        if isinstance(value, dict):
            assert_same(ours[key], value)
            continue
        assert ours[key].dtype == value.dtype and ours[key].shape == value.shape
        for a, b in zip(ours[key], value, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.one_in(10)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("task_id", SAMPLE)
def test_steps_are_those_of_single_environments(task_id, mode):
    ours, theirs = (make(task_id, mode=mode, max_episode_steps=23) for make in (batch, side_by_side))
    np.testing.assert_array_equal(ours.reset(seed=5)[0], theirs.reset(seed=5)[0])
    ours.action_space.seed(0)
    ended = 0
    for _ in range(60):
        action = 1.3 * ours.action_space.sample()
        *mine, my_infos = ours.step(action)
        *other, infos = theirs.step(action)
        for a, b in zip(mine, other, strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
        over = mine[2] | mine[3]
        ended += over.sum()
        if mode is AutoresetMode.SAME_STEP and over.any():
            # Gymnasium's has an ended episode's last costs in final_info only: ours, also beside the last rewards.
            for name in [key for key in my_infos if not key.startswith("_") and not key.startswith("final")]:
                last = my_infos["final_info"][name][over]
                np.testing.assert_array_equal(my_infos[name][over], last)
                for infos_ in (my_infos, infos):
                    infos_.pop(name, None), infos_.pop(f"_{name}", None)
        assert_same(my_infos, infos)
    assert ended >= 6, "episodes have to end for this to test resets"


@pytest.mark.parametrize("task_id", SAMPLE)
def test_make_vec_gives_the_batch_and_its_spaces_fit(task_id):
    env = gymnasium.make_vec(f"equipoise/{task_id}", num_envs=2)
    assert type(env) is SafetyVectorEnv
    single = gymnasium.make(f"equipoise/{task_id}")
    assert env.single_observation_space == single.observation_space
    assert env.single_action_space == single.action_space
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert env.metadata["render_fps"] == single.unwrapped.metadata["render_fps"]
    assert (env.limits, env.cost_names) == (single.unwrapped.limits, single.unwrapped.cost_names)
    observation, infos = env.reset(seed=0)
    assert env.observation_space.contains(observation) and infos == {}
    assert env.observation_space.contains(env.step(env.action_space.sample())[0])
    assert env.spec.make is not None and env.spec.kwargs["num_envs"] == 2


def test_an_episode_is_as_long_as_the_task_says():
    env = batch("SafetyReacher-v4", 2)
    env.reset(seed=0)
    cut = [env.step(np.zeros((2, 2)))[3] for _ in range(1001)]
    assert [c.all() for c in cut] == [False] * 999 + [True, False]


def test_seeds_are_one_number_or_one_for_each_and_go_on_without():
    env = batch(num_envs=3)
    first = env.reset(seed=7)[0]
    following = env.reset()[0]
    np.testing.assert_array_equal(env.reset(seed=[7, 8, 9])[0], first)
    np.testing.assert_array_equal(env.reset()[0], following)
    assert env.np_random_seed == (7, 8, 9) and len(env.np_random) == 3
    mixed = env.reset(seed=[None, 8, None])[0]
    np.testing.assert_array_equal(mixed[1], first[1])
    assert (mixed[0] != first[0]).any()
    with pytest.raises(UsageError, match="2 seeds for 3 environments"):
        env.reset(seed=[1, 2])


def test_what_was_returned_is_not_changed_by_the_next_step():
    env = batch()
    observation, _ = env.reset(seed=0)
    returned = [observation, *env.step(np.zeros((3, 3)))[:4]]
    kept = [value.copy() for value in returned]
    env.step(np.ones((3, 3)))
    for value, copy in zip(returned, kept, strict=True):
        np.testing.assert_array_equal(value, copy)


@pytest.mark.parametrize("mode", MODES)
def test_a_diverged_simulation_is_truncated_and_disturbs_no_other(mode):
    env, calm = batch(mode=mode), batch(mode=mode)
    before, _ = env.reset(seed=0)
    calm.reset(seed=0)
    state = env._physics.state
    env._physics.set_state(state.qpos[[1]], np.full_like(state.qvel[[1]], 1e9), [1])
    observation, reward, terminated, truncated, infos = env.step(np.zeros((3, 3)))
    expected = calm.step(np.zeros((3, 3)))
    assert truncated.tolist() == infos["diverged"].tolist() == [False, True, False]
    assert not terminated.any() and reward[1] == infos["cost"][1] == 0
    last = infos["final_obs"][1] if mode is AutoresetMode.SAME_STEP else observation[1]
    np.testing.assert_array_equal(last, before[1])
    for ours, theirs in ((observation, expected[0]), (reward, expected[1]), (infos["cost"], expected[4]["cost"])):
        np.testing.assert_array_equal(ours[[0, 2]], theirs[[0, 2]])
    for _ in range(3):
        *numbers, infos = env.step(np.zeros((3, 3)))
        assert all(np.isfinite(part).all() for part in numbers) and "diverged" not in infos


def test_a_step_before_a_reset_is_refused():
    with pytest.raises(gymnasium.error.ResetNeeded):
        batch().step(np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"autoreset_mode": "NextSep"}, "unknown autoreset_mode 'NextSep'; did you mean 'NextStep'"),
        ({"autoreset_mode": AutoresetMode.DISABLED}, "unknown autoreset_mode 'Disabled'; known: NextStep, SameStep"),
        ({"render_mode": "human"}, "unknown render_mode 'human'; known: rgb_array"),
        ({"num_envs": 0}, "num_envs is 0; allowed: 1 or more"),
        ({"task_id": "SafetyHoper-v4"}, "did you mean 'SafetyHopper-v4'"),
    ],
)
def test_what_is_not_allowed_is_said_on_one_line(options, said):
    with pytest.raises(UsageError, match=said) as error:
        SafetyVectorEnv(**{"task_id": ENDING, **options})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("steps", [1, 5])
def test_what_a_step_has_brought_is_told_where_it_has(mode, steps):
    ours, theirs = (make("SafetyPointGoal0-v0", mode=mode, max_episode_steps=steps) for make in (batch, side_by_side))
    for env in (ours, theirs):
        env.reset(seed=3)
    for env in (1, 2):  # onto their goals
        single = theirs.envs[env].unwrapped
        state = single.state
        qpos = state.qpos[0].copy()
        qpos[:2] = state.memory.places[0, 0]
        single.set_state(qpos, state.qvel[0])
        ours.unwrapped._physics.set_state(qpos[None], state.qvel, [env])
    action = np.zeros(ours.action_space.shape, np.float32)
    for t in range(3):
        (_, _, _, over, mine), (*_, their) = ours.step(action), theirs.step(action)
        told = mine.get("goal_met"), mine.get("_goal_met")
        assert (told == (None, None)) if t else ([x.tolist() for x in told] == [[False, True, True]] * 2)
        if mode is AutoresetMode.NEXT_STEP or not over.any():
            assert_same(mine, their)
        else:
            assert_same(mine["final_info"], their["final_info"])
