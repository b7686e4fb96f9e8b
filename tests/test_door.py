"""Foreign environments through the whole door: what is certified is what acts, and nothing broken is kept."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Literal

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

import equipoise
from equipoise.algorithms import ALGORITHMS
from equipoise.cli.evaluate import _verdict
from equipoise.errors import Notice, UsageError
from equipoise.physics import NativePhysics
from equipoise.settings import plain, settings
from equipoise.training.config import Config, make_simulator
from equipoise.training.rollout import random_for, random_key

HORIZON, ENVS = 20, 4
OPTIONS = {"horizon": HORIZON, "num_envs": ENVS, "steps_per_iteration": HORIZON * ENVS, "limits": (2.0,)}


class Rail(gymnasium.Env):
    """A cart on a rail: being further right than 0.2 costs."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float32)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.speed = self.np_random.normal(0.0, 0.1), 0.0
        return self.observe(), {}

    def step(self, action):
        self.speed = 0.9 * self.speed + 0.3 * float(action[0])
        self.place = self.place + 0.1 * self.speed
        return self.observe(), self.speed, False, False, {"cost": max(0.0, self.place - 0.2)}

    def observe(self):
        return np.array([self.place, self.speed], np.float32)


class Column(Rail):
    observation_space = Box(-np.inf, np.inf, (2, 1), np.float32)

    def observe(self):
        return super().observe()[:, None]


class Named(Rail):
    observation_space = Dict({"v": Box(-np.inf, np.inf, (1,)), "side": Discrete(2), "x": Box(-np.inf, np.inf, ())})

    def observe(self):
        return {"x": self.place, "v": np.array([self.speed]), "side": int(self.place > 0)}


class Cliff(Rail):
    """Breaks down beyond 0.4, where it is costly."""

    def step(self, action):
        observation, *rest = super().step(action)
        return np.where(self.place > 0.4, np.nan, observation).astype(np.float32), *rest


def trained(env, folder, iterations=1, **options):
    settings = {**OPTIONS, "total_steps": iterations * HORIZON * ENVS, **options}
    return equipoise.train("pcrpo", env, run_dir=folder / "run", **settings)


@pytest.mark.slow
@pytest.mark.parametrize("env", [Rail, Column, Named])
def test_the_policy_acts_as_it_was_certified(env, tmp_path):
    trained(env, tmp_path)
    run = equipoise.Run.load(tmp_path / "run")
    # So far out that most of its actions leave the space, if nothing clips them.
    bias = run.policy._layers[-1][1]
    bias += 1.5
    own = env()
    seen = []
    for episode in range(4):
        observation, _ = own.reset(seed=episode)
        for act in (lambda o: run.policy(o), lambda o: run.policy.sample(o, np.random.default_rng(0))):
            action = act(observation)
            assert own.action_space.contains(action), action
        total = 0.0
        for _ in range(HORIZON):
            observation, _, _, _, info = own.step(run.policy(observation))
            total += info["cost"]
        seen.append(total)
    certified = equipoise.evaluate(run, episodes=4, environment=env).deterministic.costs[0].mean
    assert np.mean(seen) == pytest.approx(certified.value, abs=0.2 * certified.value)


def test_the_policy_takes_one_observation_or_many_where_they_are_arrays(tmp_path):
    run = trained(Column, tmp_path)
    observations = np.random.default_rng(0).normal(size=(5, 2, 1)).astype(np.float32)
    many = run.policy(observations)
    assert many.shape == (5, 1)
    np.testing.assert_allclose(many, [run.policy(one) for one in observations], rtol=1e-5)
    with pytest.raises(UsageError, match=r"of shape \(1, 2\); its space says \(2, 1\)$"):
        run.policy(np.zeros((1, 2)))


def test_an_actor_in_double_precision_stays_within_bounds_that_single_precision_would_pass(tmp_path):
    class Fine(Rail):
        action_space = Box(-0.1, 0.1, (1,), np.float64)

    run = trained(Fine, tmp_path)
    run.policy._layers[-1][1][:] += 5.0
    action = run.policy(np.zeros(2, np.float32))
    assert action[0] == 0.1 and Fine.action_space.contains(action)


@pytest.mark.slow
def test_survivors_certify_nothing(tmp_path):
    run = trained(Cliff, tmp_path, limits=(1000.0,), num_envs=10, steps_per_iteration=200, total_steps=200)
    result = equipoise.evaluate(run, episodes=20, environment=Cliff)
    policy = result.stochastic
    assert policy.broken > 0 and policy.episodes + policy.broken == 20
    assert policy.costs[0].upper < 1000 and not policy.costs[0].certified
    sound = equipoise.evaluate(run, episodes=20, environment=Rail).stochastic
    assert sound.broken == 0 and sound.costs[0].certified
    assert run.metrics[0]["diverged"] > 0
    assert f"{policy.broken} broke down" in _verdict(policy.costs[0])


def test_a_start_that_is_not_finite_leaves_no_folder(tmp_path):
    class Blind(Rail):
        def observe(self):
            return np.array([np.nan, self.speed], np.float32)

    with pytest.raises(UsageError, match=r"Blind.reset gives an observation with nan at \[0\]; allowed: finite"):
        trained(Blind, tmp_path)
    assert not (tmp_path / "run").exists()


def test_nothing_that_is_not_finite_is_saved(tmp_path):
    class Rich(Rail):
        steps = 0

        def step(self, action):
            Rich.steps += 1
            observation, reward, *rest = super().step(action)
            return observation, reward * (1e38 if Rich.steps > 2 * HORIZON * ENVS else 1.0), *rest

    with pytest.raises(UsageError, match=r"^iteration 3 leads to numbers that are not finite \(.*\); nothing of it is"):
        trained(Rich, tmp_path, iterations=4)
    run = equipoise.Run.load(tmp_path / "run")
    assert len(run.metrics) == run.state.iteration == 2
    assert np.isfinite(run.policy(np.zeros(2, np.float32))).all()
    Rich.steps = -(10**9)
    assert equipoise.resume(tmp_path / "run", environment=Rich).state.iteration == 4


# Options


def test_numbers_of_numpy_and_jax_are_options_like_any(tmp_path):
    run = equipoise.train(
        "pcrpo",
        Rail,
        run_dir=tmp_path / "run",
        limits=np.array([2.0], np.float32),
        cost_names=[np.str_("cost")],
        horizon=np.int64(HORIZON),
        num_envs=jnp.asarray(ENVS),
        steps_per_iteration=np.int32(HORIZON * ENVS),
        total_steps=np.uint64(HORIZON * ENVS),
        seed=np.int8(3),
    )
    assert run.config == equipoise.Run.load(tmp_path / "run").config
    config = run.config
    assert (config.limits, config.cost_names, config.seed, config.num_envs) == ((2.0,), ("cost",), 3, ENVS)
    found = [type(x) for x in (config.limits[0], config.cost_names[0], config.seed, config.horizon, config.num_envs)]
    assert found == [float, str, int, int, int]


@settings
class Kinds:
    """A setting of every kind."""

    share: float = 0.5
    count: int = 2
    yes: bool = True
    name: str = "a"
    choice: Literal["left", "right"] = "left"
    widths: tuple[int, ...] = (8,)
    maybe: float | None = None


def with_field(name, value):
    made = Kinds()
    object.__setattr__(made, name, value)  # as without a checker of types
    return made


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("share", np.float32(0.25), 0.25),
        ("share", 1, 1.0),
        ("share", np.array([0.25]), 0.25),
        ("count", np.int8(3), 3),
        ("yes", np.False_, False),
        ("name", np.str_("b"), "b"),
        ("choice", np.str_("right"), "right"),
        ("widths", [np.int64(4), 5], (4, 5)),
        ("widths", np.array([4, 5]), (4, 5)),
        ("maybe", np.float64(2), 2.0),
        ("maybe", None, None),
    ],
)
def test_a_setting_becomes_what_its_type_declares(name, value, expected):
    found = getattr(plain(with_field(name, value)), name)
    assert found == expected and type(found) is type(expected)
    assert hash(plain(with_field(name, value))) == hash(dataclasses.replace(Kinds(), **{name: expected}))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("share", "much", "share is 'much'; allowed: a number"),
        ("share", True, "share is True; allowed: a number"),
        ("share", None, "share is None; allowed: a number"),
        ("count", 2.5, "count is 2.5; allowed: a whole number"),
        ("yes", 1, "yes is 1; allowed: True or False"),
        ("name", 7, "name is 7; allowed: a name"),
        ("choice", "lift", "unknown choice 'lift'; did you mean 'left'?"),
        ("widths", 8, "widths is 8; allowed: one for each, as in (8,)"),
        ("widths", "8", "widths is '8'; allowed: one for each, as in ('8',)"),
        ("widths", (8, 0.5), "widths[1] is 0.5; allowed: a whole number"),
        ("maybe", "x", "maybe is 'x'; allowed: a number"),
        ("share", Kinds, "share is the class Kinds; allowed: one of its kind, as in Kinds()"),
    ],
)
def test_a_setting_of_another_kind_is_refused_naming_it(name, value, said):
    with pytest.raises(UsageError) as error:
        plain(with_field(name, value))
    assert str(error.value) == said


def test_settings_within_an_algorithm_are_told_of_by_their_path():
    algorithm = ALGORITHMS["pcrpo"].algorithm
    learner = dataclasses.replace(algorithm.learner)
    object.__setattr__(learner, "hidden", 64)
    config = Config(task="x", algorithm=dataclasses.replace(algorithm, learner=learner))
    with pytest.raises(UsageError, match=r"^hidden is 64; allowed: one for each, as in \(64,\)$"):
        config.plain()


@pytest.mark.parametrize("task", ["equipoise/SafetyHopper-v4", "equipoise:equipoise/SafetyHopper-v4"])
def test_a_task_of_the_library_by_gymnasiums_id_is_stepped_by_native_physics(task):
    config = Config(task=task, algorithm=ALGORITHMS["pcrpo"].algorithm, num_envs=2).plain()
    assert config.task == "SafetyHopper-v4"
    assert isinstance(make_simulator(config, threads=1), NativePhysics)


def test_a_task_of_the_library_that_a_callable_makes_is_told_of():
    config = Config(task="mine", algorithm=ALGORITHMS["pcrpo"].algorithm, num_envs=2)
    with pytest.warns(Notice, match="mine makes the library's own SafetyHopper-v4, which is stepped here one"):
        made = make_simulator(config, environment=lambda: gymnasium.make("equipoise/SafetyHopper-v4"))
    made.close()


class Uneven(Rail):
    """The rail, which pays far less than it charges."""

    decades = 0

    def step(self, action):
        observation, reward, terminated, truncated, _ = super().step(action)
        return observation, reward * 10.0**-self.decades, terminated, truncated, {"cost": 1.0}


@pytest.mark.parametrize(("decades", "said"), [(20, False), (35, True)])
def test_payoffs_that_no_price_can_join_are_told_of(decades, said, tmp_path, monkeypatch):
    monkeypatch.setattr(Uneven, "decades", decades)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trained(Uneven, tmp_path)
    assert any("Uneven pays up to" in str(w.message) and "of 'cost'" in str(w.message) for w in told) == said


@pytest.mark.parametrize("seeds", [(0, 2**32), (1, 2**32 + 1), (2**32, 2**33), (5, 5 * 2**32)])
def test_other_seeds_are_other_runs_beyond_32_bits_too(seeds):
    keys = [jax.random.key_data(random_key(seed)).tolist() for seed in seeds]
    assert keys[0] != keys[1]
    noise = [random_for("reset", seed, 1, 2).random() for seed in seeds]
    assert noise[0] != noise[1]
    assert random_for("reset", 2**32, 2).random() != random_for("reset", 0, 1, 2).random()
    np.testing.assert_array_equal(jax.random.key_data(random_key(7)), jax.random.key_data(jax.random.key(7)))


def test_a_seed_beyond_63_bits_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"^seed is 9223372036854775808; allowed: 0 to 2\*\*63 - 1$"):
        trained(Rail, tmp_path, seed=2**63)
