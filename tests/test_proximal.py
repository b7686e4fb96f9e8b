"""The proximal step against an implementation in NumPy: its loss by finite differences, Adam by hand, and its stops."""

from __future__ import annotations

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import equipoise
from equipoise.algorithms import CRPO, PCRPO, Algorithm, Unconstrained
from equipoise.algorithms.prepare import Samples
from equipoise.algorithms.rule import Plan, Seen, single
from equipoise.algorithms.rules.cup import CUP
from equipoise.algorithms.steps import Proximal
from equipoise.errors import UsageError
from equipoise.policy import GaussianPolicy
from equipoise.problem import Estimate
from equipoise.training import loop

OBSERVATIONS, ACTIONS, HIDDEN = 3, 2, 4
ONE_STEP = Proximal(epochs=1, minibatch_size=10_000, max_kl=math.inf, learning_rate=0.02)
compiled = jax.jit(Proximal.improve)


def problem(steps=6, envs=4, objectives=2, seed=0):
    """A policy, and steps that it might have taken, with advantages of mean 0."""
    random = np.random.default_rng(seed)
    policy = GaussianPolicy.create(jax.random.key(seed), OBSERVATIONS, ACTIONS, (HIDDEN,), log_std=-0.3)
    bigger = jax.tree.map(lambda x: x + 0.3 * random.standard_normal(x.shape).astype(np.float32), policy)
    observation = random.standard_normal((steps, envs, OBSERVATIONS)).astype(np.float32)
    action = random.standard_normal((steps, envs, ACTIONS)).astype(np.float32)
    advantage = random.standard_normal((steps, envs, objectives)).astype(np.float32)
    samples = Samples(observation, action, advantage - advantage.mean((0, 1)), np.ones((steps, envs), bool))
    return bigger, jax.tree.map(jnp.asarray, samples)


def seen(constraints=1, fraction=0.0):
    zero = np.zeros(constraints)
    estimate = Estimate(np.float64(1.0), np.float64(0.1), zero + 1, zero + 0.1, np.int32(20), np.float64(10), 1.7)
    estimate = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), estimate)._replace(episodes=jnp.asarray(20))
    return Seen(estimate, jnp.ones(constraints), jnp.asarray(fraction), jnp.ones(1 + constraints))


def improve(step, policy, samples, rule=Unconstrained(), weights=None, state=None, fraction=0.0, key=0):  # noqa: B008
    objectives = samples.advantage.shape[-1]
    weights = np.eye(objectives)[0] if weights is None else weights
    known = seen(objectives - 1, fraction)
    plan = single(0, jnp.asarray(weights, jnp.float32))
    state = step.init(policy) if state is None else state
    return compiled(step, policy, state, samples, plan, known, rule, jax.random.key(key))


# The same in NumPy, double precision.


def parameters(policy):
    return np.asarray(ravel_pytree(policy)[0], float)


def log_density(theta, samples):
    """Log-densities of the actions under a policy of one hidden layer with parameters θ = (W₁, b₁, W₂, b₂, log σ)."""
    sizes = [(HIDDEN, OBSERVATIONS), (HIDDEN,), (ACTIONS, HIDDEN), (ACTIONS,), (ACTIONS,)]
    cuts = np.cumsum([math.prod(size) for size in sizes])[:-1]
    w1, b1, w2, b2, log_std = (part.reshape(size) for part, size in zip(np.split(theta, cuts), sizes, strict=True))
    observation, action = (np.asarray(x, float).reshape(-1, x.shape[-1]) for x in samples[:2])
    mean = np.tanh(observation @ w1.T + b1) @ w2.T + b2
    return (-0.5 * ((action - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)).sum(1)


def surrogate(theta, old, samples, advantage, clip=math.inf):
    """PPO's surrogate over all valid steps."""
    valid = np.asarray(samples.valid).reshape(-1)
    ratio = np.exp(log_density(theta, samples) - log_density(old, samples))
    advantage = np.asarray(advantage, float).reshape(-1)
    return np.minimum(ratio * advantage, np.clip(ratio, 1 - clip, 1 + clip) * advantage)[valid].mean()


def slope(function, theta, h=1e-6):
    """Central differences of `function` at θ."""
    return np.array([(function(theta + h * e) - function(theta - h * e)) / (2 * h) for e in np.eye(len(theta))])


def adam(theta, gradients, rate):
    """Adam by its paper (arXiv 1412.6980, Algorithm 1); `gradients` are functions of θ, one per step."""
    first = second = np.zeros_like(theta)
    for t, gradient in enumerate(gradients, start=1):
        g = gradient(theta)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        theta = theta - rate * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    return theta, first, second


def descended(improved):
    """The gradient that the only Adam step so far descended: its first moment is a tenth of it."""
    return 10 * parameters(improved.state.mu)


def test_the_parameters_are_in_the_order_that_the_reference_has():
    policy, samples = problem()
    flat = samples.flat()
    mean, log_std = policy(flat.observation)
    ours = -0.5 * (((flat.action - mean) / jnp.exp(log_std)) ** 2).sum(1) - log_std.sum() - np.log(2 * np.pi)
    np.testing.assert_allclose(ours, log_density(parameters(policy), samples), rtol=2e-5)


def test_an_epoch_of_one_minibatch_is_one_step_of_adam():
    policy, samples = problem()
    improved = improve(ONE_STEP, policy, samples)
    old, advantage = parameters(policy), samples.advantage[..., 0]

    def gradient(theta):
        return -slope(lambda t: surrogate(t, old, samples, advantage, 0.2), theta)

    theta, first, second = adam(old, [gradient], 0.02)
    np.testing.assert_allclose(parameters(improved.policy), theta, atol=2e-6)
    np.testing.assert_allclose(parameters(improved.state.mu), first, atol=1e-6)
    np.testing.assert_allclose(parameters(improved.state.nu), second, atol=1e-7)
    assert improved.state.count == 1 and improved.report.own["epochs"] == 1


@pytest.mark.parametrize("clip", [0.1, 0.3, math.inf])
def test_later_epochs_descend_the_clipped_surrogate_and_infinity_the_plain_one(clip):
    policy, samples = problem()
    step = dataclasses.replace(ONE_STEP, epochs=6, clip=clip)
    improved = improve(step, policy, samples)
    old, advantage = parameters(policy), samples.advantage[..., 0]
    theta, first, _ = adam(
        old, [lambda theta: -slope(lambda t: surrogate(t, old, samples, advantage, clip), theta)] * 6, 0.02
    )
    np.testing.assert_allclose(parameters(improved.policy), theta, atol=2e-4)
    np.testing.assert_allclose(parameters(improved.state.mu), first, atol=2e-4)
    ratio = np.exp(log_density(theta, samples) - log_density(old, samples))
    assert (np.abs(ratio - 1) > 0.3).any()  # the clip had something to do
    assert improved.report.own["clipped"] == pytest.approx((np.abs(ratio - 1) > clip).mean())


def test_what_is_reported_of_the_step():
    policy, samples = problem(objectives=3)
    improved = improve(ONE_STEP, policy, samples)
    old, new = parameters(policy), parameters(improved.policy)
    gradients = [
        slope(lambda t, i=i: surrogate(t, old, samples, samples.advantage[..., i]), old)  # type: ignore[misc]
        for i in range(3)
    ]
    np.testing.assert_allclose(improved.report.gain, np.array(gradients) @ (new - old), atol=1e-5)
    length = [np.linalg.norm(g) for g in gradients]
    cos = [gradients[0] @ gradients[k] / length[0] / length[k] for k in (1, 2)]
    np.testing.assert_allclose(improved.report.cos, cos, atol=1e-5)
    flat = samples.flat()
    (mean, log_std), (new_mean, new_log_std) = (p(flat.observation) for p in (policy, improved.policy))
    variance, new_variance = np.exp(2 * log_std), np.exp(2 * new_log_std)
    kl = 0.5 * ((variance + (new_mean - mean) ** 2) / new_variance - 1 - np.log(variance / new_variance)).sum(1)
    assert improved.report.kl == pytest.approx(float(kl.mean()), rel=1e-3)


def test_every_minibatch_takes_other_steps_and_an_epoch_takes_each_once():
    policy, samples = problem(steps=3, envs=2)
    step = dataclasses.replace(ONE_STEP, minibatch_size=3, learning_rate=1e-12)
    mu = parameters(improve(step, policy, samples).state.mu)
    old = parameters(policy)
    rows = [
        -slope(lambda t, i=i: surrogate(t, old, *one_step(samples, i)), old)  # type: ignore[misc]
        for i in range(6)
    ]
    found = [
        half
        for half in itertools.combinations(range(6), 3)
        if np.allclose(mu, sum(0.1 * (0.9 if i in half else 1.0) * rows[i] / 3 for i in range(6)), atol=1e-6)
    ]
    assert len(found) == 1
    other = parameters(improve(step, policy, samples, key=1).state.mu)
    assert not np.allclose(mu, other, atol=1e-6)


def one_step(samples, i):
    """Step i alone, and its reward's advantage."""
    flat = samples.flat()
    one = jax.tree.map(lambda x: x[None, i : i + 1], flat)
    return one, one.advantage[..., 0]


def test_steps_that_do_not_count_change_nothing():
    policy, samples = problem()
    gone = np.zeros(samples.valid.shape, bool)
    gone[2, 1] = gone[5, 3] = True
    advantage = jnp.where(gone[..., None], 0.0, samples.advantage)
    samples = samples._replace(valid=~jnp.asarray(gone), advantage=advantage)
    step = dataclasses.replace(ONE_STEP, epochs=2)
    first = improve(step, policy, samples)
    elsewhere = samples._replace(
        observation=jnp.where(gone[..., None], 3.0, samples.observation),
        action=jnp.where(gone[..., None], -2.0, samples.action),
    )
    second = improve(step, policy, elsewhere)
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(one, other)
    old = parameters(policy)
    expected = -slope(lambda t: surrogate(t, old, samples, samples.advantage[..., 0]), old)
    np.testing.assert_allclose(descended(improve(ONE_STEP, policy, samples)), expected, atol=1e-5)


@pytest.mark.slow
def test_epochs_end_once_the_policy_is_too_far_away():
    policy, samples = problem()
    step = dataclasses.replace(ONE_STEP, minibatch_size=8)
    kl = [float(improve(dataclasses.replace(step, epochs=e), policy, samples).report.kl) for e in (1, 2, 3)]
    assert kl == sorted(kl)
    for reached in (1, 2):
        bounded = dataclasses.replace(step, epochs=3, max_kl=(kl[reached - 1] + ([0, *kl])[reached - 1]) / 2)
        improved = improve(bounded, policy, samples)
        assert improved.report.own["epochs"] == reached
        assert improved.report.kl == pytest.approx(kl[reached - 1], rel=1e-5)
    assert improve(dataclasses.replace(step, epochs=3), policy, samples).report.own["epochs"] == 3


def test_the_learning_rate_falls_linearly_to_zero():
    policy, samples = problem()
    late = improve(ONE_STEP, policy, samples, fraction=0.75)
    slow = dataclasses.replace(ONE_STEP, learning_rate=ONE_STEP.learning_rate / 4, decay=False)
    np.testing.assert_array_equal(
        parameters(late.policy), parameters(improve(slow, policy, samples, fraction=0.75).policy)
    )
    end = improve(ONE_STEP, policy, samples, fraction=1.0)
    np.testing.assert_array_equal(parameters(end.policy), parameters(policy))


def test_long_gradients_are_cut_and_short_ones_are_not():
    policy, samples = problem()
    whole = descended(improve(ONE_STEP, policy, samples))
    length = np.linalg.norm(whole)
    cut = descended(improve(dataclasses.replace(ONE_STEP, max_grad_norm=length / 3), policy, samples))
    np.testing.assert_allclose(cut, whole / 3, atol=1e-6)
    uncut = descended(improve(dataclasses.replace(ONE_STEP, max_grad_norm=length * 1.01), policy, samples))
    np.testing.assert_allclose(uncut, whole, rtol=1e-6)


def test_weights_mix_the_objectives_and_only_their_ratio_counts():
    policy, samples = problem(objectives=4)
    weights = np.array([1.0, 0.5, 0.0, 2.0])
    old = parameters(policy)
    mixed = np.asarray(samples.advantage) @ weights / weights.sum()
    expected = -slope(lambda t: surrogate(t, old, samples, mixed), old)
    np.testing.assert_allclose(descended(improve(ONE_STEP, policy, samples, weights=weights)), expected, atol=1e-5)
    scaled = descended(improve(ONE_STEP, policy, samples, weights=1e3 * weights))
    np.testing.assert_allclose(scaled, expected, atol=1e-5)


def conflicting(objectives):
    """Samples whose gradients conflict: every cost's advantages are mostly minus the reward's."""
    policy, samples = problem(objectives=objectives, seed=3)
    reward = samples.advantage[..., :1]
    advantage = jnp.concatenate([reward, 0.6 * samples.advantage[..., 1:] - reward], -1)
    samples = samples._replace(advantage=advantage)
    old = parameters(policy)
    gradients = [
        slope(lambda t, i=i: surrogate(t, old, samples, advantage[..., i]), old)  # type: ignore[misc]
        for i in range(objectives)
    ]
    return policy, samples, np.array(gradients)


@pytest.mark.parametrize("objectives", [2, 4])
def test_a_rule_that_projects_descends_what_harms_no_objective_of_the_minibatch(objectives):
    policy, samples, gradients = conflicting(objectives)
    assert (gradients[0] @ gradients[1:].T < 0).all()
    weights = np.array([0.5, *[0.5 / (objectives - 1)] * (objectives - 1)])
    ascent = -descended(improve(ONE_STEP, policy, samples, PCRPO(), weights))
    gains = gradients @ ascent / np.linalg.norm(ascent) / np.linalg.norm(gradients, axis=1)
    assert (gains > -1e-4).all() and gains.max() > 0.05
    summed = -descended(improve(ONE_STEP, policy, samples, Unconstrained(), [9.0, *weights[1:]]))
    assert (gradients @ summed).min() < -1e-3  # which a sum does


def test_two_conflicting_gradients_are_projected_on_each_others_normal_planes():
    policy, samples, gradients = conflicting(2)
    r, c = gradients / np.linalg.norm(gradients, axis=1)[:, None]
    expected = 0.3 * (r - (r @ c) * c) + 0.7 * (c - (c @ r) * r)
    ascent = -descended(improve(ONE_STEP, policy, samples, PCRPO(), [0.3, 0.7]))
    np.testing.assert_allclose(ascent / np.linalg.norm(ascent), expected / np.linalg.norm(expected), atol=2e-4)


@pytest.mark.parametrize("wanted", [0, 1, 3])
def test_a_rule_that_projects_and_wants_one_objective_takes_the_bits_of_that_objective_alone(wanted):
    policy, samples, _ = conflicting(4)
    step, alone = dataclasses.replace(ONE_STEP, epochs=2, minibatch_size=8), np.eye(4)[wanted]
    projected, plain = (improve(step, policy, samples, rule, alone) for rule in (CRPO(), Unconstrained()))
    np.testing.assert_array_equal(parameters(projected.policy), parameters(plain.policy))


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "envs", "size"), [(50, 20, 64), (100, 20, 128)])
def test_so_it_does_in_minibatches_of_the_usual_size(steps, envs, size):
    policy, samples = problem(steps, envs, objectives=4, seed=3)
    step = dataclasses.replace(ONE_STEP, epochs=2, minibatch_size=size, learning_rate=0.003)
    projected, plain = (improve(step, policy, samples, rule) for rule in (CRPO(), Unconstrained()))
    np.testing.assert_array_equal(parameters(projected.policy), parameters(plain.policy))


@pytest.mark.slow
def test_objectives_that_do_not_matter_to_the_policy_leave_numbers_and_not_nan():
    policy, samples = problem(objectives=3)
    samples = samples._replace(advantage=samples.advantage.at[..., 1:].set(0.0))
    for rule in (Unconstrained(), PCRPO(), CUP()):
        improved = improve(ONE_STEP, policy, samples, rule, [0.5, 0.5, 0.5])
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(improved))


def test_adam_goes_on_where_it_was():
    policy, samples = problem()
    first = improve(ONE_STEP, policy, samples)
    second = improve(ONE_STEP, first.policy, samples, state=first.state)
    fresh = improve(ONE_STEP, first.policy, samples)
    assert second.state.count == 2
    assert np.abs(parameters(second.policy) - parameters(fresh.policy)).max() > 1e-4
    old = parameters(first.policy)
    gradient = -slope(lambda t: surrogate(t, old, samples, samples.advantage[..., 0]), old)
    np.testing.assert_allclose(
        parameters(second.state.mu), 0.9 * parameters(first.state.mu) + 0.1 * gradient, atol=1e-5
    )


@pytest.mark.slow
def test_a_resumed_run_has_the_bits_of_one_that_never_stopped(tmp_path):
    algorithm = Algorithm(
        Unconstrained(),
        Proximal(epochs=2, minibatch_size=200),
        learner=equipoise.Learner(hidden=(4,), critic=equipoise.CriticFit(epochs=1, minibatch_size=500)),
    )
    options = {"total_steps": 6000, "num_envs": 2, "steps_per_iteration": 2000, "threads": 1}
    whole = equipoise.train(algorithm, "SafetyHopperVelocity-v1", run_dir=tmp_path / "whole", **options)

    class Stop(KeyboardInterrupt):
        pass

    def stop(row):
        if row["iteration"] == 2:
            raise Stop

    with pytest.raises(Stop):
        equipoise.train(algorithm, "SafetyHopperVelocity-v1", run_dir=tmp_path / "cut", watch=stop, **options)
    cut = loop.resume(tmp_path / "cut", threads=1)
    assert isinstance(cut.state.learner.step, optax.ScaleByAdamState) and cut.state.learner.step.count == 3 * 2 * 10
    for one, other in zip(jax.tree.leaves(whole.state.learner), jax.tree.leaves(cut.state.learner), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("learning_rate", x) for x in (0.0, -1.0, math.nan)),
        *(("clip", x) for x in (0.0, math.nan)),
        ("max_kl", 0.0),
        ("max_grad_norm", -1.0),
        ("epochs", 0),
        ("minibatch_size", 0),
    ],
)
def test_settings_that_make_no_sense_are_named(name, value):
    with pytest.raises(UsageError, match=name):
        dataclasses.replace(Proximal(), **{name: value}).check()


def test_the_first_candidate_is_the_one_that_is_taken():
    policy, samples = problem()
    weights = jnp.asarray([[1.0, 0.0], [0.0, 1.0]])
    plan = Plan(jnp.asarray(0), weights > 0, weights)
    both = compiled(ONE_STEP, policy, ONE_STEP.init(policy), samples, plan, seen(), Unconstrained(), jax.random.key(0))
    np.testing.assert_array_equal(parameters(both.policy), parameters(improve(ONE_STEP, policy, samples).policy))
