"""Diagonal Gaussians: log-density, Kullback–Leibler divergence, entropy, and the metric of their parameters."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Gaussian(NamedTuple):
    """N(mean, diag(exp(2·log_std))) at each of n observations, with the same deviations at all of them."""

    mean: Float[Array, "*n act"]
    """Means."""
    log_std: Float[Array, " act"]
    """Logarithms of the standard deviations."""

    def log_density(self, action: Float[Array, "*n act"]) -> Float[Array, "*n"]:
        """Return log N(action; mean, diag(exp(2·log_std)))."""
        score = (action - self.mean) / jnp.exp(self.log_std)
        return -0.5 * (score**2).sum(-1) - self.log_std.sum() - 0.5 * action.shape[-1] * np.log(2 * np.pi)

    def divergence(self, new: Gaussian) -> Float[Array, "*n"]:
        """Return KL(self ‖ new) in nats."""
        change = new.log_std - self.log_std
        squares = jnp.exp(-2 * change) + ((self.mean - new.mean) / jnp.exp(new.log_std)) ** 2
        return (change + 0.5 * squares - 0.5).sum(-1)

    def entropy(self) -> Float[Array, "*n"]:
        """Return the differential entropy in nats, ½ log(2πe) + log σ summed over the entries of an action."""
        return jnp.broadcast_to((self.log_std + 0.5 * np.log(2 * np.pi * np.e)).sum(), self.mean.shape[:-1])

    def at(self, rows: Int[Array, " b"]) -> Gaussian:
        """Return the Gaussians at some of the observations."""
        return Gaussian(self.mean[rows], self.log_std)

    def metric(self, change: Gaussian, weight: Float[Array, " n"]) -> Gaussian:
        """Apply the Fisher metric to a tangent: mean/σ² at each observation by its weight, and 2·log_std.

        The weights sum to 1.
        """
        return Gaussian(change.mean * jnp.exp(-2 * self.log_std) * weight[:, None], 2 * change.log_std)
