"""What an aggregator is: weights of objectives from their Gram matrix, and the properties it is declared to have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.errors import UsageError

Weights = Callable[[Float[Array, "m m"], Float[Array, " m"], Bool[Array, " m"]], Float[Array, " m"]]
"""(gram, preference, wanted) ↦ w of the direction d = Σ wᵢgᵢ.

`gram` holds the inner products ⟨gᵢ, gⱼ⟩ in any metric, `preference` weights xᵢ ≥ 0, by custom of sum 1. Objectives
that are not `wanted`, and those whose gradient vanishes, get weight 0 and have no influence. Gradients point up: an
objective gains ⟨d, gᵢ⟩ along d, to first order.
"""

ALWAYS = 10**6
"""Declares that a property holds for any number of objectives."""

NEVER = 0
"""Declares that a property does not hold, not even for two objectives."""


@dataclass(frozen=True, kw_only=True)
class Properties:
    """What can be relied on: for each property the largest number of objectives for which it always holds.

    `ALWAYS`, `NEVER` or a number; "always" is for every gradient (up to rounding) and every positive preference.
    """

    non_conflicting: int
    """No objective is harmed: ⟨d, gᵢ⟩ ≥ 0."""
    permutation_equivariant: int
    """Renumbering the objectives renumbers the weights, and leaves d as it is."""
    linear_under_scaling: int
    """d is linear in the objectives' units: d(diag(s)G) is linear in s > 0."""
    direction_ignores_units: int
    """The direction of d is that of d(diag(s)G) for every s > 0; its length may differ."""
    rests_when_stationary: int
    """d = 0 where Σ cᵢgᵢ = 0 for some c > 0: there no objective can gain without harm to another."""
    moves_otherwise: int
    """d ≠ 0 where a common direction of ascent exists."""
    plain_without_conflict: int
    """d = Σ xᵢgᵢ where no two gradients conflict."""
    follows_preference: bool
    """The preference has a say."""
    length: Literal["gradients", "fixed"]
    """What happens to d when all gradients become c times as long: d becomes c times as long, or stays as it is."""


@dataclass(frozen=True)
class Aggregator:
    """A way to combine gradients; called with (gram, preference, wanted), it returns their weights."""

    name: str
    """Name that the aggregator is registered and asked for by."""
    weights: Weights
    """A pure function, which can be compiled and vectorised."""
    properties: Properties
    """Properties that the aggregator is declared, and tested, to have."""
    paper: str
    """Paper that the aggregator comes from."""

    def __call__(
        self, gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]
    ) -> Float[Array, " m"]:
        """Return the weights, all products in full single precision on any device."""
        with jax.default_matmul_precision("highest"):
            weights = jnp.asarray(self.weights(gram, preference, wanted), gram.dtype)
        if weights.shape != preference.shape:
            raise UsageError(f"aggregator {self.name!r} gave weights of {weights.shape}; expected {preference.shape}")
        return weights


class Units(NamedTuple):
    """Gradients as unit vectors eᵢ = gᵢ/‖gᵢ‖, so that lengths from 1e-10 to 1e10 can meet in single precision."""

    cosine: Float[Array, "m m"]
    """⟨eᵢ, eⱼ⟩; one that takes no part is orthogonal to all others."""
    length: Float[Array, " m"]
    """‖gᵢ‖; 1 for one that takes no part."""
    active: Bool[Array, " m"]
    """Wanted and not zero."""


def units(gram: Float[Array, "m m"], wanted: Bool[Array, " m"]) -> Units:
    """Split a Gram matrix into cosines and lengths."""
    square = jnp.diagonal(gram)
    active = wanted & (square > 0)
    length = jnp.sqrt(jnp.where(active, square, 1.0))
    both = active & active[:, None] & ~jnp.eye(len(gram), dtype=bool)
    cosine = jnp.where(both, gram, 0.0) / length / length[:, None]
    return Units(jnp.clip(cosine, -1, 1) + jnp.eye(len(gram), dtype=gram.dtype), length, active)


def shortness(unit: Units) -> Float[Array, " m"]:
    """Return min ‖gⱼ‖/‖gᵢ‖, in (0, 1]; 0 for one that takes no part."""
    shortest = jnp.min(jnp.where(unit.active, unit.length, jnp.inf))
    return jnp.where(unit.active, jnp.where(jnp.isfinite(shortest), shortest, 1.0) / unit.length, 0.0)


def rounding(cosine: Float[Array, "m m"]) -> float:
    """Size below which an eigenvalue of a matrix of cosines cannot be told from zero."""
    return float(8 * len(cosine) * jnp.finfo(cosine.dtype).eps)


def least_squares(cosine: Float[Array, "m m"], right: Float[Array, " m"]) -> Float[Array, " m"]:
    """Return C⁺b by eigenvalues, those of rounding size taken as zero, and likewise parts of b of rounding size."""
    values, vectors = jnp.linalg.eigh(cosine)
    parts = right @ vectors
    kept = (values > rounding(cosine)) & (jnp.abs(parts) > rounding(cosine) * jnp.linalg.norm(right))
    return vectors @ jnp.where(kept, parts / jnp.where(kept, values, 1.0), 0.0)
