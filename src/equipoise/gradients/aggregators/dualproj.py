"""DualProj: Lopez-Paz & Ranzato, Gradient Episodic Memory, NeurIPS 2017, arXiv 1706.08840, eq. 11.

    d = argmin ‖y − Σ xᵢgᵢ‖  subject to  ⟨y, gⱼ⟩ ≥ 0 for all j

The weighted sum, projected on the cone of directions that harm no objective. By its dual d = Σ (xᵢ + zᵢ)gᵢ with
z = argmin ½zᵀGz + (Gx)ᵀz over z ≥ 0. Errors: more than 12 objectives.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.gradients.aggregators.base import ALWAYS, NEVER, Aggregator, Properties, units
from equipoise.numerics.quadratic import nonnegative


def weights(gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]) -> Float[Array, " m"]:
    """Return w = x + z, computed on unit vectors in units of the longest gradient."""
    cosine, length, active = units(gram, wanted)
    plain = jnp.where(active, preference * length, 0.0)
    scale = jnp.max(plain)
    plain = plain / jnp.where(scale > 0, scale, 1.0)
    z = nonnegative(cosine, (cosine @ plain)[None])[0]
    return scale * (plain + z) / length


DUALPROJ = Aggregator(
    name="dualproj",
    weights=weights,
    properties=Properties(
        non_conflicting=ALWAYS,
        permutation_equivariant=ALWAYS,
        linear_under_scaling=NEVER,
        direction_ignores_units=NEVER,
        rests_when_stationary=ALWAYS,
        moves_otherwise=ALWAYS,
        plain_without_conflict=ALWAYS,
        follows_preference=True,
        length="gradients",
    ),
    paper="arXiv 1706.08840",
)
