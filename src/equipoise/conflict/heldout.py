"""Does a step help on episodes that it was not computed from? Each metric's step, from half of the environments."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.direction import Region
from equipoise.algorithms.rule import Rule, Seen
from equipoise.algorithms.steps.trust_region import TrustRegion
from equipoise.conflict.env_gradients import EnvGradients
from equipoise.numerics.krylov import NaturalGradients

HALVES = 200
"""Random halves of the environments; each is used both ways round."""


class HeldOut(NamedTuple):
    """What a step computed from half of the environments does to every objective on the other half, to first order."""

    promised: Float[np.ndarray, " m"]
    """Mean gain on the half that the step was computed from; up is better."""
    kept: Float[np.ndarray, " m"]
    """Mean gain on the half that the step was not computed from."""
    harmed: Float[np.ndarray, " m"]
    """Share of the halves in which the gain on the other half is below 0."""


def held_out(
    envs: EnvGradients,
    wanted: Bool[np.ndarray, " m"],
    preference: Float[np.ndarray, " m"],
    rule: Rule,
    step: TrustRegion,
    seen: Seen,
    random: np.random.Generator,
) -> HeldOut:
    """Compute the candidate's step of full length from random halves, and measure it on the others.

    The Fisher matrix is that of all environments: it depends on states alone, and its noise is small beside that of
    the gradients.
    """
    count = len(envs.gradients)
    first = np.zeros((HALVES, count), bool)
    for row in first:
        row[random.permutation(count)[: count // 2]] = True
    halves = np.concatenate([first, ~first])
    gains = _gains(
        jnp.asarray(envs.gradients, jnp.float32),
        jnp.asarray(envs.directions, jnp.float32),
        jnp.asarray(halves, jnp.float32),
        jnp.asarray(wanted),
        jnp.asarray(preference, jnp.float32),
        rule,
        step,
        seen,
    )
    own, other = np.asarray(gains, float)
    return HeldOut(own.mean(0), other.mean(0), (other < 0).mean(0))


@jax.jit
def _gains(
    gradients: Float[Array, "N m d"],
    directions: Float[Array, "N m d"],
    halves: Float[Array, "b N"],
    wanted: Bool[Array, " m"],
    preference: Float[Array, " m"],
    rule: Rule,
    step: TrustRegion,
    seen: Seen,
) -> tuple[Float[Array, "b m"], Float[Array, "b m"]]:
    """Return dᵀgᵢ for d from each half, with gᵢ of the same half and with gᵢ of the rest."""

    to = Region(step.max_kl, step.min_sin2_phi, jnp.zeros(len(preference)))

    def gain(half: Float[Array, " N"]) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
        def mean(weights: Float[Array, " N"], vectors: Float[Array, "N m d"]) -> Float[Array, "m d"]:
            return jnp.tensordot(weights, vectors, 1) / weights.sum()

        g, u = mean(half, gradients), mean(half, directions)
        gram = g @ u.T
        natural = NaturalGradients(g, u, 0.5 * (gram + gram.T))
        move = rule.direct(natural, wanted, preference, seen, to).coefficients @ u
        return g @ move, mean(1 - half, gradients) @ move

    return jax.lax.map(gain, halves, batch_size=20)
