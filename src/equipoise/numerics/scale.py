"""Sums of squares of numbers of any size: single precision squares nothing beyond 1e19 or below 1e-19."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def binary_unit(size: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return the largest power of two that is not above `size` ≥ 0; 1 where there is none.

    Dividing by it loses no digit, so that what is computed in this unit is the same for numbers 2^k times as large.
    """
    unit = jnp.ldexp(jnp.ones_like(size), jnp.frexp(size)[1] - 1)
    return jnp.where((size > 0) & (unit > 0), unit, 1.0)


def weighted_moments(
    values: Float[Array, "*n m"], weight: Float[Array, "*n 1"]
) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """Return mean and standard deviation over all but the last axis; the weights are 0 or more and sum to 1."""
    axes = tuple(range(values.ndim - 1))
    unit = binary_unit(jnp.abs(jnp.where(weight > 0, values, 0.0)).max(axes))
    values = values / unit
    mean = (weight * values).sum(axes)
    return unit * mean, unit * jnp.sqrt((weight * (values - mean) ** 2).sum(axes))
