"""Small quadratic programmes, solved exactly by trying every set of binding variables.

With m ≤ 12 variables there are at most 4096 sets, each a linear system of m equations: two to four ms for ten.
An interior-point solver (qpax 0.1.4) was measured beside it in single precision, as the learner runs: on random unit
gradients the directions of DualProj were wrong by up to 2e-3 (here 2e-5), MGDA's at stationary points by 2e-4 (here
6e-7), because it keeps every multiplier above √eps. So exact enumeration it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from equipoise.errors import UsageError

MOST_VARIABLES = 12
"""Every set of binding variables is tried, 2^m of them."""


def every_set(m: int) -> np.ndarray:
    """Return all subsets of m variables, one per row."""
    if m > MOST_VARIABLES:
        raise UsageError(f"{m} objectives; trying every set of binding ones takes at most {MOST_VARIABLES}")
    return np.asarray(list(itertools.product([False, True], repeat=m)))


def restrict(matrix: Float[Array, "m m"], binding: Bool[Array, " m"]) -> Float[Array, "m m"]:
    """Return the system of the `binding` rows and columns, 1 on the diagonal elsewhere.

    A ridge of rounding size makes nearly dependent sets solvable.
    """
    both, diagonal = binding & binding[:, None], jnp.eye(len(matrix), dtype=matrix.dtype) > 0
    ridge = jnp.where(binding, jnp.finfo(matrix.dtype).eps * jnp.diagonal(matrix), 1.0)
    return jnp.where(both, matrix, 0.0) + jnp.where(diagonal, ridge, 0.0)


def nonnegative(matrix: Float[Array, "m m"], linear: Float[Array, "k m"]) -> Float[Array, "k m"]:
    """Minimise ½zᵀQz + bᵀz over z ≥ 0 for each row b of `linear`."""
    free = jnp.ones(len(matrix), bool)
    return _least_broken(matrix, linear, lambda z: z @ matrix + linear, free)


def cone_projections(gram: Float[Array, "m m"], wanted: Bool[Array, " m"]) -> Float[Array, "m m"]:
    """Project each of m vectors on the cone {d : ⟨d, vⱼ⟩ ≥ 0 for all wanted j}, and return coordinates, one per row.

    `gram` holds the vectors' inner products. The nearest point of the cone to vᵢ is vᵢ + Σ zⱼvⱼ, z being 0 where not
    wanted and minimising the length of the sum over z ≥ 0.
    """
    identity = jnp.eye(len(gram), dtype=gram.dtype)
    return identity + _least_broken(gram, gram, lambda z: (identity + z) @ gram, wanted)


def _least_broken(
    matrix: Float[Array, "m m"],
    linear: Float[Array, "k m"],
    slope: Callable[[Float[Array, "k m"]], Float[Array, "k m"]],
    free: Bool[Array, " m"],
) -> Float[Array, "k m"]:
    """Solve z ≥ 0, y = `slope`(z) ≥ 0, zᵀy = 0 for each row of `linear`; z is 0, and y anything, where not `free`.

    Each set of binding z > 0 gives one candidate, with Qz = −b on the set. The one that breaks z ≥ 0, y ≥ 0 least (not
    at all, up to rounding) is kept. `slope` is Qz + b, in the form that the caller can compute with least rounding.
    """

    def candidate(binding: Bool[Array, " m"]) -> tuple[Array, Array]:
        z = jnp.linalg.solve(restrict(matrix, binding), jnp.where(binding, -linear, 0.0).T).T
        z = jnp.where(binding, z, 0.0)
        y = slope(z)
        broken = jnp.maximum(jnp.where(binding, -z, 0.0), jnp.where(free & ~binding, -y, 0.0)).max(-1)
        broken = jnp.where(jnp.isfinite(z).all(-1), jnp.maximum(broken, 0.0), jnp.inf)
        return z, jnp.where((binding & ~free).any(), jnp.inf, broken)

    z, broken = jax.vmap(candidate)(jnp.asarray(every_set(len(matrix))))
    return z[jnp.argmin(broken, axis=0), np.arange(len(linear))]
