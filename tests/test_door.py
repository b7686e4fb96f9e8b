"""Foreign environments through the whole door: what is certified is what acts, and nothing broken is kept."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

import equipoise
from equipoise.cli.evaluate import _verdict
from equipoise.errors import UsageError

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
    """Breaks down beyond 0.6, where it is costly."""

    def step(self, action):
        observation, *rest = super().step(action)
        return np.where(self.place > 0.6, np.nan, observation).astype(np.float32), *rest


def trained(env, folder, iterations=1, **options):
    settings = {**OPTIONS, "total_steps": iterations * HORIZON * ENVS, **options}
    return equipoise.train("pcrpo", env, run_dir=folder / "run", **settings)


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
