"""Nash-MTL: Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022, arXiv 2202.01017, claim 3.1 and eq. 2.

    d = argmax Σ xᵢ log ⟨d, gᵢ⟩  in a ball,    so d = Σ wᵢgᵢ with  w > 0,  (Gw)ᵢ = xᵢ/wᵢ

The paper has xᵢ = 1 and ‖d‖ = √m; preferences of sum 1 make ‖d‖ = 1, which is all that changes. On unit vectors
bᵢ = wᵢ‖gᵢ‖ minimises ½bᵀCb − Σ xᵢ log bᵢ. As log is self-concordant, Newton's method gets there from anywhere if its
step is divided by 1 + the largest relative change of any bᵢ (Nesterov & Nemirovskii, 1994); the paper solves a sequence
of convex programmes instead. Where no direction improves all objectives there is no bargain, and d = 0.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.gradients.aggregators.base import ALWAYS, NEVER, Aggregator, Properties, rounding, units

MOST_STEPS = 50
"""Newton steps."""
LEAST_POWER = 1e-3
"""Share of the mean preference that an objective's bargaining power counts as at least: one of none could be harmed."""


def weights(gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]) -> Float[Array, " m"]:
    """Return w > 0, or zeros where there is no bargain."""
    cosine, length, active = units(gram, wanted)
    preference = jnp.where(active, preference, 0.0)
    mean = jnp.sum(preference) / jnp.maximum(active.sum(), 1)
    power = jnp.where(active, jnp.maximum(preference / jnp.where(mean > 0, mean, 1.0), LEAST_POWER), 1.0)
    b = bargain(cosine + 2 * jnp.finfo(gram.dtype).eps * jnp.eye(len(gram), dtype=gram.dtype), power)
    # Where there is no bargain only the ridge keeps b finite, and (Cb)ᵢ = xᵢ/bᵢ is of rounding size.
    agreed = active & jnp.where(active, rounding(cosine) * b**2 < 0.5 * power, True).all()
    return jnp.where(agreed, jnp.sqrt(mean) * b / length, 0.0)


def bargain(cosine: Float[Array, "m m"], power: Float[Array, " m"]) -> Float[Array, " m"]:
    """Solve (Cb)ᵢ = xᵢ/bᵢ for b > 0; Newton steps are taken relative to b, which keeps them well scaled."""
    enough = jnp.sqrt(jnp.finfo(cosine.dtype).eps)  # the next step squares what is left

    def improve(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, b, _ = state
        scaled = b[:, None] * cosine * b
        step = jnp.linalg.solve(scaled + jnp.diag(power), power - scaled.sum(1))
        change = jnp.max(jnp.abs(step))
        return count + 1, b * (1 + step / (1 + change)), change

    def unfinished(state: tuple[Array, Array, Array]) -> Array:
        count, _, change = state
        return (change > enough) & (count < MOST_STEPS)

    start = (jnp.zeros((), jnp.int32), jnp.sqrt(power), jnp.full((), jnp.inf, cosine.dtype))
    return jax.lax.while_loop(unfinished, improve, start)[1]


NASH_MTL = Aggregator(
    name="nash_mtl",
    weights=weights,
    properties=Properties(
        non_conflicting=ALWAYS,
        permutation_equivariant=ALWAYS,
        linear_under_scaling=NEVER,
        direction_ignores_units=ALWAYS,
        rests_when_stationary=ALWAYS,
        moves_otherwise=ALWAYS,
        plain_without_conflict=NEVER,
        follows_preference=True,
        length="fixed",
    ),
    paper="arXiv 2202.01017",
)
