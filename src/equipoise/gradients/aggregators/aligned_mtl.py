"""Aligned-MTL: Senushkin et al., Independent Component Alignment for Multi-Task Learning, CVPR 2023, algorithm 1.

    w = √λ_min V Λ^(−1/2) Vᵀ x,    G = V Λ Vᵀ the Gram matrix,  λ_min its least eigenvalue above rounding

The gradients are replaced by the nearest ones that are orthogonal and equally long, and summed with weights x; so d is
as short as the weakest component. Gradients shorter than the longest by the square root of rounding (3e-4 in single
precision) count as none.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.gradients.aggregators.base import ALWAYS, NEVER, Aggregator, Properties, rounding, units


def weights(gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]) -> Float[Array, " m"]:
    """Return w; the eigenvalues are taken in units of the longest gradient."""
    cosine, length, active = units(gram, wanted)
    longest = jnp.max(jnp.where(active, length, 0.0))
    relative = jnp.where(active, length / jnp.where(longest > 0, longest, 1.0), 0.0)
    values, vectors = jnp.linalg.eigh(cosine * relative * relative[:, None])
    kept = values > rounding(cosine) * jnp.max(values)
    least = jnp.min(jnp.where(kept, values, jnp.inf))
    shrink = jnp.where(kept, jnp.sqrt(least / jnp.where(kept, values, 1.0)), 0.0)
    balanced = vectors @ (shrink * (jnp.where(active, preference, 0.0) @ vectors))
    return jnp.where(active, balanced, 0.0)


ALIGNED_MTL = Aggregator(
    name="aligned_mtl",
    weights=weights,
    properties=Properties(
        non_conflicting=NEVER,
        permutation_equivariant=ALWAYS,
        linear_under_scaling=NEVER,
        direction_ignores_units=NEVER,
        rests_when_stationary=NEVER,
        moves_otherwise=ALWAYS,
        plain_without_conflict=NEVER,
        follows_preference=True,
        length="gradients",
    ),
    paper="arXiv 2305.19000",
)
