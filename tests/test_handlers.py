"""Constraint handlers: what each algorithm asks of an update, from what is known of the costs."""

import dataclasses
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from equipoise.algorithms import (
    ALGORITHMS,
    CRPO,
    PCRPO,
    TRPO,
    Balance,
    CriticFit,
    Handler,
    Learner,
    Slack,
    TrustRegion,
    find_algorithm,
)
from equipoise.algorithms.trust_region import MODES
from equipoise.errors import UsageError
from equipoise.gradients.metric import Metric
from equipoise.problem import Estimate, estimate

WATCHES_ONLY = {"trpo"}
"""The algorithms that report limits and never act on them."""

NOTHING: set[int] = set()


def estimated(cost, se=1.0, t95=1.75):
    """Build an estimate of the given mean episode costs."""
    cost = np.asarray(cost, np.float64)
    return Estimate(
        reward=np.asarray(100.0),
        reward_se=np.asarray(5.0),
        cost=cost,
        cost_se=np.broadcast_to(np.asarray(se, np.float64), cost.shape),
        episodes=np.asarray(16, np.int32),
        length=np.asarray(1000.0),
        t95=np.asarray(t95),
    )


@jax.jit
def compiled_wish(handler, estimate, limits, progress):
    return handler.wish(estimate, limits, progress)


def wish_of(handler, cost, limits, progress=0.5, se=1.0, t95=1.75):
    """Return the wish of `handler` as NumPy arrays."""
    limits = jnp.asarray(limits, jnp.float32)
    found = compiled_wish(handler, estimated(cost, se, t95), limits, jnp.asarray(progress))
    return jax.tree.map(np.asarray, found)


def mode_of(*args, **kwargs):
    return MODES[wish_of(*args, **kwargs).mode]


def candidates(wish):
    """Return the set of objectives that each candidate wants: 0 is the reward, k is constraint k."""
    return [set(np.flatnonzero(wanted)) for wanted in wish.wanted]


def band(low, high, **kwargs):
    """A PCRPO whose slack is constant and in units of the cost."""
    return PCRPO(slack=Slack("constant", low, high, unit="cost"), **kwargs)


# One constraint


@pytest.mark.parametrize(
    ("cost", "mode", "wanted", "preference"),
    [
        (0.0, "reward", {0}, (1, 0)),
        (19.99, "reward", {0}, (1, 0)),
        (20.0, "reward", {0}, (1, 0)),  # Ĵ = b + h⁻
        (20.01, "balance", {0, 1}, (0.25, 0.75)),
        (25.0, "balance", {0, 1}, (0.25, 0.75)),
        (27.0, "balance", {0, 1}, (0.25, 0.75)),  # Ĵ = b + h⁺
        (27.01, "safety", {1}, (0, 1)),
        (900.0, "safety", {1}, (0, 1)),
    ],
)
def test_pcrpo_switches_at_the_bounds_of_its_band(cost, mode, wanted, preference):
    found = wish_of(band(-5.0, 2.0, reward_weight=0.25), [cost], [25.0])
    assert MODES[found.mode] == mode
    assert candidates(found)[0] == wanted
    np.testing.assert_array_equal(found.preference[0], preference)


@pytest.mark.parametrize(
    ("low", "high", "bounds"),
    [(-5.0, -2.0, (20.0, 23.0)), (1.0, 3.0, (26.0, 28.0)), (0.0, 0.0, (25.0, 25.0))],
)
def test_pcrpos_band_may_lie_on_either_side_of_the_limit(low, high, bounds):
    handler = band(low, high)
    assert mode_of(handler, [bounds[0]], [25.0]) == "reward"
    assert mode_of(handler, [bounds[1] + 0.01], [25.0]) == "safety"
    assert mode_of(handler, [bounds[1]], [25.0]) == ("balance" if low < high else "reward")


@pytest.mark.parametrize(("cost", "fallback"), [(24.9, NOTHING), (25.0, NOTHING), (25.1, {1})])
def test_a_balance_that_fails_is_followed_by_safety_only_above_the_limit(cost, fallback):
    first, second, third = candidates(wish_of(band(-5.0, 2.0), [cost], [25.0]))
    assert (first, second, third) == ({0, 1}, fallback, NOTHING)


@pytest.mark.parametrize("cost", [10.0, 30.0])
def test_outside_the_band_there_is_nothing_to_fall_back_to(cost):
    assert candidates(wish_of(band(-5.0, 2.0), [cost], [25.0]))[1:] == [NOTHING, NOTHING]


@pytest.mark.parametrize(
    ("cost", "tolerance", "mode"),
    [
        (25.0, 0.0, "reward"),
        (25.01, 0.0, "safety"),
        (27.0, 2.0, "reward"),
        (27.01, 2.0, "safety"),
        (23.0, -2.0, "reward"),
    ],
)
def test_crpo_switches_above_limit_plus_tolerance(cost, tolerance, mode):
    found = wish_of(CRPO(tolerance=tolerance), [cost], [25.0])
    assert MODES[found.mode] == mode
    assert candidates(found) == [{0} if mode == "reward" else {1}]


finite = st.floats(-100, 100, width=32, allow_subnormal=False)


@given(finite, finite, finite, st.booleans())
@settings(max_examples=100, deadline=None)
def test_without_a_band_pcrpo_is_crpo(limit, tolerance, distance, tie):
    """h⁻ = h⁺ = η, ties included: `tie` puts Ĵ exactly on the float32 sum b + η."""
    cost = float(np.float32(limit) + np.float32(tolerance)) + (0.0 if tie else distance)
    soft, hard = (wish_of(h, [cost], [limit]) for h in (band(tolerance, tolerance), CRPO(tolerance=tolerance)))
    assert soft.mode == hard.mode
    assert candidates(soft) == [*candidates(hard), NOTHING, NOTHING]
    np.testing.assert_array_equal(soft.preference[0], hard.preference[0])
    assert not tie or MODES[soft.mode] == "reward"


@given(st.lists(finite, min_size=3, max_size=3), finite)
@settings(max_examples=50, deadline=None)
def test_without_a_band_pcrpo_switches_where_crpo_does_for_several_constraints(costs, tolerance):
    limits = [0.0, 10.0, -10.0]
    soft, hard = (wish_of(h, costs, limits) for h in (band(tolerance, tolerance), CRPO(tolerance=tolerance)))
    assert soft.mode == hard.mode
    violated = {k + 1 for k in range(3) if np.float32(costs[k]) > np.float32(limits[k]) + np.float32(tolerance)}
    assert candidates(soft)[0] == (violated or {0})
    # What PCRPO comes to last is what CRPO does at once: the worst of the violated.
    assert candidates(hard)[0] == [c for c in candidates(soft) if c][-1]


# Slack


def bounds_of(slack, limits=(20.0, 50.0), progress=0.0, **kwargs):
    cost = np.zeros(len(limits))
    return slack.bounds(estimated(cost, **kwargs), jnp.asarray(limits), jnp.asarray(progress))


@pytest.mark.parametrize(
    ("schedule", "progress", "factor"),
    [
        ("constant", 0.0, 1),
        ("constant", 0.9, 1),
        ("linear", 0.0, 1),
        ("linear", 0.25, 0.75),
        ("linear", 1.0, 0),
        ("exponential", 0.0, 1),
        ("exponential", 0.25, np.exp(-0.5)),
        ("exponential", 1.0, np.exp(-2)),
    ],
)
@pytest.mark.parametrize(("unit", "size"), [("cost", (1, 1)), ("fraction", (20, 50))])
def test_the_band_shrinks_as_scheduled_in_its_unit(schedule, progress, factor, unit, size):
    slack = Slack(schedule, low=-0.5, high=0.25, unit=unit, decay=2.0)
    low, high = bounds_of(slack, progress=progress)
    np.testing.assert_allclose(low, -0.5 * factor * np.asarray(size), rtol=1e-6)
    np.testing.assert_allclose(high, 0.25 * factor * np.asarray(size), rtol=1e-6)


@pytest.mark.parametrize("n", [2, 5, 20])
def test_calibrated_slack_is_the_one_sided_confidence_bound_of_the_episode_cost(n):
    random = np.random.default_rng(n)
    returns, costs = random.normal(size=n), random.normal(size=(n, 2)) * [1, 30]
    found = estimate(returns, costs, np.full(n, 7))
    low, high = Slack("calibrated").bounds(found, jnp.asarray([20.0, 50.0]), jnp.zeros(()))
    np.testing.assert_allclose(low, -stats.t.ppf(0.95, n - 1) * stats.sem(costs, axis=0), rtol=1e-5)
    np.testing.assert_array_equal(high, 0)


def test_calibrated_slack_needs_evidence_for_reward_mode():
    # t·SE = 1.75 · 4 = 7
    modes = [mode_of(PCRPO(slack=Slack("calibrated")), [cost], [25.0], se=4.0) for cost in (18.0, 18.01, 25.0, 25.01)]
    assert modes == ["reward", "balance", "balance", "safety"]


@pytest.mark.parametrize(("high", "expected"), [(0.1, (-3.5, 2.0)), (-0.1, (-3.5, -2.0)), (-0.5, (-10.0, -10.0))])
def test_calibrated_slack_keeps_its_own_upper_bound_above_the_lower(high, expected):
    low, up = bounds_of(Slack("calibrated", high=high), limits=(20.0,), se=2.0)
    np.testing.assert_allclose((low[0], up[0]), expected, rtol=1e-6)


@pytest.mark.parametrize("handler", [PCRPO(slack=Slack("calibrated", warm_up=0.3)), band(-5.0, 2.0)])
def test_only_the_reward_counts_while_warming_up(handler):
    warm_up = handler.slack.warm_up
    for progress in (0.0, 0.15, 0.29, 0.3, 0.31, 1.0):
        found = wish_of(handler, [1000.0, 0.0], [25.0, 25.0], progress)
        assert MODES[found.mode] == ("reward" if progress < warm_up else "safety")
        assert candidates(found)[0] == ({0} if progress < warm_up else {1})


# Several constraints: limits of 10, and a band from 8 to 12


def kind(state, above=False):
    """The cost of a constraint that is violated, active (below or above its limit) or slack."""
    return {"violated": 13.0, "active": 11.0 if above else 9.0, "slack": 7.0}[state]


@pytest.mark.parametrize(
    ("states", "mode", "wanted"),
    [
        ("slack slack slack", "reward", [{0}, NOTHING, NOTHING]),
        ("active slack slack", "balance", [{0, 1}, NOTHING, NOTHING]),
        ("active slack active", "balance", [{0, 1, 3}, NOTHING, NOTHING]),
        ("violated slack slack", "safety", [{1}, NOTHING, NOTHING]),
        ("slack violated active", "safety", [{2, 3}, {2}, NOTHING]),
        ("violated slack violated", "safety", [{1, 3}, NOTHING, {3}]),
        ("violated active violated", "safety", [{1, 2, 3}, {1, 3}, {3}]),
        ("violated violated violated", "safety", [{1, 2, 3}, NOTHING, {3}]),
    ],
)
def test_pcrpo_combines_violated_and_active_then_the_violated_then_the_worst(states, mode, wanted):
    costs = [kind(state) for state in states.split()]
    found = wish_of(band(-2.0, 2.0), costs, [10.0] * 3, se=[3.0, 2.0, 1.0])
    assert MODES[found.mode] == mode
    assert candidates(found) == wanted


def test_a_balance_that_fails_is_followed_by_the_active_constraints_above_their_limits():
    found = wish_of(band(-2.0, 2.0), [kind("active", above=True), kind("active"), kind("slack")], [10.0] * 3)
    assert candidates(found) == [{0, 1, 2}, {1}, NOTHING]


@pytest.mark.parametrize(
    ("costs", "se", "worst"),
    [
        ((13, 15, 7), (1, 1, 1), 2),
        ((13, 15, 7), (0.5, 4, 1), 1),  # 6 standard errors against 1.25
        ((13, 15, 900), (1, 1, 1000), 2),
        ((13, 15, 14), (1, 1, 0), 3),  # a certain violation
    ],
)
@pytest.mark.parametrize("handler", [CRPO(tolerance=2.0), band(-2.0, 2.0)])
def test_the_worst_constraint_is_the_one_violated_by_most_standard_errors(handler, costs, se, worst):
    found = wish_of(handler, costs, [10.0] * 3, se=se)
    assert candidates(found)[-1] == {worst}


def test_reward_and_constraints_share_the_preference():
    handler = band(-2.0, 2.0, reward_weight=0.4)
    balance = wish_of(handler, [9.0, 7.0, 9.0], [10.0] * 3)
    np.testing.assert_allclose(balance.preference[0], [0.4, 0.3, 0, 0.3], rtol=1e-6)
    safety = wish_of(handler, [13.0, 9.0, 13.0], [10.0] * 3, se=[1.0, 1.0, 2.0])
    np.testing.assert_allclose(safety.preference, [[0, 1 / 3, 1 / 3, 1 / 3], [0, 0.5, 0, 0.5], [0, 1, 0, 0]], rtol=1e-6)


# Every algorithm of the registry


@pytest.fixture(params=sorted(ALGORITHMS))
def name(request):
    return request.param


def test_every_algorithm_is_found_by_its_name(name):
    assert find_algorithm(name) is ALGORITHMS[name]


def test_every_algorithm_is_a_handler_whose_defaults_are_allowed(name):
    handler = ALGORITHMS[name]()
    handler.check()
    assert isinstance(handler, Handler)
    assert handler.metric in get_args(Metric)


def test_every_wish_is_well_formed(name):
    """Modes and wanted objectives agree, and preferences are shared among the wanted."""
    handler, random = ALGORITHMS[name](), np.random.default_rng(0)
    for _ in range(40):
        found = wish_of(handler, random.uniform(0, 20, 3), [10.0] * 3, random.random(), se=random.uniform(0, 3, 3))
        first = candidates(found)[0]
        assert first
        assert (0 in first) == (MODES[found.mode] != "safety")
        assert bool(first - {0}) == (MODES[found.mode] != "reward")
        assert not any(0 in fallback for fallback in candidates(found)[1:])
        assert (found.preference >= 0).all()
        np.testing.assert_array_equal(found.preference[~found.wanted], 0)
        np.testing.assert_allclose(found.preference.sum(1), found.wanted.any(1), rtol=1e-6)


def test_far_inside_the_limits_only_the_reward_counts(name):
    assert candidates(wish_of(ALGORITHMS[name](), [0.0, 1.0], [100.0, 50.0]))[0] == {0}


def test_far_outside_every_safe_algorithm_asks_for_safety_alone(name):
    found = wish_of(ALGORITHMS[name](), [10.0, 500.0], [100.0, 50.0])
    assert candidates(found)[0] == ({0} if name in WATCHES_ONLY else {2})


def test_trpo_always_improves_the_reward():
    for cost in (0.0, 25.0, 1e6):
        found = wish_of(TRPO(), [cost, cost], [25.0, 0.0])
        assert MODES[found.mode] == "reward"
        assert candidates(found) == [{0}]
        np.testing.assert_array_equal(found.preference, [[1, 0, 0]])


def test_new_values_of_settings_do_not_recompile_and_new_choices_do():
    traces = []

    @jax.jit
    def traced(handler, limits):
        traces.append(handler)
        return handler.wish(estimated([20.0]), limits, jnp.zeros(()))

    for low in (-5.0, -4.0, -3.0):
        learner = Learner(discount=0.9 - 0.01 * low, trust_region=TrustRegion(max_kl=-low))
        traced(band(low, 2.0, reward_weight=-0.1 * low, learner=learner), jnp.asarray([25.0 + low]))
    assert len(traces) == 1
    traced(PCRPO(slack=Slack("linear", -5.0, 2.0, unit="cost")), jnp.asarray([25.0]))
    assert len(traces) == 2
    traced(PCRPO(slack=Slack("linear", -5.0, 2.0, unit="cost"), balance=Balance("mgda")), jnp.asarray([25.0]))
    assert len(traces) == 3


LEARNER_MISTAKES = {
    "max_kl is -0.01": Learner(trust_region=TrustRegion(max_kl=-0.01)),
    "max_kl is 0": Learner(trust_region=TrustRegion(max_kl=0.0)),
    "max_kl is nan": Learner(trust_region=TrustRegion(max_kl=float("nan"))),
    "damping is 0": Learner(trust_region=TrustRegion(damping=0.0)),
    "cg_iterations is 0": Learner(trust_region=TrustRegion(cg_iterations=0)),
    "fisher_every is 0": Learner(trust_region=TrustRegion(fisher_every=0)),
    "backtrack is 1": Learner(trust_region=TrustRegion(backtrack=1.0)),
    "backtracks is -1": Learner(trust_region=TrustRegion(backtracks=-1)),
    "discount is 1.1": Learner(discount=1.1),
    "gae_lambda is -0.1": Learner(gae_lambda=-0.1),
    "cost_discount is 2": Learner(cost_discount=2.0),
    "cost_gae_lambda is nan": Learner(cost_gae_lambda=float("nan")),
    "hidden is (64, 0)": Learner(hidden=(64, 0)),
    "learning_rate is 0": Learner(critic=CriticFit(learning_rate=0.0)),
    "epochs is 0": Learner(critic=CriticFit(epochs=0)),
    "minibatch_size is 0": Learner(critic=CriticFit(minibatch_size=0)),
}

OWN_MISTAKES = {
    "h⁻ = 3.0 is above its high bound h⁺ = 2.0": band(3.0, 2.0),
    "reward_weight is 1.01": PCRPO(reward_weight=1.01),
    "reward_weight is -0.5": PCRPO(reward_weight=-0.5),
    "warm_up is 1.5": PCRPO(slack=Slack(warm_up=1.5)),
    "unknown aggregator 'cagrd'; did you mean 'cagrad'?": PCRPO(balance=Balance("cagrd")),
    "decay is -1": PCRPO(slack=Slack("exponential", decay=-1.0)),
    "tolerance is not a number": CRPO(tolerance=float("nan")),
}


def assert_refused(handler, fragment):
    with pytest.raises(UsageError) as refusal:
        handler.check()
    message = str(refusal.value)
    assert fragment in message
    assert "\n" not in message


@pytest.mark.parametrize("fragment", OWN_MISTAKES)
def test_settings_that_are_not_allowed_are_refused_in_one_line(fragment):
    assert_refused(OWN_MISTAKES[fragment], fragment)


@pytest.mark.parametrize("fragment", LEARNER_MISTAKES)
def test_every_algorithm_refuses_a_learner_that_is_not_allowed(name, fragment):
    assert_refused(dataclasses.replace(ALGORITHMS[name](), learner=LEARNER_MISTAKES[fragment]), fragment)


def test_an_unknown_algorithm_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean 'pcrpo'"):
        find_algorithm("pcrp")
