"""FOCOPS, CUP, P3O and IPO: losses against NumPy, multipliers against a hand computation, and the bits of PPO."""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipoise.algorithms import ALGORITHMS, CriticFit
from equipoise.algorithms.rule import BALANCE, REWARD, SAFETY, Minibatch, Seen
from equipoise.algorithms.rules.cup import CUP
from equipoise.algorithms.rules.dual_ascent import OMNISAFE_ASCENT, DualAscent
from equipoise.algorithms.rules.focops import FOCOPS
from equipoise.algorithms.rules.ipo import IPO
from equipoise.algorithms.rules.p3o import P3O
from equipoise.errors import UsageError
from equipoise.problem import Estimate
from equipoise.training.update import update
from learning import LEARNER, one_batch, small, train
from probes import Bandit

NAMES = ["focops", "cup", "p3o", "ipo"]
RULES = {"focops": FOCOPS(), "cup": CUP(), "p3o": P3O(), "ipo": IPO()}
OTHERS = {
    "focops": FOCOPS(dual=OMNISAFE_ASCENT, share=True),
    "cup": CUP(dual=OMNISAFE_ASCENT),
    "p3o": P3O(excess="episode", clip_cost=False),
    "ipo": IPO(kappa=0.01, reach=math.inf, unit="cost", restore=False),
}
CLIP = 0.2


def seen(cost, limits, per_episode=None, length=50.0, gamma=0.99, lam=0.95):
    """What a rule sees of an iteration with the episode costs `cost`."""
    cost, limits = np.atleast_1d(np.asarray(cost, float)), np.atleast_1d(np.asarray(limits, float))
    per_episode = np.ones(1 + len(cost)) if per_episode is None else np.asarray(per_episode, float)
    one = np.asarray(1.0)
    estimate = Estimate(one, one, cost, np.ones_like(cost), np.asarray(20, np.int32), np.asarray(length), one)
    estimate = jax.tree.map(lambda x: jnp.asarray(x, jnp.int32 if x.dtype == np.int32 else jnp.float32), estimate)
    limits, per_episode = jnp.asarray(limits, jnp.float32), jnp.asarray(per_episode, jnp.float32)
    return Seen(estimate, limits, jnp.asarray(0.5), per_episode, gamma, lam)


class Steps:
    """A random minibatch in double precision, some steps of which do not count."""

    def __init__(self, constraints, seed=0, n=24):
        random = np.random.default_rng(seed)
        self.ratio = np.exp(0.3 * random.standard_normal(n))
        self.kl = random.exponential(0.02, n)
        self.advantage = random.standard_normal((n, 1 + constraints))
        self.valid = (random.uniform(size=n) > 0.2).astype(float)

    def minibatch(self, ratio=None):
        ratio = self.ratio if ratio is None else ratio
        parts = (ratio, self.kl, self.advantage, self.valid, np.ones(self.advantage.shape[1]))
        return Minibatch(*(jnp.asarray(part, jnp.float32) for part in parts))

    def mean(self, values):
        return values[self.valid == 1].mean()

    def ppo(self, ratio):
        advantage = self.advantage[:, 0]
        return -self.mean(np.minimum(ratio * advantage, np.clip(ratio, 1 - CLIP, 1 + CLIP) * advantage))


def loss(rule, steps, weights, world=None, phase=0):
    """The loss, and its gradient in the probability ratios."""
    world = seen(np.zeros(len(weights) - 1), np.ones(len(weights) - 1)) if world is None else world

    def of(ratio):
        batch = steps.minibatch()._replace(ratio=ratio)
        return rule.loss(batch, jnp.asarray(weights, jnp.float32), world, CLIP, phase)

    value, gradient = jax.value_and_grad(of)(jnp.asarray(steps.ratio, jnp.float32))
    return float(value), np.asarray(gradient)


def agrees(found, reference, steps, h=1e-6):
    """Whether a loss and its gradient are those of `reference`, a function of the ratios."""
    value, gradient = found
    assert value == pytest.approx(reference(steps.ratio), rel=1e-4, abs=1e-5)
    moves = h * np.eye(len(steps.ratio))
    slope = [(reference(steps.ratio + move) - reference(steps.ratio - move)) / (2 * h) for move in moves]
    np.testing.assert_allclose(gradient, slope, rtol=1e-3, atol=1e-5)
    assert np.abs(gradient[steps.valid == 1]).max() > 1e-3
    assert (gradient[steps.valid == 0] == 0).all()


def multipliers(constraints):
    return np.array([0.7, 0.0, 1.6])[:constraints]


# The losses.


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("constraints", [1, 3])
def test_focops_descends_the_kl_to_the_optimal_policy(constraints, share):
    nu, steps = multipliers(constraints), Steps(constraints)

    def reference(ratio):
        # The library's advantages of costs are those of minus the costs.
        advantage = steps.advantage[:, 0] - (-steps.advantage[:, 1:]) @ nu
        term = steps.kl - ratio * advantage / (1 + nu.sum() if share else 1) / 1.5
        return steps.mean(np.where(steps.kl <= 0.02, term, 0.0))

    agrees(loss(FOCOPS(share=share), steps, [1, *nu]), reference, steps)
    assert ((steps.kl > 0.02) & (steps.valid == 1)).any()


def test_focops_leaves_out_the_states_where_the_policy_went_too_far_and_no_others():
    steps = Steps(1)
    steps.kl[:] = np.linspace(0.0, 0.05, len(steps.kl))
    for bound in (0.01, 0.03):
        _, gradient = loss(FOCOPS(state_kl=bound), steps, [1, 0.5])
        np.testing.assert_array_equal(gradient != 0, (steps.kl <= bound) & (steps.valid == 1))
    value, gradient = loss(FOCOPS(state_kl=0.0), Steps(1), [1, 0.5])
    assert value == 0 and (gradient == 0).all()
    # The divergence itself is descended as well, where it is small enough.
    batch, world = steps.minibatch(), seen(0.0, 1.0)
    slope = jax.grad(lambda kl: FOCOPS().loss(batch._replace(kl=kl), jnp.asarray([1, 0.5]), world, CLIP, 0))(batch.kl)
    inside = (steps.kl <= 0.02) & (steps.valid == 1)
    np.testing.assert_allclose(slope, inside / steps.valid.sum(), rtol=1e-5)


def test_a_high_temperature_keeps_focops_near_the_old_policy():
    _, cold = loss(FOCOPS(temperature=0.5), Steps(1), [1, 0.5])
    _, hot = loss(FOCOPS(temperature=5.0), Steps(1), [1, 0.5])
    np.testing.assert_allclose(cold, 10 * hot, rtol=1e-4)


@pytest.mark.parametrize("constraints", [1, 3])
def test_cup_improves_the_reward_alone_first(constraints):
    steps = Steps(constraints)
    agrees(loss(CUP(), steps, [1, *multipliers(constraints)]), steps.ppo, steps)


@pytest.mark.parametrize(("gamma", "lam", "factor"), [(0.99, 0.95, 5.95), (0.9, 0.5, 5.5), (1.0, 0.95, 5.95)])
@pytest.mark.parametrize("constraints", [1, 3])
def test_cup_projects_on_lower_costs_by_the_factor_of_generalised_advantages(constraints, gamma, lam, factor):
    nu, steps = multipliers(constraints), Steps(constraints)
    world = seen(np.zeros(constraints), np.ones(constraints), gamma=gamma, lam=lam)

    def reference(ratio):
        return steps.mean(factor * ratio * (-steps.advantage[:, 1:] @ nu) + steps.kl)

    agrees(loss(CUP(), steps, [1, *nu], world, phase=1), reference, steps)


def test_a_descent_of_cups_projection_lowers_the_cost():
    steps = Steps(1)
    _, gradient = loss(CUP(), steps, [1, 0.7], phase=1)
    cost = -steps.advantage[:, 1]
    assert steps.mean((steps.ratio - 1e-3 * gradient) * cost) < steps.mean(steps.ratio * cost)


def test_cups_projection_is_passed_over_exactly_while_every_multiplier_is_zero():
    for weights, phase, idle in [
        ([1, 0, 0], 1, True),
        ([1, 0, 0], 0, False),
        ([1, 0, 1e-6], 1, False),
        ([1, 2, 1], 1, False),
        ([1, 2, 1], 0, False),
    ]:
        assert bool(CUP().idle(jnp.asarray(weights, jnp.float32), phase)) is idle


@pytest.mark.slow
def test_cup_runs_two_phases_above_the_limit_and_one_below():
    inside, outside = (int(first_update("cup", limit)[1].step.own["epochs"]) for limit in (1e9, 1e-3))
    assert inside <= 5  # of one phase
    assert inside < outside <= 10


@pytest.mark.parametrize(("excess", "factor"), [("step", 1 / 50), ("discounted", 0.01), ("episode", 1.0)])
@pytest.mark.parametrize("clip_cost", [True, False])
@pytest.mark.parametrize("constraints", [1, 3])
def test_p3o_penalises_every_predicted_excess(constraints, clip_cost, excess, factor):
    steps, length, kappa = Steps(constraints, seed=2), 50.0, 3.0
    deviation = np.array([4.0, 2.0, 0.5])[:constraints]  # of the costs' advantages, in the costs' own unit
    cost, limits = np.array([40.0, 5.0, 9.0])[:constraints], np.array([20.0, 500.0, 8.0])[:constraints]
    world = seen(cost, limits, [1.0, *length * deviation], length, gamma=0.99)

    def reference(ratio):
        total = steps.ppo(ratio)
        for k in range(constraints):
            advantage = -steps.advantage[:, k + 1]
            term = (ratio - 1) * advantage
            if clip_cost:
                term = np.maximum(term, (np.clip(ratio, 1 - CLIP, 1 + CLIP) - 1) * advantage)
            total += kappa * max(0.0, steps.mean(term) + factor * (cost[k] - limits[k]) / deviation[k])
        return total

    rule = P3O(kappa=kappa, excess=excess, clip_cost=clip_cost)
    agrees(loss(rule, steps, [1] + [0] * constraints, world), reference, steps)
    assert reference(steps.ratio) > steps.ppo(steps.ratio)


def test_p3o_is_ppo_well_inside_the_limit_and_a_penalty_above():
    steps = Steps(1)
    inside = loss(P3O(), steps, [1, 0], seen(1.0, 1000.0, [1.0, 50.0]))
    agrees(inside, steps.ppo, steps)
    outside = loss(P3O(), steps, [1, 20], seen(1000.0, 1.0, [1.0, 50.0]))
    assert outside[0] == pytest.approx(inside[0] + 20 * (999 / 50 + clipped_cost(steps)), rel=1e-4)
    gradient = outside[1] - inside[1]
    np.testing.assert_allclose(loss(P3O(kappa=40.0), steps, [1, 40], seen(1000.0, 1.0, [1.0, 50.0]))[1] - inside[1],
                               2 * gradient, rtol=1e-3, atol=1e-5)  # fmt: skip


def clipped_cost(steps):
    cost = -steps.advantage[:, 1]
    return steps.mean(np.maximum((steps.ratio - 1) * cost, (np.clip(steps.ratio, 1 - CLIP, 1 + CLIP) - 1) * cost))


def test_p3os_penalty_begins_where_the_prediction_passes_the_limit():
    """At the policy that acted it is the sign of Ĵ − b alone: ρ − 1 is 0 there."""
    steps = Steps(1)
    steps.ratio[:] = 1.0
    at = [loss(P3O(), steps, [1, 0], seen(cost, 10.0, [1.0, 50.0]))[0] for cost in (9.9, 10.0, 10.1)]
    assert at[0] == at[1]
    assert at[2] == pytest.approx(at[0] + 20 * 0.1 / 50, rel=1e-4)


def test_p3o_does_without_a_cost_that_does_not_vary():
    steps = Steps(1)
    agrees(loss(P3O(), steps, [1, 20], seen(0.0, 1.0, [1.0, 0.0])), lambda ratio: steps.ppo(ratio) + 20 * max(
        0.0, clipped_cost_at(steps, ratio)), steps)  # fmt: skip


def clipped_cost_at(steps, ratio):
    other = Steps(1)
    other.ratio, other.kl, other.advantage, other.valid = ratio, steps.kl, steps.advantage, steps.valid
    return clipped_cost(other)


@pytest.mark.parametrize("constraints", [1, 3])
def test_ipo_descends_ppos_loss_of_reward_and_costs_together(constraints):
    w, steps = multipliers(constraints), Steps(constraints)

    def reference(ratio):
        advantage = (steps.advantage[:, 0] - (-steps.advantage[:, 1:]) @ w) / (1 + w.sum())
        return -steps.mean(np.minimum(ratio * advantage, np.clip(ratio, 1 - CLIP, 1 + CLIP) * advantage))

    agrees(loss(IPO(), steps, [1, *w]), reference, steps)


# IPO's barrier.


def weights(rule, cost, limits, **world):
    return np.asarray(rule.plan(rule.init(len(np.atleast_1d(limits))), seen(cost, limits, **world))[1].weights[0])


@pytest.mark.parametrize("margin", [0.9, 0.5, 0.49, 0.3, 0.1, 0.06])
def test_ipos_slope_is_that_of_the_logarithm_less_the_one_at_its_reach(margin):
    """−κ log m has slope κ/m in −m; below the reach of 0.5 the slope there, 2κ, is taken off."""
    expected = 0.05 / margin - 0.05 / 0.5 if margin < 0.5 else 0.0
    assert weights(IPO(), 20 * (1 - margin), 20.0) == pytest.approx([1.0, expected], rel=1e-4, abs=1e-6)
    wide = IPO(kappa=0.3, reach=math.inf, max_penalty=4.0, unit="cost")
    expected = min(0.3 / (20 * margin), 4.0)
    assert weights(wide, 20 * (1 - margin), 20.0) == pytest.approx([1.0, expected], rel=1e-4)


def test_ipos_slope_rises_to_its_ceiling_which_holds_at_the_limit_and_beyond():
    rule = IPO(max_penalty=0.8)
    slopes = [weights(rule, cost, 20.0) for cost in np.linspace(0.0, 40.0, 81)]
    slopes = np.array([w[1] for w in slopes])
    assert (np.diff(slopes) >= 0).all() and (slopes[:20] == 0).all()
    at_ceiling = np.flatnonzero(slopes >= np.float32(0.8))
    assert slopes.max() == np.float32(0.8) and at_ceiling[0] < 40  # before the limit
    assert weights(rule, 20.0, 20.0).tolist() == pytest.approx([1.0, 0.8])


@pytest.mark.parametrize("restore", [True, False])
def test_ipo_restores_feasibility_while_any_limit_is_violated(restore):
    rule = IPO(restore=restore)
    _, plan = rule.plan(rule.init(3), seen([21.0, 16.0, 2.0], [20.0, 20.0, 20.0]))
    reward = 0.0 if restore else 1.0
    assert plan.weights[0] == pytest.approx([reward, 1.0, 0.05 * (5 - 2), 0.0], rel=1e-4)
    assert plan.wanted[0].tolist() == [not restore, True, True, False]
    assert int(plan.mode) == (SAFETY if restore else BALANCE)
    _, plan = rule.plan(rule.init(3), seen([20.0, 16.0, 2.0], [20.0, 20.0, 20.0]))  # at the limit is not violated
    assert plan.weights[0, 0] == 1 and plan.weights[0, 1] == 1 and int(plan.mode) == BALANCE


def test_ipo_at_a_limit_of_zero():
    assert weights(IPO(), 0.0, 0.0).tolist() == [1.0, 1.0]
    assert weights(IPO(), 1e-3, 0.0).tolist() == [0.0, 1.0]


# The multipliers.


def path(rule, costs, limits, **world):
    """Plan once for every row of `costs`; return memories and plans."""
    plan = jax.jit(type(rule).plan)
    memory, history = rule.init(len(limits)), []
    for cost in costs:
        memory, made = plan(rule, memory, seen(cost, limits, **world))
        history.append((memory, made))
    return history


COSTS = np.array([[25.0, 0.2, 0.5], [35.0, 0.9, 0.0], [90.0, 3.0, 0.1], [10.0, 0.1, 0.0], [0.0, 0.0, 0.0]])
LIMITS = np.array([20.0, 1.0, 0.0])


@pytest.mark.parametrize("rule", [FOCOPS, CUP])
@pytest.mark.parametrize("unit", ["fraction", "cost"])
def test_multipliers_ascend_each_by_its_own_violation_between_zero_and_their_ceiling(rule, unit):
    ascent = DualAscent(initial=0.1, rate=0.2, ceiling=0.4, unit=unit)
    nu, expected = np.full(3, 0.1), []
    for cost in COSTS:
        pull = np.minimum((cost - LIMITS) / [20, 1, 1], 1) if unit == "fraction" else cost - LIMITS
        nu = np.clip(nu + 0.2 * pull, 0, 0.4)
        expected.append(nu)
    history = path(rule(dual=ascent), COSTS, LIMITS)
    np.testing.assert_allclose([memory.value for memory, _ in history], expected, rtol=1e-5, atol=1e-6)
    for (memory, plan), wanted in zip(history, expected, strict=True):
        np.testing.assert_array_equal(plan.weights[0], np.concatenate([[1], memory.value]))
        assert int(plan.mode) == (BALANCE if wanted.any() else REWARD)
    assert np.max(expected) == 0.4 and np.min(expected) == 0.0


def test_multipliers_may_follow_adam():
    """Adam by its paper (arXiv 1412.6980, Algorithm 1), up the violation in the cost's unit."""
    nu, m, v, expected = np.full(3, 0.001), 0.0, 0.0, []
    for t, cost in enumerate(COSTS, 1):
        m, v = 0.9 * m + 0.1 * (cost - LIMITS), 0.999 * v + 0.001 * (cost - LIMITS) ** 2
        nu = np.clip(nu + 0.035 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8), 0, 2)
        expected.append(nu)
    found = [memory.value for memory, _ in path(FOCOPS(dual=OMNISAFE_ASCENT), COSTS, LIMITS)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_by_default_an_excess_of_any_size_raises_a_multiplier_by_no_more_than_an_idle_cost_lowers_it():
    values = [float(memory.value[0]) for memory, _ in path(FOCOPS(), [[1e6], [0.0]], [20.0])]
    assert values == pytest.approx([0.2, 0.0])


# What all have in common.


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rules", [RULES, OTHERS], ids=["default", "published"])
@pytest.mark.parametrize("constraints", [1, 3])
def test_a_memory_keeps_its_shape_and_is_sound(name, rules, constraints):
    rule, random = rules[name], np.random.default_rng(constraints)
    memory = first = rule.init(constraints)
    plan = jax.jit(type(rule).plan)
    for t in range(15):
        per_episode = random.exponential(100, 1 + constraints) * (t % 5 > 0)
        world = seen(random.exponential(20, constraints), 10.0 * np.arange(constraints), per_episode)
        memory, made = plan(rule, memory, world)
        assert jax.tree.structure(memory) == jax.tree.structure(first)
        for now, then in zip(jax.tree.leaves(memory), jax.tree.leaves(first), strict=True):
            assert now.shape == then.shape and now.dtype == then.dtype == jnp.float32
        assert bool(rule.sound(memory))
        assert made.weights.shape == (1, 1 + constraints) and (made.weights >= 0).all()
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((memory, made)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_an_unsound_memory_is_told(name, bad):
    memory = RULES[name].init(2)
    assert not RULES[name].sound(memory._replace(exchange=jnp.asarray([0.0, bad])))
    if hasattr(memory, "value"):
        assert not RULES[name].sound(memory._replace(value=jnp.asarray([0.0, bad])))
        assert not RULES[name].sound(memory._replace(value=jnp.asarray([0.0, 2.1])))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rules", [RULES, OTHERS], ids=["default", "published"])
def test_the_price_of_a_cost_is_logged_in_reward_per_cost(name, rules):
    """w Â_k beside Â: a unit of cost k's surrogate is worth 5 of its cost, one of the reward's 30 of reward."""
    rule = rules[name]
    memory, plan = rule.plan(rule.init(2), seen([25.0, 18.0], [20.0, 20.0], [30.0, 5.0, 0.0]))
    column = "penalty" if name == "p3o" else "multiplier"
    columns, factor = rule.columns(memory), 5.95 if name == "cup" else 1.0  # the weight of CUP's projection
    assert set(columns) == set(rule.logs) == {column}
    assert columns[column] == pytest.approx([factor * float(plan.weights[0, 1]) * 30 / 5, 0.0], rel=1e-4)
    assert columns[column][0] > 0


@pytest.mark.parametrize("name", NAMES)
def test_units_change_neither_plan_nor_memory(name):
    rule, per_episode = RULES[name], np.array([3.0, 2.0, 5.0])
    costs = np.array([[1.5, 2.0], [3.0, 0.4], [0.9, 0.8], [0.7, 0.9]])
    plain = path(rule, costs, np.ones(2), per_episode=per_episode)
    dearer = path(rule, 1000 * costs, np.full(2, 1000.0), per_episode=per_episode * [1, 1000, 1000])
    richer = path(rule, costs, np.ones(2), per_episode=per_episode * [1000, 1, 1])
    both = path(rule, 1000 * costs, np.full(2, 1000.0), per_episode=1000 * per_episode)
    for other, exchange in ((dearer, 1e-3), (richer, 1e3), (both, 1.0)):
        for (before, plan), (after, same) in zip(plain, other, strict=True):
            scaled = before._replace(exchange=exchange * before.exchange)
            for one, two in zip(jax.tree.leaves((scaled, plan)), jax.tree.leaves((after, same)), strict=True):
                np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    assert any((plan.weights[0, 1:] > 0).any() for _, plan in plain)


@pytest.mark.parametrize("factor", [1.0, 1000.0])
def test_p3os_loss_has_no_unit(factor):
    steps = Steps(1)
    world = seen(12.0 * factor, 10.0 * factor, [1.0, 100.0 * factor])
    assert loss(P3O(), steps, [1, 20], world)[0] == pytest.approx(
        loss(P3O(), steps, [1, 20], seen(12.0, 10.0, [1.0, 100.0]))[0], rel=1e-4
    )


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        *((FOCOPS(temperature=value), "temperature") for value in (0.0, math.nan)),
        (FOCOPS(state_kl=-1.0), "state_kl"),
        (FOCOPS(dual=DualAscent(rate=0.0)), "rate"),
        (CUP(dual=DualAscent(initial=3.0)), "initial"),
        (CUP(dual=DualAscent(ceiling=math.inf)), "ceiling"),
        *((P3O(kappa=value), "kappa") for value in (0.0, math.inf)),
        (IPO(kappa=-1.0), "kappa"),
        (IPO(reach=0.0), "reach"),
        (IPO(max_penalty=math.inf), "max_penalty"),
    ],
)
def test_settings_that_make_no_sense_are_named(rule, told):
    with pytest.raises(UsageError, match=told):
        rule.check()


@pytest.mark.parametrize("name", NAMES)
def test_settings_of_the_registry_are_allowed(name):
    for algorithm in (ALGORITHMS[name].algorithm, *ALGORITHMS[name].presets.values()):
        algorithm.check()


# Whole updates.


def quick():
    return dataclasses.replace(LEARNER, critic=CriticFit(epochs=1, minibatch_size=1000))


def update_(algorithm, state, batch, limits):
    limits = jnp.asarray(limits, jnp.float32)
    return update(algorithm, state, batch, limits, jnp.zeros(()), jax.random.key(0))


@functools.cache
def first_update(name, limit):
    algorithm = small(name, quick())
    state, batch = one_batch(algorithm, Bandit(), (limit,))
    return update_(algorithm, state, batch, (limit,))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", ["cup", "p3o", "ipo"])
def test_limits_that_never_bind_give_the_bits_of_ppo(name):
    (mine, _), (theirs, _) = first_update(name, 1e9), first_update("ppo", 1e9)
    parts = (jax.tree.leaves((state.policy, state.step)) for state in (mine, theirs))
    for one, other in zip(*parts, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["cup", "p3o", "ipo"])
def test_a_limit_that_binds_does_not(name):
    (mine, _), (theirs, _) = first_update(name, 1e-3), first_update("ppo", 1e9)
    parts = (jax.tree.leaves(state.policy) for state in (mine, theirs))
    assert any((one != other).any() for one, other in zip(*parts, strict=True))


@pytest.mark.one_in(5)
@pytest.mark.parametrize("name", NAMES)
def test_above_the_limit_the_cost_falls(name):
    """The bandit begins near its lowest cost; from the policy of PPO's first updates the way back is down."""
    settings = {"dual": DualAscent(initial=2.0)} if name in ("focops", "cup") else {}
    algorithm = small(name, quick(), **settings)
    begin = away()
    fresh = algorithm.init(Bandit().problem, jnp.ones(1), jax.random.key(0))
    trained = train(algorithm, Bandit(), (0.5,), iterations=5, state=begin._replace(rule=fresh.rule))
    assert trained.history[0][0].cost[0] > 1.0
    assert trained.costs(1)[0] < trained.history[0][0].cost[0] - 0.3


@functools.cache
def away():
    return train(small("ppo", quick()), Bandit(), (0.5,), iterations=12).state
