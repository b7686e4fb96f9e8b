"""The weighted sum, d = Σ xᵢgᵢ: the gradient of Σ xᵢJᵢ (linear scalarisation)."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.gradients.aggregators.base import ALWAYS, NEVER, Aggregator, Properties, units


def weights(gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]) -> Float[Array, " m"]:
    """Return wᵢ = xᵢ."""
    return jnp.where(units(gram, wanted).active, preference, 0.0)


WEIGHTED_SUM = Aggregator(
    name="weighted_sum",
    weights=weights,
    properties=Properties(
        non_conflicting=NEVER,
        permutation_equivariant=ALWAYS,
        linear_under_scaling=ALWAYS,
        direction_ignores_units=NEVER,
        rests_when_stationary=NEVER,
        moves_otherwise=ALWAYS,
        plain_without_conflict=ALWAYS,
        follows_preference=True,
        length="gradients",
    ),
    paper="linear scalarisation",
)
