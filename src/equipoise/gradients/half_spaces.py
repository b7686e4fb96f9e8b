"""Steps under linear limits, solved exactly in the space of the objectives' natural gradients.

With the gradients as unit vectors e₀ (reward) and e₁ … e_K (minus costs) of cosines C, and lengths in trust-region
radii, a limit is the half-space ⟨eₖ, x⟩ ≥ fₖ. Two problems are solved by trying every set S of binding limits, 2^K of
them, and keeping the one that breaks the conditions of Karush, Kuhn and Tucker least (not at all, up to rounding):

- `nearest`: the point of all half-spaces nearest to a given one;
- `best_in_ball`: max ⟨e₀, x⟩ over all half-spaces and the unit ball, the problem of CPO (Achiam et al., ICML 2017,
  eq. 11). On S the solution is x = p + t q with p = Σ_S eⱼ (C_SS⁻¹ f_S)ⱼ the nearest point to 0 of all its edges,
  q = e₀ − Σ_S eⱼ (C_SS⁻¹ C_S0)ⱼ what is left of e₀ along them, and t = √(1 − ‖p‖²)/‖q‖, the inverse of the trust
  region's multiplier.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.numerics.quadratic import every_set, nonnegative, restrict

FAR = 1e6
"""Distances, in radii, beyond which it does not matter how far: their squares fit single precision."""

ROUNDING = 1e-4
"""By how much a solution may miss a half-space and still count as inside of it."""


class Nearest(NamedTuple):
    """The nearest point of an intersection of half-spaces."""

    coordinates: Float[Array, " K"]
    """zₖ ≥ 0: the point is the given one plus Σ zₖeₖ."""
    exists: Bool[Array, ""]
    """Whether the half-spaces have a point in common."""


def nearest(cosine: Float[Array, "K K"], short: Float[Array, " K"]) -> Nearest:
    """Return the nearest point x + Σ zₖeₖ to x with ⟨eₖ, x + Σ zⱼeⱼ⟩ ≥ fₖ, `short` being fₖ − ⟨eₖ, x⟩.

    Zeros exactly, where x meets all.
    """
    short = jnp.clip(short, -FAR, FAR)
    coordinates = nonnegative(cosine, -short[None])[0]
    missed = (short - cosine @ coordinates).max()
    exists = jnp.isfinite(coordinates).all() & (missed <= ROUNDING * jnp.maximum(1.0, short.max()))
    return Nearest(jnp.where(exists, jnp.maximum(coordinates, 0.0), 0.0), exists)


class Best(NamedTuple):
    """The best point of half-spaces and the unit ball."""

    coordinates: Float[Array, " m"]
    """x = Σ xᵢeᵢ."""
    free: Bool[Array, ""]
    """No half-space binds: x = e₀."""


def best_in_ball(
    cosine: Float[Array, "m m"],
    floor: Float[Array, " K"],
    reward: Bool[Array, ""],
    least: Float[Array, ""] | float,
) -> Best:
    """Return argmax ⟨e₀, x⟩ with ⟨eₖ, x⟩ ≥ fₖ (`floor`) and ‖x‖ ≤ 1, which have to have a point in common.

    Where ‖q‖² is below `least`, or there is no `reward` gradient, nothing is left to ascend along the binding edges:
    there x = p, the nearest of the equally good points.
    """
    floor = jnp.clip(floor, -2.0, 2.0)  # within the ball it makes no difference
    inside, across = cosine[1:, 1:], jnp.where(reward, cosine[0, 1:], 0.0)
    least = jnp.maximum(least, 10 * jnp.finfo(cosine.dtype).eps)

    def candidate(binding: Bool[Array, " K"]) -> tuple[Array, Array]:
        sides = jnp.where(binding, jnp.stack([floor, across]), 0.0)
        point, part = jnp.linalg.solve(restrict(inside, binding), sides.T).T
        left, rest = 1 - point @ sides[0], jnp.where(reward, 1.0, 0.0) - part @ sides[1]
        flat = rest <= least
        t = jnp.where(flat, 0.0, jnp.sqrt(jnp.maximum(left, 0.0) / jnp.where(flat, 1.0, rest)))
        coordinates = point - t * part
        over = t * across + inside @ coordinates - floor
        multiplier = jnp.where(flat, -part, coordinates)
        broken = jnp.maximum(jnp.where(binding, -multiplier, -over).max(), jnp.maximum(-left, 0.0))
        broken = jnp.where(jnp.isfinite(coordinates).all(), jnp.maximum(broken, 0.0), jnp.inf)
        return jnp.concatenate([t[None], coordinates]), broken

    sets = jnp.asarray(every_set(len(floor)))
    found, broken = jax.vmap(candidate)(sets)
    best = jnp.argmin(broken)
    return Best(found[best], ~sets[best].any() & reward)
