"""Statistics against textbook tables, SciPy, formulas written a second time, and rliable's numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from equipoise import statistics
from equipoise.statistics import Interval, mean_interval, mean_upper_bound, share_interval

VALUES = np.array([1.0, 2.0, 3.0])
"""Mean 2 and standard error 1/√3."""


# Means and shares


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


@pytest.mark.parametrize("hits", [0, 1, 10, 19, 20])
def test_the_exact_interval_of_a_share_is_from_the_quantiles_of_beta(hits):
    """The closed form of Clopper's and Pearson's interval, of which SciPy's `binomtest` finds the ends by search."""
    found = statistics.exact_share_interval(hits, 20)
    low = stats.beta.ppf(0.025, hits, 21 - hits) if hits else 0.0
    high = stats.beta.ppf(0.975, hits + 1, 20 - hits) if hits < 20 else 1.0
    assert (found.value, found.low, found.high) == pytest.approx((hits / 20, low, high), abs=1e-9)


# Episodes' costs


COSTS = np.array([10.0, 20.0, 30.0, 40.0])


def test_violations_are_counted_strictly_and_measured_in_limits():
    assert statistics.violation_share(COSTS, 20.0) == statistics.exact_share_interval(2, 4)
    assert statistics.relative_excess(COSTS, 20.0) == pytest.approx(0.25)
    assert statistics.violating_excess(COSTS, 20.0) == pytest.approx(0.75)
    assert statistics.violating_excess(COSTS, 40.0) == 0.0
    assert statistics.shortfall(COSTS, 20.0) == pytest.approx((0.5 + 1.0) / 4)


def test_a_limit_of_zero_leaves_the_costs_unit():
    assert statistics.relative_excess(COSTS, 0.0) == pytest.approx(25.0)
    assert statistics.shortfall(COSTS, 0.0) == pytest.approx(25.0)


@pytest.mark.parametrize(("share", "expected"), [(0.25, 40.0), (0.5, 35.0), (1.0, 25.0), (0.1, 40.0), (0.375, 110 / 3)])
def test_cvar_is_the_mean_of_the_worst(share, expected):
    assert statistics.cvar(COSTS, share) == pytest.approx(expected)


@pytest.mark.parametrize("n", [7, 30, 100])
def test_cvar_is_the_least_of_rockafellars_and_uryasevs_formula(n):
    """min over v of v + E[(C − v)⁺]/α, which some episode's cost attains."""
    costs = np.random.default_rng(n).gamma(2.0, size=n)
    attained = min(v + np.maximum(costs - v, 0.0).mean() / 0.1 for v in costs)
    assert statistics.cvar(costs) == pytest.approx(attained)


# Over seeds and tasks


OURS = np.array(
    [
        [2.0, -2.6, 0.4, -0.6, -0.5],
        [-0.2, -2.0, -0.2, -0.9, 3.3],
        [0.2, -0.4, -0.3, -0.7, -1.1],
        [-0.4, 0.5, -0.2, 1.0, -0.2],
        [0.0, 1.5, 0.5, -0.5, -0.2],
        [0.5, 1.9, -0.3, -0.2, 1.0],
    ]
)
THEIRS = np.array(
    [
        [-0.5, 0.1, 1.3, 1.0, 0.5],
        [1.1, -2.4, 1.4, -0.6, -1.3],
        [0.7, 1.1, -0.0, -0.7, 0.4],
        [0.3, 1.8, 1.1, 0.6, 1.5],
        [0.2, -0.5, 1.0, 1.0, 0.2],
        [-0.4, 0.6, -2.1, 1.1, 0.9],
    ]
)
"""Six seeds on five tasks, one decimal, so that there are ties."""

THRESHOLDS = np.linspace(-2.0, 2.0, 5)


def test_values_are_those_of_rliable():
    """Those that rliable 1.2.0 gives for the same scores."""
    ours, theirs = list(OURS.T), list(THEIRS.T)
    assert statistics.interquartile_mean(ours) == pytest.approx(-0.09375)
    assert statistics.probability_of_improvement(ours, theirs) == pytest.approx(0.3777777777777778)
    profile = statistics.performance_profile(ours, THRESHOLDS)
    assert profile == pytest.approx([0.93333333, 0.9, 0.36666667, 0.13333333, 0.03333333])


def test_intervals_are_those_of_rliable():
    """Those that rliable 1.2.0 gives for the same scores with 20 000 resamples (5000 for the probability)."""
    ours, theirs = list(OURS.T), list(THEIRS.T)
    found = statistics.interquartile_mean_interval(ours)
    assert (found.low, found.high) == pytest.approx((-0.331, 0.244), abs=0.04)
    found = statistics.probability_of_improvement_interval(ours, theirs)
    assert (found.low, found.high) == pytest.approx((0.231, 0.528), abs=0.02)
    band = statistics.performance_profile_band(ours, THRESHOLDS)
    assert band[0] == pytest.approx([0.86666667, 0.8, 0.2, 0.03333333, 0.0], abs=1e-6)
    assert band[1] == pytest.approx([1.0, 1.0, 0.53333333, 0.26666667, 0.1], abs=1e-6)


def test_the_probability_of_improvement_is_mann_whitneys():
    ours, theirs = list(OURS.T), list(THEIRS[:4].T)
    shares = [stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)) for a, b in zip(ours, theirs, strict=True)]
    assert statistics.probability_of_improvement(ours, theirs) == pytest.approx(np.mean(shares))


def test_the_interquartile_mean_ignores_a_quarter_at_either_end():
    scores = [np.array([-1e9, 1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0, 1e9])]
    assert statistics.interquartile_mean(scores) == pytest.approx((2 + 3 + 4 + 5) / 4)


def test_conditions_may_have_different_numbers_of_seeds():
    uneven = [np.array([1.0, 2.0, 3.0]), np.array([10.0])]
    assert statistics.interquartile_mean(uneven) == pytest.approx(2.5)
    assert statistics.interquartile_mean_interval(uneven).high <= 6.5


def test_seeds_are_drawn_within_their_condition():
    """Conditions apart in mean, seeds that agree: a bootstrap over everything would have a wide interval."""
    scores = [np.full(5, float(task)) for task in range(8)]
    found = statistics.interquartile_mean_interval(scores)
    assert (found.low, found.value, found.high) == pytest.approx((3.5, 3.5, 3.5))


def test_the_same_seed_gives_the_same_interval():
    scores = list(OURS.T)
    assert statistics.interquartile_mean_interval(scores) == statistics.interquartile_mean_interval(scores)
    assert statistics.interquartile_mean_interval(scores) != statistics.interquartile_mean_interval(scores, seed=1)


def coverage(seeds: int, repeats: int = 300) -> float:
    """How often the interval holds the true interquartile mean of ten conditions of normal scores."""
    random, means = np.random.default_rng(0), np.linspace(0.0, 1.0, 10)[:, None]
    truth = statistics.interquartile_mean(list(means + random.normal(size=(10, 100_000))))
    found = [
        statistics.interquartile_mean_interval(list(means + random.normal(size=(10, seeds))), seed=i, resamples=400)
        for i in range(repeats)
    ]
    return float(np.mean([interval.low <= truth <= interval.high for interval in found]))


@pytest.mark.slow
def test_the_bootstrap_covers_what_it_says_and_less_with_few_seeds():
    """94 %, 92 % and 88 % with many repeats; two standard errors of 300 are 3 %."""
    assert coverage(10) == pytest.approx(0.94, abs=0.03)
    assert coverage(5) == pytest.approx(0.92, abs=0.035)
    assert coverage(3) == pytest.approx(0.88, abs=0.04)


def test_scores_are_normalised_by_anchors():
    assert statistics.normalise(np.array([5.0, 10.0, 15.0]), 5.0, 15.0) == pytest.approx([0.0, 0.5, 1.0])


# The front


REWARDS, POINTS = np.array([1.0, 3.0, 2.0, 3.0, 9.0]), np.array([1.0, 2.0, 3.0, 4.0, 11.0])


def test_the_front_is_what_nothing_dominates():
    assert statistics.on_front(REWARDS, POINTS).tolist() == [True, True, False, False, True]


def test_equal_points_are_both_on_the_front():
    assert statistics.on_front(np.array([1.0, 1.0]), np.array([2.0, 2.0])).tolist() == [True, True]


def test_the_hypervolume_is_the_dominated_area():
    """One column of reward 1 from cost 1 to 10, and two more of reward above it from cost 2."""
    assert statistics.hypervolume(REWARDS, POINTS, least_reward=0.0, most_cost=10.0) == pytest.approx(9 + 16)


@pytest.mark.parametrize("seed", range(3))
def test_the_hypervolume_is_that_of_a_fine_grid(seed):
    random = np.random.default_rng(seed)
    rewards, costs = random.integers(0, 12, 6) / 10, random.integers(0, 12, 6) / 10
    cells = [
        any(r >= x + 0.1 - 1e-9 and c <= y + 1e-9 for r, c in zip(rewards, costs, strict=True))
        for x, y in itertools.product(np.arange(10) / 10, np.arange(10) / 10)
    ]
    inside = np.minimum(rewards, 1.0)
    assert statistics.hypervolume(inside, costs, 0.0, 1.0) == pytest.approx(sum(cells) / 100)
