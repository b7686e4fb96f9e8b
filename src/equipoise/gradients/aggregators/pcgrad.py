"""PCGrad: Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020, arXiv 2001.06782, algorithm 1.

    gᵢ' = gᵢ;  for j ≠ i in random order: if ⟨gᵢ', gⱼ⟩ < 0, gᵢ' ← gᵢ' − ⟨gᵢ', gⱼ⟩/⟨gⱼ, gⱼ⟩ gⱼ;    d = Σ xᵢgᵢ'

The paper draws the order at random and sums (xᵢ = 1). Here d is the average over orders, so it is a function of the
gradients alone: over all of them for up to 6 objectives, over 120 orders drawn once and for all for more. For two
objectives it is PCRPO's projection; for three it can harm one of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from equipoise.gradients.aggregators.base import ALWAYS, NEVER, Aggregator, Properties, units

MOST_ORDERS = 120
"""Orders to average over."""

Correction = Callable[[Float[Array, " m"], Int[Array, ""], Int[Array, ""]], Float[Array, " m"]]
"""(coordinates of gᵢ', i, j) ↦ coordinates of gᵢ' once it has met gⱼ."""


def orders(m: int) -> np.ndarray:
    """Return orders of m − 1 things: all of them, or `MOST_ORDERS` drawn once and for all."""
    if math.factorial(m - 1) <= MOST_ORDERS:
        return np.asarray(list(itertools.permutations(range(m - 1))), np.int32)
    random = np.random.default_rng(0)
    return np.stack([random.permutation(m - 1) for _ in range(MOST_ORDERS)]).astype(np.int32)


def in_turn(correct: Correction, m: int, dtype: np.dtype) -> Float[Array, "m m"]:
    """Return coordinates of every gᵢ' after it has met all others one by one, averaged over orders."""

    def corrected(i: Int[Array, ""], order: Int[Array, " n"]) -> Float[Array, " m"]:
        start = jnp.zeros(m, dtype).at[i].set(1.0)
        return jax.lax.scan(lambda c, j: (correct(c, i, j), None), start, (i + 1 + order) % m)[0]

    over_orders = jax.vmap(corrected, in_axes=(None, 0))
    return jax.vmap(over_orders, in_axes=(0, None))(jnp.arange(m), jnp.asarray(orders(m))).mean(1)


def weights(gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]) -> Float[Array, " m"]:
    """Return w of the average d, computed on unit vectors."""
    cosine, length, active = units(gram, wanted)

    def correct(c: Float[Array, " m"], i: Int[Array, ""], j: Int[Array, ""]) -> Float[Array, " m"]:
        return c.at[j].add(-jnp.minimum(cosine[j] @ c, 0.0))

    return jnp.where(active, preference * length, 0.0) @ in_turn(correct, len(gram), gram.dtype) / length


PCGRAD = Aggregator(
    name="pcgrad",
    weights=weights,
    properties=Properties(
        non_conflicting=2,
        permutation_equivariant=6,
        linear_under_scaling=ALWAYS,
        direction_ignores_units=NEVER,
        rests_when_stationary=2,
        moves_otherwise=ALWAYS,
        plain_without_conflict=ALWAYS,
        follows_preference=True,
        length="gradients",
    ),
    paper="arXiv 2001.06782",
)
