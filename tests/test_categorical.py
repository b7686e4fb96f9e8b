"""Categorical distributions and their policy against enumeration, SciPy and automatic differentiation."""

from __future__ import annotations

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy import special, stats

from equipoise.numerics.categorical import Categorical, largest
from equipoise.numerics.distribution import Distribution
from equipoise.numerics.fisher import fisher_products
from equipoise.numerics.gaussian import Gaussian
from equipoise.numerics.normaliser import merge, no_moments, normalise
from equipoise.policy import Actor, CategoricalPolicy

CHOICES = (3, 1, 2)
ACTIONS = np.array(list(itertools.product(*map(range, CHOICES))), np.int32)
"""Every action of three choices."""


def drawn(seed: int, n: int = 5, size: float = 2.0) -> Categorical:
    return Categorical(jnp.asarray(np.random.default_rng(seed).normal(scale=size, size=(n, sum(CHOICES)))), CHOICES)


def table(distribution: Categorical) -> np.ndarray:
    """log p of every action at every observation, with SciPy: choices are independent."""
    logits = np.asarray(distribution.logits, float)
    parts = np.split(logits, np.cumsum(CHOICES)[:-1], axis=-1)
    each = [special.log_softmax(part, axis=-1) for part in parts]
    return np.stack([sum(p[:, v] for p, v in zip(each, action, strict=True)) for action in ACTIONS], axis=1)


def test_it_is_a_distribution_and_so_is_a_gaussian():
    assert isinstance(drawn(0), Distribution)
    assert isinstance(Gaussian(jnp.zeros((1, 2)), jnp.zeros(2)), Distribution)


def test_log_density_is_scipys_for_every_action():
    found = np.stack([drawn(0).log_density(jnp.tile(action, (5, 1))) for action in ACTIONS], axis=1)
    np.testing.assert_allclose(found, table(drawn(0)), atol=1e-5)
    np.testing.assert_allclose(np.exp(found).sum(1), 1, rtol=1e-5)


def test_divergence_and_entropy_are_sums_over_every_action():
    old, new = drawn(0), drawn(1)
    p, q = table(old), table(new)
    np.testing.assert_allclose(old.divergence(new), (np.exp(p) * (p - q)).sum(1), rtol=1e-4)
    np.testing.assert_allclose(old.entropy(), -(np.exp(p) * p).sum(1), rtol=1e-4)
    assert (np.asarray(old.divergence(old)) == 0).all()
    moved = Categorical(old.logits + jnp.repeat(jnp.asarray([7.0, -3.0, 1.0]), np.array(CHOICES)), CHOICES)
    np.testing.assert_allclose(old.divergence(moved), 0, atol=1e-6, err_msg="a shift of a choice's logits is no change")


def test_the_metric_is_the_hessian_of_the_divergence():
    at, tangent, weight = drawn(0), drawn(1), np.array([0.1, 0.0, 0.4, 0.3, 0.2], np.float32)

    @jax.hessian
    def hessian(logits, old):
        return Categorical(old, CHOICES).divergence(Categorical(logits, CHOICES))

    matrices = jax.vmap(hessian)(at.logits, at.logits)
    expected = np.einsum("nij,nj->ni", matrices, tangent.logits) * weight[:, None]
    np.testing.assert_allclose(at.metric(tangent, jnp.asarray(weight)).logits, expected, atol=1e-6)


def test_rows_are_those_of_the_observations():
    rows = jnp.asarray([3, 3, 0])
    np.testing.assert_array_equal(drawn(0).at(rows).logits, drawn(0).logits[rows])


def test_a_policy_that_is_sure_of_itself_gives_finite_numbers():
    sure = Categorical(jnp.asarray([[3e4, -3e4, 0.0, 5.0, 1e4, -1e4]]), CHOICES)
    even = Categorical(jnp.zeros((1, 6)), CHOICES)
    unlikely = jnp.asarray([[1, 0, 1]])
    for number in (sure.entropy(), sure.divergence(even), even.divergence(sure), sure.log_density(unlikely)):
        assert np.isfinite(number).all()
    assert sure.entropy() == 0 and sure.divergence(even) == pytest.approx(np.log(6))
    slope = jax.grad(lambda logits: Categorical(logits, CHOICES).entropy().sum())(sure.logits)
    assert np.isfinite(slope).all()


# The policy


def policy(hidden: tuple[int, ...] = (4,)) -> CategoricalPolicy:
    made = CategoricalPolicy.create(jax.random.key(0), 3, CHOICES, hidden)
    layers = made.network.layers
    last = layers[-1]._replace(weight=jax.random.normal(jax.random.key(1), layers[-1].weight.shape))
    return eqx.tree_at(lambda p: p.network.layers[-1], made, last)  # so that it looks at what it observes


def test_the_first_policy_takes_every_value_about_as_often():
    first = CategoricalPolicy.create(jax.random.key(0), 3, CHOICES, (64, 64))
    seen = jnp.asarray(np.random.default_rng(0).normal(scale=3, size=(50, 3)))
    assert (first(seen).entropy() > np.log(6) - 1e-5).all()


@pytest.mark.slow
def test_fisher_products_are_the_second_moment_of_scores_over_every_action():
    parameters, rebuild = ravel_pytree(policy((2,)))
    observation = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
    weight = jnp.asarray([0.5, 0.0, 0.2, 0.3])

    @jax.jit
    @jax.jacobian
    def scores(parameters):
        at = rebuild(parameters)(observation)
        return jnp.stack([at.log_density(jnp.tile(action, (4, 1))) for action in ACTIONS], axis=1)

    score = np.asarray(scores(parameters), float)
    chance = np.exp(table(rebuild(parameters)(observation)))
    expected = np.einsum("n,na,nai,naj->ij", weight, chance, score, score)
    found = fisher_products(lambda p: rebuild(p)(observation), parameters, weight)(jnp.eye(len(parameters)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert abs(expected).max() > 0.1


def acting() -> tuple[Actor, np.ndarray, np.ndarray]:
    """An actor, what it observes, and p of every action there."""
    seen = np.random.default_rng(0).normal(3.0, 2.0, size=(6, 3))
    moments = merge(no_moments(3), jnp.asarray(seen), jnp.ones(6, bool))
    chance = np.exp(table(policy()(normalise(jnp.asarray(seen), moments))))
    return Actor(policy(), moments), seen, chance


def test_the_actor_draws_every_action_as_often_as_the_policy_says():
    actor, seen, chance = acting()
    n = 4000
    noise = actor.draws.noise(np.random.default_rng(0), (n, 6))
    assert noise.dtype == np.float32
    action = actor.act(np.broadcast_to(seen, (n, 6, 3)), noise)
    assert action.dtype == actor.draws.dtype == np.int32 and action.shape == (n, 6, 3)
    for i, expected in enumerate(chance):
        counts = (action[:, i, None] == ACTIONS).all(-1).sum(0)
        assert counts.sum() == n
        assert stats.chisquare(counts, n * expected / expected.sum()).pvalue > 1e-4


def test_without_noise_it_takes_the_most_likely_action():
    actor, seen, chance = acting()
    np.testing.assert_array_equal(actor(seen), ACTIONS[chance.argmax(1)])
    np.testing.assert_array_equal(actor(seen[0]), ACTIONS[chance[0].argmax()])
    assert "a choice of 3 × 1 × 2" in repr(actor)


def test_the_first_of_equally_likely_values_is_taken():
    assert largest(np.zeros((2, 6), np.float32), CHOICES).tolist() == [[0, 0, 0]] * 2


def test_the_same_noise_gives_the_same_action():
    actor, seen, _ = acting()
    one, again, other = (actor.sample(seen, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_a_policy_behind_another_normaliser_does_what_it_did():
    _, seen, chance = acting()
    old = merge(no_moments(3), jnp.asarray(seen), jnp.ones(6, bool))
    new = merge(old, jnp.asarray(5 * seen), jnp.ones(6, bool))
    moved = eqx.tree_at(lambda p: p.network, policy(), policy().network.renormalised(old, new))
    np.testing.assert_allclose(np.exp(table(moved(normalise(jnp.asarray(seen), new)))), chance, atol=1e-5)
    assert moved.on_floor() is moved
