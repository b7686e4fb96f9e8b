"""Running mean and variance, merged batch by batch (Chan, Golub, LeVeque 1983)."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Moments(NamedTuple):
    """What a stream of vectors has been like so far."""

    total: Float[Array, ""]
    """How many vectors were seen."""
    mean: Float[Array, " d"]
    """Mean of the vectors seen."""
    variance: Float[Array, " d"]
    """Variance of the vectors seen (ddof 0); 1 before there are any."""

    @property
    def deviation(self) -> Float[Array, " d"]:
        """Standard deviation, at least 1e-6 so that a constant entry can be divided by it."""
        return jnp.maximum(jnp.sqrt(self.variance), 1e-6)


def no_moments(size: int) -> Moments:
    """Moments of nothing: normalising by them changes nothing."""
    return Moments(jnp.zeros(()), jnp.zeros(size), jnp.ones(size))


def merge(old: Moments, values: Float[Array, "n d"], valid: Bool[Array, " n"]) -> Moments:
    """Add the `valid` rows of `values` to `old`."""
    weight = valid.astype(values.dtype)[:, None]
    count = weight.sum()
    mean = (weight * values).sum(0) / count
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
    """Return (x − mean)/deviation, clipped to ±`clip`."""
    return jnp.clip((values - moments.mean) / moments.deviation, -clip, clip)
