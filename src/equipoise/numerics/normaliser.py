"""Running mean and variance, merged batch by batch (Chan, Golub, LeVeque 1983)."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

ROUNDING = 1e-6
"""A spread that is no larger beside the mean is single precision's rounding of a constant."""


class Moments(NamedTuple):
    """What a stream of vectors has been like so far."""

    total: Float[Array, ""]
    """How many vectors were seen."""
    mean: Float[Array, " d"]
    """Mean of the vectors seen."""
    variance: Float[Array, " d"]
    """Variance of the vectors seen (ddof 0); 0 before there are any."""

    @property
    def scale(self) -> Float[Array, " d"]:
        """What normalising multiplies by: 1/deviation, and 0 for an entry that has been constant so far."""
        deviation = jnp.sqrt(self.variance)
        varies = deviation > ROUNDING * jnp.abs(self.mean)
        return jnp.where(varies, 1.0 / jnp.where(varies, deviation, 1.0), 0.0)


def no_moments(size: int) -> Moments:
    """Moments of nothing: normalising by them makes everything 0."""
    return Moments(jnp.zeros(()), jnp.zeros(size), jnp.zeros(size))


def merge(old: Moments, values: Float[Array, "n d"], valid: Bool[Array, " n"]) -> Moments:
    """Add the `valid` rows of `values` to `old`."""
    weight = valid.astype(values.dtype)[:, None]
    count = weight.sum()
    # Around one of the rows, so that a constant's mean is that constant, exactly, and its variance 0.
    first = values[jnp.argmax(valid)]
    mean = first + (weight * (values - first)).sum(0) / count
    variance = (weight * (values - mean) ** 2).sum(0) / count
    total = old.total + count
    share = count / total
    shift = mean - old.mean
    return Moments(
        total=total,
        mean=old.mean + share * shift,
        variance=(1 - share) * old.variance + share * variance + share * (1 - share) * shift**2,
    )


def normalise(values: Float[Array, "... d"], moments: Moments, clip: float = 10.0) -> Float[Array, "... d"]:
    """Return (x − mean)/deviation, clipped to ±`clip`; 0 for an entry that has been constant so far."""
    return jnp.clip((values - moments.mean) * moments.scale, -clip, clip)
