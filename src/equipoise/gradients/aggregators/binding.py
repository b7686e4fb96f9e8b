"""Small quadratic programmes, solved exactly by trying every set of binding objectives.

With m ≤ 12 objectives there are at most 4096 sets, each a linear system of m equations: two to four ms for ten.
An interior-point solver (qpax 0.1.4) was measured beside it in single precision, as the learner runs: on random unit
gradients the directions of DualProj were wrong by up to 2e-3 (here 2e-5), MGDA's at stationary points by 2e-4 (here
6e-7), because it keeps every multiplier above √eps. So exact enumeration it is.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from equipoise.errors import UsageError
from equipoise.gradients.projection import MOST_OBJECTIVES as MOST_PROJECTED
from equipoise.gradients.projection import project

MOST_OBJECTIVES = 12
"""Every set of binding objectives is tried, 2^m of them."""


def every_set(m: int) -> np.ndarray:
    """Return all subsets of m objectives, one a row."""
    if m > MOST_OBJECTIVES:
        raise UsageError(f"{m} objectives; this aggregator takes at most {MOST_OBJECTIVES}")
    return np.asarray(list(itertools.product([False, True], repeat=m)))


def restrict(matrix: Float[Array, "m m"], binding: Bool[Array, " m"]) -> Float[Array, "m m"]:
    """Return the system of the `binding` rows and columns, 1 on the diagonal elsewhere.

    A ridge of rounding size makes nearly dependent sets solvable.
    """
    diagonal = jnp.where(binding, jnp.finfo(matrix.dtype).eps * jnp.diagonal(matrix), 1.0)
    return jnp.where(binding & binding[:, None], matrix, 0.0) + jnp.diag(diagonal)


def nonnegative(matrix: Float[Array, "m m"], linear: Float[Array, "k m"]) -> Float[Array, "k m"]:
    """Minimise ½zᵀQz + bᵀz over z ≥ 0 for each row b of `linear`.

    Optimal: z ≥ 0, y = Qz + b ≥ 0, zᵀy = 0. Each set of binding z > 0 gives one candidate; the one that breaks these
    least is kept.
    """

    def candidate(binding: Bool[Array, " m"]) -> tuple[Array, Array]:
        z = jnp.linalg.solve(restrict(matrix, binding), jnp.where(binding, -linear, 0.0).T).T
        broken = jnp.maximum(-z, jnp.where(binding, 0.0, -(z @ matrix + linear))).max(-1)
        return z, jnp.where(jnp.isfinite(z).all(-1), jnp.maximum(broken, 0.0), jnp.inf)

    z, broken = jax.vmap(candidate)(jnp.asarray(every_set(len(matrix))))
    return z[jnp.argmin(broken, axis=0), np.arange(len(linear))]


def projections(cosine: Float[Array, "m m"], active: Bool[Array, " m"]) -> Float[Array, "m m"]:
    """Return coordinates of every eᵢ⁺, the nearest point to eᵢ with ⟨eᵢ⁺, eⱼ⟩ ≥ 0 for all active j, one a row."""
    if len(cosine) <= MOST_PROJECTED:
        return project(cosine, active)
    return jnp.eye(len(cosine), dtype=cosine.dtype) + nonnegative(cosine, cosine)
