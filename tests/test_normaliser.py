"""The observation normaliser: merging batches is as good as having seen everything at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.numerics.normaliser import Moments, merge, no_moments, normalise
from equipoise.policy import Actor, Dense, GaussianPolicy, TanhMLP

merge = jax.jit(merge)

SIZE, ROWS = 3, 20
LEVEL, SPREAD = np.array([0.0, 50.0, -3.0]), np.array([1.0, 5.0, 0.01])

seeds = st.integers(0, 2**32 - 1)


def batches(seed, count=4):
    """Draw batches whose levels differ, each with some invalid rows (but not all)."""
    random = np.random.default_rng(seed)
    values = LEVEL + SPREAD * (random.normal(size=(count, 1, SIZE)) + random.normal(size=(count, ROWS, SIZE)))
    valid = random.random((count, ROWS)) < 0.7
    valid[:, 0] = True
    return values.astype(np.float32), valid


def merged(values, valid, start=None):
    moments = no_moments(SIZE) if start is None else start
    for rows, counts in zip(values, valid, strict=True):
        moments = merge(moments, jnp.asarray(rows), jnp.asarray(counts))
    return moments


def assert_moments(moments, total, mean, variance):
    assert moments.total == total
    # Float32 keeps seven digits of the mean, and so of the spread only what is left beside the mean.
    np.testing.assert_allclose(moments.mean / SPREAD, mean / SPREAD, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(moments.variance, variance, rtol=1e-3)


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_merging_batches_gives_the_moments_of_all_their_valid_rows(seed):
    values, valid = batches(seed)
    rows = values[valid].astype(np.float64)
    assert_moments(merged(values, valid), len(rows), rows.mean(0), rows.var(0))


@given(seeds, st.permutations(range(4)))
@settings(max_examples=25, deadline=None)
def test_the_order_of_batches_does_not_matter(seed, order):
    values, valid = batches(seed)
    assert_moments(merged(values, valid), *merged(values[order], valid[order]))


def test_rows_that_are_not_valid_have_no_influence():
    values, valid = batches(0)
    changed = np.where(valid[..., None], values, 1e6).astype(np.float32)
    np.testing.assert_array_equal(np.hstack(merged(values, valid)), np.hstack(merged(changed, valid)))


def test_merging_goes_on_from_moments_seen_before():
    values, valid = batches(1)
    halfway = merged(values[:2], valid[:2])
    whole, continued = merged(values, valid), merged(values[2:], valid[2:], start=halfway)
    np.testing.assert_array_equal(np.hstack(continued), np.hstack(whole))


def test_moments_of_nothing_make_everything_zero():
    values = jnp.linspace(-9, 9, 4 * SIZE).reshape(4, SIZE)
    np.testing.assert_array_equal(normalise(values, no_moments(SIZE)), 0)


def test_normalised_values_have_mean_zero_and_deviation_one():
    values, valid = batches(2)
    normal = np.asarray(normalise(jnp.asarray(values), merged(values, valid)))[valid]
    np.testing.assert_allclose(normal.mean(0), 0, atol=2e-3)
    np.testing.assert_allclose(normal.std(0), 1, atol=2e-3)


@pytest.mark.parametrize("clip", [10.0, 2.0])
def test_normalised_values_are_clipped(clip):
    moments = Moments(jnp.asarray(5.0), jnp.asarray([1.0]), jnp.asarray([4.0]))
    values = jnp.asarray([[1e9], [-1e9], [1 + 2 * clip], [1 + clip], [1.0]])
    expected = [[clip], [-clip], [clip], [clip / 2], [0]]
    np.testing.assert_allclose(normalise(values, moments, clip), expected)


def test_a_constant_entry_normalises_to_zero():
    values = jnp.asarray(np.column_stack([np.full(ROWS, 7.0), np.arange(ROWS), np.zeros(ROWS)]), jnp.float32)
    moments = merge(no_moments(SIZE), values, jnp.ones(ROWS, bool))
    normal = np.asarray(normalise(values, moments))
    assert np.isfinite(normal).all()
    np.testing.assert_array_equal(normal[:, [0, 2]], 0)
    np.testing.assert_allclose(normal[:, 1].std(), 1, rtol=1e-5)


@pytest.mark.parametrize("constant", [9.81, 1e-20, -3e7, 0.1])
def test_a_constant_is_zero_to_the_actor_and_to_the_learner_alike(constant):
    seen = np.column_stack([np.full(20_000, constant), np.random.default_rng(0).normal(5e4, 3, 20_000)])
    moments = no_moments(2)
    for rows in np.split(seen.astype(np.float32), 4):
        moments = merge(moments, jnp.asarray(rows), jnp.ones(len(rows), bool))
    network = TanhMLP((Dense(jnp.eye(2), jnp.zeros(2)),))
    actor = Actor(GaussianPolicy(network, jnp.zeros(2), -20.0, (0.0, 0.0), (1.0, 1.0)), moments)
    acted, learnt = actor.outputs(seen), normalise(jnp.asarray(seen, jnp.float32), moments)
    np.testing.assert_array_equal(acted[:, 0], 0)
    np.testing.assert_array_equal(learnt[:, 0], 0)
    np.testing.assert_allclose(acted, learnt, atol=1e-6)
    assert learnt[:, 1].std() == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize("exponent", [-30, -7, 7, 30])
def test_normalised_values_do_not_depend_on_the_unit(exponent):
    values, valid = batches(3)
    larger = np.ldexp(values, exponent)
    one, other = merged(values, valid), merged(larger, valid)
    np.testing.assert_array_equal(normalise(jnp.asarray(larger), other), normalise(jnp.asarray(values), one))


def test_a_network_behind_another_normaliser_does_what_it_did():
    values, valid = batches(4)
    old, new = merged(values[:1], valid[:1]), merged(values, valid)
    network = TanhMLP.create(jax.random.key(0), SIZE, 2, (8,), last_gain=1.0)
    moved = network.renormalised(old, new)
    rows = jnp.asarray(values[0])
    clip = np.inf
    np.testing.assert_allclose(
        moved(normalise(rows, new, clip)), network(normalise(rows, old, clip)), atol=2e-4, rtol=1e-3
    )
    assert np.abs(network(normalise(rows, new, clip)) - network(normalise(rows, old, clip))).max() > 0.1


def test_an_entry_that_first_varies_begins_without_influence():
    values, valid = batches(5)
    still = values[:1].copy()
    still[..., 1] = 7
    old = merged(still, valid[:1])
    new = merged(values, valid, start=old)
    network = TanhMLP.create(jax.random.key(0), SIZE, 2, (8,), last_gain=1.0)
    moved = network.renormalised(old, new)
    assert (moved.layers[0].weight[:, 1] == 0).all() and (network.layers[0].weight[:, 1] != 0).all()
    rows = jnp.asarray(values[0])
    np.testing.assert_allclose(moved(normalise(rows, new)), network(normalise(rows, old)), atol=2e-4, rtol=1e-3)
    kept = network.renormalised(old, old)
    np.testing.assert_array_equal(kept.layers[0].weight, network.layers[0].weight)
