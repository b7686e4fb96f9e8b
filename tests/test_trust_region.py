"""The policy step on small synthetic samples, against a dense double-precision implementation of the specification."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from equipoise.algorithms import MODES, PCRPO, Balance, Plan, Seen, TrustRegion
from equipoise.algorithms.direction import Region
from equipoise.algorithms.prepare import Samples
from equipoise.algorithms.steps.report import OUTCOMES
from equipoise.gradients import AGGREGATORS
from equipoise.gradients.metric import FIXED
from equipoise.numerics.krylov import NaturalGradients
from equipoise.policy import GaussianPolicy

FLOOR = -3.0
STEPS, NUM_ENVS, OBSERVATIONS, ACTIONS, HIDDEN = 8, 6, 3, 2, 4
PARAMETERS = HIDDEN * OBSERVATIONS + HIDDEN + ACTIONS * HIDDEN + ACTIONS + ACTIONS
DAMPING = 0.1
MAX_KL = 0.01
CONFIG = {"cg_iterations": PARAMETERS, "damping": DAMPING, "max_kl": MAX_KL, "fisher_every": 2, "heldout": True}
"""As many iterations as parameters: every solve is exact. The Fisher matrix is over every second time step."""

BOTH, REWARD, SAFETY, NOTHING = (True, True), (True, False), (False, True), (False, False)

compiled = jax.jit(TrustRegion.improve)
SEEN = Seen(None, None, None, jnp.ones(2))
"""The surrogates' own units; the rest of what a rule sees has no say in a step that is planned."""


@jax.jit
def compiled_direction(rule, natural, wanted, weights, region):
    return rule.direct(natural, wanted, weights, SEEN, region)


# The specification, dense and in double precision


def forward(parameters, observation):
    """Return means and log-deviations from the parameters as one vector; observations are rows."""
    cuts = np.cumsum([HIDDEN * OBSERVATIONS, HIDDEN, ACTIONS * HIDDEN, ACTIONS])
    first, bias, last, last_bias, log_std = jnp.split(parameters, cuts)
    hidden = jnp.tanh(observation @ first.reshape(HIDDEN, OBSERVATIONS).T + bias)
    return hidden @ last.reshape(ACTIONS, HIDDEN).T + last_bias, log_std


def surrogates(parameters, old, rows):
    """Return E[(π/π_old − 1)·Âᵢ] of every objective."""

    def log_density(parameters):
        mean, log_std = forward(parameters, rows.observation)
        return (-0.5 * ((rows.action - mean) / jnp.exp(log_std)) ** 2 - log_std).sum(-1)

    return jnp.expm1(log_density(parameters) - log_density(old)) @ rows.advantage / len(rows.advantage)


def divergences(parameters, old, rows):
    """Return the mean KL divergence from the old policy."""
    (mean, log_std), (new_mean, new_log_std) = (forward(p, rows.observation) for p in (old, parameters))
    square = (jnp.exp(2 * log_std) + (mean - new_mean) ** 2) / jnp.exp(2 * new_log_std)
    return (new_log_std - log_std + 0.5 * square - 0.5).sum(-1).mean()


compiled_surrogates = jax.jit(surrogates)
gradients_of = jax.jit(jax.jacobian(surrogates))
fisher_of = jax.jit(jax.hessian(divergences))


class Rows(NamedTuple):
    """The valid steps of some samples, in double precision."""

    observation: np.ndarray
    action: np.ndarray
    advantage: np.ndarray


def rows_of(samples):
    valid = np.asarray(samples.valid)
    return Rows(*(np.asarray(x, np.float64)[valid] for x in samples[:3]))


class Reference(NamedTuple):
    """Gradients, Fisher matrix and natural gradients, dense."""

    gradients: np.ndarray
    fisher: np.ndarray

    @property
    def system(self):
        return self.fisher + DAMPING * np.eye(PARAMETERS)

    @property
    def directions(self):
        return np.linalg.solve(self.system, self.gradients.T).T

    def step(self, wanted=BOTH, preference=(0.5, 0.5), metric="fisher", max_kl=MAX_KL):
        """Return the step of full length and sin²φ, by the paper's formula for two gradients."""
        root = np.linalg.inv(np.linalg.cholesky(self.system)).T
        vectors = {"euclidean": self.gradients, "fisher": self.gradients @ root}.get(metric, self.directions)
        lengths = np.linalg.norm(vectors, axis=1)
        if metric == "step":
            lengths = np.sqrt((self.gradients * self.directions).sum(1))
        x, (e, f) = np.asarray(preference) * np.asarray(wanted), vectors / lengths[:, None]
        cosine = e @ f / np.linalg.norm(e) / np.linalg.norm(f)
        if all(wanted) and cosine < 0:
            weights, sin2_phi = x - x[::-1] * (e @ f) / np.array([e @ e, f @ f]), 1 - cosine**2
        else:
            weights, sin2_phi = x, 1.0
        step = (weights / lengths) @ self.directions
        return step * np.sqrt(2 * max_kl * sin2_phi / (step @ self.system @ step)), sin2_phi


def reference(policy, samples):
    """Compute the reference for `samples`."""
    start = parameters_of(policy)
    with jax.enable_x64():
        gradients = gradients_of(start, start, rows_of(samples))
        fisher = fisher_of(start, start, rows_of(jax.tree.map(lambda x: x[:: CONFIG["fisher_every"]], samples)))
        return Reference(np.asarray(gradients), np.asarray(fisher))


def measured(policy, new, samples):
    """Return the mean KL divergence and every surrogate's change between two policies."""
    with jax.enable_x64():
        arguments = (parameters_of(new), parameters_of(policy), rows_of(samples))
        return float(divergences(*arguments)), np.asarray(surrogates(*arguments))


def parameters_of(policy):
    return np.asarray(ravel_pytree(policy)[0], np.float64)


# Synthetic problems


@functools.cache
def drawn_policy(log_std=-0.5):
    policy = GaussianPolicy.create(jax.random.key(0), OBSERVATIONS, ACTIONS, (HIDDEN,), log_std, FLOOR)
    parameters, rebuild = ravel_pytree(policy)
    return rebuild(parameters.at[:-ACTIONS].add(0.3 * jax.random.normal(jax.random.key(1), (PARAMETERS - ACTIONS,))))


@functools.cache
def drawn_samples(conflict=0.0, seed=0):
    """Draw samples whose cost advantage is `conflict` times against the reward's (0: of its own; −1: in accord)."""
    random = np.random.default_rng(seed)
    observation = random.normal(size=(STEPS, NUM_ENVS, OBSERVATIONS)).astype(np.float32)
    mean, log_std = drawn_policy()(jnp.asarray(observation).reshape(-1, OBSERVATIONS))
    action = mean.reshape(STEPS, NUM_ENVS, ACTIONS) + np.exp(log_std) * random.normal(size=(STEPS, NUM_ENVS, ACTIONS))
    reward, cost = random.normal(size=(2, STEPS, NUM_ENVS))
    valid = random.random((STEPS, NUM_ENVS)) < 0.9
    advantage = np.stack([reward, -conflict * reward + (1 - abs(conflict)) * cost], axis=-1) * valid[..., None]
    return Samples(*(jnp.asarray(x, jnp.float32) for x in (observation, action, advantage)), jnp.asarray(valid))


def scaled(samples, *factors):
    return samples._replace(advantage=samples.advantage * jnp.asarray(factors, jnp.float32))


def plan(*candidates, preference=(0.5, 0.5)):
    """Ask for `candidates`, filled up to two; one objective alone has all the preference."""
    wanted = np.array([*candidates, NOTHING][:2])
    preferences = np.where(wanted.all(1, keepdims=True), preference, wanted).astype(np.float32)
    return Plan(jnp.asarray(1, jnp.int32), jnp.asarray(wanted), jnp.asarray(preferences))


class Report(NamedTuple):
    """A step's report with its own columns by name."""

    mode: np.ndarray
    outcome: np.ndarray
    cos: np.ndarray
    weights: np.ndarray
    gain: np.ndarray
    kl: np.ndarray
    cos_fisher: np.ndarray
    implied_multiplier: np.ndarray
    backtracks: np.ndarray
    gain_heldout: np.ndarray


def improved(samples, asked=None, policy=None, metric="fisher", aggregator="pcrpo", **config):
    """Improve the drawn policy; return the new one and the report in NumPy."""
    asked = plan(BOTH) if asked is None else asked
    policy = drawn_policy() if policy is None else policy
    config = {name: type(getattr(TrustRegion(), name))(value) for name, value in config.items()}
    settings, rule = TrustRegion(**CONFIG | config), PCRPO(metric=metric, balance=Balance(aggregator))
    found = jax.tree.map(np.asarray, compiled(settings, policy, (), samples, asked, SEEN, rule, jax.random.key(0)))
    *shared, own = found.report
    return found.policy, Report(
        *shared,
        *(own[name] for name in ("cos_fisher", "implied_multiplier", "backtracks")),
        own["heldout_change"] * np.array([1, -1]),
    )


def halves(samples):
    """The environments from which the held-out step is computed, and the others."""
    return [jax.tree.map(lambda x, first=first: x[:, first::2], samples) for first in (0, 1)]


def moved(new, policy=None):
    return parameters_of(new) - parameters_of(drawn_policy() if policy is None else policy)


def assert_unmoved(new, report, outcome):
    assert OUTCOMES[report.outcome] == outcome
    for old, found in zip(jax.tree.leaves(drawn_policy()), jax.tree.leaves(new), strict=True):
        np.testing.assert_array_equal(old, found)
    assert report.kl == 0
    np.testing.assert_array_equal(report.gain, 0)
    np.testing.assert_array_equal(report.weights, 0)
    np.testing.assert_array_equal(report.gain_heldout, 0)


CONFLICTS = (-0.9, 0.0, 0.6, 0.9)
PLANS = {"both": plan(BOTH), "reward": plan(REWARD), "safety": plan(SAFETY)}
WANTED = {"both": BOTH, "reward": REWARD, "safety": SAFETY}


# What the step is


@pytest.mark.one_in(5)
@pytest.mark.parametrize("asked", PLANS)
@pytest.mark.parametrize("conflict", CONFLICTS)
def test_the_step_is_the_projected_natural_gradient_scaled_to_its_radius(conflict, asked):
    samples = drawn_samples(conflict)
    new, report = improved(samples, PLANS[asked])
    step, _ = reference(drawn_policy(), samples).step(WANTED[asked])
    assert OUTCOMES[report.outcome] == "accepted"
    expected = 0.8**report.backtracks * step
    np.testing.assert_allclose(moved(new), expected, rtol=1e-3, atol=1e-4 * np.linalg.norm(expected))


@pytest.mark.parametrize("metric", FIXED)
def test_each_metric_projects_in_its_own_geometry(metric):
    dense = reference(drawn_policy(), drawn_samples(0.6))
    arrays = (dense.gradients, dense.directions, dense.gradients @ dense.directions.T)
    natural = NaturalGradients(*(jnp.asarray(x, jnp.float32) for x in arrays))
    region = Region(MAX_KL, TrustRegion().min_sin2_phi, jnp.zeros(2))
    rule = PCRPO(metric=metric)
    found = compiled_direction(rule, natural, jnp.asarray(BOTH), jnp.asarray([0.3, 0.7]), region)
    expected, _ = dense.step(preference=(0.3, 0.7), metric=metric)
    np.testing.assert_allclose(found.coefficients @ natural.directions, expected, rtol=1e-3, atol=1e-4)
    other, _ = dense.step(preference=(0.3, 0.7), metric="natural" if metric == "fisher" else "fisher")
    assert np.linalg.norm(expected - other) > 0.01 * np.linalg.norm(expected)


@pytest.mark.slow
def test_the_step_is_taken_and_its_cosine_reported_in_the_metric_asked_for():
    samples = drawn_samples(0.6)
    new, report = improved(samples, metric="euclidean")
    dense = reference(drawn_policy(), samples)
    expected = 0.8**report.backtracks * dense.step(metric="euclidean")[0]
    np.testing.assert_allclose(moved(new), expected, rtol=1e-3, atol=1e-4)
    reward, cost = dense.gradients
    cosine = reward @ cost / np.linalg.norm(reward) / np.linalg.norm(cost)
    np.testing.assert_allclose(report.cos, cosine, rtol=1e-3)
    assert abs(report.cos_fisher[0] - cosine) > 0.01


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_the_unshortened_step_has_radius_delta_times_squared_sine(conflict):
    """dᵀ(F + λI)d = 2δ·sin²φ under conflict, 2δ without."""
    samples = drawn_samples(conflict)
    new, report = improved(samples)
    full = moved(new) / 0.8**report.backtracks
    cosine = report.cos_fisher[0]
    assert (cosine < -0.1) == (conflict > 0.3)
    expected = 2 * MAX_KL * (1 - min(cosine, 0) ** 2)
    assert full @ reference(drawn_policy(), samples).system @ full == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("max_kl", [1e-4, 0.01, 0.3])
@pytest.mark.parametrize("conflict", CONFLICTS)
def test_an_accepted_step_stays_in_the_radius_and_raises_the_combined_surrogate(conflict, max_kl):
    samples = drawn_samples(conflict)
    new, report = improved(samples, max_kl=max_kl)
    assert OUTCOMES[report.outcome] == "accepted"
    kl, change = measured(drawn_policy(), new, samples)
    assert 0 < kl <= max_kl
    assert report.kl == pytest.approx(kl, rel=1e-2, abs=1e-6)
    # The combined surrogate is Σ cᵢLᵢ for the step Σ cᵢuᵢ.
    directions = reference(drawn_policy(), samples).directions
    coefficients = np.linalg.lstsq(directions.T, moved(new), rcond=None)[0]
    np.testing.assert_allclose(coefficients @ directions, moved(new), atol=1e-3 * np.linalg.norm(moved(new)))
    assert coefficients @ change > 0


def test_the_line_search_shortens_a_step_that_is_too_long():
    """At this radius the quadratic model of the divergence no longer holds."""
    samples, backtracks = drawn_samples(0.0), []
    for max_kl in (0.01, 1.0, 4.0):
        new, report = improved(samples, max_kl=max_kl)
        backtracks.append(report.backtracks)
        assert OUTCOMES[report.outcome] == "accepted"
        step, _ = reference(drawn_policy(), samples).step(max_kl=max_kl)
        assert measured(drawn_policy(), new, samples)[0] <= max_kl
        np.testing.assert_allclose(moved(new), 0.8**report.backtracks * step, atol=1e-3 * np.linalg.norm(step))
    assert backtracks[-1] > backtracks[0]


# What is accepted


def test_opposite_objectives_are_stationary_and_leave_every_bit_in_place():
    assert_unmoved(*improved(drawn_samples(1.0)), outcome="stationary")


def test_nothing_to_learn_is_stationary_and_leaves_every_bit_in_place():
    assert_unmoved(*improved(scaled(drawn_samples(), 0, 0)), outcome="stationary")


def test_a_smaller_sine_than_the_threshold_is_stationary():
    samples = drawn_samples(0.9)
    _, sin2_phi = reference(drawn_policy(), samples).step()
    assert OUTCOMES[improved(samples, min_sin2_phi=0.99 * sin2_phi)[1].outcome] == "accepted"
    assert_unmoved(*improved(samples, min_sin2_phi=1.01 * sin2_phi), outcome="stationary")


def test_a_stationary_balance_falls_back_to_the_next_candidate():
    samples = drawn_samples(1.0)
    new, report = improved(samples, plan(BOTH, SAFETY))
    assert OUTCOMES[report.outcome] == "stationary, then fallback"
    step, _ = reference(drawn_policy(), samples).step(SAFETY)
    np.testing.assert_allclose(moved(new), 0.8**report.backtracks * step, atol=1e-3 * np.linalg.norm(step))
    assert report.gain[1] > 0


def test_a_candidate_that_wants_nothing_is_passed_over():
    samples = drawn_samples(0.6)
    assert_unmoved(*improved(samples, plan(NOTHING, NOTHING)), outcome="stationary")
    new, _ = improved(samples, plan(NOTHING, SAFETY))
    expected, _ = improved(samples, plan(SAFETY, NOTHING))
    np.testing.assert_array_equal(parameters_of(new), parameters_of(expected))


def test_a_step_no_shortening_of_which_is_acceptable_is_rejected_and_leaves_every_bit_in_place():
    """The radius is so large that even the shortest step tried goes too far: it leaves the radius or loses reward."""
    samples, max_kl = drawn_samples(seed=4), 1e5
    assert_unmoved(*improved(samples, plan(REWARD), max_kl=max_kl, allowed_loss=1e9), outcome="rejected")
    step, _ = reference(drawn_policy(), samples).step(REWARD, max_kl=max_kl)
    start = parameters_of(drawn_policy())
    with jax.enable_x64():
        tried = [start + 0.8**k * step for k in range(16)]
        inside = [new for new in tried if divergences(new, start, rows_of(samples)) <= max_kl]
        gains = [float(compiled_surrogates(new, start, rows_of(samples))[0]) for new in inside]
    assert gains
    assert max(gains) < -0.1


HARMFUL_KL = 0.1


@functools.cache
def harmful():
    """Samples for which the reward's projected step harms the cost at second order, and not at first.

    Also the cost's loss at that step and its shortenings.
    """
    start = parameters_of(drawn_policy())
    for seed in range(10):
        samples = drawn_samples(0.6, seed)
        step, _ = reference(drawn_policy(), samples).step(preference=(1.0, 0.0), max_kl=HARMFUL_KL)
        # Turning both advantages turns the step; what the cost loses at second order does not turn.
        for sign in (1, -1):
            turned = scaled(samples, sign, sign)
            with jax.enable_x64():
                tried = [start + sign * 0.8**k * step for k in range(16)]
                losses = [-float(compiled_surrogates(new, start, rows_of(turned))[1]) for new in tried]
                kl = float(divergences(tried[0], start, rows_of(turned)))
            if min(losses) > 1e-6 and kl < HARMFUL_KL:
                return turned, losses
    raise AssertionError("no such samples")


REWARD_ALONG_THE_COST = plan(BOTH, SAFETY, preference=(1.0, 0.0))


def test_a_step_that_harms_a_wanted_objective_is_rejected_and_the_next_candidate_tried():
    samples, _ = harmful()
    new, report = improved(samples, REWARD_ALONG_THE_COST, allowed_loss=0, max_kl=HARMFUL_KL)
    assert OUTCOMES[report.outcome] == "rejected, then fallback"
    step, _ = reference(drawn_policy(), samples).step(SAFETY, max_kl=HARMFUL_KL)
    np.testing.assert_allclose(moved(new), 0.8**report.backtracks * step, atol=1e-3 * np.linalg.norm(step))
    assert measured(drawn_policy(), new, samples)[1][1] > 0


def test_harm_up_to_the_allowed_share_of_a_standard_error_is_accepted():
    """A loss is weighed against the standard error, over environments, of the objective's mean advantage."""
    samples, losses = harmful()
    valid = np.asarray(samples.valid)
    means = [np.asarray(samples.advantage)[valid[:, env], env, 1].mean() for env in range(NUM_ENVS)]
    share = losses[0] / (np.std(means, ddof=1) / np.sqrt(NUM_ENVS))
    allowed, refused = (
        improved(samples, REWARD_ALONG_THE_COST, allowed_loss=factor * share, max_kl=HARMFUL_KL)[1]
        for factor in (1.02, 0.98)
    )
    assert (OUTCOMES[allowed.outcome], allowed.backtracks) == ("accepted", 0)
    assert (OUTCOMES[refused.outcome], refused.backtracks) == ("accepted", 1)


def test_without_allowed_harm_no_wanted_objective_loses():
    for seed in range(6):
        samples = drawn_samples(0.6, seed)
        new, report = improved(samples, allowed_loss=0.0)
        if OUTCOMES[report.outcome] == "accepted":
            assert (measured(drawn_policy(), new, samples)[1] >= -1e-7).all()


# Another aggregator

ALONG_THE_REWARD = "along_the_reward"


@pytest.fixture
def along_the_reward_known(monkeypatch):
    """An aggregator that takes the reward's own direction, under a name."""
    aggregator = dataclasses.replace(
        AGGREGATORS["weighted_sum"], name=ALONG_THE_REWARD, weights=lambda gram, x, wanted: jnp.asarray([1.0, 0.0])
    )
    monkeypatch.setitem(AGGREGATORS, ALONG_THE_REWARD, aggregator)


def along_the_reward(dense):
    """The reward's own step in the radius that the balance has."""
    return np.sqrt(dense.step()[1]) * dense.step(REWARD)[0]


@pytest.mark.slow
def test_a_balance_steps_along_the_aggregators_direction_and_its_heldout_gain_is_of_the_same(along_the_reward_known):
    samples = drawn_samples(0.6)
    new, report = improved(samples, aggregator=ALONG_THE_REWARD, allowed_loss=1e9)
    expected = 0.8**report.backtracks * along_the_reward(reference(drawn_policy(), samples))
    np.testing.assert_allclose(moved(new), expected, atol=1e-3 * np.linalg.norm(expected))
    assert report.gain[1] < -1e-3
    half, other = halves(samples)
    heldout = reference(drawn_policy(), other).gradients @ along_the_reward(reference(drawn_policy(), half))
    np.testing.assert_allclose(report.gain_heldout, heldout, rtol=2e-3, atol=1e-5)


def test_the_line_search_holds_an_aggregator_to_the_loss_allowed(along_the_reward_known):
    samples = drawn_samples(0.6)
    assert_unmoved(*improved(samples, aggregator=ALONG_THE_REWARD, allowed_loss=0), outcome="rejected")
    new, report = improved(samples, plan(BOTH, SAFETY), aggregator=ALONG_THE_REWARD, allowed_loss=0)
    assert OUTCOMES[report.outcome] == "rejected, then fallback"
    step, _ = reference(drawn_policy(), samples).step(SAFETY)
    np.testing.assert_allclose(moved(new), 0.8**report.backtracks * step, atol=1e-3 * np.linalg.norm(step))


# What is reported


@pytest.mark.parametrize("asked", PLANS)
def test_gain_is_the_first_order_change_of_each_surrogate(asked):
    samples = drawn_samples(0.6)
    new, report = improved(samples, PLANS[asked])
    exact = reference(drawn_policy(), samples)
    np.testing.assert_allclose(report.gain, exact.gradients @ moved(new), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(report.gain, exact.gradients @ (report.weights @ exact.directions), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("asked", PLANS)
@pytest.mark.parametrize("conflict", [0.0, 0.6])
def test_heldout_gain_is_the_step_of_half_the_environments_on_the_gradients_of_the_other_half(conflict, asked):
    samples = drawn_samples(conflict)
    _, report = improved(samples, PLANS[asked])
    half, other = halves(samples)
    step, _ = reference(drawn_policy(), half).step(WANTED[asked])
    expected = reference(drawn_policy(), other).gradients @ step
    np.testing.assert_allclose(report.gain_heldout, expected, rtol=2e-3, atol=1e-5)


def test_heldout_gain_is_that_of_the_candidate_taken():
    samples = drawn_samples(1.0)
    _, report = improved(samples, plan(BOTH, SAFETY))
    _, expected = improved(samples, plan(SAFETY))
    np.testing.assert_array_equal(report.gain_heldout, expected.gain_heldout)


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_cosine_and_multiplier_are_those_of_the_fisher_metric(conflict):
    samples = scaled(drawn_samples(conflict), 1, 5)
    report = improved(samples)[1]
    found = reference(drawn_policy(), samples)
    gram = found.gradients @ found.directions.T
    np.testing.assert_allclose(report.cos_fisher, gram[0, 1] / np.sqrt(gram[0, 0] * gram[1, 1]), rtol=1e-3)
    np.testing.assert_allclose(report.implied_multiplier, -gram[0, 1] / gram[1, 1], rtol=1e-3)
    np.testing.assert_allclose(report.cos, report.cos_fisher, rtol=1e-5)


def test_the_mode_is_passed_on():
    for mode in range(len(MODES)):
        assert improved(drawn_samples(), plan(BOTH)._replace(mode=jnp.asarray(mode, jnp.int32)))[1].mode == mode


# What it does not depend on


@pytest.mark.parametrize("factors", [(1000, 1), (1, 1e-3), (1e-6, 1e6)])
@pytest.mark.parametrize("conflict", [0.0, 0.6])
def test_the_unit_of_an_objective_does_not_change_the_step(conflict, factors):
    samples = drawn_samples(conflict)
    new, report = improved(scaled(samples, *factors))
    expected, expected_report = improved(samples)
    np.testing.assert_allclose(moved(new), moved(expected), atol=1e-4 * np.linalg.norm(moved(expected)))
    assert report.outcome == expected_report.outcome
    assert report.backtracks == expected_report.backtracks
    np.testing.assert_allclose(report.gain / np.asarray(factors), expected_report.gain, rtol=1e-3)


def test_samples_that_are_not_valid_have_no_influence():
    samples = drawn_samples(0.6)
    random = np.random.default_rng(1)

    def changed(x):
        return jnp.where(samples.valid[..., None], x, 3 * random.normal(size=x.shape).astype(np.float32))

    other = samples._replace(observation=changed(samples.observation), action=changed(samples.action))
    for found, expected in zip(jax.tree.leaves(improved(other)), jax.tree.leaves(improved(samples)), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_step_is_the_same_for_a_plan_with_more_candidates():
    samples = drawn_samples(0.6)
    first, second = improved(samples, plan(BOTH)), improved(samples, plan(BOTH, SAFETY))
    np.testing.assert_array_equal(parameters_of(first[0]), parameters_of(second[0]))


@pytest.mark.slow
def test_the_deviation_respects_its_floor_and_rises_from_it_again():
    """Rewarding what is near the mean shrinks σ to the floor, rewarding what is far from it widens σ again."""
    policy, samples = drawn_policy(log_std=FLOOR + 0.02), drawn_samples()
    mean, log_std = policy(samples.observation.reshape(-1, OBSERVATIONS))
    noise = jax.random.normal(jax.random.key(2), samples.action.shape)
    nearness, push = 2 - (noise**2).sum(-1), noise[..., 0]
    action = mean.reshape(noise.shape) + jnp.exp(log_std) * noise

    def rewarded(advantage):
        advantage = jnp.stack([advantage, noise[..., 1]], axis=-1) * samples.valid[..., None]
        return samples._replace(action=action, advantage=advantage)

    low, report = improved(rewarded(nearness + push), plan(REWARD), policy, fisher_every=1)
    assert OUTCOMES[report.outcome] == "accepted"
    assert 0 < report.kl <= 0.01
    np.testing.assert_array_equal(low.log_std, FLOOR)
    np.testing.assert_array_equal(low.raw_log_std, FLOOR)
    still_low, report = improved(rewarded(nearness + push), plan(REWARD), low)
    assert OUTCOMES[report.outcome] == "accepted"
    assert report.gain[0] > 0
    np.testing.assert_array_equal(still_low.log_std, FLOOR)
    high, report = improved(rewarded(-nearness), plan(REWARD), low)
    assert OUTCOMES[report.outcome] == "accepted"
    assert (np.asarray(high.log_std) > FLOOR).all()
    step, _ = reference(low, rewarded(-nearness)).step(REWARD)
    np.testing.assert_allclose(moved(high, low), 0.8**report.backtracks * step, atol=0.01 * np.linalg.norm(step))
