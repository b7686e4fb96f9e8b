"""UPGrad: Quinton & Rey, Jacobian Descent for Multi-Objective Optimization, 2024, arXiv 2406.16232, eq. 5.

    d = Σ xᵢ gᵢ⁺,    gᵢ⁺ = argmin ‖y − gᵢ‖  subject to  ⟨y, gⱼ⟩ ≥ 0 for all j

Each gradient is projected on the cone of directions that harm no objective; the cone is convex, so d lies in it.
Errors: more than 12 objectives.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.gradients.aggregators.base import ALWAYS, NEVER, Aggregator, Properties, units
from equipoise.numerics.quadratic import cone_projections


def weights(gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]) -> Float[Array, " m"]:
    """Return w of Σ xᵢgᵢ⁺; projecting on a cone commutes with scaling, so it is done on unit vectors."""
    cosine, length, active = units(gram, wanted)
    return jnp.where(active, preference * length, 0.0) @ cone_projections(cosine, active) / length


UPGRAD = Aggregator(
    name="upgrad",
    weights=weights,
    properties=Properties(
        non_conflicting=ALWAYS,
        permutation_equivariant=ALWAYS,
        linear_under_scaling=ALWAYS,
        direction_ignores_units=NEVER,
        rests_when_stationary=ALWAYS,
        moves_otherwise=ALWAYS,
        plain_without_conflict=ALWAYS,
        follows_preference=True,
        length="gradients",
    ),
    paper="arXiv 2406.16232",
)
