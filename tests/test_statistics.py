"""Intervals against textbook tables."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.statistics import Interval, mean_interval, mean_upper_bound, share_interval

VALUES = np.array([1.0, 2.0, 3.0])
"""Mean 2 and standard error 1/√3."""


def test_the_interval_of_a_mean_is_students():
    """Two degrees of freedom: 4.303 standard errors to either side."""
    found = mean_interval(VALUES)
    half = 4.302653 / np.sqrt(3)
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0 - half, 2.0 + half), rel=1e-6)


def test_the_upper_bound_of_a_mean_is_one_sided():
    assert mean_upper_bound(VALUES) == pytest.approx(2.0 + 2.919986 / np.sqrt(3), rel=1e-6)


@pytest.mark.parametrize(("hits", "low", "high"), [(0, 0.0, 0.03699), (50, 0.40383, 0.59617), (100, 0.96301, 1.0)])
def test_the_interval_of_a_share_is_wilsons(hits, low, high):
    found = share_interval(hits, 100)
    assert found.value == hits / 100
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-5)


def test_values_that_agree_leave_no_doubt():
    assert mean_interval(np.full(5, 3.0)) == Interval(3.0, 3.0, 3.0)
