"""A vector environment of anyone's own: final observations, costs and resets in each of Gymnasium's modes."""

from __future__ import annotations

import dataclasses
import functools

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space

import equipoise
import rover
from equipoise.algorithms import ALGORITHMS
from equipoise.environments.foreign import ForeignEnvironments
from equipoise.environments.opening import open_environments
from equipoise.environments.registered import Registered
from equipoise.environments.safety_gymnasium import make_vec
from equipoise.environments.vectorised import VectorisedEnvironments, mode_of
from equipoise.errors import UsageError
from equipoise.films.play import play
from equipoise.films.stage import open_stage
from equipoise.physics import NativePhysics, Simulator
from equipoise.policy import Actor, GaussianDraws
from equipoise.tasks import TASKS
from equipoise.training.budget import BudgetObserver
from equipoise.training.rollout import collect

MODES = list(AutoresetMode)
NUM_ENVS, HORIZON = 4, 8


class Counter(gymnasium.Env):
    """Observes (its seed's last digits, episode, step): every number of every step is known.

    An episode ends after `length` steps, drawn anew for each, or is truncated after `HORIZON`. A reset reports a cost,
    too, which nobody is to be charged.
    """

    observation_space = Box(-np.inf, np.inf, (3,), np.float64)
    action_space = Box(-1.0, 1.0, (1,), np.float32)
    render_mode = "rgb_array"

    def __init__(self, longest=HORIZON):
        self.longest, self.episode = longest, -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.identity = self.identity if seed is None else seed % 1000
        self.episode, self.age = (self.episode + 1 if seed is None else 0), 0
        self.length = int(self.np_random.integers(2, self.longest + 1))
        return self.observe(), {"cost": 1e6, "late": 1e6}

    def observe(self):
        return np.array([self.identity, self.episode, self.age], float)

    def step(self, action):
        assert self.age < self.length, "an episode that is over goes on"
        self.age += 1
        info = {"cost": 1.0, "late": float(self.age)}
        return self.observe(), 10.0 * self.age, self.age >= self.length, self.age >= HORIZON, info

    def render(self):
        return np.zeros((4, 4, 3), np.uint8)


class AtRandom(Actor):
    """Acts at random."""

    def __init__(self):
        self.draws = GaussianDraws(np.ones(1, np.float32))

    def outputs(self, observation):
        return np.zeros((len(observation), 1), np.float32)


def counters(num_envs=NUM_ENVS, mode=AutoresetMode.NEXT_STEP, longest=HORIZON, kind=SyncVectorEnv, **options):
    return kind([lambda: Counter(longest)] * num_envs, autoreset_mode=mode, **options)


def vectorised(mode, cost_names=("cost", "late"), horizon=HORIZON, **options) -> VectorisedEnvironments:
    return VectorisedEnvironments(counters(mode=mode, **options), NUM_ENVS, "Counter", cost_names, horizon)


def rolled(simulator, steps=40, seed=0):
    return collect(simulator, AtRandom(), steps, (seed,))


# What comes through


@pytest.mark.parametrize("mode", MODES)
def test_every_step_that_counts_is_a_step_of_an_environment_and_every_episode_is_whole(mode):
    simulator = vectorised(mode)
    assert isinstance(simulator, Simulator)
    batch = rolled(simulator).batch
    _, episode, age = np.moveaxis(batch.observation, 2, 0)
    valid = batch.valid
    following = batch.next_observation
    np.testing.assert_array_equal(following[..., 0][valid], batch.observation[..., 0][valid])
    np.testing.assert_array_equal(following[..., 1][valid], episode[valid], "what follows is of the same episode")
    np.testing.assert_array_equal(following[..., 2][valid], age[valid] + 1, "also where that is its last step")
    np.testing.assert_array_equal(batch.reward[valid], 10 * (age[valid] + 1))
    np.testing.assert_array_equal(batch.cost[..., 0], valid.astype(np.float32))
    np.testing.assert_array_equal(batch.cost[..., 1][valid], age[valid] + 1, "and no cost is that of a reset")
    assert not batch.reward[~valid].any() and not batch.cost[~valid].any() and not batch.terminated[~valid].any()
    for env in range(NUM_ENVS):
        ends = np.flatnonzero(batch.done[:, env] & valid[:, env])
        assert len(ends) > 3
        for end in ends[:-1]:
            following = end + 1 if valid[end + 1, env] else end + 2
            assert age[following, env] == 0, "an episode begins right after the one before, or after its reset"
    idle = (~valid).sum()
    assert (idle > 0) == (mode is AutoresetMode.NEXT_STEP)
    assert idle <= batch.terminated.sum()


@pytest.mark.parametrize("mode", MODES)
def test_the_estimate_counts_the_whole_episodes_and_no_idle_step(mode):
    rollout = rolled(vectorised(mode))
    batch, sums = rollout.batch, []
    for env in range(NUM_ENVS):
        start = 0
        for t in range(40):
            if not batch.valid[t, env]:
                assert start == t, "an idle step stands between episodes"
                start = t + 1
            elif batch.done[t, env]:
                if start + HORIZON <= 40:
                    sums.append(batch.cost[start : t + 1, env].sum(0))
                start = t + 1
    np.testing.assert_allclose(rollout.costs, sums)
    np.testing.assert_allclose(batch.estimate.cost, np.mean(sums, 0))
    assert batch.estimate.episodes == len(sums) and rollout.diverged == 0


def test_the_modes_agree_on_the_episodes_of_the_same_seeds():
    whole = {}
    for mode in MODES:
        rollout = rolled(vectorised(mode), steps=60)
        first = [rollout.batch.valid[:, env].nonzero()[0][:20] for env in range(NUM_ENVS)]
        columns = ("observation", "reward", "cost", "next_observation", "terminated")
        whole[mode] = [
            np.stack([getattr(rollout.batch, column)[rows, env] for env, rows in enumerate(first)])
            for column in columns
        ]
    for mode in MODES[1:]:
        for one, other in zip(whole[MODES[0]], whole[mode], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", MODES)
def test_the_same_key_gives_the_same_bits_and_another_key_others(mode):
    simulator = vectorised(mode)
    batches = [rolled(simulator, seed=seed).batch for seed in (0, 0, 1)]
    same = [batch.observation.tobytes() + batch.reward.tobytes() for batch in batches]
    assert same[0] == same[1] != same[2]


@pytest.mark.parametrize("mode", MODES)
def test_episodes_of_one_length_are_reset_together_and_nobody_idles(mode):
    class Fixed(Counter):
        def reset(self, *, seed=None, options=None):
            observation, info = super().reset(seed=seed)
            self.length = 10**6
            return observation, info

    env = SyncVectorEnv([Fixed] * NUM_ENVS, autoreset_mode=mode)
    for horizon in (HORIZON, 5):  # the environment's own, or one that cuts it
        batch = rolled(VectorisedEnvironments(env, NUM_ENVS, "Fixed", ("cost",), horizon), 3 * horizon).batch
        assert batch.valid.all() and batch.estimate.episodes == 3 * NUM_ENVS
        assert batch.done.sum() == 3 * NUM_ENVS and not batch.terminated.any()


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_an_episode_that_is_cut_alone_idles_until_the_environment_ends_it(mode):
    simulator = vectorised(mode, horizon=5)
    batch = rolled(simulator).batch
    age = batch.observation[..., 2]
    assert age[batch.valid].max() == 4 and (~batch.valid).sum() > 10
    idle = ~batch.valid
    assert batch.done[idle].all() and not batch.reward[idle].any() and not batch.cost[idle].any()
    begun = batch.valid[1:] & idle[:-1]
    assert begun.any() and (age[1:][begun] == 0).all(), "after idling an episode begins at its start"


def test_a_broken_number_ends_the_episode_and_what_follows_of_it_counts_in_nothing():
    class Breaking(Counter):
        def step(self, action):
            observation, *rest = super().step(action)
            broken = self.episode == 1 and self.age >= 2
            return observation * (np.nan if broken else 1.0), *rest

    for mode in MODES:
        env = SyncVectorEnv([Breaking] * NUM_ENVS, autoreset_mode=mode)
        rollout = rolled(VectorisedEnvironments(env, NUM_ENVS, "Breaking", ("cost",), HORIZON))
        assert 1 <= rollout.diverged <= NUM_ENVS
        assert np.isfinite(rollout.batch.observation).all() and np.isfinite(rollout.batch.next_observation).all()


def test_a_step_that_only_resets_is_idle_whoever_asked_for_it():
    simulator = vectorised(AutoresetMode.NEXT_STEP)
    simulator.reset(range(NUM_ENVS), [np.random.default_rng(i) for i in range(NUM_ENVS)])
    for _ in range(HORIZON):
        ended = (step := simulator.step(np.zeros((NUM_ENVS, 1)))).terminated
        if ended.any():
            break
    assert step.idle is None
    after = simulator.step(np.zeros((NUM_ENVS, 1)))
    np.testing.assert_array_equal(after.idle, ended)
    np.testing.assert_array_equal(after.observation[ended][:, 1:], [[1, 0]] * ended.sum())


@pytest.mark.parametrize("mode", MODES)
def test_a_budget_begins_whole_with_every_episode_and_an_idle_step_takes_nothing_of_it(mode):
    lens = dataclasses.replace(ALGORITHMS["ppo_saute"].algorithm.lens, budget_discount=0.9)  # changes it without a cost
    observer = BudgetObserver(vectorised(mode, ("cost",)), lens)
    observer.limits, observer.start = np.array([5.0]), np.array([1.0])
    batch = rolled(observer).batch
    age, left = batch.observation[..., 2], batch.observation[..., 3]
    begun = batch.valid & (age == 0)
    assert begun.sum() > 10 and (left[begun] == 1.0).all()
    assert (left[batch.valid & (age == 1)] < 1.0).all()


# Other vector environments than Gymnasium's


class Native(VectorEnv):
    """Steps all at once: `Counter` without Gymnasium's conveniences (no masks; an array for last observations)."""

    def __init__(self, num_envs=NUM_ENVS, mode=AutoresetMode.SAME_STEP, six=False):
        self.num_envs, self.six = num_envs, six
        self.single_observation_space, self.single_action_space = Counter.observation_space, Counter.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.metadata = {"autoreset_mode": mode}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.age = np.zeros(self.num_envs)
        self.length = self.np_random.integers(2, HORIZON, self.num_envs)
        return self.observe(), {}

    def observe(self):
        return np.stack([np.arange(self.num_envs), np.zeros(self.num_envs), self.age], axis=1)

    def step(self, actions):
        self.age += 1
        rewards, terminations = 10 * self.age[:, None], (self.age >= self.length)[:, None]
        costs, last = self.age[:, None].copy(), self.observe()
        self.age[terminations[:, 0]] = 0
        infos = {"final_obs": last, "final_info": {"cost": costs}, "cost": costs * ~terminations}
        if self.six:
            infos = {"final_observation": last}
            return self.observe(), rewards, costs, terminations, np.zeros(self.num_envs, bool), infos
        return self.observe(), rewards, terminations, np.zeros(self.num_envs, bool), infos


@pytest.mark.parametrize("six", [False, True])
def test_arrays_of_one_column_plain_last_observations_and_six_values_are_understood(six):
    simulator = VectorisedEnvironments(Native(six=six), NUM_ENVS, "Native", ("cost",), HORIZON)
    batch = rolled(simulator).batch
    assert batch.valid.all() and batch.terminated.sum() > 10
    age = batch.observation[..., 2]
    np.testing.assert_array_equal(batch.next_observation[..., 2], age + 1)
    np.testing.assert_array_equal(batch.cost[..., 0], age + 1)
    np.testing.assert_array_equal(batch.reward, 10 * (age + 1))


@pytest.mark.parametrize("make", [gymnasium.make_vec, make_vec])
def test_our_own_vector_environment_through_the_door_is_native_physics(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings into the working folder
    name = "SafetyHopperVelocity-v1" if make is make_vec else "equipoise/SafetyHopperVelocity-v1"
    simulator = VectorisedEnvironments(make(name, num_envs=3), 3, "Hopper", ("cost",))
    physics = NativePhysics(TASKS["SafetyHopperVelocity-v1"], 3, threads=1)
    assert simulator.problem.horizon == physics.problem.horizon
    seed = int(np.random.default_rng(0).integers(2**31))
    start = simulator.reset(range(3), [np.random.default_rng(i) for i in range(3)])
    randoms = [gymnasium.utils.seeding.np_random(seed + i)[0] for i in range(3)]
    np.testing.assert_array_equal(start, physics.reset(range(3), randoms))
    ended = False
    for action in np.random.default_rng(1).uniform(-1, 1, (60, 3, 3)).astype(np.float32):
        a, b = simulator.step(action), physics.step(action)
        np.testing.assert_array_equal(a.observation, b.observation)
        np.testing.assert_array_equal(a.reward, b.reward)
        np.testing.assert_array_equal(a.cost, b.cost)
        np.testing.assert_array_equal(a.terminated, b.terminated)
        if ended := bool(a.terminated.any()):
            break
    assert ended, "the last observation and cost were compared, too"


@pytest.mark.parametrize("mode", MODES)
def test_nested_observations_of_rovers_are_those_of_the_looped_ones(mode):
    simulator = VectorisedEnvironments(rover.vectors(3, mode, chance=0.0), 3, "Rover", ("thrust", "cost"), 10)
    looped = ForeignEnvironments(lambda: rover.Rover(0.0), 3, "Rover", ("thrust", "cost"), 10)
    assert simulator.problem == looped.problem
    first = int(np.random.default_rng(0).integers(2**31))
    start = simulator.reset(range(3), [np.random.default_rng(i) for i in range(3)])
    np.testing.assert_array_equal(start, looped.begin(range(3), [first, first + 1, first + 2]), strict=True)
    for _ in range(10):
        a, b = (each.step(np.full((3, 2), 0.3, np.float32)) for each in (simulator, looped))
        for column in ("observation", "reward", "cost", "terminated"):
            np.testing.assert_array_equal(getattr(a, column), getattr(b, column), strict=True)


def test_processes_of_gymnasiums_are_a_vector_environment_like_any_other():
    makes = [functools.partial(rover.Rover, 0.3)] * 2
    envs = AsyncVectorEnv(makes, context="spawn"), SyncVectorEnv(makes)  # JAX does not survive a fork
    rollouts = []
    for env in envs:
        simulator = VectorisedEnvironments(env, 2, "Rover", ("thrust",), HORIZON)
        randoms = [np.random.default_rng(i) for i in range(2)]
        steps = [simulator.reset(range(2), randoms)]
        for _ in range(12):
            step = simulator.step(np.full((2, 2), 0.3, np.float32))
            over = np.flatnonzero(step.terminated).tolist()
            steps += [step.observation, step.cost, step.idle]
            if over:
                simulator.reset(over, [randoms[i] for i in over])
        simulator.close()
        rollouts.append(steps)
    assert any(entry is not None and entry.dtype == bool for entry in rollouts[0]), "some were only reset"
    for one, other in zip(*rollouts, strict=True):
        np.testing.assert_array_equal(one, other)


# What is refused


def stepping(change, mode=AutoresetMode.SAME_STEP):
    """A vector environment whose step gives what `change` makes of five values."""

    class Changed(Native):
        def step(self, actions):
            return change(*super().step(actions))

    simulator = VectorisedEnvironments(Changed(mode=mode), NUM_ENVS, "Native", ("cost",), HORIZON)
    simulator.reset(range(NUM_ENVS), [np.random.default_rng(i) for i in range(NUM_ENVS)])
    return simulator


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda o, r, te, tr, i: (o, r, te, tr, {"danger": r}), r"^Native has no 'cost' in its info \(there: danger\)"),
        (
            lambda o, r, te, tr, i: (o, r, te, tr, {**i, "_cost": np.arange(4) < 3}),
            r"^Native has no 'cost' in its info \(there: cost, final_info, final_obs\)",
        ),
        (
            lambda o, r, te, tr, i: (o, r, np.ones(4), tr, {**i, "final_info": {"x": r}}),
            r"^Native has no 'cost' in its final_info \(there: x\)",
        ),
        (
            lambda o, r, te, tr, i: (o, r, np.ones(4), tr, {"cost": r, "final_info": i["final_info"]}),
            r"^Native ends an episode and resets in the same step .*no 'final_obs' of it",
        ),
        (lambda o, r, te, tr, i: (o, r, te, i), r"^Native gives 4 values a step; allowed: \(observations, "),
        (lambda o, r, te, tr, i: (o, r[:3], te, tr, i), r"^Native has an array of shape \(3, 1\) as its rewards"),
        (lambda o, r, te, tr, i: (o, None, te, tr, i), r"^Native has None as its rewards; allowed: an array of 4 numb"),
        (lambda o, r, te, tr, i: (o, r, te + 2, tr, i), r"^Native has numbers as its terminations; allowed: True or"),
        (
            lambda o, r, te, tr, i: (o[:3], r, te, tr, i),
            r"gives an observation of shape \(3, 3\); its space says \(4, 3",
        ),
        (lambda o, r, te, tr, i: (o, r, te, tr, {"cost": -r}), r"^Native has a cost of -10; allowed: 0 or more"),
        (lambda o, r, te, tr, i: (o, r, te, tr, {"cost": np.array([1, None] * 2)}), r"^Native has None as its 'cost'"),
    ],
)
def test_what_a_step_must_not_give_is_told_on_one_line(change, said):
    with pytest.raises(UsageError, match=said) as caught:
        stepping(change).step(np.zeros((NUM_ENVS, 1)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("said", [None, "Sometimes", 3])
def test_an_environment_that_does_not_say_how_it_resets_is_refused(said):
    with pytest.raises(UsageError, match=r"as its metadata\['autoreset_mode'\], which says how .* allowed: Autoreset"):
        VectorisedEnvironments(Native(mode=said), NUM_ENVS, "Native", ("cost",), HORIZON)


def test_an_environment_that_resets_more_than_it_is_asked_to_is_refused():
    class Careless(Native):
        def step(self, actions):
            values = super().step(actions)
            return (*values[:2], np.arange(4) == 0, *values[3:])

    simulator = VectorisedEnvironments(Careless(mode=AutoresetMode.DISABLED), NUM_ENVS, "Careless", ("cost",), HORIZON)
    with pytest.raises(UsageError, match=r"^Careless is asked to reset some of its environments .* others change, too"):
        rolled(simulator)


def test_processes_without_shared_memory_that_reset_twice_are_refused():
    env = AsyncVectorEnv.__new__(AsyncVectorEnv)  # without its processes
    env.metadata, env.shared_memory, env.closed = {"autoreset_mode": AutoresetMode.NEXT_STEP}, False, True
    with pytest.raises(UsageError, match="without shared memory, which in the mode NEXT_STEP resets twice"):
        mode_of(env, "Counter")
    env.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
    assert mode_of(env, "Counter") is AutoresetMode.SAME_STEP


def test_whole_numbers_in_which_gymnasium_loses_fractions_are_refused():
    class Whole(Counter):
        def step(self, action):
            *rest, _ = super().step(action)
            return *rest, {"cost": 0 if self.identity % 2 == 0 else 0.5}

    env = SyncVectorEnv([Whole] * 2)
    env.reset(seed=0)
    assert env.step(np.zeros((2, 1), np.float32))[4]["cost"].tolist() == [0, 0], "what it is about"
    simulator = VectorisedEnvironments(env, 2, "Whole", ("cost",), HORIZON)
    with pytest.raises(UsageError, match=r"^Whole reports 'cost' as int64, .* cuts the fractions off .* float\(cost\)"):
        for seed in range(9):  # some of which make the first environment the even one
            simulator.reset(range(2), [np.random.default_rng(seed)] * 2)
            simulator.step(np.zeros((2, 1)))


# The way in


def test_a_callable_makes_one_of_the_number_that_is_wanted_or_of_its_own():
    for make in (counters, lambda: counters(3), lambda num_envs: counters(num_envs)):
        simulator = open_environments(make, 3, "Counter", horizon=HORIZON)
        assert isinstance(simulator, VectorisedEnvironments) and simulator.num_envs == 3
    with pytest.raises(UsageError, match=r"^Counter makes a vector environment of 4, and 3 are wanted; let it take"):
        open_environments(lambda: counters(4), 3, "Counter", horizon=HORIZON)


def test_an_environment_that_calls_something_else_num_envs_is_one_environment():
    class Crowd(Counter):
        def __init__(self, num_envs=7):
            super().__init__()
            self.crowd = num_envs

    simulator = open_environments(Crowd, 2, "Crowd", horizon=HORIZON)
    assert isinstance(simulator, ForeignEnvironments) and [env.crowd for env in simulator.envs] == [7, 7]


def test_an_id_with_a_vector_environment_of_its_own_is_made_by_it_and_filmed_without(monkeypatch):
    made = []

    def make(num_envs, max_episode_steps=None, render_mode=None, depth=0):
        made.append((num_envs, depth))
        return counters(num_envs)

    gymnasium.register(
        "equipoise-test/Both-v0", entry_point=Counter, vector_entry_point=make, max_episode_steps=HORIZON
    )
    gymnasium.register("equipoise-test/Only-v0", vector_entry_point=make, max_episode_steps=HORIZON)
    try:
        for name in ("Both", "Only"):
            simulator = open_environments(Registered(f"equipoise-test/{name}-v0", None, {"depth": 2}), 3, name)
            assert isinstance(simulator, VectorisedEnvironments) and simulator.problem.horizon == HORIZON
        assert made == [(3, 2)] * 2
        with pytest.raises(UsageError, match="takes no argument 'width' here; it takes: depth"):
            Registered("equipoise-test/Both-v0", None, {"width": 2})
        for make in (Registered("equipoise-test/Both-v0"), Native):
            with pytest.raises(UsageError, match=r"^Both makes a vector environment, which .*; allowed with workers: "):
                open_environments(make, 3, "Both", workers=2)
    finally:
        del gymnasium.registry["equipoise-test/Both-v0"], gymnasium.registry["equipoise-test/Only-v0"]


@pytest.mark.slow
def test_a_vector_environment_is_trained_resumed_evaluated_and_seen(tmp_path):
    options = {"limits": (3.0,), "num_envs": NUM_ENVS, "steps_per_iteration": 64, "horizon": HORIZON}
    options |= {"total_steps": 128, "cost_names": ("late",)}
    whole = equipoise.train("ppo_lag", counters, run_dir=tmp_path / "whole", **options)
    equipoise.train("ppo_lag", counters, run_dir=tmp_path / "half", watch=lambda row: False, **options)
    resumed = equipoise.resume(tmp_path / "half", environment=counters)
    assert whole.policy(np.zeros(3)).tobytes() == resumed.policy(np.zeros(3)).tobytes()
    found = equipoise.evaluate(resumed, 6, environment=counters).stochastic
    assert found.episodes == 6 and found.costs[0].mean.value > 1.0
    stage = open_stage(resumed, (4, 4), counters)
    *_, last = play(resumed, stage.simulator, 1, 0, deterministic=True)
    assert last.end in ("terminated", "truncated") and stage.picture().shape == (4, 4, 3)
    assert np.isfinite([row["cost/late"] for row in whole.metrics]).all()
