"""Every rule of the registry on finite CMDPs that are solved exactly: its multipliers meet those of the programme."""

import dataclasses

import jax
import numpy as np
import pytest

from equipoise.algorithms.registry import ALGORITHMS
from equipoise.algorithms.rules.pcpo import PCPO
from equipoise.algorithms.rules.pcrpo import PCRPO
from equipoise.theory import bounds, iterate
from equipoise.theory.cmdp import evaluate
from equipoise.theory.ensemble import describe
from equipoise.theory.families import garnet, see_saw
from equipoise.theory.iterate import run, stacked, trace
from equipoise.theory.optimum import best, solve
from equipoise.theory.primal_dual import PrimalDual
from equipoise.theory.regularised import Regularised
from equipoise.theory.tabular import in_a_region

ONE_COST = describe("one cost", [garnet(seed, states=4, actions=2, branching=2) for seed in (1, 3, 6, 14, 16)])
TWO_COSTS = describe("two costs", [garnet(seed, states=4, actions=3, branching=2, costs=2) for seed in (0, 14, 22, 26)])
ENSEMBLES = [ONE_COST, TWO_COSTS]
"""Multipliers between 0.2 and 0.95, for which every rule's ceiling leaves room; one limit of the last does not bind."""

STEP, ITERATIONS = 0.005, 20_000


def by_rule(rules):
    """Map the name of the first algorithm with a rule to that rule: several algorithms may share it."""
    found = {}
    for name, rule in rules.items():
        if rule not in found.values():
            found[name] = rule
    return found


RULES = by_rule({name: entry.algorithm.rule for name, entry in ALGORITHMS.items()})
OWN = {"npg_primal_dual": PrimalDual(0.1, 10.0), "regularised": Regularised(0.1, 10.0, 0.01)}
IN_A_REGION = {name: rule for name, rule in RULES.items() if in_a_region(rule)} | {
    "pcpo_l2": PCPO(projection="l2"),
    "pcrpo_barrier": PCRPO(metric="barrier"),
}
WEIGHING = {name: rule for name, rule in (RULES | OWN).items() if name not in IN_A_REGION}
MULTIPLIER = {name: rule for name, rule in WEIGHING.items() if "multiplier" in rule.logs}

INSIDE = {name for name in RULES if ALGORITHMS[name].rests == "inside"}
"""Rules that rest inside a limit that binds."""

TEMPERATURE = {"regularised": 0.05}
"""How far the temperature moves the saddle point's multipliers."""


@pytest.fixture(autouse=True, scope="module")
def compiled_in_haste():
    """Most of the time here goes into compiling: let XLA optimise less."""
    with pytest.MonkeyPatch.context() as patch:
        for name, fixed in (("_run", "sampling"), ("_trace", "iterations")):
            options = {"static_argnames": fixed, "compiler_options": {"xla_backend_optimization_level": 0}}
            patch.setattr(iterate, name, jax.jit(getattr(iterate, name).__wrapped__, **options))
        yield


@pytest.fixture(scope="module")
def results():
    """Run a rule on every problem of an ensemble, once."""
    done = {}

    def result(name, ensemble):
        if (name, ensemble.name) not in done:
            n = len(ensemble.cmdps)
            rules = stacked([WEIGHING[name]] * n)
            done[name, ensemble.name] = run(ensemble.stacked, rules, np.full(n, STEP), ITERATIONS)
        return done[name, ensemble.name]

    return result


def test_the_problems_tell_right_multipliers_from_wrong_ones():
    """They are unique (a limit moved a little moves J* by λ*, up and down), and no rule's ceiling."""
    for ensemble in ENSEMBLES:
        assert (ensemble.multipliers.max(1) > 0.25).all()
        assert ensemble.multipliers.max() < 0.95
        for cmdp, multipliers, reward in zip(ensemble.cmdps, ensemble.multipliers, ensemble.reward, strict=True):
            for k, small in [(k, s) for k in range(len(multipliers)) for s in (-1e-4, 1e-4)]:
                moved = solve(cmdp._replace(limits=cmdp.limits + small * (np.arange(len(multipliers)) == k)))
                assert (moved.reward - reward) / small == pytest.approx(multipliers[k], abs=1e-3)


def test_rules_with_multipliers_are_found():
    assert set(OWN) < set(MULTIPLIER)
    assert {"trpo_lag", "trpo_pid", "appo", "cspo", "focops", "cup", "ipo"} <= set(MULTIPLIER)
    assert {name for name, rule in IN_A_REGION.items() if "multiplier" in rule.logs} == {"poise"}


@pytest.mark.one_in(5)
@pytest.mark.parametrize("name", [name for name in MULTIPLIER if name not in INSIDE])
def test_multipliers_meet_those_of_the_programme(name, results):
    """Averaged as the iterates are, with the reward's weight: Σ w_k/Σ w_r within 0.02 of λ*."""
    for ensemble in ENSEMBLES:
        found = results(name, ensemble).prices
        np.testing.assert_allclose(found, ensemble.multipliers, atol=0.02 + TEMPERATURE.get(name, 0.0))


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", [name for name in MULTIPLIER if name not in INSIDE])
def test_the_averaged_iterate_meets_the_optimum(name, results):
    """Within 0.04 of J* (which is between 2.5 and 4), and no cost more than 0.02 above its limit."""
    for ensemble in ENSEMBLES:
        average = results(name, ensemble).average
        np.testing.assert_allclose(average[:, 0], ensemble.reward, atol=0.04)
        assert (-average[:, 1:] - ensemble.stacked.limits).max() < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MULTIPLIER if name in INSIDE])
def test_a_rule_that_rests_inside_is_optimal_for_the_costs_there_and_its_multipliers_prove_it(name, results):
    """The dual at its multipliers bounds the reward of all policies of the same costs, and is within 0.02 of its."""
    for ensemble in ENSEMBLES:
        found = results(name, ensemble)
        for cmdp, objective, prices in zip(ensemble.cmdps, found.average, found.prices, strict=True):
            bound = best(cmdp, cmdp.reward - np.tensordot(prices, cmdp.cost, 1)).reward - prices @ objective[1:]
            assert -1e-6 < bound - objective[0] < 0.02
            assert (-objective[1:] < cmdp.limits).all()


def test_ipo_rests_where_its_barrier_is_as_steep_as_the_multiplier(results):
    """κ(1/m − 1/m₀) = λ at the margin m, in closed form, and λ the one that its weights average to."""
    for ensemble in ENSEMBLES:
        found, rule = results("ipo", ensemble), RULES["ipo"]
        margin = 1 + found.last[:, 1:] / ensemble.stacked.limits
        steepness = rule.kappa * np.maximum(1 / margin - 1 / rule.reach, 0)
        np.testing.assert_allclose(found.prices, steepness, atol=0.02)


@pytest.mark.parametrize("name", [name for name in MULTIPLIER if name not in OWN])
def test_what_is_logged_as_multiplier_is_the_weight_of_the_cost_beside_the_rewards(name):
    """In reward per cost, as λ* is."""
    found = trace(TWO_COSTS.cmdps[0], WEIGHING[name], 0.1, 200)
    improving = found.weights[:, 0] > 0
    assert (found.columns["multiplier"][improving] > 0).any()
    ratio = found.weights[improving, 1:] / found.weights[improving, :1]
    np.testing.assert_allclose(found.columns["multiplier"][improving], ratio, rtol=1e-5, atol=1e-7)


@pytest.mark.one_in(5)
@pytest.mark.parametrize("name", [n for n, rule in WEIGHING.items() if not (rule.projects or n == "regularised")])
def test_the_theorem_bounds_the_gap_of_every_rule(name, results):
    """(1) holds whatever the weights; entropy has no place in it."""
    for ensemble in ENSEMBLES:
        found = results(name, ensemble)
        step = np.full(len(ensemble.cmdps), STEP)
        certificate = bounds.certificate(found.sums, ensemble.discount, ensemble.actions, ensemble.span, step)
        assert (ensemble.reward - found.average[:, 0] <= certificate).all()


@pytest.mark.parametrize("name", [name for name, rule in WEIGHING.items() if rule.projects])
def test_the_weights_of_a_rule_that_projects_sum_to_one(name):
    np.testing.assert_allclose(trace(TWO_COSTS.cmdps[0], WEIGHING[name], 0.1, 50).weights.sum(1), 1)


def test_other_weights_are_taken_as_they_are():
    """The primal-dual method takes 1 and λ, in the order of Ding et al.: policy and λ move at once."""
    cmdp, rule = see_saw()._replace(limits=np.array([0.2])), PrimalDual(0.1, 10.0)
    found = trace(cmdp, rule, 0.5, 30)
    cost, multiplier = -found.objective[:, 1], found.columns["multiplier"][:, 0]
    assert (cost > 0.2).all()
    np.testing.assert_allclose(multiplier, np.cumsum(0.1 * (cost - 0.2)), atol=1e-12)
    np.testing.assert_allclose(found.weights, np.stack([np.ones(30), np.append(0, multiplier[:-1])], 1))
    logit = np.log(found.policy[:, 0, 0] / found.policy[:, 0, 1])
    np.testing.assert_allclose(np.diff(logit), 0.5 * (1 - found.weights[:-1, 1]))


# Rules that choose their direction in a trust region: α is its radius

WITHOUT_THEOREM = ("pcpo_l2", "cpo", "c_trpo")
"""Their steps have plain gradients besides, or a cost of negative weight: beside a barrier that the reward moves away
from, or on the way back to a limit that was left to the inside."""


def test_rules_that_choose_their_direction_are_found():
    assert {"cpo", "pcpo", "sb_trpo", "c_trpo", "poise"} <= set(IN_A_REGION)
    assert not any(in_a_region(rule) for name, rule in RULES.items() if name in ("trpo_lag", "crpo", "pcrpo", "focops"))


def test_poise_without_a_margin_comes_to_rest_at_the_optimum_with_its_multipliers():
    """The last iterate, not an average: within 0.001 of J* and of the limits, λ within 0.01 of λ*."""
    rule = dataclasses.replace(RULES["poise"], margin=0.0, landing=0.0)
    for ensemble in ENSEMBLES:
        n = len(ensemble.cmdps)
        found = run(ensemble.stacked, stacked([rule] * n), np.full(n, 1e-4), 4000)
        np.testing.assert_allclose(found.last[:, 0], ensemble.reward, atol=1e-3)
        assert (-found.last[:, 1:] - ensemble.stacked.limits).max() < 1e-3
        used = found.memory.multiplier * found.memory.reward_per_cost
        np.testing.assert_allclose(used, ensemble.multipliers, atol=0.01)


def test_poises_margin_costs_what_the_limits_at_its_target_cost():
    """It comes to rest at (1 − margin)·b: at the optimum of those limits."""
    rule = dataclasses.replace(RULES["poise"], landing=0.0)
    n = len(ONE_COST.cmdps)
    found = run(ONE_COST.stacked, stacked([rule] * n), np.full(n, 1e-4), 4000)
    for cmdp, last in zip(ONE_COST.cmdps, found.last, strict=True):
        inside = solve(cmdp._replace(limits=(1 - rule.margin) * cmdp.limits))
        np.testing.assert_allclose([last[0], -last[1]], [inside.reward, inside.cost[0]], atol=2e-3)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", IN_A_REGION)
def test_a_step_in_a_region_is_within_it_and_made_of_its_weights(name):
    """KL ≤ δ; and, with w of the trace, the step is α/(1 − γ) Σ w Q, as all others are."""
    cmdp, size = TWO_COSTS.cmdps[0], 1e-3
    found = trace(cmdp, IN_A_REGION[name], size, 60)
    assert np.ptp(found.objective, axis=0).max() > 0.1
    for now, after, weights in zip(found.policy, found.policy[1:], found.weights, strict=False):
        exact = evaluate(cmdp, now)
        moved = np.log(after) - np.log(now)
        assert np.asarray(exact.occupancy) @ -(now * moved).sum(1) <= size * (1 + 1e-6)
        if name != "pcpo_l2":  # its steps have plain gradients besides
            quality = np.tensordot(weights, exact.quality, 1) * size / (1 - cmdp.discount)
            difference = moved - quality
            np.testing.assert_allclose(difference - difference[:, :1], 0, atol=1e-5 * (1 + np.abs(quality).max()))


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", [name for name in IN_A_REGION if name not in WITHOUT_THEOREM])
def test_the_theorem_bounds_the_gap_in_a_region_too(name):
    """(1) holds whatever the weights, as long as none is negative."""
    size, n = 1e-4, len(ONE_COST.cmdps)
    found = run(ONE_COST.stacked, stacked([IN_A_REGION[name]] * n), np.full(n, size), 2000)
    certificate = bounds.certificate(found.sums, ONE_COST.discount, ONE_COST.actions, ONE_COST.span, np.full(n, size))
    assert (ONE_COST.reward - found.average[:, 0] <= certificate).all()
