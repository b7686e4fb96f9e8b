"""From gradients to one direction: the public door to the aggregators, with its checks of what is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from equipoise.errors import UsageError
from equipoise.gradients.aggregators import Aggregator, find
from equipoise.gradients.aggregators.base import rounding
from equipoise.gradients.projection import Combination, combine
from equipoise.numerics.krylov import Products

InnerProduct = Callable[[Float[Array, "m d"]], Float[Array, "m m"]]
"""Vectors, one per row, ↦ their Gram matrix in some metric."""


Values = ArrayLike | Sequence[Any]
"""Anything that makes an array."""


class Aggregated(NamedTuple):
    """A combination of gradients."""

    direction: Float[Array, " d"]
    """d = Σ wᵢgᵢ."""
    weights: Float[Array, " m"]
    """wᵢ, the weight of each gradient in the direction."""


def euclidean(vectors: Float[Array, "m d"]) -> Float[Array, "m m"]:
    """Return the ordinary inner products, in full precision on any device."""
    return jnp.matmul(vectors, vectors.T, precision="highest")


def fisher(products: Products, damping: float | Float[Array, ""] = 0.0) -> InnerProduct:
    """Return the inner product uᵀ(F + λI)v, λ the `damping`, given the products with F.

    Of natural gradients uᵢ = (F + λI)⁻¹gᵢ it is the matrix of progress A_ij = gᵢᵀuⱼ: what their combination does to
    objective i, to first order.
    """

    def inner(vectors: Float[Array, "m d"]) -> Float[Array, "m m"]:
        return jnp.matmul(vectors, (products(vectors) + damping * vectors).T, precision="highest")

    return inner


def aggregate(
    aggregator: str | Aggregator,
    gradients: Values,
    inner_product: InnerProduct | None = None,
    preference: Values | None = None,
    wanted: Values | None = None,
) -> Aggregated:
    """Combine the rows of `gradients`, one per objective and up is better, into one direction.

    `inner_product` says in which metric they are compared (ordinary if not given), `preference` the objectives' weights
    xᵢ ≥ 0 (equal if not given), `wanted` which of them take part (all if not given).

    Can be called inside `jax.jit` and `jax.vmap`; values are checked outside of them only, shapes always. Raises
    `UsageError` for an unknown aggregator, fewer than two gradients, a wrong shape or type, values that are not finite,
    a preference that is negative or zero for all wanted.
    """
    chosen = find(aggregator) if isinstance(aggregator, str) else aggregator
    gradients = jnp.asarray(gradients)
    _check_gradients(gradients)
    m = len(gradients)
    wanted = jnp.ones(m, bool) if wanted is None else jnp.asarray(wanted)
    if wanted.shape != (m,) or wanted.dtype != bool:
        raise UsageError(f"wanted is {wanted.dtype} of shape {wanted.shape}; expected bool of shape ({m},)")
    if preference is None:
        preference = jnp.full(m, 1.0, gradients.dtype) / jnp.maximum(wanted.sum(), 1)
    else:
        preference = jnp.asarray(preference, gradients.dtype)
        _check_preference(preference, wanted)
    gradients = jnp.where(wanted[:, None], gradients, 0.0)  # so that what is not wanted may hold anything
    _check_finite("gradient", gradients)
    gram = (inner_product or euclidean)(gradients)
    _check_gram(gram, m)
    return _aggregate(chosen, gradients, gram, preference, wanted)


@partial(jax.jit, static_argnames="aggregator")
def _aggregate(
    aggregator: Aggregator,
    gradients: Float[Array, "m d"],
    gram: Float[Array, "m m"],
    preference: Float[Array, " m"],
    wanted: Bool[Array, " m"],
) -> Aggregated:
    weights = aggregator(0.5 * (gram + gram.T), preference, wanted)
    return Aggregated(jnp.matmul(weights, gradients, precision="highest"), weights)


def aggregated_combination(
    aggregator: Aggregator, gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]
) -> Combination:
    """Return an aggregator's weights with the freedom that the policy step scales its radius by.

    The aggregator decides the direction, and nothing else. The freedom, sin²φ, belongs to the gradients: it is the
    share of them that survives the projection, whatever the direction. Only where the direction itself cancels up to
    rounding is it 0: at its radius a step would follow noise.
    """
    projected = combine(gram, preference, wanted)
    if aggregator.name == "pcrpo":
        return projected
    weights = aggregator(gram, preference, wanted)
    square, size = weights @ gram @ weights, jnp.abs(weights) @ jnp.sqrt(jnp.diagonal(gram))
    stands_out = square > rounding(gram) * size**2
    return Combination(weights, jnp.where(stands_out, projected.sin2_phi, 0.0))


def _known(array: Array) -> bool:
    """Whether the values can be looked at; those of an array that is being traced cannot."""
    return not isinstance(array, jax.core.Tracer)


def _check_gradients(gradients: Array) -> None:
    if gradients.ndim != 2:
        raise UsageError(f"gradients have shape {gradients.shape}; expected (objectives, parameters)")
    if not jnp.issubdtype(gradients.dtype, jnp.floating):
        raise UsageError(f"gradients are {gradients.dtype}; expected floating point")
    if len(gradients) < 2:
        raise UsageError(f"gradients have shape {gradients.shape}: with fewer than 2 there is nothing to aggregate")
    if gradients.shape[1] == 0:
        raise UsageError(f"gradients have shape {gradients.shape}: there are no parameters")


def _check_finite(name: str, rows: Array) -> None:
    if _known(rows):
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if bad.size:
            raise UsageError(f"{name} {', '.join(map(str, bad))} holds values that are not finite (NaN or infinite)")


def _check_preference(preference: Array, wanted: Array) -> None:
    if preference.shape != wanted.shape:
        raise UsageError(f"preference has shape {preference.shape}; expected {wanted.shape}")
    if _known(preference) and _known(wanted):
        x = np.asarray(preference)
        if not (np.isfinite(x).all() and (x >= 0).all()):
            raise UsageError(f"preference is {x.tolist()}; allowed: finite weights of 0 or more")
        if np.asarray(wanted).any() and not x[np.asarray(wanted)].any():
            raise UsageError("preference is 0 for every wanted objective; one must be positive")


def _check_gram(gram: Array, m: int) -> None:
    if gram.shape != (m, m):
        raise UsageError(f"the inner product gave shape {gram.shape} for {m} gradients; expected ({m}, {m})")
    if _known(gram):
        if not np.isfinite(gram).all():
            raise UsageError(f"the gradients' inner products exceed what {gram.dtype} can hold; scale the gradients")
        if (np.diagonal(gram) < 0).any():
            raise UsageError("the inner product of a gradient with itself is negative: it is none")
