"""IMTL-G: Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, §3.1.

    d = Σ wᵢgᵢ,    ⟨d, gᵢ⟩/‖gᵢ‖ equal for all i,    Σ wᵢ = 1

With unit vectors eᵢ = gᵢ/‖gᵢ‖ and C their Gram matrix, wᵢ ∝ (C⁺1)ᵢ/‖gᵢ‖; the pseudo-inverse extends it to dependent
gradients (as in arXiv 2406.16232). For three objectives or more weights can be negative, and so can their sum
before it is made 1: then d points against all objectives. Where that sum is zero, so is d.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.gradients.aggregators.base import (
    ALWAYS,
    NEVER,
    Aggregator,
    Properties,
    least_squares,
    rounding,
    shortness,
    units,
)


def weights(gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]) -> Float[Array, " m"]:
    """Return w of sum 1, or zeros."""
    unit = units(gram, wanted)
    w = shortness(unit) * least_squares(unit.cosine, unit.active.astype(gram.dtype))
    total = jnp.sum(w)
    vanishes = jnp.abs(total) <= rounding(unit.cosine) * jnp.sum(jnp.abs(w))
    return jnp.where(vanishes, 0.0, w / jnp.where(vanishes, 1.0, total))


IMTL_G = Aggregator(
    name="imtl_g",
    weights=weights,
    properties=Properties(
        non_conflicting=2,
        permutation_equivariant=ALWAYS,
        linear_under_scaling=NEVER,
        direction_ignores_units=2,
        rests_when_stationary=2,
        moves_otherwise=ALWAYS,
        plain_without_conflict=NEVER,
        follows_preference=False,
        length="gradients",
    ),
    paper="Liu et al., ICLR 2021",
)
