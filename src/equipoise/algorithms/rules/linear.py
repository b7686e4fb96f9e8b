"""Linear limits: what CPO, PCPO and SB-TRPO share. Each costs' surrogate is taken to be linear in the step."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from equipoise.algorithms.direction import Direction, Region
from equipoise.algorithms.rule import BALANCE, REWARD, SAFETY, Plan, Seen
from equipoise.algorithms.rules.crpo import worst_violated
from equipoise.gradients.aggregators.base import units
from equipoise.gradients.half_spaces import FAR, nearest
from equipoise.gradients.projection import combine
from equipoise.numerics.krylov import NaturalGradients


class Linear(NamedTuple):
    """The objectives as unit vectors of the Fisher metric, and how far the limits are in radii of the trust region."""

    cosine: Float[Array, "m m"]
    """⟨eᵢ, eⱼ⟩."""
    length: Float[Array, " m"]
    """√(gᵢᵀuᵢ); 1 for an objective without a gradient."""
    active: Bool[Array, " m"]
    """Objectives with a gradient."""
    radius: Float[Array, ""]
    """√(2δ)."""
    floor: Float[Array, " K"]
    """fₖ: a step x of unit radius meets limit k if ⟨eₖ, x⟩ ≥ fₖ; −∞, almost, for a cost that has no gradient."""

    def coefficients(self, x: Float[Array, " m"]) -> Float[Array, " m"]:
        """Return the coefficients of the step Σ xᵢeᵢ in the natural gradients."""
        return jnp.where(self.active, self.radius * x / self.length, 0.0)

    def size(self, x: Float[Array, " m"]) -> Float[Array, ""]:
        """Return ‖Σ xᵢeᵢ‖."""
        return jnp.sqrt(jnp.maximum(x @ jnp.where(self.active, self.cosine, 0.0) @ x, 0.0))


def linear(natural: NaturalGradients, seen: Seen, to: Region) -> Linear:
    """Return the limits as a linear model of the costs has them."""
    unit = units(natural.gram, jnp.ones(len(natural.gram), bool))
    radius = jnp.sqrt(2 * jnp.asarray(to.max_kl, natural.gram.dtype))
    floor = jnp.where(unit.active[1:], jnp.clip(seen.surrogate_excess / (radius * unit.length[1:]), -FAR, FAR), -FAR)
    return Linear(unit.cosine, unit.length, unit.active, radius, floor)


def plan_all(seen: Seen) -> Plan:
    """Plan everything together, and, should that lead nowhere while several limits are violated, the worst cost alone.

    What an update is for shows only in the step (`Direction.mode`); until then it is taken to be for the reward, or
    for a balance where a limit is violated.
    """
    violated = seen.excess > 0
    worst = worst_violated(seen.estimate, seen.limits, violated) & (violated.sum() > 1)
    alone = jnp.concatenate([jnp.zeros(1, bool), worst])
    reward = (jnp.arange(len(alone)) == 0).astype(jnp.float32)
    mode = jnp.where(violated.any(), BALANCE, REWARD).astype(jnp.int32)
    wanted = jnp.stack([jnp.ones_like(alone), alone])
    return Plan(mode, wanted, jnp.stack([reward, alone.astype(jnp.float32)]))


class Back(NamedTuple):
    """The way back to the limits, if they are out of reach."""

    x: Float[Array, " m"]
    """A step of unit length, or shorter where costs are in conflict."""
    reachable: Bool[Array, ""]
    """One step meets all limits, to first order."""
    together: Bool[Array, ""]
    """All limits can be met together, in however many steps, to first order."""


def back(model: Linear, seen: Seen, to: Region) -> Back:
    """Return the step straight towards the nearest point that meets all limits.

    Where no point does (costs in conflict), it is the sum of the violated costs' unit gradients, each projected so that
    it harms no other, its radius scaled by the sin²φ that is left of them.
    """
    inside = model.cosine[1:, 1:]
    target = nearest(inside, model.floor)
    distance = jnp.sqrt(jnp.maximum(target.coordinates @ inside @ target.coordinates, 0.0))
    violated = jnp.concatenate([jnp.zeros(1, bool), seen.excess > 0]) & model.active
    joint = combine(model.cosine, violated.astype(model.cosine.dtype), violated)
    size = model.size(joint.weights)
    stands = (joint.sin2_phi >= to.min_sin2_phi) & (size > 0)
    joint_step = jnp.where(stands, jnp.sqrt(joint.sin2_phi) / jnp.where(stands, size, 1.0), 0.0) * joint.weights
    straight = jnp.concatenate([jnp.zeros(1), target.coordinates]) / jnp.where(distance > 0, distance, 1.0)
    return Back(jnp.where(target.exists, straight, joint_step), target.exists & (distance <= 1), target.exists)


def searched(
    coefficients: Float[Array, " m"],
    goal: Float[Array, " m"],
    mode: Int[Array, ""],
    natural: NaturalGradients,
    wanted: Bool[Array, " m"],
    seen: Seen,
    to: Region,
) -> Direction:
    """Return the direction whose line search holds the costs to their limits.

    The surrogate of a cost may rise as far as its limit, and not at all if it is above already, up to the loss that the
    step allows; violated costs that are not `wanted` may do anything.
    """
    at_least = jnp.minimum(seen.surrogate_excess, 0.0) - to.allowed_loss[1:]
    at_least = jnp.where(wanted[1:] | (seen.excess <= 0), at_least, -jnp.inf)
    vanishes = ~(coefficients @ natural.gram @ coefficients > 0)
    floor = jnp.concatenate([jnp.full(1, -jnp.inf), at_least])
    mode = jnp.where(wanted[0], mode, SAFETY).astype(jnp.int32)
    return Direction(coefficients, vanishes, goal, floor, mode=mode)
