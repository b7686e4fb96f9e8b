"""PCRPO's projection of conflicting gradients (Gu et al., AAAI 2024, §4), for any number of objectives.

For two objectives in conflict each gradient is projected on the normal plane of the other,

    g_r⁺ = g_r − (⟨g_r, g_c⟩/⟨g_c, g_c⟩) g_c,     g_c⁺ = g_c − (⟨g_c, g_r⟩/⟨g_r, g_r⟩) g_r,

and d = x_r g_r⁺ + x_c g_c⁺. That is the projection of each gradient on the cone of directions that harm none of them,
{d : ⟨d, gⱼ⟩ ≥ 0 for all j}, which is how it extends to more (UPGrad: Quinton & Rey 2024, arXiv 2406.16232, eq. 5).
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.numerics.quadratic import cone_projections

MOST_OBJECTIVES = 8
"""The projection tries every set of binding objectives, 2^m of them."""


class Combination(NamedTuple):
    """A direction d = Σ wᵢeᵢ that harms none of the objectives it was made from."""

    weights: Float[Array, " m"]
    """wᵢ. Where there is no freedom d vanishes up to rounding; the weights need not."""
    sin2_phi: Float[Array, ""]
    """The largest ‖gᵢ⁺‖²/‖gᵢ‖² among objectives of positive preference: how much of one survives its projection.
    sin²φ for two in conflict, 1 without conflict, 0 when no direction improves any of them without harming another
    (Pareto stationary)."""


def combine(gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]) -> Combination:
    """Project each wanted objective on the cone that harms no wanted objective, and sum them with weights `preference`.

    `gram` holds the inner products of the objectives' vectors in any metric; the result is in their coordinates.
    Objectives that are not `wanted`, and those whose vector vanishes, take no part.
    """
    length = jnp.diagonal(gram)
    wanted = wanted & (length > 0)
    projected = project(gram, wanted)
    survives = jnp.einsum("ij,jk,ik->i", projected, gram, projected) / jnp.where(length > 0, length, 1.0)
    preference = jnp.where(wanted, preference, 0.0)
    return Combination(
        weights=preference @ projected,
        sin2_phi=jnp.clip(jnp.max(jnp.where(preference > 0, survives, 0.0)), 0.0, 1.0),
    )


def project(gram: Float[Array, "m m"], wanted: Bool[Array, " m"]) -> Float[Array, "m m"]:
    """Return coordinates of every gᵢ⁺, one per row: the nearest point to gᵢ that harms no wanted objective."""
    if len(wanted) > MOST_OBJECTIVES:
        raise ValueError(f"{len(wanted)} objectives; the projection handles at most {MOST_OBJECTIVES}")
    return cone_projections(gram, wanted)
