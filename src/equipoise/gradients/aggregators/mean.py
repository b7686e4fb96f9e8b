"""The mean, d = (1/n) Σ gᵢ over the n wanted objectives, whatever the preference."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.gradients.aggregators.base import ALWAYS, NEVER, Aggregator, Properties, units


def weights(gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]) -> Float[Array, " m"]:
    """Return wᵢ = 1/n."""
    return jnp.where(units(gram, wanted).active, 1.0 / jnp.maximum(wanted.sum(), 1), 0.0).astype(gram.dtype)


MEAN = Aggregator(
    name="mean",
    weights=weights,
    properties=Properties(
        non_conflicting=NEVER,
        permutation_equivariant=ALWAYS,
        linear_under_scaling=ALWAYS,
        direction_ignores_units=NEVER,
        rests_when_stationary=NEVER,
        moves_otherwise=ALWAYS,
        plain_without_conflict=NEVER,
        follows_preference=False,
        length="gradients",
    ),
    paper="linear scalarisation",
)
