"""Finite CMDPs: exact values, the constrained optimum and its multipliers, the families, and bad input."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipoise.errors import UsageError
from equipoise.theory.cmdp import check, evaluate, stack
from equipoise.theory.families import CLASSICS, bandit, binding, garnet, grid_world, see_saw, two_masters
from equipoise.theory.optimum import best, least_costs, margin, solve, span

SMALL = [garnet(seed, states=3, actions=2, branching=2) for seed in range(4)]
RANDOM = [*[garnet(seed) for seed in range(4)], *[garnet(seed, costs=2) for seed in range(4)], grid_world(0)]


def values(cmdp, policy):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, jax.jit(evaluate)(jax.tree.map(jnp.asarray, cmdp), jnp.asarray(policy)))


def random_policy(cmdp, seed=0):
    states, actions = cmdp.reward.shape
    return np.random.default_rng(seed).dirichlet(np.ones(actions), states)


def deterministic_policies(cmdp):
    states, actions = cmdp.reward.shape
    return [np.eye(actions)[list(choice)] for choice in itertools.product(range(actions), repeat=states)]


# Exact values


@pytest.mark.parametrize("cmdp", RANDOM)
def test_values_are_the_discounted_series(cmdp):
    policy = random_policy(cmdp)
    under = np.einsum("sa,sat->st", policy, cmdp.transition)
    arrives, objective, occupancy = cmdp.initial, 0.0, 0.0
    for t in range(600):
        weight = cmdp.discount**t * arrives
        paid = np.einsum("s,sa,msa->m", weight, policy, np.concatenate([cmdp.reward[None], -cmdp.cost]))
        objective, occupancy, arrives = objective + paid, occupancy + weight, arrives @ under
    found = values(cmdp, policy)
    np.testing.assert_allclose(found.objective, objective, rtol=1e-9)
    np.testing.assert_allclose(found.occupancy, (1 - cmdp.discount) * occupancy, atol=1e-12)


def test_q_pays_now_and_the_value_of_what_follows():
    cmdp = RANDOM[0]
    policy = random_policy(cmdp)
    found = values(cmdp, policy)
    value = (policy * found.quality[0]).sum(-1)
    np.testing.assert_allclose(found.quality[0], cmdp.reward + cmdp.discount * cmdp.transition @ value, rtol=1e-12)
    np.testing.assert_allclose((policy * found.advantage).sum(-1), 0, atol=1e-12)
    np.testing.assert_allclose(found.objective[0], cmdp.initial @ value, rtol=1e-12)


# The constrained optimum


@pytest.mark.parametrize("cmdp", SMALL)
def test_the_optimum_is_the_best_mixture_of_deterministic_policies(cmdp):
    """With one constraint the best of all policies is a mixture of at most two deterministic ones (brute force)."""
    points = [values(cmdp, policy).objective for policy in deterministic_policies(cmdp)]
    limit, found = float(cmdp.limits[0]), -np.inf
    for (reward, cost), (other, more) in itertools.product([(p[0], -p[1]) for p in points], repeat=2):
        if cost <= limit:
            share = 0.0 if more <= cost else min(1.0, (limit - cost) / (more - cost))
            found = max(found, reward + share * (other - reward))
    assert solve(cmdp).reward == pytest.approx(found, rel=1e-8)


@pytest.mark.parametrize("cmdp", RANDOM)
def test_without_limits_the_optimum_is_that_of_value_iteration(cmdp):
    value = np.zeros(len(cmdp.initial))
    for _ in range(600):
        value = (cmdp.reward + cmdp.discount * cmdp.transition @ value).max(1)
    assert best(cmdp, cmdp.reward).reward == pytest.approx(cmdp.initial @ value, rel=1e-8)


@pytest.mark.parametrize("cmdp", RANDOM)
def test_the_optimal_policy_has_the_reward_and_cost_that_the_programme_says(cmdp):
    optimum = solve(cmdp)
    objective = values(cmdp, optimum.policy).objective
    assert objective[0] == pytest.approx(optimum.reward, abs=1e-7)
    np.testing.assert_allclose(-objective[1:], optimum.cost, atol=1e-7)
    assert (optimum.cost <= cmdp.limits + 1e-8).all()


@pytest.mark.parametrize("cmdp", RANDOM)
def test_no_duality_gap_and_complementary_slackness(cmdp):
    optimum = solve(cmdp)
    assert optimum.duality_gap == pytest.approx(0, abs=1e-8)
    np.testing.assert_allclose(optimum.multipliers * (cmdp.limits - optimum.cost), 0, atol=1e-8)
    assert optimum.multipliers.max() >= 0.05  # the families promise that a limit binds


@pytest.mark.parametrize("cmdp", RANDOM)
def test_multipliers_are_the_slopes_of_the_optimum_in_the_limits(cmdp):
    optimum, step = solve(cmdp), 1e-5
    for k, multiplier in enumerate(optimum.multipliers):
        nudge = step * np.eye(len(cmdp.limits))[k]
        ends = [solve(cmdp._replace(limits=cmdp.limits + sign * nudge)).reward for sign in (-1, 1)]
        assert (ends[1] - ends[0]) / (2 * step) == pytest.approx(multiplier, abs=1e-5)


def test_classic_cases_in_closed_form():
    for name, reward, multipliers in [("see-saw", 0.5, [1.0]), ("saw-tooth", 0.03, [0.1])]:
        optimum = solve(CLASSICS[name]())
        assert optimum.reward == pytest.approx(reward)
        np.testing.assert_allclose(optimum.multipliers, multipliers)
    # x + (1 − x)·0.4 = 0.45; raising both limits by ε raises x by ε/0.6
    optimum = solve(two_masters())
    assert optimum.reward == pytest.approx(0.05 / 0.6)
    assert optimum.multipliers.sum() == pytest.approx(1 / 0.6)


@pytest.mark.parametrize("cmdp", RANDOM)
def test_the_margin_is_what_the_limits_can_be_tightened_by(cmdp):
    room = margin(cmdp)
    assert room > 0
    solve(cmdp._replace(limits=cmdp.limits - room + 1e-6))
    with pytest.raises(UsageError):
        solve(cmdp._replace(limits=cmdp.limits - room - 1e-6))


@pytest.mark.parametrize("cmdp", SMALL)
def test_span_bounds_every_policys_q_and_is_no_wider_than_it_must_be(cmdp):
    widths = [np.ptp(values(cmdp, policy).quality, axis=-1).max() for policy in deterministic_policies(cmdp)]
    assert max(widths) <= span(cmdp) <= 1 / (1 - cmdp.discount)


# Families


@pytest.mark.parametrize("make", [garnet, grid_world])
def test_families_are_reproducible_and_differ_by_seed(make):
    first, again, other = make(1), make(1), make(2)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.cost, other.cost)


def test_garnets_branch_as_told():
    assert ((garnet(0, branching=2).transition > 0).sum(-1) == 2).all()


def test_in_the_grid_world_moves_go_where_they_should():
    cmdp = grid_world(0, side=3, hazards=2, slip=0.0)
    moves = cmdp.transition.argmax(-1)
    assert list(moves[4]) == [7, 5, 1, 3]  # from the middle: down, right, up, left
    assert list(moves[0]) == [3, 1, 0, 0]  # walls
    assert (moves[8] == 0).all()  # from the goal back to the start
    assert (cmdp.reward[8] == 1).all()
    assert cmdp.reward[:8].max() == 0
    assert cmdp.cost.sum() == 2 * 4


@pytest.mark.parametrize("cmdp", RANDOM)
def test_the_reward_best_policy_breaks_every_limit_and_the_safest_keeps_them(cmdp):
    costs = [(best(cmdp, payoff).occupancy * cmdp.cost).sum((1, 2)) for payoff in (cmdp.reward, -cmdp.cost.sum(0))]
    assert (costs[0] > cmdp.limits).all()
    assert (costs[1] < cmdp.limits).all()


# Bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"discount": np.ones(())}, "discount is 1"),
        ({"discount": np.asarray(-0.1)}, "discount is -0.1"),
        ({"initial": np.full(3, 0.5)}, "initial is no distribution"),
        ({"transition": np.full((3, 2, 3), -1 / 3)}, "transition is no distribution"),
        ({"transition": np.ones((3, 3))}, "transition has shape"),
        ({"cost": np.full((1, 3, 2), -0.5)}, "cost leaves"),
        ({"reward": np.full((3, 2), 1.5)}, "reward leaves"),
        ({"limits": np.ones(2)}, "cost has shape"),
        ({"limits": np.array([np.nan])}, "limits are"),
    ],
)
def test_what_is_no_cmdp_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        check(SMALL[0]._replace(**change))


def test_an_infeasible_limit_is_refused_with_what_is_possible():
    cmdp = see_saw()._replace(limits=np.array([-0.25]))
    with pytest.raises(UsageError, match=r"exceeds one by 0\.25; the least each cost alone can be is \(0\)"):
        solve(cmdp)
    np.testing.assert_allclose(least_costs(cmdp), [0])


def test_limits_that_exclude_each_other_are_refused():
    """Each can be met alone (costs of 0), not both: the least that both can be is 0.4."""
    with pytest.raises(UsageError, match=r"limits \(0\.35, 0\.35\).*exceeds one by 0\.05"):
        solve(two_masters()._replace(limits=np.full(2, 0.35)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: garnet(0, branching=9), "branching is 9"),
        (lambda: garnet(0, states=0), "0 states"),
        (lambda: garnet(0, discount=1.0), "discount is 1"),
        (lambda: grid_world(0, side=1), "side is 1"),
        (lambda: grid_world(0, hazards=15), "15 hazards"),
        (lambda: grid_world(0, slip=2.0), "slipping is 2"),
        (lambda: binding(lambda random: see_saw()._replace(reward=np.zeros((1, 2))), 0), "none do the limits bind"),
    ],
)
def test_families_refuse_what_makes_no_problem(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_stacking_keeps_every_problem():
    both = stack([see_saw(), bandit([0.5, 0.0], [[1.0, 0.2]], [0.7])])
    np.testing.assert_array_equal(both.limits, [[0.5], [0.7]])
    assert both.transition.shape == (2, 1, 2, 1)
