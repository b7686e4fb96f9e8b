"""Payoffs of any size, and payoffs that say nothing."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipoise.algorithms import Proximal
from equipoise.numerics.scale import binary_unit, weighted_moments
from equipoise.testing.probes import Walk
from learning import small, train

LIMIT = 30.0
NAMES = ["trpo_lag", "poise", "ppo_pcrpo", "trpo_saute"]
"""Both steps, multipliers, projections, and a lens with a reward of its own."""


class Sized(Walk):
    """The walk, with a reward and a cost so many times as large."""

    def __init__(self, reward: float = 1.0, cost: float = 1.0) -> None:
        super().__init__(num_envs=20)
        self.reward, self.cost = reward, cost

    def pay(self, action, age, memory):
        reward, cost = super().pay(action, age, memory)
        return self.reward * reward, self.cost * cost


class Silent(Walk):
    """The walk, with payoffs that do not depend on the actions: a reward a step, and no cost."""

    def __init__(self, reward: float, ends: bool = True) -> None:
        super().__init__(num_envs=20)
        self.reward, self.ends = reward, ends

    def pay(self, action, age, memory):
        return np.full_like(action, self.reward), np.zeros((len(action), 1))


def trained(name, reward=1.0, cost=1.0):
    return train(small(name), Sized(reward, cost), (LIMIT * cost,), iterations=4, steps=20)


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


@pytest.mark.one_in(5)
@pytest.mark.parametrize("name", NAMES)
def test_the_curve_does_not_depend_on_the_size_of_the_payoffs(name):
    plain = trained(name)
    for reward, cost in ((2.0**-100, 1.0), (2.0**100, 2.0**20), (1.0, 2.0**-90)):
        other = trained(name, reward, cost)
        assert [report.step.outcome for _, report in other.history] == [r.step.outcome for _, r in plain.history]
        assert bits(other.state.policy) == bits(plain.state.policy)
        estimates = [[estimate.reward, *estimate.cost] for estimate, _ in other.history]
        expected = [[estimate.reward * reward, *(estimate.cost * cost)] for estimate, _ in plain.history]
        np.testing.assert_allclose(estimates, expected)


def test_sizes_that_are_no_power_of_two_give_the_same_curve_up_to_rounding():
    plain, other = trained("trpo_lag"), trained("trpo_lag", 1e-30)
    rewards = [[float(e.reward) for e, _ in run.history] for run in (plain, other)]
    np.testing.assert_allclose(np.array(rewards[1]) * 1e30, rewards[0], rtol=1e-3)


@pytest.mark.parametrize("name", ["trpo", "ppo"])
@pytest.mark.parametrize(("reward", "ends"), [(0.0, True), (3.0, True), (-0.1, False)])
def test_payoffs_that_say_nothing_ask_for_no_step(name, reward, ends):
    algorithm = small(name)
    first = train(algorithm, Silent(reward, ends), (LIMIT,), iterations=0)
    after = train(algorithm, Silent(reward, ends), (LIMIT,), iterations=4, steps=20)
    assert bits(after.state.policy.network.layers[1:]) == bits(first.state.policy.network.layers[1:])
    assert all(int(report.step.outcome) == 1 for _, report in after.history)
    assert all(np.isfinite(np.asarray(x, float)).all() for x in jax.tree.leaves(after.state))


def test_adams_momentum_does_not_go_on_where_payoffs_say_nothing():
    learnt = train(small("ppo"), Sized(), (LIMIT,), iterations=2, steps=20).state
    assert isinstance(small("ppo").step, Proximal)
    after = train(small("ppo"), Silent(0.0), (LIMIT,), iterations=3, steps=20, state=learnt, begin=2).state
    assert bits(after.policy.network.layers[1:]) == bits(learnt.policy.network.layers[1:])


def test_the_length_of_episodes_is_a_signal_even_where_every_step_pays_alike():
    class Falling(Silent):
        """An action below 0 ends the episode."""

        def step(self, action):
            step = super().step(action)
            return step._replace(terminated=step.terminated | (action[:, 0] < 0))

    after = train(small("trpo"), Falling(1.0), (LIMIT,), iterations=4, steps=20)
    assert int(after.history[-1][1].step.outcome) == 0
    assert after.history[-1][0].length > after.history[0][0].length
    silent = train(small("trpo"), Falling(0.0), (LIMIT,), iterations=2, steps=20)
    assert int(silent.history[-1][1].step.outcome) == 1


def test_a_reward_that_comes_late_is_learnt_from_as_if_it_had_come_at_once():
    state = train(small("trpo"), Silent(0.0), (LIMIT,), iterations=3, steps=20).state
    late = train(small("trpo"), Sized(1e-9), (LIMIT,), iterations=23, steps=20, state=state, begin=3)
    assert late.history[-1][0].reward > 1e-9 * 38  # 9e-9 at first


@pytest.mark.parametrize("exponent", [-120, -99, 0, 1, 99, 126])
def test_moments_are_those_of_the_numbers_themselves_whatever_their_size(exponent):
    random = np.random.default_rng(0)
    values = random.normal(3, 2, (50, 2)).astype(np.float32)
    weight = random.random((50, 1)).astype(np.float32)
    weight /= weight.sum()
    scaled = jax.jit(weighted_moments)(jnp.asarray(np.ldexp(values, exponent - 3)), jnp.asarray(weight))
    expected = (weight * values).sum(0), np.sqrt((weight * (values - (weight * values).sum(0)) ** 2).sum(0))
    np.testing.assert_allclose(np.ldexp(np.asarray(scaled, np.float64), 3 - exponent), expected, rtol=1e-5)


def test_the_binary_unit_is_the_power_of_two_below():
    sizes = jnp.asarray([0.0, 1.0, 1.99, 2.0, 3e38, 1e-37], jnp.float32)
    np.testing.assert_array_equal(binary_unit(sizes), [1, 1, 1, 2, 2.0**127, 2.0**-123])
