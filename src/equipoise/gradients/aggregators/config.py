"""ConFIG: Liu, Chu & Thuerey, Conflict-free Training of Physics-Informed Neural Networks, ICLR 2025, arXiv 2408.11104.

    d = (Σ ⟨gᵢ, u⟩) u,    u = U⁺x/‖U⁺x‖,    U the unit vectors eᵢ = gᵢ/‖gᵢ‖ as rows     (eq. 2 and 3)

u has cosines with the gradients in proportion to x; its length is the sum of their projections on it. In Gram terms
U⁺x = Σ bᵢeᵢ with b = C⁺x. That no objective is harmed holds where the gradients are linearly independent; where they
are not, the cosines can only be met in least squares, and one may be negative.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.gradients.aggregators.base import ALWAYS, NEVER, Aggregator, Properties, least_squares, units


def weights(gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]) -> Float[Array, " m"]:
    """Return w, or zeros where U⁺x vanishes."""
    cosine, length, active = units(gram, wanted)
    b = least_squares(cosine, jnp.where(active, preference, 0.0))
    inner = cosine @ b
    square = b @ inner
    total = jnp.sum(jnp.where(active, length * inner, 0.0))
    return jnp.where(active & (square > 0), total * b / jnp.where(square > 0, square, 1.0), 0.0) / length


CONFIG = Aggregator(
    name="config",
    weights=weights,
    properties=Properties(
        non_conflicting=NEVER,
        permutation_equivariant=ALWAYS,
        linear_under_scaling=ALWAYS,
        direction_ignores_units=NEVER,
        rests_when_stationary=NEVER,
        moves_otherwise=ALWAYS,
        plain_without_conflict=NEVER,
        follows_preference=True,
        length="gradients",
    ),
    paper="arXiv 2408.11104",
)
