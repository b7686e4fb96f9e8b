"""CAGrad: Liu et al., Conflict-Averse Gradient Descent, NeurIPS 2021, arXiv 2110.14048, eq. 3 and 4.

    d = argmax minᵢ ⟨gᵢ, d⟩  subject to  ‖d − g₀‖ ≤ c‖g₀‖,    g₀ = Σ xᵢgᵢ

The best for the worst off near the weighted sum. d = g₀ + Σ yᵢgᵢ with y ≥ 0, and the objectives S that bind share the
least gain: ⟨gᵢ, d⟩ = ν for i in S. So for each S, with p = G_SS⁻¹1, q = G_SS⁻¹⟨g_S, g₀⟩ and y = νp − q,

    ‖d − g₀‖² = (1ᵀp) ν² − 2 (1ᵀq) ν + ⟨g_S, g₀⟩ᵀq = c²‖g₀‖²,

whose larger root counts. Every S is tried, and the one that breaks y ≥ 0 and ⟨gⱼ, d⟩ ≥ ν least is kept. With c < 1 it
tends to a stationary point of the weighted sum, on the way harming an objective where that one is in conflict. A g₀
shorter than √(8mε) Σ xᵢ‖gᵢ‖, 1e-3 of that sum in single precision, is rounding in a Gram matrix: it counts as 0, and d
is 0. Of nearly dependent objectives y can be long; ‖d − g₀‖² is then as exact as a Gram matrix tells, to ε(Σ yᵢ‖gᵢ‖)².
Errors: c ≤ 0; more than 12 objectives.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.errors import UsageError
from equipoise.gradients.aggregators.base import ALWAYS, NEVER, Aggregator, Properties, rounding, shortness, units
from equipoise.numerics.quadratic import every_set, restrict


def weights(
    gram: Float[Array, "m m"],
    preference: Float[Array, " m"],
    wanted: Bool[Array, " m"],
    radius: float | Float[Array, ""] = 0.5,
) -> Float[Array, " m"]:
    """Return w = x + y; `radius` is c. Computed on unit vectors, with g₀ of unit length too."""
    if isinstance(radius, float | int) and not radius > 0:
        raise UsageError(f"cagrad's radius is {radius}; allowed: more than 0")
    unit = units(gram, wanted)
    cosine, length, active = unit
    anchor = jnp.where(active, preference * length, 0.0)
    scale = jnp.max(anchor)
    anchor = anchor / jnp.where(scale > 0, scale, 1.0)
    square = anchor @ cosine @ anchor
    vanishes = square <= rounding(cosine) * jnp.sum(anchor) ** 2
    norm = jnp.sqrt(jnp.where(vanishes, 1.0, square))
    y = best_for_the_worst_off(cosine, cosine @ anchor / norm, shortness(unit), active, radius)
    return jnp.where(vanishes, 0.0, scale * (anchor + norm * y) / length)


def best_for_the_worst_off(
    cosine: Float[Array, "m m"],
    inner: Float[Array, " m"],
    shorter: Float[Array, " m"],
    active: Bool[Array, " m"],
    radius: float | Float[Array, ""],
) -> Float[Array, " m"]:
    """Return y ≥ 0 of d = ĝ₀ + Σ yᵢeᵢ, given `inner` = ⟨eᵢ, ĝ₀⟩ and ν in units of gᵢ, ν/‖gᵢ‖ ∝ `shorter`."""

    def candidate(binding: Bool[Array, " m"]) -> tuple[Array, Array]:
        among = jnp.max(jnp.where(binding, shorter, 0.0))
        share = shorter / jnp.where(among > 0, among, 1.0)
        right = jnp.where(binding, jnp.stack([share, inner]), 0.0)
        p, q = jnp.linalg.solve(restrict(cosine, binding), right.T).T
        a, half, rest = right[0] @ p, right[0] @ q, right[1] @ q - radius**2
        missing = (a * rest - half**2) / a
        level = (half + jnp.sqrt(jnp.maximum(-missing * a, 0.0))) / a
        y = jnp.where(binding, level * p - q, 0.0)
        lacking = (level * share - inner - cosine @ y) / jnp.maximum(1.0, share)
        lacking = jnp.where(binding, jnp.abs(lacking), jnp.where(active, lacking, 0.0))
        broken = jnp.maximum(jnp.maximum(lacking, -y).max(), missing)
        possible = jnp.isfinite(y).all() & binding.any() & ~(binding & ~active).any()
        return y, jnp.where(possible & jnp.isfinite(broken), jnp.maximum(broken, 0.0), jnp.inf)

    y, broken = jax.vmap(candidate)(jnp.asarray(every_set(len(cosine))))
    return y[jnp.argmin(broken)]


CAGRAD = Aggregator(
    name="cagrad",
    weights=weights,
    properties=Properties(
        non_conflicting=NEVER,
        permutation_equivariant=ALWAYS,
        linear_under_scaling=NEVER,
        direction_ignores_units=NEVER,
        rests_when_stationary=NEVER,
        moves_otherwise=ALWAYS,
        plain_without_conflict=NEVER,
        follows_preference=True,
        length="gradients",
    ),
    paper="arXiv 2110.14048",
)
