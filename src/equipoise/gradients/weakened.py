"""Gradients of costs that count for less in some of a policy's parameters."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from equipoise.numerics.krylov import NaturalGradients


def weakened(natural: NaturalGradients, there: Float[Array, " d"], share: Float[Array, ""] | float) -> NaturalGradients:
    """Multiply every objective's gradient but the first by `share` in the parameters where `there` is 1.

    F⁻¹g and Fg are multiplied alike. That is exact where F couples these parameters with no others, as it does not
    couple the means of a Gaussian with its deviations. What each objective gains along another's step follows. The
    first objective's own numbers stay what they were, in every bit.
    """
    own = jnp.where(jnp.arange(len(natural.gram)) > 0, share, 1.0)
    factor = 1 - (1 - own)[:, None] * there
    gained = (natural.gradients * there) @ natural.directions.T
    lost = (1 - own[:, None] * own) * (gained + gained.T) / 2
    images = None if natural.images is None else natural.images * factor
    return NaturalGradients(natural.gradients * factor, natural.directions * factor, natural.gram - lost, images)
