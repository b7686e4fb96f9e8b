"""Natural gradients of several objectives, solved in one shared Krylov space.

Conjugate gradients run apart for each objective stop in different subspaces, and then the matrix A_ij = gᵢᵀuⱼ that
every projection is computed from is not symmetric, and a step can harm an objective to first order although it was
built not to. A Galerkin solve on one space V that contains every gradient,

    uᵢ = V (Vᵀ(F + λI)V)⁻¹ Vᵀ gᵢ,        A = GᵀV (Vᵀ(F + λI)V)⁻¹ VᵀG,

makes A symmetric and positive semidefinite at any number of iterations. V is built by block Lanczos with full
reorthogonalisation (Golub & Van Loan, Matrix Computations, 4th ed., §10.3.6); for one gradient this is the
conjugate-gradient solution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Products = Callable[[Float[Array, "k d"]], Float[Array, "k d"]]
"""V ↦ VF, the products of a symmetric matrix with k vectors, the rows of V."""


class NaturalGradients(NamedTuple):
    """Gradients, their natural counterparts, and the matrix of first-order progress."""

    gradients: Float[Array, "m d"]
    """gᵢ."""
    directions: Float[Array, "m d"]
    """uᵢ ≈ (F + λI)⁻¹gᵢ."""
    gram: Float[Array, "m m"]
    """A_ij = gᵢᵀuⱼ = uᵢᵀ(F + λI)uⱼ: what a unit step along uⱼ does to objective i."""
    images: Float[Array, "m d"] | None = None
    """(F + λI)gᵢ; None where they were not computed."""


def natural_gradients(
    products: Products, gradients: Float[Array, "m d"], damping: Float[Array, ""] | float, iterations: int
) -> NaturalGradients:
    """Solve (F + `damping`·I)u = g for every row g of `gradients` in the Krylov space of all rows.

    `products` is called `iterations` times, with m vectors each time.
    """
    m, d = gradients.shape
    blocks = min(iterations, d)  # not d/m: where gradients are parallel or zero a block adds a single dimension

    def extend(basis: Float[Array, "k d"], block: Array) -> tuple[Array, Array]:
        images = products(jax.lax.dynamic_slice_in_dim(basis, block * m, m))
        return append(basis, images, (block + 1) * m), images

    basis = append(jnp.zeros(((blocks + 1) * m, d), gradients.dtype), gradients, 0)
    basis, images = jax.lax.scan(extend, basis, jnp.arange(blocks))
    space = basis[: blocks * m]
    fisher = space @ images.reshape(blocks * m, d).T
    # A zero row of the space (see `append`) has λ on the diagonal and nothing else: it takes no part.
    system = 0.5 * (fisher + fisher.T) + damping * jnp.eye(blocks * m, dtype=gradients.dtype)
    inside = space @ gradients.T
    factor = jnp.linalg.cholesky(system)
    half = jax.scipy.linalg.solve_triangular(factor, inside, lower=True)
    solution = jax.scipy.linalg.solve_triangular(factor, half, lower=True, trans=1)
    own = inside[:m].T @ images[0] + damping * gradients  # the first block of the space spans the gradients
    return NaturalGradients(gradients, solution.T @ space, half.T @ half, own)


def append(basis: Float[Array, "k d"], vectors: Float[Array, "m d"], row: Array | int) -> Float[Array, "k d"]:
    """Write orthonormal vectors that extend `basis` by the span of `vectors` into its rows from `row` on.

    Gram–Schmidt, each vector twice (Parlett, The Symmetric Eigenvalue Problem, §6.9). What lies in the span already,
    up to rounding (a zero gradient, one parallel to another, an exhausted Krylov space), leaves a row of zeros.
    """
    rounding = 30 * jnp.finfo(basis.dtype).eps
    for offset, vector in enumerate(vectors):
        length = jnp.linalg.norm(vector)
        unit = vector / jnp.where(length > 0, length, 1.0)
        rest = unit - (unit @ basis.T) @ basis
        remains = jnp.linalg.norm(rest)
        rest = rest / jnp.where(remains > rounding, remains, jnp.inf)
        rest = rest - (rest @ basis.T) @ basis
        remains = jnp.linalg.norm(rest)
        basis = basis.at[row + offset].set(rest / jnp.where(remains > 0, remains, 1.0))
    return basis
