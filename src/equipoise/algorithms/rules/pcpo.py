"""PCPO: projection-based constrained policy optimisation (Yang et al., ICLR 2020, arXiv 2010.03152, Algorithm 1).

TRPO's step for the reward, then the nearest point to it that meets the linearised limits, as the paper has it for one:

    x = √(2δ/gᵀH⁻¹g) H⁻¹g − max(0, (√(2δ/gᵀH⁻¹g) bᵀH⁻¹g + c)/(bᵀL⁻¹b)) L⁻¹b,

g and b the gradients of the surrogates of reward and cost, c = Ĵ_c − b what the cost is above its limit, H the Fisher
matrix plus damping; L is H where the distance is the KL divergence (`projection` kl), and the identity where it is
Euclidean (l2).

Several limits: the projection is on the intersection of all half-spaces {x : cₖ + bₖᵀx ≤ 0}, exact, by trying every set
of binding ones. Where the half-spaces have no point in common, the step follows the sum of the violated costs' unit
gradients, each projected so that it harms no other violated cost; where even that vanishes, it lowers the cost with the
largest (Ĵₖ − bₖ)/SEₖ. While the reward's step meets all limits it is TRPO's, bit for bit.

The line search shortens the step until KL ≤ δ, no cost's surrogate passes its limit (or, if that is violated already,
rises), and the reward's surrogate rises (if a limit is violated, the violated costs' surrogates fall in sum).

Deviations:

- A step that the projection makes longer than the trust region is scaled back to it. The paper lets it leave the trust
  region; far outside of the limits it would be many times as long.
- The paper has no line search; OmniSafe's code, like this one, searches as CPO does.
- The surrogate's change is brought to the unit of an episode's cost before it is compared with the limit; OmniSafe's
  code compares the cost of an episode with a mean per step.
- Ĵₖ is that of the batch, undiscounted; OmniSafe's is the mean of its last 100 episodes.
- The line search lets a cost's surrogate pass its bound by `step.allowed_loss` of its standard errors.
- Natural gradients come from one Krylov space for all objectives, instead of conjugate gradients for each.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.direction import Direction, Region, to_radius
from equipoise.algorithms.rule import BALANCE, REWARD, SAFETY, Memory, Plan, Rule, Seen
from equipoise.algorithms.rules.linear import Linear, back, linear, plan_all, searched
from equipoise.gradients.aggregators.base import units
from equipoise.gradients.half_spaces import nearest
from equipoise.numerics.krylov import NaturalGradients
from equipoise.settings import require, settings, static

Projection = Literal["kl", "l2"]
"""Distance in which the nearest point is meant: KL divergence, to second order, or Euclidean of the parameters."""


@settings
class PCPO(Rule):
    """Projection-based constrained policy optimisation: the reward's step, projected on the linearised limits."""

    only_on: ClassVar[str] = "TrustRegion"
    projection: Projection = static(default="kl")
    """Distance of the projection: kl, the KL divergence to second order, or l2, Euclidean of the parameters."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require(self.projection in ("kl", "l2"), f"projection is {self.projection!r}; allowed: kl, l2")

    def plan(self, memory: Memory, seen: Seen) -> tuple[Memory, Plan]:
        """Always take everything together."""
        return memory, plan_all(seen)

    def direct(
        self, natural: NaturalGradients, wanted: Bool[Array, " m"], weights: Float[Array, " m"], seen: Seen, to: Region
    ) -> Direction:
        """Project the reward's step, or turn back to the limits if no step meets them."""
        model = linear(natural, seen, to)
        home = back(model, seen, to)
        alone, _ = to_radius(natural, weights, to)
        project = _nearest_by_kl if self.projection == "kl" else _nearest_by_distance
        projected, plain, size = project(model, natural)
        as_it_is = ~wanted[0] | (home.together & ~(projected[1:].any() | plain.any()))
        scale = 1 / jnp.maximum(size, 1.0)
        step = jnp.where(home.together, scale * projected, model.coefficients(home.x))
        coefficients = jnp.where(as_it_is, alone, step)
        plain = jnp.where(wanted[0] & home.together, scale * plain, 0.0)

        violated = jnp.concatenate([jnp.zeros(1, bool), seen.excess > 0]) & model.active
        reward = (jnp.arange(len(weights)) == 0).astype(coefficients.dtype)
        goal = jnp.where(violated.any(), jnp.where(home.together, violated / model.length, coefficients), reward)
        goal = jnp.where(wanted[0], goal, coefficients)
        mode = jnp.where(home.together, jnp.where(as_it_is, REWARD, BALANCE), SAFETY)
        found = searched(coefficients, goal, mode, natural, wanted, seen, to)
        if self.projection == "kl":
            return found
        return found._replace(plain=plain, vanishes=found.vanishes & ~plain.any())


Projected = tuple[Float[Array, " m"], Float[Array, " m"], Float[Array, ""]]
"""Coefficients in natural and in plain gradients, and the step's length in radii."""


def _nearest_by_kl(model: Linear, natural: NaturalGradients) -> Projected:
    """Project in the Fisher metric: the reward's step and natural gradients of costs."""
    reward = jnp.where(model.active[0], 1.0, 0.0)
    target = nearest(model.cosine[1:, 1:], model.floor - reward * model.cosine[0, 1:])
    x = jnp.concatenate([reward[None], target.coordinates])
    return model.coefficients(x), jnp.zeros_like(x), model.size(x)


def _nearest_by_distance(model: Linear, natural: NaturalGradients) -> Projected:
    """Project in the Euclidean metric: the reward's step and plain gradients of costs."""
    if natural.images is None:
        raise ValueError("PCPO's Euclidean projection needs (F + λI)gᵢ (`NaturalGradients.images`)")
    first = jnp.arange(len(model.length)) == 0
    coefficients = model.coefficients(first.astype(model.length.dtype))
    euclidean = natural.gradients @ natural.gradients.T
    unit = units(euclidean, model.active)
    # In units of the longest step of one objective alone.
    longest = (model.radius * jnp.linalg.norm(natural.directions, axis=1) / model.length).max()
    longest = jnp.where(longest > 0, longest, 1.0)
    gained = (natural.gram @ coefficients)[1:]
    needed = model.floor * model.radius * model.length[1:] - gained
    target = nearest(unit.cosine[1:, 1:], jnp.where(model.active[1:], needed / unit.length[1:] / longest, -1.0))
    plain = jnp.concatenate([jnp.zeros(1), longest * target.coordinates / unit.length[1:]])
    square = coefficients @ natural.gram @ coefficients + 2 * coefficients @ euclidean @ plain
    square = square + plain @ natural.gradients @ natural.images.T @ plain
    return coefficients, plain, jnp.sqrt(jnp.maximum(square, 0.0)) / model.radius
