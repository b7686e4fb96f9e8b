"""Every algorithm finds the known optimum of a probe, and the constrained ones its multiplier."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipoise.algorithms import ALGORITHMS, Learner, Slack, TrustRegion, make_algorithm
from equipoise.algorithms.trust_region import MODES
from equipoise.policy import Actor
from equipoise.training.rollout import collect
from probes import AtTheEnd, Bandit, NowOrLater, TwoLimits

STD = 0.3
LEARNER = Learner(
    hidden=(8,),
    log_std=float(np.log(STD)),
    log_std_floor=float(np.log(STD)),
    discount=1.0,
    cost_discount=1.0,
    trust_region=TrustRegion(max_kl=0.03),
)
# A thin band: with the default one PCRPO rests inside the limit, by design.
SETTINGS = {"trpo": {}, "crpo": {}, "pcrpo": {"slack": Slack(low=-0.02)}}
CONSTRAINED = [name for name in ALGORITHMS if name != "trpo"]


def solve(handler, probe, limits, iterations=50, steps=100, seed=0):
    """Run an algorithm on a probe; return the estimates and reports of all iterations."""
    algorithm = make_algorithm(handler)
    state = algorithm.init(probe.problem, jax.random.key(seed))
    history = []
    for i in range(iterations):
        rollout = collect(probe, Actor(state.policy, state.observations), steps, (seed, i))
        progress = jnp.asarray(i / iterations)
        key = jax.random.key(i)
        state, report = algorithm.update(state, rollout.batch, jnp.asarray(limits), progress, key)
        history.append((rollout.batch.estimate, report))
    return history


def handler(name, learner=LEARNER):
    """The algorithm `name` for a probe; a new algorithm has to have an entry in SETTINGS."""
    return ALGORITHMS[name](learner=learner, **SETTINGS[name])


# Tolerances below are five standard deviations over the seeds, and the bias of a switch that steps across its limit.


def last_costs(history, n=10):
    return np.mean([estimate.cost for estimate, _ in history[-n:]], axis=0)


def last_reward(history, n=10):
    return np.mean([estimate.reward for estimate, _ in history[-n:]])


@pytest.fixture(scope="module")
def bandit_histories():
    """Every algorithm on the bandit with limit 1: the unconstrained optimum costs 4.09."""
    return {name: solve(handler(name), Bandit(), (1.0,)) for name in ALGORITHMS}


# The mean action that each algorithm has to find; a new one has to say so here.
BANDIT_OPTIMUM = {"trpo": 2.0, "crpo": np.sqrt(1 - STD**2), "pcrpo": np.sqrt(1 - STD**2)}


def gradients_at(mean):
    """∇J_r and −∇J_c in (μ, log σ) at σ = STD, in coordinates in which the Fisher matrix is the identity.

    Both want a smaller σ, which the floor forbids: the only direction in which they agree where the limit binds.
    """
    whitened = np.array([STD, 1 / np.sqrt(2)])
    return np.array([2 * (2 - mean), -2 * STD**2]) * whitened, np.array([-2 * mean, -2 * STD**2]) * whitened


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_known_optimum_is_found(name, bandit_histories):
    mean = BANDIT_OPTIMUM[name]
    history = bandit_histories[name]
    assert last_reward(history) == pytest.approx(-((mean - 2) ** 2) - STD**2, abs=0.1)
    assert last_costs(history)[0] == pytest.approx(mean**2 + STD**2, abs=0.08 if name in CONSTRAINED else 0.3)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_implied_multiplier_meets_the_exact_one(name, bandit_histories):
    reward, cost = gradients_at(BANDIT_OPTIMUM[name])
    implied = np.mean([report.multiplier[0] for _, report in bandit_histories[name][-10:]])
    assert implied == pytest.approx(-reward @ cost / (cost @ cost), abs=0.12)
    if name in CONSTRAINED:
        exact = (2 - BANDIT_OPTIMUM[name]) / BANDIT_OPTIMUM[name]
        assert implied == pytest.approx(exact, rel=0.15)


@pytest.mark.parametrize("name", CONSTRAINED)
def test_gradients_oppose_each_other_where_the_limit_binds(name, bandit_histories):
    reward, cost = gradients_at(BANDIT_OPTIMUM[name])
    cos = reward @ cost / np.linalg.norm(reward) / np.linalg.norm(cost)
    assert cos < -0.9
    assert np.mean([r.step.cos_fisher[0] for _, r in bandit_histories[name][-10:]]) == pytest.approx(cos, abs=0.025)


@pytest.mark.parametrize("name", CONSTRAINED)
def test_an_infeasible_limit_leads_to_the_lowest_cost(name):
    history = solve(handler(name), Bandit(floor=1.0), (0.5,), iterations=40)
    assert last_costs(history)[0] == pytest.approx(1 + STD**2, abs=0.03)
    assert all(MODES[int(report.step.mode)] == "safety" for _, report in history)


@pytest.mark.parametrize("name", CONSTRAINED)
def test_of_two_limits_the_binding_one_decides(name):
    history = solve(handler(name), TwoLimits(), (6.0, 2.0), iterations=50)
    costs = last_costs(history)
    assert costs[1] == pytest.approx(2.0, abs=0.27)
    assert last_reward(history) == pytest.approx(np.sqrt(2.0 - STD**2) - 1, abs=0.1)


@pytest.mark.parametrize("name", CONSTRAINED)
def test_a_cost_paid_only_at_truncation_is_learned_from(name):
    history = solve(handler(name), AtTheEnd(), (1.0,), iterations=50, steps=100)
    assert last_costs(history)[0] == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize(("discount", "rises"), [(0.9, True), (1.0, False)])
def test_a_discounted_safety_step_can_raise_the_episode_cost(discount, rises):
    learner = dataclasses.replace(LEARNER, cost_discount=discount, cost_gae_lambda=1.0, log_std=0.0, log_std_floor=-1.0)
    history = solve(handler("crpo", learner), NowOrLater(num_envs=100), (0.0,), iterations=12, steps=100)
    first, last = history[0][0].cost[0], last_costs(history, 3)[0]
    assert (last > first + 0.3) if rises else (last < first - 0.3)
    # The update itself always predicts that the cost falls; only the change that happens tells.
    assert all(report.step.gain[1] > 0 for _, report in history)


def test_a_larger_trust_region_moves_further():
    def distance(max_kl):
        learner = dataclasses.replace(LEARNER, trust_region=TrustRegion(max_kl=max_kl))
        history = solve(handler("trpo", learner), Bandit(), (1.0,), iterations=4)
        return history[-1][0].reward

    assert distance(0.04) > distance(0.01)
