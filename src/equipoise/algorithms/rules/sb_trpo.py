"""SB-TRPO: safety-biased trust-region policy optimisation (Kanwar, Wagner & Ong, 2025, arXiv 2512.23770).

The step is a mixture of the steps of reward and cost alone, each as long as the trust region lets it be,

    Δ = (1 − μ) Δ_r + μ Δ_c,    μ the least in [0, 1] with  ⟨g_c, Δ⟩ ≥ β ⟨g_c, Δ_c⟩,

g_c the gradient of minus the cost's surrogate: a share β of the largest predicted decrease of the cost is always had,
and what is left goes to the reward. With β = 1 a violated cost alone is lowered, as CPO does where its limit is out of
reach.

The paper's limit is 0: no cost at all. Here the demand on a step is the smaller of that share and of what the limit
asks for: at a limit that is nearly met not more than is needed, and within it the cost may rise as far as the limit.
While Δ_r does so by itself, μ = 0 and the step is TRPO's, bit for bit.

Several limits: Δ_c is the step whose least decrease of any of its costs is largest (in units of each cost's own
steepest decrease), and a share β of that least decrease is demanded of each violated cost. Its costs are those that
are violated or that Δ_r would take beyond their limits, and those that the mixture would. Where no step lowers all of
them, the one with the largest (Ĵₖ − bₖ)/SEₖ is lowered alone.

The line search shortens the step until KL ≤ δ, no cost's surrogate passes its limit (or, if that is violated already,
rises), and the sum of surrogates with the step's own weights rises. As in the paper, the reward may fall.

Deviations:

- Limits above 0 and several limits, as said.
- The line search lets a cost's surrogate pass its bound by `step.allowed_loss` of its standard errors.
- Natural gradients come from one Krylov space for all objectives, instead of conjugate gradients for each.
"""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.direction import Direction, Region, to_radius
from equipoise.algorithms.rule import BALANCE, REWARD, SAFETY, Memory, Plan, Rule, Seen
from equipoise.algorithms.rules.linear import Linear, linear, plan_all, searched
from equipoise.gradients.aggregators.base import rounding
from equipoise.gradients.aggregators.mgda import minimum_norm
from equipoise.numerics.krylov import NaturalGradients
from equipoise.settings import require_ranges, settings


@settings
class SBTRPO(Rule):
    """Safety-biased TRPO: a fixed share of the best decrease of cost, and the rest for the reward."""

    only_on: ClassVar[str] = "TrustRegion"
    share: float = 0.75
    """β, the share of the largest predicted decrease of a violated cost that a step has to have."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require_ranges(self, share=(0, 1))

    def plan(self, memory: Memory, seen: Seen) -> tuple[Memory, Plan]:
        """Always take everything together."""
        return memory, plan_all(seen)

    def direct(
        self, natural: NaturalGradients, wanted: Bool[Array, " m"], weights: Float[Array, " m"], seen: Seen, to: Region
    ) -> Direction:
        """Mix the steps of reward and costs."""
        model = linear(natural, seen, to)
        x, mu = mixture(model, self.share)
        alone, _ = to_radius(natural, weights, to)
        coefficients = jnp.where((mu == 0) | ~wanted[0], alone, model.coefficients(x))
        mode = jnp.where(mu == 0, REWARD, jnp.where(mu == 1, SAFETY, BALANCE))
        return searched(coefficients, coefficients, mode, natural, wanted, seen, to)


def mixture(model: Linear, share: Float[Array, ""] | float) -> tuple[Float[Array, " m"], Float[Array, ""]]:
    """Return (1 − μ) e₀ + μ Δ_c in unit vectors, and μ."""
    cosine, costs = model.cosine, model.active[1:]
    inside, across = cosine[1:, 1:], jnp.where(model.active[0], cosine[0, 1:], 0.0)

    def mix(lowered: Bool[Array, " K"]) -> tuple[Array, Array, Array]:
        both = lowered & lowered[:, None]
        safest = minimum_norm(jnp.where(both, inside, jnp.eye(len(lowered))), lowered.astype(cosine.dtype))
        safest = jnp.where(lowered, safest, 0.0)
        square = safest @ inside @ safest
        agreed = square > rounding(cosine)
        least = jnp.where(agreed, jnp.sqrt(jnp.where(agreed, square, 1.0)), 0.0)
        safest = jnp.where(agreed, safest / jnp.where(agreed, least, 1.0), 0.0)
        demand = jnp.minimum(model.floor, share * least)
        by_safety = inside @ safest
        short = lowered & (across < demand)
        better = by_safety > across
        needed = jnp.where(better, (demand - across) / jnp.where(better, by_safety - across, 1.0), 1.0)
        mu = jnp.max(jnp.where(short, jnp.clip(needed, 0.0, 1.0), 0.0))
        x = jnp.concatenate([(1 - mu)[None], mu * safest])
        broken = costs & ((1 - mu) * across + mu * by_safety < demand - rounding(cosine))
        return x, mu, broken

    lowered = costs & ((model.floor > 0) | (across < model.floor))
    lowered = jax.lax.fori_loop(0, len(costs) - 1, lambda _, lowered: lowered | mix(lowered)[2], lowered)
    x, mu, _ = mix(lowered)
    return x, mu
