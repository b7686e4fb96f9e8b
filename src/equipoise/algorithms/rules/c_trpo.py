"""C-TRPO: constrained trust-region policy optimisation (Milosevic, Müller & Scherf, ICML 2025, arXiv 2411.02957).

The trust region itself ends at the limits. Inside of them

    max L_r   subject to   KL + Σ βₖ D(Aₖ) ≤ δ,   D(A) = A + (s − A) log((s − A)/s),   D = ∞ for A ≥ s,

L_r the reward's surrogate, A the predicted rise of the cost per episode, s = b − Ĵ its margin. To second order the
divergence is ½ xᵀ(F + (β/s) ∇L_c ∇L_cᵀ)x, so that the step is a natural gradient in that metric; the line search then
holds the step to the divergence itself. Once Ĵ > b the cost is lowered in the plain trust region, until Ĵ ≤ h·b.
With β → 0 only the wall at A = s is left.

Several limits: one barrier each. While any cost recovers, the reward waits: the recovering costs are lowered, their
natural gradients of unit length projected so that none harms another (should that lead nowhere, the one with the
largest (Ĵₖ − bₖ)/SEₖ), in a geometry that keeps the barriers of the others. Natural gradients in it are combinations of
those of the Fisher matrix (Woodbury's identity in K unknowns), at no further product with it.

As the barrier bends the geometry however far the limit is, C-TRPO becomes TRPO only as the limits go to infinity.

Deviations:

- β is given per limit, βₖ = `barrier`/bₖ (where the limit is 0, in units of the cost), so that a cost's unit does not
  matter; the default is the paper's β = 1 at its limit of 25.
- Recovery starts at Ĵ > b and ends at Ĵ ≤ h·b (the paper: ≥ and <), so that a limit of 0 can be met. A margin of
  nothing counts as a millionth of the limit.
- Ĵ is that of the batch; in the paper's code it is the mean of the last episodes.
- Natural gradients come from one Krylov space for all objectives, instead of conjugate gradients for each.
"""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.direction import Direction, Region, projected, to_radius
from equipoise.algorithms.rule import REWARD, SAFETY, Memory, Plan, Rule, Seen
from equipoise.algorithms.rules.crpo import worst_violated
from equipoise.gradients.barrier import Barrier, barrier, with_barrier
from equipoise.numerics.krylov import NaturalGradients
from equipoise.settings import require_ranges, settings


@settings
class CTRPO(Rule):
    """Constrained TRPO: a trust region that ends at the limits, and recovery with hysteresis."""

    only_on: ClassVar[str] = "TrustRegion"
    logs: ClassVar[dict[str, str]] = {"recovering": "1 while the cost is lowered until Ĵ ≤ h·b, else 0"}

    barrier: float = 25.0
    """The barrier's strength β, in units of 1/limit: at a limit of 25 the paper's β = 1."""
    hysteresis: float = 0.8
    """h, the share of the limit below which a cost has to fall once it has passed the limit."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require_ranges(self, barrier=(0, float("inf")), hysteresis=(0, 1))

    def init(self, constraints: int) -> Float[Array, " K"]:
        """Start with no cost recovering."""
        return jnp.zeros(constraints)

    def plan(self, memory: Memory, seen: Seen) -> tuple[Memory, Plan]:
        """Improve the reward, or lower the costs that have passed their limits and are not back far enough."""
        cost, limits = seen.estimate.cost, seen.limits
        recovering = (cost > limits) | ((memory > 0) & (cost > self.hysteresis * limits))
        worst = worst_violated(seen.estimate, self.hysteresis * limits, recovering) & (recovering.sum() > 1)
        inside = ~recovering.any()
        first = jnp.concatenate([inside[None], recovering])
        wanted = jnp.stack([first, jnp.concatenate([jnp.zeros(1, bool), worst])])
        mode = jnp.where(inside, REWARD, SAFETY).astype(jnp.int32)
        return recovering.astype(jnp.float32), Plan(mode, wanted, wanted.astype(jnp.float32))

    def direct(
        self, natural: NaturalGradients, wanted: Bool[Array, " m"], weights: Float[Array, " m"], seen: Seen, to: Region
    ) -> Direction:
        """Follow the natural gradient of the geometry with barriers."""
        barred = with_barrier(natural, self._barrier(wanted, seen).weights)
        reward, vanishes = to_radius(barred.natural, (jnp.arange(len(weights)) == 0).astype(weights.dtype), to)
        safety = projected(barred.natural, "barrier", self.combine, wanted & (jnp.arange(len(wanted)) > 0), weights, to)
        inside = wanted[0]
        coefficients = jnp.where(inside, reward, safety.coefficients)
        return Direction(
            coefficients @ barred.mixture,
            jnp.where(inside, vanishes, safety.vanishes),
            coefficients,
            jnp.where(inside, -jnp.inf, safety.floor),
        )

    def distance(
        self, kl: Float[Array, ""], change: Float[Array, " m"], wanted: Bool[Array, " m"], seen: Seen
    ) -> Float[Array, ""]:
        """Return KL + Σ βₖ D(Aₖ)."""
        return kl + self._barrier(wanted, seen).divergence(change[1:])

    def sound(self, memory: Memory) -> Bool[Array, ""]:
        """Tell whether every cost recovers or does not."""
        return ((memory == 0) | (memory == 1)).all()

    def columns(self, memory: Memory) -> dict[str, Float[Array, "..."]]:
        """Log which costs recover."""
        return {"recovering": memory}

    def _barrier(self, wanted: Bool[Array, " m"], seen: Seen) -> Barrier:
        """Return the barriers of all costs that are within their limits and not being lowered."""
        present = ~wanted[1:] & (seen.excess <= 0)
        return barrier(present, self.barrier, seen.excess, jnp.asarray(seen.limits), seen.per_episode[1:])
