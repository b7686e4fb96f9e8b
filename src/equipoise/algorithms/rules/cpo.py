"""CPO: constrained policy optimisation (Achiam, Held, Tamar & Abbeel, ICML 2017, arXiv 1705.10528, eq. 11 to 14).

The step is the best one of a model that is linear in reward and costs and quadratic in the divergence,

    max gᵀx   subject to   cₖ + bₖᵀx ≤ 0 for every k,   ½ xᵀHx ≤ δ,

g the gradient of the reward's surrogate, bₖ that of cost k per episode, cₖ = Ĵₖ − bₖ what it is above its limit, H the
Fisher matrix plus damping. Four cases:

- the trust region lies within all limits: TRPO's step, bit for bit;
- the limits cut the trust region: the optimum lies on its edge and on the limits that bind;
- no point of the trust region meets the limits: the step √(2δ/bᵀH⁻¹b) H⁻¹b that lowers the cost most;
- a cost's gradient vanishes: it puts no limit on the step.

Several limits: the optimum lies in the span of H⁻¹g and all H⁻¹bₖ, where the problem has 1 + K unknowns. Every set of
binding limits is tried; for each the multiplier of the trust region has a closed form. Where the limits are out of
reach the step goes straight towards the nearest point (in the Fisher metric) that meets all of them, which for one
limit is the step of the paper. Where no point meets all, it follows the sum of the violated costs' unit gradients,
each projected so that it harms no other violated cost; where even that vanishes, it lowers the cost with the largest
(Ĵₖ − bₖ)/SEₖ.

The line search shortens the step until KL ≤ δ, no cost's surrogate passes its limit (or, if that is violated already,
rises), and the reward's surrogate rises (if a limit is violated, the weighted sum of surrogates that the step follows).

Deviations:

- The surrogate's change is brought to the unit of an episode's cost before it is compared with the limit; OmniSafe's
  code compares the cost of an episode with a mean per step.
- Ĵₖ is that of the batch, undiscounted; the paper's is discounted, and OmniSafe's the mean of its last 100 episodes.
- Where less than `step.min_sin2_phi` of the reward's squared gradient is left along the binding limits, the step only
  goes to the limits: what is left is noise there, and the paper's step would follow it to the full radius.
- The line search lets a cost's surrogate pass its bound by `step.allowed_loss` of its standard errors. Without it a
  step along a binding limit would be rejected for the surrogate's curvature, however short.
- Natural gradients come from one Krylov space for all objectives, instead of conjugate gradients for each.
"""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.direction import Direction, Region, to_radius
from equipoise.algorithms.rule import BALANCE, REWARD, SAFETY, Memory, Plan, Rule, Seen
from equipoise.algorithms.rules.linear import back, linear, plan_all, searched
from equipoise.gradients.half_spaces import best_in_ball
from equipoise.numerics.krylov import NaturalGradients
from equipoise.settings import settings


@settings
class CPO(Rule):
    """Constrained policy optimisation: the best step of a linear model within limits and trust region."""

    only_on: ClassVar[str] = "TrustRegion"

    def plan(self, memory: Memory, seen: Seen) -> tuple[Memory, Plan]:
        """Always take everything together."""
        return memory, plan_all(seen)

    def direct(
        self, natural: NaturalGradients, wanted: Bool[Array, " m"], weights: Float[Array, " m"], seen: Seen, to: Region
    ) -> Direction:
        """Solve the linear-quadratic problem, or turn back to the limits."""
        model = linear(natural, seen, to)
        home = back(model, seen, to)
        best = best_in_ball(model.cosine, model.floor, model.active[0], to.min_sin2_phi)
        free = home.reachable & best.free
        alone, _ = to_radius(natural, weights, to)
        x = jnp.where(home.reachable, best.coordinates, home.x)
        coefficients = jnp.where(free | ~wanted[0], alone, model.coefficients(x))
        inside = home.reachable & wanted[0] & (seen.excess <= 0).all()
        goal = jnp.where(inside, (jnp.arange(len(x)) == 0).astype(x.dtype), coefficients)
        mode = jnp.where(home.reachable, jnp.where(free, REWARD, BALANCE), SAFETY)
        return searched(coefficients, goal, mode, natural, wanted, seen, to)
