"""Diagonal Gaussians: log-density, Kullback–Leibler divergence, and the metric of their parameters."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def log_density(
    action: Float[Array, "... act"], mean: Float[Array, "... act"], log_std: Float[Array, " act"]
) -> Float[Array, ...]:
    """Return log N(action; mean, diag(exp(2·log_std)))."""
    score = (action - mean) / jnp.exp(log_std)
    return -0.5 * (score**2).sum(-1) - log_std.sum() - 0.5 * action.shape[-1] * np.log(2 * np.pi)


def divergence(
    mean: Float[Array, "... act"],
    log_std: Float[Array, " act"],
    new_mean: Float[Array, "... act"],
    new_log_std: Float[Array, " act"],
) -> Float[Array, ...]:
    """Return KL(N(mean, log_std) ‖ N(new_mean, new_log_std)) in nats."""
    change = new_log_std - log_std
    squares = jnp.exp(-2 * change) + ((mean - new_mean) / jnp.exp(new_log_std)) ** 2
    return (change + 0.5 * squares - 0.5).sum(-1)


def fisher_metric(
    mean: Float[Array, "..."], log_std: Float[Array, "..."], at: Float[Array, " act"]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Apply the Fisher metric of a Gaussian with log-std `at` to a tangent: mean/σ² and 2·log_std."""
    return mean * jnp.exp(-2 * at), 2 * log_std
