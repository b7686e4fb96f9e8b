"""The five geometries in which reward and cost gradients can be compared and combined.

Every combination ends as a step d = Σ wᵢ uᵢ of natural gradients, so a metric only has to say with which Gram matrix
of the objectives the weights w are chosen, and how long each objective's vector is taken to be beforehand:

- `euclidean`: inner products gᵢᵀgⱼ of the plain gradients, the result preconditioned afterwards;
- `natural`: ordinary inner products uᵢᵀuⱼ of the natural gradients;
- `step`: the same between the trust-region steps of each objective alone, each as long as the KL radius lets it be;
- `fisher`: A_ij = gᵢᵀuⱼ, the inner product of progress. Of these four only this one keeps dᵀgᵢ ≥ 0 for the step taken;
- `barrier`: the same of the Fisher matrix with a barrier's curvature added for every limit (`gradients.barrier`), which
  depends on how far the limits are. It keeps dᵀgᵢ ≥ 0 too.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from equipoise.numerics.krylov import NaturalGradients

Metric = Literal["euclidean", "natural", "step", "fisher", "barrier"]
"""Names of the geometries."""

FIXED: tuple[Metric, ...] = ("euclidean", "natural", "step", "fisher")
"""Those that gradients alone decide, wherever the limits are."""


class Geometry(NamedTuple):
    """The objectives as vectors of an inner-product space."""

    gram: Float[Array, "m m"]
    """Inner products of the objectives' vectors eᵢ = scaleᵢ · (gᵢ or uᵢ)."""
    scale: Float[Array, " m"]
    """What each objective is multiplied by; 0 for one whose gradient vanishes."""


def geometry(natural: NaturalGradients, metric: Metric) -> Geometry:
    """Return the objectives' Gram matrix in `metric`, each scaled to unit length in it (`step`: to unit KL).

    For `barrier`, `natural` has to hold the natural gradients of that geometry (`gradients.barrier.with_barrier`).
    """
    if metric == "euclidean":
        gram = natural.gradients @ natural.gradients.T
    elif metric in ("fisher", "barrier"):
        gram = natural.gram
    else:
        gram = natural.directions @ natural.directions.T
    return _scaled(gram, jnp.sqrt(jnp.diagonal(natural.gram if metric == "step" else gram)))


def euclidean_units(gradients: Float[Array, "m d"]) -> Geometry:
    """Return the Gram matrix of plain gradients, each scaled to length 1."""
    gram = gradients @ gradients.T
    return _scaled(gram, jnp.sqrt(jnp.diagonal(gram)))


def _scaled(gram: Float[Array, "m m"], length: Float[Array, " m"]) -> Geometry:
    scale = jnp.where(length > 0, 1.0 / jnp.where(length > 0, length, 1.0), 0.0)
    return Geometry(gram * scale * scale[:, None], scale)


def cosines(gram: Float[Array, "m m"]) -> Float[Array, "m m"]:
    """Return cos φ_ij from a Gram matrix; 0 where a vector vanishes, never outside [−1, 1]."""
    length = jnp.sqrt(jnp.diagonal(gram))
    size = length * length[:, None]
    return jnp.clip(jnp.where(size > 0, gram / jnp.where(size > 0, size, 1.0), 0.0), -1.0, 1.0)
