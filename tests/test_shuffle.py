"""Random permutations: every order equally often, however few random bits a round has left."""

import itertools

import jax
import numpy as np
import pytest
from scipy.stats import chisquare

from equipoise.numerics.shuffle import permutation


@pytest.mark.parametrize("n", [1, 2, 3, 128, 129, 20_000])
def test_every_number_is_there_once(n):
    found = permutation(jax.random.key(0), n)
    np.testing.assert_array_equal(np.sort(found), np.arange(n))


def test_every_order_is_equally_likely():
    keys = jax.random.split(jax.random.key(0), 24_000)
    found = np.asarray(jax.vmap(lambda key: permutation(key, 4))(keys))
    counts = [(found == order).all(1).sum() for order in itertools.permutations(range(4))]
    assert chisquare(counts).pvalue > 1e-6


def test_numbers_that_leave_few_random_bits_are_shuffled_as_well():
    """With one round of 12 random bits for 2²⁰ numbers nearly all neighbours would be in order."""
    n = 2**20
    found = np.asarray(permutation(jax.random.key(0), n))
    in_order = (found[1:] > found[:-1]).mean()
    assert abs(in_order - 0.5) < 5 * np.sqrt(1 / 12 / n)  # the variance of the ascents of a permutation is (n + 1)/12
    np.testing.assert_array_equal(np.sort(found), np.arange(n))


def test_the_order_is_the_keys_own():
    first, again, other = (np.asarray(permutation(jax.random.key(seed), 1000)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
