"""MGDA: Désidéri, Multiple-gradient descent algorithm, C. R. Acad. Sci. Paris 350, 2012; Sener & Koltun, NeurIPS 2018.

    d = Σ wᵢgᵢ,    w = argmin ‖Σ wᵢgᵢ‖  subject to  w ≥ 0, Σ wᵢ = 1

The shortest vector of the gradients' convex hull: ⟨d, gᵢ⟩ ≥ ‖d‖². Short gradients rule; the preference has no say. (A
gradient that is exactly zero takes no part here; by the letter of the paper it would stop all others.)
Errors: more than 12 objectives.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.gradients.aggregators.base import ALWAYS, NEVER, Aggregator, Properties, shortness, units
from equipoise.numerics.quadratic import nonnegative


def minimum_norm(cosine: Float[Array, "m m"], shorter: Float[Array, " m"]) -> Float[Array, " m"]:
    """Return coordinates b ≥ 0 with Σ rᵢbᵢ = 1 of the shortest Σ bᵢeᵢ, r being `shorter`; zeros if r is.

    The minimiser of ‖Σ bᵢeᵢ‖² + (Σ rᵢbᵢ − 1)² over b ≥ 0 is a multiple of it (Lawson & Hanson, Solving Least Squares
    Problems, ch. 23), which leaves no equality to keep.
    """
    b = nonnegative(cosine + shorter * shorter[:, None], -shorter[None])[0]
    b = jnp.maximum(b, 0.0)
    total = shorter @ b
    return b / jnp.where(total > 0, total, 1.0)


def weights(gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]) -> Float[Array, " m"]:
    """Return w on the simplex; in unit vectors bᵢ = wᵢ‖gᵢ‖, in units of the shortest gradient."""
    unit = units(gram, wanted)
    shorter = shortness(unit)
    return shorter * minimum_norm(unit.cosine, shorter)


MGDA = Aggregator(
    name="mgda",
    weights=weights,
    properties=Properties(
        non_conflicting=ALWAYS,
        permutation_equivariant=ALWAYS,
        linear_under_scaling=NEVER,
        direction_ignores_units=NEVER,
        rests_when_stationary=ALWAYS,
        moves_otherwise=ALWAYS,
        plain_without_conflict=NEVER,
        follows_preference=False,
        length="gradients",
    ),
    paper="Désidéri 2012; arXiv 1810.04650",
)
