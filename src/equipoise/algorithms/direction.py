"""From natural gradients to a step of full length: weighted sums and projections, scaled to the trust region."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from equipoise.gradients.metric import Metric, geometry
from equipoise.gradients.projection import Combination
from equipoise.numerics.krylov import NaturalGradients

Combine = Callable[[Float[Array, "m m"], Float[Array, " m"], Bool[Array, " m"]], Combination]
"""(gram, preference, wanted) ↦ weights in the metric's units, with sin²φ."""


class Region(NamedTuple):
    """How far a step may go, and what it may lose."""

    max_kl: Float[Array, ""] | float
    """δ."""
    min_sin2_phi: Float[Array, ""] | float
    """sin²φ below which objectives have no common direction of ascent."""
    allowed_loss: Float[Array, " m"]
    """What the line search lets each wanted objective's surrogate lose."""


class Direction(NamedTuple):
    """A step Σ cᵢuᵢ of full length, and what a line search along it has to see."""

    coefficients: Float[Array, " m"]
    """cᵢ."""
    vanishes: Bool[Array, ""]
    """There is no such step."""
    goal: Float[Array, " m"]
    """Weights of the surrogates whose sum has to rise."""
    floor: Float[Array, " m"]
    """Least change allowed of each surrogate; −∞ where anything is."""
    plain: Float[Array, " m"] | None = None
    """pᵢ of a step Σ cᵢuᵢ + Σ pᵢgᵢ, which has plain gradients besides; None if it has none."""
    mode: Int[Array, ""] | int | None = None
    """What the step is for (index into `rule.MODES`), if that shows only now; None if it is as planned."""

    def shortened(self, share: Float[Array, ""]) -> Direction:
        """Return the same direction, a `share` as long."""
        plain = None if self.plain is None else share * self.plain
        return self._replace(coefficients=share * self.coefficients, plain=plain)

    def step(self, natural: NaturalGradients) -> Float[Array, " d"]:
        """Return the step as a vector of parameters."""
        step = self.coefficients @ natural.directions
        return step if self.plain is None else step + self.plain @ natural.gradients

    def gain(self, natural: NaturalGradients) -> Float[Array, " m"]:
        """Return what the step does to every objective, to first order."""
        gain = natural.gram @ self.coefficients
        return gain if self.plain is None else gain + natural.gradients @ (self.plain @ natural.gradients)


def to_radius(
    natural: NaturalGradients,
    weights: Float[Array, " m"],
    to: Region,
    sin2_phi: Float[Array, ""] | float = 1.0,
) -> tuple[Float[Array, " m"], Bool[Array, ""]]:
    """Scale the step Σ wᵢuᵢ to the radius δ·sin²φ by dᵀ(F + λI)d = 2·radius; return it, and whether it vanishes.

    Rescaling a vanishing direction to full length would amplify noise exactly at the optimum, hence sin²φ. The largest
    weight becomes 1 first, so that an objective alone gives the same bits whatever it was weighted by.
    """
    largest = jnp.abs(weights).max()
    weights = weights / jnp.where(largest > 0, largest, 1.0)
    square = weights @ natural.gram @ weights
    vanishes = ~((square > 0) & (sin2_phi >= to.min_sin2_phi))
    length = jnp.sqrt(2 * to.max_kl * sin2_phi / jnp.where(vanishes, 1.0, square))
    return jnp.where(vanishes, 0.0, length * weights), vanishes


def weighted(
    natural: NaturalGradients,
    weights: Float[Array, " m"],
    to: Region,
    sin2_phi: Float[Array, ""] | float = 1.0,
) -> Direction:
    """Ascend the weighted sum of the objectives, which has to rise; what each gains or loses is its own affair."""
    coefficients, vanishes = to_radius(natural, weights, to, sin2_phi)
    return Direction(coefficients, vanishes, coefficients, jnp.full_like(coefficients, -jnp.inf))


def projected(
    natural: NaturalGradients,
    metric: Metric,
    combine: Combine,
    wanted: Bool[Array, " m"],
    preference: Float[Array, " m"],
    to: Region,
) -> Direction:
    """Combine the wanted objectives in `metric`; the combination has to rise, and none may lose more than allowed."""

    def together() -> Direction:
        gram, scale = geometry(natural, metric)
        combination = combine(gram, preference, wanted)
        coefficients, vanishes = to_radius(natural, combination.weights * scale, to, combination.sin2_phi)
        floor = jnp.where(wanted, -to.allowed_loss, -jnp.inf)
        return Direction(coefficients, vanishes, coefficients, floor)

    # An objective alone is not projected: its step is computed as one without projection is, in the same bits.
    return jax.lax.cond(wanted.sum() > 1, together, lambda: weighted(natural, preference, to))
