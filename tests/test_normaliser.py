"""The observation normaliser: merging batches is as good as having seen everything at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.numerics.normaliser import Moments, merge, no_moments, normalise

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


def test_moments_of_nothing_change_nothing_within_the_clip():
    values = jnp.linspace(-9, 9, 4 * SIZE).reshape(4, SIZE)
    np.testing.assert_array_equal(normalise(values, no_moments(SIZE)), values)


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
