"""PCRPO's projection: Gu et al., AAAI 2024, arXiv 2405.01677, §4; for more than two objectives its extension.

    d = x_r g_r + x_c g_c                                              if ⟨g_r, g_c⟩ ≥ 0, else
    d = x_r (g_r − ⟨g_r, g_c⟩/⟨g_c, g_c⟩ g_c) + x_c (g_c − ⟨g_c, g_r⟩/⟨g_r, g_r⟩ g_r)

For two gradients that is, exactly, the projection of each on the cone that harms none, which is UPGrad; so for more
than two it is UPGrad (`equipoise.gradients.projection`). Errors: more than 12 objectives.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.gradients.aggregators import upgrad
from equipoise.gradients.aggregators.base import Aggregator, units
from equipoise.gradients.projection import MOST_OBJECTIVES, combine


def weights(gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]) -> Float[Array, " m"]:
    """Return w of the projection, computed on unit vectors."""
    if len(gram) > MOST_OBJECTIVES:
        return upgrad.weights(gram, preference, wanted)
    cosine, length, active = units(gram, wanted)
    return jnp.where(active, combine(cosine, preference * length, active).weights / length, 0.0)


PCRPO = Aggregator(
    name="pcrpo",
    weights=weights,
    properties=upgrad.UPGRAD.properties,
    paper="arXiv 2405.01677",
)
