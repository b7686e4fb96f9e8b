"""Rules that switch: what they ask of an update, from what is known of the costs; and every algorithm's settings."""

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
    MODES,
    PCRPO,
    Algorithm,
    Balance,
    CriticFit,
    Learner,
    Proximal,
    Rule,
    Seen,
    Slack,
    TrustRegion,
    Unconstrained,
    find_algorithm,
)
from equipoise.errors import UsageError
from equipoise.gradients.metric import Metric
from equipoise.problem import Estimate, estimate

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


def seen_as(cost, limits, fraction=0.5, se=1.0, t95=1.75):
    """Build what a rule sees."""
    limits = jnp.asarray(limits, jnp.float32)
    return Seen(estimated(cost, se, t95), limits, jnp.asarray(fraction), jnp.full(1 + len(limits), 2.0))


@jax.jit
def compiled_plan(rule, seen):
    return rule.plan(rule.init(len(seen.limits)), seen)[1]


def plan_of(rule, *args, **kwargs):
    """Return the first plan of `rule` as NumPy arrays."""
    return jax.tree.map(np.asarray, compiled_plan(rule, seen_as(*args, **kwargs)))


def mode_of(*args, **kwargs):
    return MODES[plan_of(*args, **kwargs).mode]


def candidates(plan):
    """Return the set of objectives that each candidate wants: 0 is the reward, k is constraint k."""
    return [set(np.flatnonzero(wanted)) for wanted in plan.wanted]


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
    found = plan_of(band(-5.0, 2.0, reward_weight=0.25), [cost], [25.0])
    assert MODES[found.mode] == mode
    assert candidates(found)[0] == wanted
    np.testing.assert_array_equal(found.weights[0], preference)


@pytest.mark.parametrize(
    ("low", "high", "bounds"),
    [(-5.0, -2.0, (20.0, 23.0)), (1.0, 3.0, (26.0, 28.0)), (0.0, 0.0, (25.0, 25.0))],
)
def test_pcrpos_band_may_lie_on_either_side_of_the_limit(low, high, bounds):
    rule = band(low, high)
    assert mode_of(rule, [bounds[0]], [25.0]) == "reward"
    assert mode_of(rule, [bounds[1] + 0.01], [25.0]) == "safety"
    assert mode_of(rule, [bounds[1]], [25.0]) == ("balance" if low < high else "reward")


@pytest.mark.parametrize(("cost", "fallback"), [(24.9, NOTHING), (25.0, NOTHING), (25.1, {1})])
def test_a_balance_that_fails_is_followed_by_safety_only_above_the_limit(cost, fallback):
    first, second, third = candidates(plan_of(band(-5.0, 2.0), [cost], [25.0]))
    assert (first, second, third) == ({0, 1}, fallback, NOTHING)


@pytest.mark.parametrize("cost", [10.0, 30.0])
def test_outside_the_band_there_is_nothing_to_fall_back_to(cost):
    assert candidates(plan_of(band(-5.0, 2.0), [cost], [25.0]))[1:] == [NOTHING, NOTHING]


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
    found = plan_of(CRPO(tolerance=tolerance), [cost], [25.0])
    assert MODES[found.mode] == mode
    assert candidates(found) == [{0} if mode == "reward" else {1}]


finite = st.floats(-100, 100, width=32, allow_subnormal=False)


@given(finite, finite, finite, st.booleans())
@settings(max_examples=100, deadline=None)
def test_without_a_band_pcrpo_is_crpo(limit, tolerance, distance, tie):
    """h⁻ = h⁺ = η, ties included: `tie` puts Ĵ exactly on the float32 sum b + η."""
    cost = float(np.float32(limit) + np.float32(tolerance)) + (0.0 if tie else distance)
    soft, hard = (plan_of(h, [cost], [limit]) for h in (band(tolerance, tolerance), CRPO(tolerance=tolerance)))
    assert soft.mode == hard.mode
    assert candidates(soft) == [*candidates(hard), NOTHING, NOTHING]
    np.testing.assert_array_equal(soft.weights[0], hard.weights[0])
    assert not tie or MODES[soft.mode] == "reward"


@given(st.lists(finite, min_size=3, max_size=3), finite)
@settings(max_examples=50, deadline=None)
def test_without_a_band_pcrpo_switches_where_crpo_does_for_several_constraints(costs, tolerance):
    limits = [0.0, 10.0, -10.0]
    soft, hard = (plan_of(h, costs, limits) for h in (band(tolerance, tolerance), CRPO(tolerance=tolerance)))
    assert soft.mode == hard.mode
    violated = {k + 1 for k in range(3) if np.float32(costs[k]) > np.float32(limits[k]) + np.float32(tolerance)}
    assert candidates(soft)[0] == (violated or {0})
    # What PCRPO comes to last is what CRPO does at once: the worst of the violated.
    assert candidates(hard)[0] == [c for c in candidates(soft) if c][-1]


# Slack


def bounds_of(slack, limits=(20.0, 50.0), fraction=0.0, **kwargs):
    cost = np.zeros(len(limits))
    return slack.bounds(estimated(cost, **kwargs), jnp.asarray(limits), jnp.asarray(fraction))


@pytest.mark.parametrize(
    ("schedule", "fraction", "factor"),
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
def test_the_band_shrinks_as_scheduled_in_its_unit(schedule, fraction, factor, unit, size):
    slack = Slack(schedule, low=-0.5, high=0.25, unit=unit, decay=2.0)
    low, high = bounds_of(slack, fraction=fraction)
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


@pytest.mark.parametrize("rule", [PCRPO(slack=Slack("calibrated", warm_up=0.3)), band(-5.0, 2.0)])
def test_only_the_reward_counts_while_warming_up(rule):
    warm_up = rule.slack.warm_up
    for fraction in (0.0, 0.15, 0.29, 0.3, 0.31, 1.0):
        found = plan_of(rule, [1000.0, 0.0], [25.0, 25.0], fraction)
        assert MODES[found.mode] == ("reward" if fraction < warm_up else "safety")
        assert candidates(found)[0] == ({0} if fraction < warm_up else {1})


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
    found = plan_of(band(-2.0, 2.0), costs, [10.0] * 3, se=[3.0, 2.0, 1.0])
    assert MODES[found.mode] == mode
    assert candidates(found) == wanted


def test_a_balance_that_fails_is_followed_by_the_active_constraints_above_their_limits():
    found = plan_of(band(-2.0, 2.0), [kind("active", above=True), kind("active"), kind("slack")], [10.0] * 3)
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
@pytest.mark.parametrize("rule", [CRPO(tolerance=2.0), band(-2.0, 2.0)])
def test_the_worst_constraint_is_the_one_violated_by_most_standard_errors(rule, costs, se, worst):
    found = plan_of(rule, costs, [10.0] * 3, se=se)
    assert candidates(found)[-1] == {worst}


def test_reward_and_constraints_share_the_preference():
    rule = band(-2.0, 2.0, reward_weight=0.4)
    balance = plan_of(rule, [9.0, 7.0, 9.0], [10.0] * 3)
    np.testing.assert_allclose(balance.weights[0], [0.4, 0.3, 0, 0.3], rtol=1e-6)
    safety = plan_of(rule, [13.0, 9.0, 13.0], [10.0] * 3, se=[1.0, 1.0, 2.0])
    np.testing.assert_allclose(safety.weights, [[0, 1 / 3, 1 / 3, 1 / 3], [0, 0.5, 0, 0.5], [0, 1, 0, 0]], rtol=1e-6)


def test_unconstrained_always_improves_the_reward():
    for cost in (0.0, 25.0, 1e6):
        found = plan_of(Unconstrained(), [cost, cost], [25.0, 0.0])
        assert MODES[found.mode] == "reward"
        assert candidates(found) == [{0}]
        np.testing.assert_array_equal(found.weights, [[1, 0, 0]])


# Every algorithm of the registry


@pytest.fixture(params=sorted(ALGORITHMS))
def name(request):
    return request.param


def test_every_algorithm_is_found_by_its_name(name):
    assert find_algorithm(name) is ALGORITHMS[name]


def test_every_algorithms_settings_are_allowed_with_every_preset(name):
    entry = ALGORITHMS[name]
    for algorithm in (entry.algorithm, *entry.presets.values()):
        algorithm.check()
        assert isinstance(algorithm.rule, Rule)
        assert algorithm.rule.metric in get_args(Metric)
        kinds = [(type(a.rule), type(a.step), type(a.lens)) for a in (algorithm, entry.algorithm)]
        assert kinds[0] == kinds[1], "a preset changes settings, not what the algorithm is made of"


def test_new_values_of_settings_do_not_recompile_and_new_choices_do():
    traces = []

    @jax.jit
    def traced(algorithm, limits):
        traces.append(algorithm)
        return algorithm.rule.plan((), seen_as([20.0], limits))

    for low in (-5.0, -4.0, -3.0):
        rule = band(low, 2.0, reward_weight=-0.1 * low)
        learner = Learner(discount=0.9 - 0.01 * low)
        traced(Algorithm(rule, TrustRegion(max_kl=-low), learner=learner), jnp.asarray([25.0 + low]))
    assert len(traces) == 1
    traced(Algorithm(PCRPO(slack=Slack("linear", -5.0, 2.0, unit="cost"))), jnp.asarray([25.0]))
    assert len(traces) == 2
    rule = PCRPO(slack=Slack("linear", -5.0, 2.0, unit="cost"), balance=Balance("mgda"))
    traced(Algorithm(rule), jnp.asarray([25.0]))
    assert len(traces) == 3


MISTAKES = {
    "max_kl is -0.01": TrustRegion(max_kl=-0.01),
    "max_kl is 0": TrustRegion(max_kl=0.0),
    "max_kl is nan": TrustRegion(max_kl=float("nan")),
    "damping is 0": TrustRegion(damping=0.0),
    "cg_iterations is 0": TrustRegion(cg_iterations=0),
    "fisher_every is 0": TrustRegion(fisher_every=0),
    "backtrack is 1": TrustRegion(backtrack=1.0),
    "backtracks is -1": TrustRegion(backtracks=-1),
    "min_sin2_phi is 2": TrustRegion(min_sin2_phi=2.0),
    "allowed_loss is -1": TrustRegion(allowed_loss=-1.0),
    "clip is 0": Proximal(clip=0.0),
    "epochs is 0; allowed: 1 or more": Proximal(epochs=0),
    "minibatch_size is -3": Proximal(minibatch_size=-3),
    "max_grad_norm is nan": Proximal(max_grad_norm=float("nan")),
    "discount is 1.1": Learner(discount=1.1),
    "gae_lambda is -0.1": Learner(gae_lambda=-0.1),
    "cost_discount is 2": Learner(cost_discount=2.0),
    "cost_gae_lambda is nan": Learner(cost_gae_lambda=float("nan")),
    "hidden is (64, 0)": Learner(hidden=(64, 0)),
    "learning_rate is 0": Learner(critic=CriticFit(learning_rate=0.0)),
    "epochs is 0": Learner(critic=CriticFit(epochs=0)),
    "minibatch_size is 0": Learner(critic=CriticFit(minibatch_size=0)),
    "l2 is -1": Learner(critic=CriticFit(l2=-1.0)),
    "h⁻ = 3.0 is above its high bound h⁺ = 2.0": band(3.0, 2.0),
    "reward_weight is 1.01": PCRPO(reward_weight=1.01),
    "reward_weight is -0.5": PCRPO(reward_weight=-0.5),
    "warm_up is 1.5": PCRPO(slack=Slack(warm_up=1.5)),
    "unknown aggregator 'cagrd'; did you mean 'cagrad'?": PCRPO(balance=Balance("cagrd")),
    "decay is -1": PCRPO(slack=Slack("exponential", decay=-1.0)),
    "tolerance is not a number": CRPO(tolerance=float("nan")),
}


def assert_refused(settings, fragment):
    with pytest.raises(UsageError) as refusal:
        settings.check()
    message = str(refusal.value)
    assert fragment in message
    assert "\n" not in message


@pytest.mark.parametrize("fragment", MISTAKES)
def test_settings_that_are_not_allowed_are_refused_in_one_line(fragment):
    assert_refused(MISTAKES[fragment], fragment)


def test_every_algorithm_refuses_what_any_of_its_parts_refuses(name):
    algorithm = ALGORITHMS[name].algorithm
    assert_refused(dataclasses.replace(algorithm, learner=Learner(discount=1.1)), "discount is 1.1")
    assert_refused(dataclasses.replace(algorithm, step=TrustRegion(max_kl=0.0)), "max_kl is 0")
    assert_refused(dataclasses.replace(algorithm, rule=CRPO(float("nan"))), "tolerance is not a number")


def test_an_unknown_algorithm_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean 'pcrpo'"):
        find_algorithm("pcrp")
