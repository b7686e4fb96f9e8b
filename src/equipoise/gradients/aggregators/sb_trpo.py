"""SB-TRPO's combination with the least safety weight: Kanwar, Wagner & Ong, 2025, arXiv 2512.23770.

    d = (1 − μ) Δ_r + μ Δ_c,    μ the least in [0, 1] with  ⟨g_c, d⟩ ≥ β ⟨g_c, Δ_c⟩

Δ_r and Δ_c are the reward's and the cost's own steps, of one length; here that length is 1 in the metric given, and the
caller scales d. With unit vectors, μ = (β − cos φ)/(1 − cos φ) where that is positive: a fraction β of the best cost
decrease is always had, and the reward may lose. Objective 0 is the reward, the others are costs (up is better).

For several costs (the paper has one) Δ_c is the unit step whose least decrease of any cost is largest (MGDA's
direction), ρ = minₖ ⟨eₖ, Δ_c⟩, and μ the least with ⟨eₖ, d⟩ ≥ βρ for every k. The preference has no say; β has.
Errors: β outside [0, 1]; more than 12 objectives.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.errors import UsageError
from equipoise.gradients.aggregators.base import ALWAYS, NEVER, Aggregator, Properties, rounding, units
from equipoise.gradients.aggregators.mgda import minimum_norm


def weights(
    gram: Float[Array, "m m"],
    preference: Float[Array, " m"],
    wanted: Bool[Array, " m"],
    fraction: float | Float[Array, ""] = 0.75,
) -> Float[Array, " m"]:
    """Return w of d; `fraction` is β."""
    if isinstance(fraction, float | int) and not 0 <= fraction <= 1:
        raise UsageError(f"sb_trpo's fraction is {fraction}; allowed: from 0 to 1")
    cosine, length, active = units(gram, wanted)
    first = jnp.arange(len(gram)) == 0
    costs = active & ~first
    safest = minimum_norm(units(gram, costs).cosine, costs.astype(gram.dtype))
    square = safest @ cosine @ safest
    agreed = square > rounding(cosine)  # else no step lowers all costs, and Δ_c = 0
    least = jnp.where(agreed, jnp.sqrt(jnp.where(agreed, square, 1.0)), 0.0)
    safest = jnp.where(agreed, safest / jnp.where(agreed, least, 1.0), 0.0)

    by_reward, by_safety = jnp.where(active[0], cosine[0], 0.0), cosine @ safest
    short = costs & (by_reward < fraction * least)
    needed = (fraction * least - by_reward) / jnp.where(short, by_safety - by_reward, 1.0)
    mu = jnp.max(jnp.where(short, jnp.clip(needed, 0.0, 1.0), 0.0))
    mu = jnp.where(active[0], mu, 1.0)
    return jnp.where(active, jnp.where(first, 1 - mu, mu * safest), 0.0) / length


SB_TRPO = Aggregator(
    name="sb_trpo",
    weights=weights,
    properties=Properties(
        non_conflicting=NEVER,
        permutation_equivariant=NEVER,
        linear_under_scaling=NEVER,
        direction_ignores_units=ALWAYS,
        rests_when_stationary=NEVER,
        moves_otherwise=ALWAYS,
        plain_without_conflict=NEVER,
        follows_preference=False,
        length="fixed",
    ),
    paper="arXiv 2512.23770",
)
