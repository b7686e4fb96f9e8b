"""GradVac: Wang et al., Gradient Vaccine, ICLR 2021, arXiv 2010.05874, eq. 2.

For j ≠ i in turn, φ the cosine of gᵢ' and gⱼ: if φ < φ*,

    gᵢ' ← gᵢ' + ‖gᵢ'‖ (φ* √(1 − φ²) − φ √(1 − φ*²)) / (‖gⱼ‖ √(1 − φ*²)) gⱼ,    d = Σ xᵢgᵢ'

after which their cosine is the target φ*; with φ* = 0 it is PCGrad. Orders are averaged over as in PCGrad. The paper
lets φ*ᵢⱼ follow the cosines seen in training; an aggregator has no memory, so φ* is an argument here, one number or a
matrix of them: `dataclasses.replace(GRADVAC, weights=functools.partial(weights, target=...))`.
Errors: a target outside [−1, 1).
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from equipoise.errors import UsageError
from equipoise.gradients.aggregators.base import ALWAYS, NEVER, Aggregator, Properties, units
from equipoise.gradients.aggregators.pcgrad import in_turn


def weights(
    gram: Float[Array, "m m"],
    preference: Float[Array, " m"],
    wanted: Bool[Array, " m"],
    target: float | Float[Array, "m m"] = 0.5,
) -> Float[Array, " m"]:
    """Return w of the average d, computed on unit vectors. `target[i, j]` is φ* where gᵢ' meets gⱼ."""
    if isinstance(target, float | int) and not -1 <= target < 1:
        raise UsageError(f"gradvac's target is {target}; allowed: from -1 to below 1")
    cosine, length, active = units(gram, wanted)
    targets = jnp.broadcast_to(jnp.asarray(target, gram.dtype), gram.shape)
    sine = jnp.sqrt(1 - targets**2)
    rows = jnp.arange(len(gram))

    def correct(c: Float[Array, " m"], i: Int[Array, ""], j: Int[Array, ""]) -> Float[Array, " m"]:
        own = jnp.sqrt(jnp.maximum(c @ cosine @ c, 0.0))
        phi = jnp.clip(cosine[j] @ c / jnp.where(own > 0, own, 1.0), -1.0, 1.0)
        step = own * (targets[i, j] * jnp.sqrt(1 - phi**2) - phi * sine[i, j]) / sine[i, j]
        return c.at[j].add(jnp.where((phi < targets[i, j]) & active[j] & (own > 0), step, 0.0))

    corrected = in_turn(correct, len(rows), gram.dtype)
    return jnp.where(active, preference * length, 0.0) @ corrected / length


GRADVAC = Aggregator(
    name="gradvac",
    weights=weights,
    properties=Properties(
        non_conflicting=NEVER,
        permutation_equivariant=6,
        linear_under_scaling=ALWAYS,
        direction_ignores_units=NEVER,
        rests_when_stationary=2,
        moves_otherwise=ALWAYS,
        plain_without_conflict=NEVER,
        follows_preference=True,
        length="gradients",
    ),
    paper="arXiv 2010.05874",
)
