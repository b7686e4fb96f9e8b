"""Diagonal Gaussians against SciPy, numerical integration and automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate, stats

from equipoise.numerics.gaussian import Gaussian


@jax.jit
def log_density(action, mean, log_std):
    return Gaussian(mean, log_std).log_density(action)


@jax.jit
def divergence(mean, log_std, new_mean, new_log_std):
    return Gaussian(mean, log_std).divergence(Gaussian(new_mean, new_log_std))


@jax.jit
def fisher_metric(mean, log_std, at):
    """Apply the metric at log-std `at` to the tangent of one observation."""
    return Gaussian(jnp.zeros_like(mean), at).metric(Gaussian(mean, log_std), jnp.ones(1))


vectors = arrays(np.float32, 3, elements=st.floats(-2, 2, width=32))


@given(vectors, vectors, vectors)
@settings(max_examples=50, deadline=None)
def test_log_density_is_scipys(action, mean, log_std):
    # Float32 loses what it loses where the squared score is large, hence the relative part.
    expected = stats.multivariate_normal(mean, np.diag(np.exp(2.0 * log_std))).logpdf(action)
    np.testing.assert_allclose(log_density(action, mean, log_std), expected, rtol=1e-5, atol=1e-4)


def test_log_density_is_taken_over_the_last_axis_only():
    random = np.random.default_rng(0)
    action, mean = random.normal(size=(2, 4, 5, 3))
    log_std = np.array([-1.0, 0.0, 0.5])
    expected = stats.norm.logpdf(action, mean, np.exp(log_std)).sum(-1)
    np.testing.assert_allclose(log_density(*map(jnp.asarray, (action, mean, log_std))), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (([0.0, 1.0, -1.0], [0.0, -1.0, 0.5]), ([0.3, 1.0, -2.0], [0.2, -0.5, 0.5])),
        (([2.0, 0.0, 0.0], [-0.5, 1.0, 0.0]), ([-1.0, 0.1, 0.0], [1.0, -0.3, 0.7])),
    ],
)
def test_divergence_is_the_integral_of_the_log_ratio(old, new):
    expected = 0.0
    for m, s, new_m, new_s in zip(*old, *new, strict=True):
        p, q = stats.norm(m, np.exp(s)), stats.norm(new_m, np.exp(new_s))
        integrand = lambda x, p=p, q=q: p.pdf(x) * (p.logpdf(x) - q.logpdf(x))  # noqa: E731
        expected += integrate.quad(integrand, m - 12 * np.exp(s), m + 12 * np.exp(s), limit=200)[0]
    found = divergence(*(jnp.asarray(x) for x in (*old, *new)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@given(vectors, vectors, vectors, vectors)
@settings(max_examples=50, deadline=None)
def test_divergence_is_the_closed_form_between_full_covariances(mean, log_std, new_mean, new_log_std):
    old, new = np.diag(np.exp(2.0 * log_std)), np.diag(np.exp(2.0 * new_log_std))
    shift = new_mean.astype(float) - mean
    expected = 0.5 * (
        np.trace(np.linalg.solve(new, old))
        + shift @ np.linalg.solve(new, shift)
        - 3
        + np.log(np.linalg.det(new) / np.linalg.det(old))
    )
    found = divergence(mean, log_std, new_mean, new_log_std)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert found >= -1e-6


@given(vectors, vectors)
@settings(max_examples=30, deadline=None)
def test_divergence_vanishes_exactly_between_equals(mean, log_std):
    assert divergence(mean, log_std, mean, log_std) == 0


@given(vectors, vectors, st.integers(0, 2), st.floats(0.05, 1), st.booleans(), st.booleans())
@settings(max_examples=50, deadline=None)
def test_divergence_is_positive_between_different_ones(mean, log_std, entry, by, down, of_the_mean):
    move = np.zeros(3, np.float32)
    move[entry] = -by if down else by
    new = (mean + move, log_std) if of_the_mean else (mean, log_std + move)
    assert divergence(mean, log_std, *new) > 1e-5


@jax.jit
@jax.hessian
def hessian_of_divergence(new, old):
    return divergence(old[:3], old[3:], new[:3], new[3:])


@given(vectors, vectors, vectors, vectors)
@settings(max_examples=30, deadline=None)
def test_fisher_metric_is_the_hessian_of_the_divergence(mean, at, mean_tangent, log_std_tangent):
    hessian = hessian_of_divergence(np.concatenate([mean, at]), np.concatenate([mean, at]))
    expected = hessian @ np.concatenate([mean_tangent, log_std_tangent])
    found_mean, found_log_std = fisher_metric(mean_tangent[None], log_std_tangent, at)
    np.testing.assert_allclose(np.concatenate([found_mean[0], found_log_std]), expected, rtol=1e-4, atol=1e-4)


def test_entropy_is_scipys_at_every_observation():
    log_std = np.array([-1.0, 0.0, 0.5], np.float32)
    found = Gaussian(jnp.zeros((4, 5, 3)), jnp.asarray(log_std)).entropy()
    np.testing.assert_allclose(found, np.full((4, 5), stats.norm(0, np.exp(log_std)).entropy().sum()), rtol=1e-6)


def test_each_observation_counts_by_its_weight():
    gaussian = Gaussian(jnp.zeros((2, 3)), jnp.zeros(3))
    tangent = Gaussian(jnp.ones((2, 3)), jnp.ones(3))
    found = gaussian.metric(tangent, jnp.asarray([0.25, 0.75]))
    np.testing.assert_allclose(found.mean, [[0.25] * 3, [0.75] * 3])
    np.testing.assert_allclose(found.log_std, [2.0] * 3)
    np.testing.assert_array_equal(gaussian.at(jnp.asarray([1])).mean, gaussian.mean[1:])
