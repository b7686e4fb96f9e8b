"""PCRPO's balance by any aggregator of the registry: what the policy step takes from it, and training with it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipoise.algorithms import MODES, PCRPO, Algorithm, Balance, Seen, Slack, TrustRegion
from equipoise.algorithms.direction import Region
from equipoise.gradients import AGGREGATORS
from equipoise.gradients.metric import FIXED
from equipoise.numerics.krylov import NaturalGradients
from learning import LEARNER, REGION, STD, train
from probes import Bandit, TwoLimits
from test_aggregators import BUILT_IN

every_aggregator = pytest.mark.parametrize("name", BUILT_IN)
every_metric = pytest.mark.parametrize("metric", FIXED)


@jax.jit
def compiled_direction(rule, natural, wanted, preference):
    seen = Seen(None, None, None, jnp.ones(len(preference)))
    region = Region(TrustRegion().max_kl, TrustRegion().min_sin2_phi, jnp.zeros(len(preference)))
    return rule.direct(natural, wanted, preference, seen, region)


# One candidate's step


def drawn(m, seed, conflict=0.0):
    """Draw natural gradients of m objectives of very different lengths, in a Fisher matrix that is not the identity."""
    random = np.random.default_rng(seed)
    gradients = random.normal(size=(m, 5))
    gradients[1:] -= conflict * gradients[0]
    gradients *= random.uniform(0.1, 10, (m, 1))
    root = random.normal(size=(5, 5))
    directions = np.linalg.solve(root @ root.T + np.eye(5), gradients.T).T
    return NaturalGradients(*(jnp.asarray(x, jnp.float32) for x in (gradients, directions, gradients @ directions.T)))


def direction(name, natural, preference, wanted=None, metric="fisher"):
    wanted = np.ones(len(preference), bool) if wanted is None else np.asarray(wanted)
    preference = jnp.asarray(preference, jnp.float32)
    return compiled_direction(PCRPO(metric=metric, balance=Balance(name)), natural, jnp.asarray(wanted), preference)


def apart(left, right):
    return np.linalg.norm(left - right) / np.linalg.norm(right)


CASES = [(seed, conflict) for seed in range(4) for conflict in (-0.5, 0.0, 0.8, 3.0)]


@pytest.mark.one_in(5)
@every_metric
@pytest.mark.parametrize("name", ["upgrad", "pcgrad"])
def test_for_one_constraint_these_are_pcrpos_projection(name, metric):
    for case in CASES:
        natural = drawn(2, *case)
        found, expected = (direction(n, natural, (0.3, 0.7), metric=metric).coefficients for n in (name, "pcrpo"))
        assert apart(found, expected) < 1e-3


@pytest.mark.one_in(5)
@every_aggregator
def test_with_one_constraint_and_equal_weights_all_that_treat_objectives_alike_take_the_bisector(name):
    """In the metric's units the two gradients are unit vectors; only of `step` the lengths differ."""
    alike = AGGREGATORS[name].properties.permutation_equivariant >= 2
    changes = []
    for case in CASES:
        natural = drawn(2, *case)
        found, expected = (direction(n, natural, (0.5, 0.5)).coefficients for n in (name, "pcrpo"))
        changes.append(apart(found, expected))
    assert max(changes) < 1e-3 if alike else max(changes) > 0.1


@every_aggregator
def test_the_step_is_as_long_as_the_radius_for_every_aggregator(name):
    """cᵀAc = 2δ·sin²φ."""
    for case in CASES:
        natural = drawn(2, *case)
        found = direction(name, natural, (0.3, 0.7))
        gram = np.asarray(natural.gram, float)
        cosine = gram[0, 1] / np.sqrt(gram[0, 0] * gram[1, 1])
        square = found.coefficients @ gram @ found.coefficients
        assert square == pytest.approx(2 * TrustRegion().max_kl * (1 - min(cosine, 0) ** 2), rel=2e-3)


@pytest.mark.one_in(5)
@every_aggregator
def test_opposite_objectives_are_stationary_for_every_aggregator(name):
    gradients = jnp.asarray([[1.0, 2.0, 0.0], [-3.0, -6.0, 0.0]])
    found = direction(name, NaturalGradients(gradients, gradients, gradients @ gradients.T), (0.3, 0.7))
    assert found.vanishes
    np.testing.assert_array_equal(found.coefficients, 0)


@pytest.mark.one_in(5)
@every_aggregator
def test_only_a_balance_is_the_aggregators(name):
    """The reward alone, a constraint alone, and two constraints are what they are with PCRPO's own projection."""
    natural = drawn(3, 4)  # in which the two constraints conflict
    for wanted in ([True, False, False], [False, True, False], [False, True, True]):
        preference = np.asarray(wanted) * [0.5, 0.4, 0.1]
        found, expected = (direction(n, natural, preference, wanted) for n in (name, "pcrpo"))
        assert apart(found.coefficients, expected.coefficients) < 1e-5  # two programs


@pytest.mark.one_in(5)
@every_aggregator
def test_a_balance_is_the_aggregators_direction_in_the_metrics_units(name):
    natural, preference = drawn(3, 1, 0.8), jnp.asarray([0.6, 0.3, 0.1])
    lengths = np.sqrt(np.diagonal(natural.gram))
    units = natural.gram / np.outer(lengths, lengths)
    weights = np.asarray(jax.jit(AGGREGATORS[name])(units, preference, np.ones(3, bool)))
    expected = weights / lengths
    found = np.asarray(direction(name, natural, preference).coefficients)
    np.testing.assert_allclose(found / np.linalg.norm(found), expected / np.linalg.norm(expected), atol=1e-4)


# Training


def trained(name, probe, limits, low=-0.2, region=REGION, **options):
    """Train with the aggregator `name`; x_r is not ½, where most aggregators would do the same."""
    rule = PCRPO(slack=Slack(low=low), reward_weight=0.7, balance=Balance(name))
    return train(Algorithm(rule, region, learner=LEARNER), probe, limits, **options)


NON_CONFLICTING = [name for name, aggregator in BUILT_IN.items() if aggregator.properties.non_conflicting >= 2]


@pytest.mark.one_in(5)
@pytest.mark.parametrize("name", NON_CONFLICTING)
def test_an_aggregator_that_harms_none_ends_within_the_limit(name):
    """And in the band, into which steps of this size lead: at its lower end, a cost of 0.9, the reward is −1.3."""
    found = trained(name, Bandit(), (1.0,), low=-0.1, region=TrustRegion(max_kl=0.01), iterations=35)
    assert {MODES[int(report.step.mode)] for _, report in found.history[-10:]} == {"balance"}
    assert found.costs()[0] <= 1.0
    assert -1.35 < found.reward() < -((2 - np.sqrt(1 - STD**2)) ** 2) - STD**2 + 0.05
    gains = np.array([report.step.gain for _, report in found.history[-10:]])
    assert (gains >= -1e-6).all()


@pytest.mark.one_in(5)
@pytest.mark.parametrize("name", [name for name in BUILT_IN if name not in NON_CONFLICTING])
def test_every_other_aggregator_trains_too(name):
    """Two constraints, both in their bands from the first iteration on."""
    for estimate, report in trained(name, TwoLimits(), (1.2, 1.2), iterations=3).history:
        assert MODES[int(report.step.mode)] == "balance"
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((estimate, report)))


# Settings


def test_every_aggregator_is_a_choice_and_the_projection_the_default():
    for name in BUILT_IN:
        PCRPO(balance=Balance(name)).check()
    assert PCRPO().balance == Balance("pcrpo")
