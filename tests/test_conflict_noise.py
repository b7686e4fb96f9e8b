"""The noise of cos φ, on gradients whose angle is known: a true vector, and Gaussian noise in every environment."""

from __future__ import annotations

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from equipoise.conflict.env_gradients import EnvGradients, solve_together
from equipoise.conflict.noise import METRICS, angle, batch_gram, corrected_gram, cosine, env_products
from equipoise.gradients.metric import cosines, geometry
from equipoise.numerics.krylov import NaturalGradients

NUM_ENVS, PARAMETERS, COS = 20, 300, -0.6
NOISE = np.sqrt(PARAMETERS / NUM_ENVS)
"""Length of the noise of a batch's gradient."""


def noisy_products(seed, signal=0.6, cos=COS, together=0.0):
    """Inner products of environments that hold two gradients at the angle `cos`, and noise.

    `signal` is the share of a batch's squared length that is no noise, `together` the correlation of the two noises.
    """
    length = NOISE * np.sqrt(signal / (1 - signal))
    random = np.random.default_rng(seed)
    truth = np.zeros((2, PARAMETERS))
    truth[0, 0], truth[1, :2] = length, length * np.array([cos, np.sqrt(1 - cos**2)])
    noise = random.standard_normal((NUM_ENVS, 2, PARAMETERS))
    noise[:, 1] = together * noise[:, 0] + np.sqrt(1 - together**2) * noise[:, 1]
    gradients = truth + noise
    return env_products(EnvGradients(gradients, gradients), "euclidean")


def angles(count, **options):
    return [angle(noisy_products(s, **options), 0, NUM_ENVS, np.random.default_rng(s)) for s in range(count)]


def mean(found, field):
    return np.nanmean([getattr(one, field) for one in found])


@pytest.fixture(scope="module")
def found():
    """What 100 batches say."""
    return angles(100)


@pytest.mark.slow
def test_the_batch_is_biased_to_zero_and_the_corrected_angle_is_not(found):
    """Tolerances here and below are five standard errors of the mean or more, whatever the seeds."""
    assert mean(found, "signal_reward") == pytest.approx(0.6, abs=0.02)
    assert mean(found, "signal_cost") == pytest.approx(0.6, abs=0.02)
    assert mean(found, "naive") == pytest.approx(0.6 * COS, abs=0.025)  # shrunk by √(0.6 · 0.6)
    assert mean(found, "corrected") == pytest.approx(COS, abs=0.045)
    assert mean(found, "ratio") == pytest.approx(-COS, abs=0.055)


def test_the_interval_covers_the_true_angle(found):
    assert np.mean([one.low <= COS <= one.high for one in found]) >= 0.9  # of 100, and 98 % do
    assert not any(one.low <= 0 for one in found if one.high >= 0)  # and is not so wide that it says nothing


def test_the_scatter_is_that_of_one_batch_to_the_next(found):
    assert mean(found, "scatter") == pytest.approx(np.std([one.naive for one in found]), rel=0.4)


@pytest.mark.slow
def test_noise_that_reward_and_cost_share_biases_towards_itself():
    """Where both gradients err together the batch sees a conflict that is not there."""
    misled = angles(40, cos=0.0, together=-0.9)
    assert mean(misled, "naive") < -0.3
    assert abs(mean(misled, "corrected")) < 0.08


def test_no_angle_is_told_of_gradients_that_are_all_noise():
    assert np.mean([np.isnan(one.corrected) for one in angles(30, signal=0.0)]) > 0.8
    assert not any(np.isnan(one.corrected) for one in angles(10, signal=0.9))


def test_corrected_products_are_the_mean_over_all_splits_in_halves():
    products = noisy_products(0)[:6, :, :6]
    splits = []
    for half in itertools.combinations(range(6), 3):
        rest = [s for s in range(6) if s not in half]
        splits.append(products[np.ix_(half, [0, 1], rest, [0, 1])].mean((0, 2)))
    assert np.allclose(corrected_gram(products, np.ones(6)), np.mean(splits, axis=0))


def test_a_slot_drawn_twice_never_meets_its_copy():
    products = noisy_products(0)[:3, :, :3]
    weights = np.array([2.0, 1.0, 0.0])
    assert np.allclose(corrected_gram(products, weights), 0.5 * (products[0, :, 1] + products[1, :, 0]))


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_that_of_the_update(metric):
    random = np.random.default_rng(1)
    root = random.standard_normal((30, 30))
    fisher = root @ root.T + np.eye(30)
    gradients = random.standard_normal((NUM_ENVS, 3, 30))
    envs = EnvGradients(gradients, np.linalg.solve(fisher, gradients[..., None])[..., 0])
    g, u = jnp.asarray(gradients.mean(0)), jnp.asarray(envs.directions.mean(0))
    expected = cosines(geometry(NaturalGradients(g, u, g @ u.T), metric).gram)
    gram = batch_gram(env_products(envs, metric), np.ones(NUM_ENVS))
    assert [float(cosine(gram, k)) for k in (0, 1)] == pytest.approx(expected[0, 1:].tolist(), abs=1e-4)


def conditioned(size, seed=0):
    """A symmetric matrix with few large eigenvalues and many tiny ones, as a policy's Fisher matrix has."""
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]
    return rotation * np.geomspace(1e-6, 30, size) @ rotation.T


@pytest.mark.parametrize(("size", "rows", "tolerance"), [(40, 12, 1e-4), (40, 60, 1e-4), (300, 40, 2e-3)])
def test_the_shared_solve_is_the_solution(size, rows, tolerance):
    fisher = conditioned(size)
    gradients = np.random.default_rng(1).standard_normal((rows, size))
    gradients[1], gradients[3] = (
        0.0,
        2 * gradients[2],
    )  # an environment without any gradient, and one parallel to another
    found = solve_together(lambda v: v @ jnp.asarray(fisher, jnp.float32), gradients, 0.1)
    exact = np.linalg.solve(fisher + 0.1 * np.eye(size), gradients.T).T
    progress = gradients @ exact.T
    # To single precision where the steps exhaust the space.
    assert np.linalg.norm(gradients @ found.T - progress) < tolerance * np.linalg.norm(progress)


def test_the_shared_solve_is_linear():
    """Any mean over environments is solved for when the environments are."""
    fisher, random = conditioned(300), np.random.default_rng(2)
    gradients = random.standard_normal((20, 300))
    found = solve_together(lambda v: v @ jnp.asarray(fisher, jnp.float32), gradients, 0.1)
    progress = gradients @ found.T
    assert np.allclose(progress, progress.T, atol=1e-4 * np.abs(progress).max())
    assert np.linalg.eigvalsh(0.5 * (progress + progress.T)).min() > -1e-6
