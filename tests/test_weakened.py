"""Gradients of costs that count for less in what sets how much is explored."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from equipoise.algorithms import MODES, TrustRegion
from equipoise.errors import UsageError
from equipoise.gradients.weakened import weakened
from equipoise.numerics.fisher import fisher_products
from equipoise.numerics.krylov import natural_gradients
from equipoise.policy import CategoricalPolicy, GaussianPolicy
from equipoise.training.update import update
from learning import LEARNER, one_batch, small
from probes import Bandit

SHARES = pytest.mark.parametrize("share", [0.0, 0.3, 1.0])


def problem(costs=2):
    """A Gaussian policy's gradients and Fisher matrix, and where its log σ is."""
    policy = GaussianPolicy.create(jax.random.key(0), 3, 2, (4,), log_std=-0.7)
    parameters, rebuild = ravel_pytree(policy)
    observation = jax.random.normal(jax.random.key(1), (40, 3))
    products = fisher_products(lambda p: rebuild(p)(observation), parameters, jnp.full(40, 1 / 40))
    gradients = jax.random.normal(jax.random.key(2), (1 + costs, len(parameters)))
    return products, gradients, ravel_pytree(policy.exploration())[0]


def test_exploration_is_set_by_the_deviations_of_a_gaussian_alone():
    policy = GaussianPolicy.create(jax.random.key(0), 3, 2, (4,))
    there = policy.exploration()
    assert (there.raw_log_std == 1).all()
    assert float(ravel_pytree(there)[0].sum()) == 2
    choices = CategoricalPolicy.create(jax.random.key(0), 3, (2, 3), (4,))
    assert not ravel_pytree(choices.exploration())[0].any()


@SHARES
def test_it_is_what_solving_for_weakened_gradients_gives(share):
    products, gradients, there = problem()
    iterations = len(there)  # in fewer the two solves stop in spaces of their own
    expected = natural_gradients(products, gradients.at[1:].multiply(1 - (1 - share) * there), 0.1, iterations)
    found = weakened(natural_gradients(products, gradients, 0.1, iterations), there, share)
    np.testing.assert_array_equal(found.gradients, expected.gradients)
    np.testing.assert_allclose(found.directions, expected.directions, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found.gram, expected.gram, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found.images, expected.images, rtol=1e-4, atol=1e-4)


@SHARES
def test_the_reward_keeps_every_bit_and_without_weakening_all_do(share):
    products, gradients, there = problem()
    natural = natural_gradients(products, gradients, 0.1, 3)
    found = weakened(natural, there, share)
    assert (found.directions[0] == natural.directions[0]).all()
    assert found.gram[0, 0] == natural.gram[0, 0]
    assert (found.gram == found.gram.T).all()
    if share == 1:
        assert (found.directions == natural.directions).all() and (found.gram == natural.gram).all()


def test_a_step_for_a_cost_leaves_the_deviations_alone_where_nothing_of_its_gradient_is_kept():
    products, gradients, there = problem()
    found = weakened(natural_gradients(products, gradients, 0.1, 3), there, 0.0)
    assert not (found.directions[1:] * there).any()
    assert (found.directions[1:] * (1 - there)).any()


@pytest.mark.parametrize("name", ["poise", "pcrpo", "crpo", "trpo_pid", "c_trpo"])
def test_exploring_less_to_lower_a_cost_is_done_with_a_share_of_its_gradient_alone(name):
    """On the bandit whose cost is a², with a mean of 0, all that lowers the cost is a smaller σ.

    A switch whose step is for safety alone goes the whole way along what is left, however little that is.
    """
    learner = dataclasses.replace(LEARNER, log_std=0.0, log_std_floor=-20.0)
    state, batch = one_batch(small(name, learner), Bandit(), (0.5,))
    left = []
    for share in (1.0, 0.3, 0.0):
        algorithm = small(name, learner)
        algorithm = dataclasses.replace(algorithm, step=dataclasses.replace(algorithm.step, noise_share=share))
        new, report = update(algorithm, state, batch, jnp.asarray([0.5]), jnp.asarray(0.1), jax.random.key(0))
        assert MODES[int(report.step.mode)] != "reward" and int(report.step.outcome) == 0
        left.append(float(new.policy.log_std[0]))
    assert left[0] < left[1] < left[2] - 0.01, left
    assert left[0] < left[1] - 0.02 or MODES[int(report.step.mode)] == "safety", left


def test_a_share_that_is_none_is_refused():
    with pytest.raises(UsageError, match="noise_share"):
        TrustRegion(noise_share=1.5).check()
