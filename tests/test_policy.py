"""The policy: its densities and its actions in units of the actions' ranges."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from equipoise.algorithms import ALGORITHMS
from equipoise.numerics.normaliser import merge, no_moments, normalise
from equipoise.policy import Actor, GaussianPolicy
from equipoise.problem import middle_and_unit
from equipoise.testing.probes import Probe
from equipoise.training.rollout import collect
from equipoise.training.update import update
from learning import small
from probes import Bandit

MIDDLE, UNIT = (0.0, 5.0, -3.0), (1.0, 0.25, 40.0)


def drawn(middle=(), unit=()) -> GaussianPolicy:
    return GaussianPolicy.create(jax.random.key(3), 4, 3, (8,), log_std=-0.7, middle=middle, unit=unit)


def test_means_and_deviations_are_affine_in_the_ranges():
    observation = np.random.default_rng(0).normal(size=(6, 4))
    mean, log_std = drawn()(jnp.asarray(observation))
    scaled_mean, scaled_log_std = drawn(MIDDLE, UNIT)(jnp.asarray(observation))
    np.testing.assert_allclose(scaled_mean, np.array(MIDDLE) + np.array(UNIT) * mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scaled_log_std, log_std + np.log(UNIT), rtol=1e-6)
    assert drawn(MIDDLE, UNIT).log_std.tolist() == pytest.approx([-0.7] * 3)


def test_the_actor_acts_as_the_policy_says():
    policy, observation = drawn(MIDDLE, UNIT), np.random.default_rng(0).normal(3.0, 2.0, size=(6, 4))
    moments = merge(no_moments(4), jnp.asarray(observation), jnp.ones(6, bool))
    actor = Actor(policy, moments)
    mean, log_std = policy(normalise(jnp.asarray(observation), moments))
    np.testing.assert_allclose(actor(observation), mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(actor.draws.std, np.exp(log_std), rtol=1e-5)
    draws = np.stack([actor.sample(observation[0], np.random.default_rng(i)) for i in range(2000)])
    for column, m, s in zip(draws.T, np.asarray(mean)[0], np.exp(log_std), strict=True):
        assert stats.kstest(column, stats.norm(m, s).cdf).pvalue > 1e-6


class Widened(Bandit):
    """The bandit whose actions are measured around 7 in units of 0.2."""

    def __init__(self) -> None:
        super().__init__()
        self.problem = dataclasses.replace(self.problem, action_middle=(7.0,), action_unit=(0.2,))

    def step(self, action):
        return super().step((action - 7.0) / 0.2)


@pytest.mark.slow
def test_learning_does_not_depend_on_the_unit_of_the_actions():
    def learn(probe: Bandit) -> tuple:
        algorithm = ALGORITHMS["trpo"].algorithm
        state = algorithm.init(probe.problem, jnp.ones(1), jax.random.key(0))
        for i in range(5):
            batch = collect(probe, Actor(state.policy, state.observations), 50, (0, i)).batch
            state, report = update(algorithm, state, batch, jnp.ones(1), jnp.zeros(()), jax.random.key(i))
        return batch.reward.mean(), float(report.step.kl), float(report.policy["log_std"])

    plain, widened = learn(Bandit()), learn(Widened())
    assert plain[0] > -4.0, "it has learnt something"
    np.testing.assert_allclose(widened, plain, rtol=2e-2)


def test_an_action_not_bounded_on_both_sides_keeps_its_own_unit():
    middle, unit = middle_and_unit(np.array([-2.0, -9.0, -np.inf, 1.0]), np.array([4.0, np.inf, np.inf, 1.0]))
    assert middle == (1.0, 0.0, 0.0, 0.0) and unit == (3.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("huge", [np.inf, float(np.finfo(np.float32).max)])
@pytest.mark.parametrize(
    ("low", "high", "middle"), [(5, None, 6), (0, None, 1), (-0.5, None, 0.5), (None, -3, -4), (None, 0.5, -0.5)]
)
def test_an_action_bounded_on_one_side_begins_within_its_bound_and_nearest_to_0(low, high, middle, huge):
    bounds = np.array([-huge if low is None else low], float), np.array([huge if high is None else high], float)
    (found,), (unit,) = middle_and_unit(*bounds)
    assert (found, unit) == (middle, 1.0)
    assert bounds[0] <= found - unit and found + unit <= bounds[1]


# Measured as acted


class Somewhere(Probe):
    """Ten steps of noise around a level, which drifts, beside a constant; the reward asks to follow the noise."""

    def __init__(self, level: float, size: float) -> None:
        super().__init__(num_envs=40, horizon=10)
        self.level, self.size, self.drift = level, size, 0.0

    def reset(self, indices, randoms):
        self.random, self.drift = randoms[0], self.drift + 0.05 * len(list(indices)) / self.num_envs
        self.noise = self.random.normal(size=self.num_envs)
        return super().reset(indices, randoms)

    def step(self, action):
        reward, old = -((action[:, 0] - self.noise) ** 2), self.noise
        self.noise = self.random.normal(size=self.num_envs)
        return super().step(action)._replace(reward=reward, cost=np.abs(old)[:, None])

    def pay(self, action, age, memory):
        return action, action[:, None]

    def _observation(self):
        noise = self.level + self.size * (self.noise + self.drift)
        return np.stack([np.full(self.num_envs, 9.81), noise, noise], axis=1)


@pytest.mark.parametrize(("level", "size"), [(0.0, 0.01), (50.0, 1.0), (0.0, 1e-12), (-3.0, 1e9)])
def test_the_divergence_as_acted_is_the_one_that_was_measured(level, size):
    probe, algorithm = Somewhere(level, size), small("trpo")
    state = algorithm.init(probe.problem, jnp.asarray([1.0]), jax.random.key(0))
    rewards = []
    for i in range(6):
        actor = Actor(state.policy, state.observations)
        rollout = collect(probe, actor, 20, (0, i))
        state, report = update(algorithm, state, rollout.batch, jnp.asarray([1e9]), jnp.asarray(0.5), jax.random.key(i))
        after = Actor(state.policy, state.observations)
        (mean, std), (new, new_std) = ((a.outputs(rollout.batch.observation), a.draws.std) for a in (actor, after))
        acted = (np.log(new_std / std) + (std**2 + (mean - new) ** 2) / (2 * new_std**2) - 0.5).mean()
        assert float(acted) == pytest.approx(float(report.step.kl), rel=0.02)
        assert 0 < report.step.kl <= algorithm.step.max_kl
        rewards.append(float(rollout.batch.estimate.reward))
    assert rewards[1] > rewards[0] and rewards[-1] > rewards[0] + 2, "also the first update sees"
