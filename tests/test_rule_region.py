"""Constrained trust regions: CPO, PCPO, SB-TRPO, C-TRPO and its barrier, against dense algebra in double precision."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy import optimize

from equipoise.algorithms import find_algorithm
from equipoise.algorithms.algorithm import Algorithm
from equipoise.algorithms.direction import Region
from equipoise.algorithms.families.constrained_region import ENTRIES
from equipoise.algorithms.learner import CriticFit, Learner
from equipoise.algorithms.rule import MODES, Seen
from equipoise.algorithms.rules.c_trpo import CTRPO
from equipoise.algorithms.rules.cpo import CPO
from equipoise.algorithms.rules.pcpo import PCPO
from equipoise.algorithms.rules.pcrpo import PCRPO
from equipoise.algorithms.rules.sb_trpo import SBTRPO
from equipoise.algorithms.rules.slack import Slack
from equipoise.algorithms.rules.unconstrained import Unconstrained
from equipoise.algorithms.steps.trust_region import TrustRegion
from equipoise.errors import UsageError
from equipoise.gradients.barrier import barrier, divergence, with_barrier
from equipoise.gradients.half_spaces import nearest
from equipoise.numerics.krylov import NaturalGradients
from equipoise.policy import Actor
from equipoise.problem import Estimate
from equipoise.training.rollout import collect
from equipoise.training.update import update
from probes import Bandit, Probe, TwoLimits

MAX_KL = 0.02
RADIUS = np.sqrt(2 * MAX_KL)
D = 12


class Model:
    """Gradients and a Fisher matrix in double precision, and what the rules make of them in single precision."""

    def __init__(self, seed, costs, floors, reward=None, gradients=None):
        """`floors`: how far each limit is, in units of what the trust region could do to that cost alone."""
        random = np.random.default_rng(seed)
        root = random.normal(size=(D, D))
        self.fisher = root @ root.T / D + 0.1 * np.eye(D)
        self.gradients = random.normal(size=(1 + costs, D)) if gradients is None else np.asarray(gradients, float)
        if reward is not None:
            self.gradients[0] = reward(self.gradients[1:])
        self.directions = np.linalg.solve(self.fisher, self.gradients.T).T
        self.gram = self.gradients @ self.directions.T
        self.length = np.sqrt(np.diagonal(self.gram))
        self.needed = np.asarray(floors) * RADIUS * self.length[1:]
        self.per_episode = np.array([3.0, 2.0, 5.0, 0.5][: 1 + costs])
        self.limits = np.full(costs, 10.0)
        self.cost = self.limits + self.needed * self.per_episode[1:]

    @property
    def natural(self):
        images = self.gradients @ self.fisher
        return NaturalGradients(
            *(jnp.asarray(x, jnp.float32) for x in (self.gradients, self.directions, self.gram, images))
        )

    @property
    def seen(self):
        return seen(self.cost, self.limits, self.per_episode)

    def move(self, rule, candidate=0, least=1e-3, wanted=None):
        """The candidate's step as a vector, and the direction."""
        plan = rule.plan(rule.init(len(self.limits)), self.seen)[1]
        region = Region(jnp.asarray(MAX_KL), jnp.asarray(least), jnp.zeros(len(self.gradients)))
        direction = direct(rule, self.natural, plan.wanted[candidate], plan.weights[candidate], self.seen, region)
        return np.asarray(direction.step(self.natural), float), direction

    def kl(self, step):
        return step @ self.fisher @ step / 2

    def best(self):
        """CPO's problem by SciPy, in coordinates in which the Fisher matrix is the identity and the radius is 1."""
        root = np.linalg.cholesky(self.fisher)
        g = np.linalg.solve(root, self.gradients.T).T  # F = RRᵀ, x = Rᵀd
        g = g / np.linalg.norm(g, axis=1, keepdims=True)
        floors = self.needed / (RADIUS * self.length[1:])
        constraints = [{"type": "ineq", "fun": lambda x: 1 - x @ x, "jac": lambda x: -2 * x}]
        constraints += [
            {"type": "ineq", "fun": lambda x, a=a, f=f: a @ x - f, "jac": lambda x, a=a: a}
            for a, f in zip(g[1:], floors, strict=True)
        ]
        found = [
            optimize.minimize(
                lambda x: -g[0] @ x, start, jac=lambda x: -g[0], constraints=constraints, method="SLSQP", tol=1e-12
            )
            for start in np.random.default_rng(0).normal(size=(4, D)) / 5
        ]
        best = min((f for f in found if f.success), key=lambda f: f.fun)
        return np.linalg.solve(root.T, RADIUS * best.x)

    def nearest(self, start, metric):
        """The nearest point to `start` that meets all limits, by SciPy's quadratic programme over the multipliers."""
        inverse = np.linalg.inv(metric)
        a = self.gradients[1:]
        hessian, short = a @ inverse @ a.T, self.needed - a @ start
        z = optimize.nnls(np.linalg.cholesky(hessian).T, np.linalg.solve(np.linalg.cholesky(hessian), short))[0]
        return start + inverse @ a.T @ z


def seen(cost, limits, per_episode):
    cost, limits = np.asarray(cost, float), np.asarray(limits, float)
    ones = np.ones(len(cost))
    scalars = {name: np.asarray(1.0) for name in ("reward", "reward_se", "length", "t95")}
    estimate = Estimate(cost=cost, cost_se=ones, episodes=np.asarray(20, np.int32), **scalars)
    limits, per_episode = jnp.asarray(limits, jnp.float32), jnp.asarray(per_episode, jnp.float32)
    return Seen(estimate, limits, jnp.asarray(0.5), per_episode)


@jax.jit
def direct(rule, natural, wanted, weights, seen, region):
    return rule.direct(natural, wanted, weights, seen, region)


def opposed(costs):
    return -costs.sum(0) + 0.3 * np.random.default_rng(5).normal(size=costs.shape[1])


def mode(direction):
    return MODES[int(direction.mode)]


# --- CPO

CASES = {
    "within the limit, which cuts the region": ([-0.4], opposed),
    "on the limit": ([0.0], opposed),
    "violated, but in reach": ([0.7], None),
    "violated, almost out of reach": ([0.99], opposed),
    "two limits bind": ([-0.1, 0.1], opposed),
    "one of two binds": ([-0.1, -3.0], opposed),
    "two violated": ([0.4, 0.3], None),
    "three limits": ([-0.2, 0.0, 0.1], opposed),
    "three, one far away": ([0.3, -9.0, -0.1], opposed),
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("case", CASES)
def test_cpo_solves_its_problem(case, seed):
    floors, reward = CASES[case]
    model = Model(seed, len(floors), floors, reward)
    step, direction = model.move(CPO())
    expected = model.best()
    assert np.abs(step - expected).max() < 2e-3 * np.abs(expected).max()
    assert model.kl(step) <= MAX_KL * (1 + 1e-4)
    assert (model.gradients[1:] @ step >= model.needed - 1e-4 * RADIUS * model.length[1:]).all()
    assert not direction.vanishes and mode(direction) != "safety"


def test_cpo_picks_the_right_limits_of_many_problems():
    random = np.random.default_rng(0)
    for seed in range(40):
        model = Model(seed, 3, random.uniform(-0.6, 0.3, 3), opposed if seed % 2 else None)
        step, _ = model.move(CPO(), least=0.0)
        gain, best = (model.gradients[0] @ x / (RADIUS * model.length[0]) for x in (step, model.best()))
        assert gain == pytest.approx(best, abs=1e-3)
        assert (model.gradients[1:] @ step >= model.needed - 1e-4 * RADIUS * model.length[1:]).all()


@pytest.mark.parametrize("rule", [CPO(), PCPO(), PCPO(projection="l2"), SBTRPO()], ids=repr)
@pytest.mark.parametrize("floors", [[-1.5], [-1e20], [-2.0, -1.01, -1e9]])
def test_limits_out_of_reach_leave_trpos_step_bit_for_bit(rule, floors):
    model = Model(0, len(floors), floors, opposed)
    expected, _ = model.move(Unconstrained())
    step, direction = model.move(rule)
    assert (step == expected).all() and mode(direction) == "reward"


@pytest.mark.parametrize("rule", [CPO(), PCPO(), PCPO(projection="l2"), SBTRPO()], ids=repr)
def test_a_limit_that_the_reward_respects_leaves_trpos_step(rule):
    model = Model(0, 2, [0.01, 0.02], lambda costs: costs.sum(0))
    assert (model.move(rule)[0] == model.move(Unconstrained())[0]).all()


def test_cpo_lowers_the_cost_alone_where_the_limit_is_out_of_reach():
    model = Model(1, 1, [1.7], opposed)
    step, direction = model.move(CPO())
    np.testing.assert_allclose(step, RADIUS * model.directions[1] / model.length[1], rtol=1e-4)
    assert mode(direction) == "safety"


@pytest.mark.parametrize("rule", [CPO(), PCPO()], ids=repr)
def test_out_of_reach_of_several_limits_the_step_points_to_the_nearest_point_that_meets_them(rule):
    model = Model(2, 3, [40.0, 5.0, -0.5])
    step, _ = model.move(rule)
    if isinstance(rule, CPO):
        target = model.nearest(np.zeros(D), model.fisher)
        np.testing.assert_allclose(step, target * np.sqrt(MAX_KL / model.kl(target)), atol=1e-4)
    assert model.kl(step) == pytest.approx(MAX_KL, rel=1e-3)
    assert (model.gradients[1:3] @ step > 0).all()


@pytest.mark.parametrize("rule", [CPO(), PCPO(), PCPO(projection="l2"), SBTRPO()], ids=repr)
def test_a_cost_without_a_gradient_puts_no_limit_on_the_step(rule):
    model = Model(3, 2, [0.0, 0.0], gradients=np.vstack([np.eye(D)[:2], np.zeros(D)]))
    model.cost = model.limits + np.array([-20.0, 7.0])
    step, direction = model.move(rule)
    assert np.isfinite(step).all() and not direction.vanishes
    np.testing.assert_allclose(step, model.move(Unconstrained())[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", [CPO(), PCPO(), PCPO(projection="l2"), SBTRPO(), CTRPO()], ids=repr)
def test_where_all_gradients_vanish_there_is_no_step(rule):
    model = Model(3, 2, [0.0, 0.0], gradients=np.zeros((3, D)))
    model.cost = model.limits + np.array([-1.0, 2.0])
    step, direction = model.move(rule)
    assert (step == 0).all() and direction.vanishes


def test_violated_costs_in_conflict_are_not_lowered_at_each_others_expense():
    model = Model(4, 2, [2.0, 3.0])
    model.gradients[2] = -model.gradients[1] + 0.5 * model.gradients[2]
    model = Model(4, 2, [2.0, 3.0], gradients=model.gradients)
    for rule in (CPO(), PCPO(), SBTRPO(1.0)):
        step, direction = model.move(rule)
        assert not direction.vanishes and (model.gradients[1:] @ step > 0).all()


@pytest.mark.parametrize("rule", [CPO(), PCPO(), PCPO(projection="l2"), SBTRPO()], ids=repr)
def test_of_opposite_violated_costs_the_worst_is_lowered_alone(rule):
    g = np.random.default_rng(0).normal(size=D)
    model = Model(4, 2, [2.0, 3.0], gradients=np.stack([np.zeros(D), g, -g]))
    _, direction = model.move(rule)
    assert direction.vanishes
    step, direction = model.move(rule, candidate=1)
    worst = 1 + np.argmax(model.cost - model.limits)
    np.testing.assert_allclose(step, RADIUS * model.directions[worst] / model.length[worst], rtol=1e-4)
    assert not direction.vanishes and np.isneginf(direction.floor[3 - worst])


def test_at_the_optimum_cpo_does_not_follow_noise():
    """Reward and cost exactly opposed on the limit: what is left of the reward is rounding."""
    g = np.random.default_rng(0).normal(size=D)
    model = Model(5, 1, [0.0], gradients=np.stack([-g, g]))
    assert np.abs(model.move(CPO())[0]).max() < 1e-5
    model = Model(5, 1, [-0.25], gradients=np.stack([-g, g]))
    np.testing.assert_allclose(model.move(CPO())[0], -0.25 * RADIUS * model.directions[1] / model.length[1], rtol=1e-3)


def test_the_line_search_holds_costs_to_their_limits():
    model = Model(6, 3, [-0.4, 0.2, -3.0], opposed)
    _, direction = model.move(CPO())
    np.testing.assert_allclose(direction.floor[1:], np.minimum(model.needed, 0), rtol=1e-3)
    assert np.isneginf(direction.floor[0])
    inside = Model(6, 1, [-0.4], opposed).move(CPO())[1]
    assert (np.asarray(inside.goal) == [1, 0]).all()


# --- PCPO


@pytest.mark.parametrize("projection", ["kl", "l2"])
@pytest.mark.parametrize("floors", [[-0.3], [0.4], [-0.2, -0.1], [0.1, 0.2, -0.1]])
@pytest.mark.parametrize("seed", range(3))
def test_pcpo_projects_on_the_nearest_point_that_meets_the_limits(projection, floors, seed):
    model = Model(seed, len(floors), floors, opposed)
    reward = RADIUS * model.directions[0] / model.length[0]
    metric = model.fisher if projection == "kl" else np.eye(D)
    expected = model.nearest(reward, metric)
    assert not np.allclose(expected, reward)
    step, _ = model.move(PCPO(projection=projection))
    scale = min(1.0, np.sqrt(MAX_KL / model.kl(expected)))
    np.testing.assert_allclose(step, scale * expected, atol=2e-4 * np.abs(expected).max())
    assert model.kl(step) <= MAX_KL * (1 + 1e-3)


def test_the_gain_of_a_step_with_plain_gradients_is_that_of_the_step():
    model = Model(0, 2, [0.1, 0.2], opposed)
    step, direction = model.move(PCPO(projection="l2"))
    assert np.any(direction.plain)
    np.testing.assert_allclose(direction.gain(model.natural), model.gradients @ step, atol=1e-4)
    half = direction.shortened(jnp.asarray(0.5))
    np.testing.assert_allclose(half.step(model.natural), step / 2, rtol=1e-5, atol=1e-7)


def test_half_spaces_without_a_common_point_are_told():
    assert not nearest(jnp.asarray([[1.0, -1.0], [-1.0, 1.0]]), jnp.asarray([1.0, 2.0])).exists
    assert nearest(jnp.asarray([[1.0, -1.0], [-1.0, 1.0]]), jnp.asarray([1.0, -2.0])).exists
    found = nearest(jnp.asarray([[1.0, 0.6], [0.6, 1.0]]), jnp.asarray([1.0, -0.5]))
    np.testing.assert_allclose(found.coordinates, [1.0, 0.0], atol=1e-6)


# --- SB-TRPO


@pytest.mark.parametrize("share", [0.0, 0.3, 0.75, 1.0])
def test_sb_trpo_keeps_its_share_of_the_best_decrease(share):
    model = Model(1, 1, [5.0], opposed)
    step, direction = model.move(SBTRPO(share))
    reward, safety = (RADIUS * model.directions[i] / model.length[i] for i in (0, 1))
    g = model.gradients[1]
    mu = (share * g @ safety - g @ reward) / (g @ safety - g @ reward)
    np.testing.assert_allclose(step, (1 - mu) * reward + mu * safety, atol=1e-4)
    assert g @ step == pytest.approx(share * RADIUS * model.length[1], abs=1e-4)
    assert mode(direction) == ("safety" if share == 1 else "balance")


def test_sb_trpo_asks_for_no_more_than_the_limit_does():
    for floor in (0.1, -0.3):
        model = Model(1, 1, [floor], opposed)
        assert model.gradients[1] @ model.move(SBTRPO())[0] == pytest.approx(model.needed[0], abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_sb_trpo_keeps_its_share_for_every_violated_cost_and_breaks_no_other_limit(seed):
    drawn = Model(seed, 3, [3.0, 4.0, -0.05], opposed).gradients
    drawn[3] = -0.5 * (drawn[1] + drawn[2]) + drawn[3]  # what lowers the first two raises the third
    model = Model(seed, 3, [3.0, 4.0, -0.05], gradients=drawn)
    step, _ = model.move(SBTRPO(0.5))
    root = np.linalg.cholesky(model.fisher)
    units = np.linalg.solve(root, model.gradients.T).T / model.length[:, None]
    took_part = [units[1:3], units[1:4]]  # the third cost joins if the mixture would break its limit
    least = []
    for costs in took_part:
        w = optimize.minimize(
            lambda w, costs=costs: np.sum((w @ costs) ** 2),
            np.full(len(costs), 1 / len(costs)),
            bounds=[(0, 1)] * len(costs),
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            tol=1e-14,
        ).x
        least.append(np.linalg.norm(w @ costs))
    gain = model.gradients @ step / (RADIUS * model.length)
    assert min(abs(min(gain[1:3]) - 0.5 * rho) for rho in least) < 1e-3
    assert gain[3] >= -0.05 - 1e-4
    assert model.kl(step) <= MAX_KL * (1 + 1e-4)


# --- C-TRPO and the barrier


def barred(model, beta=25.0):
    excess, limits = (jnp.asarray(x, jnp.float32) for x in (model.cost - model.limits, model.limits))
    return barrier(excess < 0, beta, excess, limits, jnp.asarray(model.per_episode[1:], jnp.float32))


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("costs", [1, 3])
def test_woodburys_natural_gradients_are_those_of_the_dense_matrix(costs, scale):
    model = Model(7, costs, [-0.4, -0.1, -2.0][:costs])
    weights = scale * np.array([1.0, 0.0, 0.3])[:costs]
    dense = model.fisher + np.einsum("k,ki,kj", weights, model.gradients[1:], model.gradients[1:])
    expected = np.linalg.solve(dense, model.gradients.T).T
    found = with_barrier(model.natural, jnp.asarray(weights, jnp.float32))
    size = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found.natural.directions / size, expected / size, atol=2e-4)
    np.testing.assert_allclose(found.mixture @ model.directions / size, expected / size, atol=2e-4)
    expected = model.gradients @ expected.T
    size = np.sqrt(np.diagonal(expected))
    np.testing.assert_allclose(found.natural.gram / size / size[:, None], expected / size / size[:, None], atol=2e-4)


def test_the_divergence_is_that_of_the_paper_at_any_size():
    rise, margin = np.meshgrid([-50.0, -1.0, -1e-3, 1e-6, 0.0, 0.01, 0.5, 0.999, 1.0, 3.0], [1e-3, 1.0, 1e6])
    with np.errstate(all="ignore"):
        x = rise / margin
        exact = np.where(np.abs(x) < 1e-4, rise * x * (1 / 2 + x / 6), rise + (margin - rise) * np.log(1 - x))
    exact = np.where(x >= 1, np.inf, exact)
    found = divergence(jnp.asarray(rise.ravel(), jnp.float32), jnp.asarray(margin.ravel(), jnp.float32))
    np.testing.assert_allclose(found, exact.ravel(), rtol=2e-4, atol=0)


def test_the_geometry_is_the_second_order_model_of_the_divergence():
    model = Model(8, 2, [-0.5, -0.8])
    rule, terms = CTRPO(), barred(model)
    metric = model.fisher + np.einsum("k,ki,kj", np.asarray(terms.weights), *[model.gradients[1:]] * 2)
    random = np.random.default_rng(0)
    wanted = jnp.asarray([True, False, False])
    for _ in range(5):
        step = 1e-2 * RADIUS * random.normal(size=D) / D

        def distance(t, step=step):
            change = jnp.asarray(model.gradients @ step * t, jnp.float32)
            return float(rule.distance(jnp.asarray(model.kl(step) * t**2), change, wanted, model.seen))

        curvature = distance(1.0) + distance(-1.0) - 2 * distance(0.0)
        assert curvature == pytest.approx(step @ metric @ step, rel=2e-3)


def test_c_trpos_step_is_the_natural_gradient_of_its_geometry():
    model = Model(9, 2, [-0.5, -0.8], opposed)
    step, direction = model.move(CTRPO())
    metric = model.fisher + np.einsum("k,ki,kj", np.asarray(barred(model).weights), *[model.gradients[1:]] * 2)
    expected = np.linalg.solve(metric, model.gradients[0])
    expected *= np.sqrt(2 * MAX_KL / (expected @ model.gradients[0]))
    np.testing.assert_allclose(step, expected, atol=1e-4 * np.abs(expected).max())
    assert np.isneginf(direction.floor).all()


def test_c_trpo_tends_to_trpo_as_limits_go_away():
    model = Model(9, 2, [-0.5, -0.8], opposed)
    trpo, _ = model.move(Unconstrained())
    gaps = []
    for limit in (1e2, 1e4, 1e6, 1e9):
        model.cost, model.limits = np.ones(2), np.full(2, limit)
        gaps.append(np.abs(model.move(CTRPO(barrier=limit))[0] - trpo).max() / np.abs(trpo).max())
    assert gaps == sorted(gaps, reverse=True) and gaps[0] > 1e-2 and gaps[-1] < 1e-6


def test_with_no_strength_only_the_wall_is_left():
    model = Model(9, 1, [-0.5], opposed)
    assert (model.move(CTRPO(barrier=0.0))[0] == model.move(Unconstrained())[0]).all()
    tiny, wanted, kl = CTRPO(barrier=1e-12), jnp.asarray([True, False]), jnp.asarray(1e-3)
    for share, inside in ((0.99, True), (1.01, False)):
        change = jnp.asarray([0.1, share * model.needed[0]], jnp.float32)
        assert np.isfinite(tiny.distance(kl, change, wanted, model.seen)) == inside


def test_c_trpo_recovers_until_it_is_well_inside():
    rule, memory = CTRPO(hysteresis=0.8), jnp.zeros(2)
    told = []
    for cost in ([5.0, 0], [11.0, 0], [9.0, 0], [8.5, 3.0], [8.0, 3.0], [9.9, 0.0], [9.0, 3.1], [9.0, 2.6], [9.0, 2.4]):
        memory, plan = rule.plan(memory, seen(cost, [10.0, 3.0], np.ones(3)))
        assert rule.sound(memory)
        told.append((*np.asarray(memory).astype(int).tolist(), MODES[int(plan.mode)]))
        assert plan.wanted[0].tolist() == [told[-1][2] == "reward", bool(told[-1][0]), bool(told[-1][1])]
    inside, first, second = (0, 0, "reward"), (1, 0, "safety"), (0, 1, "safety")
    assert told == [inside, first, first, first, inside, inside, second, second, inside]


def test_c_trpo_recovers_in_a_geometry_that_keeps_the_other_barriers():
    model = Model(10, 2, [2.0, -0.05])
    step, _ = model.move(CTRPO())
    weights = np.array([0.0, np.asarray(barred(model).weights)[1]])
    metric = model.fisher + np.einsum("k,ki,kj", weights, *[model.gradients[1:]] * 2)
    expected = np.linalg.solve(metric, model.gradients[1])
    expected *= np.sqrt(2 * MAX_KL / (expected @ model.gradients[1]))
    np.testing.assert_allclose(step, expected, atol=1e-4 * np.abs(expected).max())
    model = Model(10, 1, [2.0])
    np.testing.assert_allclose(model.move(CTRPO())[0], RADIUS * model.directions[1] / model.length[1], rtol=1e-4)


def test_a_margin_of_nothing_is_a_wall_and_not_a_nan():
    model = Model(9, 1, [0.0], opposed)
    model.limits = model.cost = np.zeros(1)
    step, _ = model.move(CTRPO())
    assert np.isfinite(step).all()
    assert abs(model.gradients[1] @ step) < 1e-3 * RADIUS * model.length[1]


def test_pcrpos_barrier_metric_projects_in_that_geometry_and_is_fisher_without_barriers():
    slack = Slack(low=-1e3, high=1e3)
    model = Model(11, 2, [-0.2, -0.3], opposed)
    step, direction = model.move(PCRPO(slack, "barrier"))
    metric = model.fisher + np.einsum("k,ki,kj", np.asarray(barred(model).weights), *[model.gradients[1:]] * 2)
    dense = np.linalg.solve(metric, model.gradients.T).T
    transformed = Model(11, 2, [-0.2, -0.3], opposed)
    transformed.directions, transformed.gram = dense, model.gradients @ dense.T
    expected, _ = transformed.move(PCRPO(slack, "fisher"))
    np.testing.assert_allclose(step, expected, atol=1e-4 * np.abs(expected).max())
    assert step @ metric @ step <= 2 * MAX_KL * (1 + 1e-3)
    assert (model.gradients @ step >= -1e-5).all() and not direction.vanishes
    assert not np.allclose(step, model.move(PCRPO(slack, "fisher"))[0], rtol=0.1)
    cos = PCRPO(slack, "barrier").geometry(model.natural, model.seen).gram[0, 1]
    assert cos == pytest.approx(
        transformed.gram[0, 1] / np.sqrt(transformed.gram[0, 0] * transformed.gram[1, 1]), abs=1e-3
    )

    above = Model(11, 2, [0.2, 0.0], opposed)
    np.testing.assert_allclose(
        above.move(PCRPO(slack, "barrier"))[0], above.move(PCRPO(slack, "fisher"))[0], rtol=1e-5, atol=1e-7
    )


# --- settings, and whole updates


@pytest.mark.parametrize(
    "rule",
    [SBTRPO(1.5), SBTRPO(float("nan")), CTRPO(barrier=-1.0), CTRPO(hysteresis=1.1), PCRPO(barrier=-1.0)],
    ids=repr,
)
def test_impossible_settings_are_refused(rule):
    with pytest.raises(UsageError):
        rule.check()


def test_the_registry_has_the_family_and_its_published_settings():
    for name in ("cpo", "pcpo", "sb_trpo", "c_trpo"):
        entry = find_algorithm(name)
        entry.algorithm.check()
        assert entry is ENTRIES[name] and entry.parent == ("" if name == "c_trpo" else "trpo")
    for name in ("cpo", "pcpo"):
        assert ENTRIES[name].presets["omnisafe"].learner.cost_advantages == "centred"


STD = 0.3
LEARNER = Learner(
    hidden=(8,),
    log_std=float(np.log(STD)),
    log_std_floor=float(np.log(STD)),
    discount=1.0,
    cost_discount=1.0,
    critic=CriticFit(epochs=2),
)
STEP = TrustRegion(max_kl=0.05, cg_iterations=4)
OPTIMUM = np.sqrt(1 - STD**2)


def algorithm(rule):
    return Algorithm(rule, STEP, learner=LEARNER)


def train(rule, probe, limits, iterations, steps=20):
    """Train on a probe; return the estimates and the reports."""
    whole, history = algorithm(rule), []
    limits = jnp.asarray(limits)
    state = whole.init(probe.problem, limits, jax.random.key(0))
    for i in range(iterations):
        rollout = collect(probe, Actor(state.policy, state.observations), steps, (0, i))
        state, report = update(whole, state, rollout.batch, limits, jnp.asarray(i / iterations), jax.random.key(i))
        history.append((rollout.batch.estimate, report))
    return history


def last(history, n=10):
    return np.mean([[e.reward, *e.cost] for e, _ in history[-n:]], axis=0)


class WithNothing(Bandit):
    """The bandit with a second cost that is always 0, so that all updates here have the same shapes."""

    def __init__(self, floor=0.0):
        Probe.__init__(self, 100, horizon=1, costs=2)
        self.floor = floor

    def pay(self, action, age, memory):
        reward, cost = super().pay(action, age, memory)
        return reward, np.concatenate([cost, np.zeros_like(cost)], axis=1)


@functools.cache
def on_the_bandit(name):
    return train(ENTRIES[name].algorithm.rule, WithNothing(), (1.0, 0.0), 45)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", ["cpo", "pcpo", "sb_trpo"])
def test_the_bandits_optimum_is_found(name):
    reward, cost, _ = last(on_the_bandit(name))
    assert reward == pytest.approx(-((OPTIMUM - 2) ** 2) - STD**2, abs=0.06)
    assert cost == pytest.approx(1.0, abs=0.05)


@pytest.mark.slow
def test_c_trpo_stays_inside_and_recovers_with_hysteresis():
    history = on_the_bandit("c_trpo")
    assert 0.5 < last(history, 20)[1] < 1.0
    recovering = np.array([report.rule["recovering"][0] for _, report in history])
    cost = np.array([estimate.cost[0] for estimate, _ in history])
    assert recovering.any() and not recovering.all()
    assert (recovering[cost > 1] == 1).all() and (recovering[cost <= 0.8] == 0).all()
    assert [MODES[int(r.step.mode)] == "safety" for _, r in history] == (recovering == 1).tolist()


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", ENTRIES)
def test_an_infeasible_limit_lowers_the_cost_as_far_as_it_goes(name):
    history = train(ENTRIES[name].algorithm.rule, WithNothing(floor=1.0), (0.5, 0.0), 25)
    assert last(history)[1] == pytest.approx(1 + STD**2, abs=0.04)
    assert all(MODES[int(report.step.mode)] != "reward" for _, report in history)


@pytest.mark.parametrize("name", ["cpo", "pcpo", "sb_trpo"])
def test_of_two_limits_the_one_that_binds_decides(name):
    reward, _, second = last(train(ENTRIES[name].algorithm.rule, TwoLimits(), (6.0, 2.0), 25))
    assert second == pytest.approx(2.0, abs=0.12)
    assert reward == pytest.approx(np.sqrt(2.0 - STD**2) - 1, abs=0.06)


@functools.cache
def first_rollout():
    """A rollout with two costs, and the state that it came from is that of `updated`."""
    probe = TwoLimits(num_envs=20)
    state = algorithm(CPO()).init(probe.problem, jnp.ones(2), jax.random.key(0))
    return collect(probe, Actor(state.policy, state.observations), 100, (0, 0)).batch


def updated(rule, limits, batch=None):
    whole, limits = algorithm(rule), jnp.asarray(limits)
    state = whole.init(TwoLimits().problem, limits, jax.random.key(0))
    state, report = update(whole, state, batch or first_rollout(), limits, jnp.asarray(0.5), jax.random.key(2))
    return np.asarray(ravel_pytree(state.policy)[0]), report


@pytest.mark.one_in(4)
@pytest.mark.parametrize("rule", [CPO(), PCPO(), PCPO(projection="l2"), SBTRPO()], ids=repr)
def test_an_update_whose_limits_never_bind_has_trpos_bits(rule):
    expected, _ = updated(Unconstrained(), (1e9, 1e6))
    policy, report = updated(rule, (1e9, 1e6))
    assert (policy == expected).all() and MODES[int(report.step.mode)] == "reward"
    bound, _ = updated(rule, first_rollout().estimate.cost * 0.99)
    assert not np.allclose(bound, expected)


@pytest.mark.slow
def test_c_trpos_update_tends_to_trpos():
    expected, _ = updated(Unconstrained(), (1e9, 1e9))
    np.testing.assert_allclose(updated(CTRPO(), (1e9, 1e9))[0], expected, atol=1e-5)


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    "rule", [CPO(), PCPO(), PCPO(projection="l2"), SBTRPO(), CTRPO(), PCRPO(metric="barrier")], ids=repr
)
@pytest.mark.parametrize("level", [0.97, 1.03])
def test_units_do_not_matter(rule, level):
    """Powers of 2, so that not even rounding differs."""
    batch, factor = first_rollout(), np.array([1 / 64, 1024.0])
    limits = batch.estimate.cost / level
    policy, report = updated(rule, limits)
    estimate = batch.estimate._replace(cost=batch.estimate.cost * factor, cost_se=batch.estimate.cost_se * factor)
    other = batch._replace(reward=batch.reward * 1024, cost=batch.cost * factor, estimate=estimate)
    rescaled, rescaled_report = updated(rule, limits * factor, other)
    assert int(report.step.outcome) == int(rescaled_report.step.outcome) and report.step.kl > 0
    np.testing.assert_allclose(rescaled, policy, atol=2e-6)


@pytest.mark.parametrize("rule", [CPO(), PCPO(), PCPO(projection="l2"), SBTRPO()], ids=repr)
def test_an_update_moves_predicted_costs_towards_limits(rule):
    """From above, the predicted cost falls; from within, it does not pass the limit."""
    cost = first_rollout().estimate.cost
    for share in (0.99, 1.01):
        limits = cost * share
        _, report = updated(rule, limits)
        assert report.step.outcome == 0
        after = cost - np.asarray(report.step.gain)[1:]
        assert (after <= np.maximum(limits, cost if share > 1 else cost - 1e-6) + 1e-3).all()
        assert 0 < report.step.kl <= STEP.max_kl
