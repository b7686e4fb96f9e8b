"""CUP: constrained update projection (Yang et al., NeurIPS 2022, arXiv 2209.07089, Algorithm 1).

An update has two phases. The first improves the reward alone by PPO's clipped surrogate, which leads from π_k to the
intermediate policy π_½; the second projects back towards the safe set. With ρ = π(a|s)/π_k(a|s) in both,

    improvement:  minimise  −mean min(ρÂ, clip(ρ, 1 − ε, 1 + ε)Â)
    projection:   minimise  mean( ν·(1 − γλ)/(1 − γ)·ρ·Â_c + KL(π_θ ‖ π_½) )
    ν ← clip(ν + α·(Ĵ − b), 0, ν_max), once per update and before the policy moves

γ and λ are the discount and the GAE parameter of the costs; the factor is from the paper's bound on the cost, which
holds for generalised advantages. Each phase takes up to the step's number of epochs, and ends early when the mean KL
divergence from the policy that the phase began with passes `max_kl`.

For K constraints the projection minimises Σ ν_k·(1 − γλ)/(1 − γ)·ρ·Â_k + KL, each multiplier following its own limit.
While every ν is 0, the projection would minimise the KL divergence from the policy it starts at; it is then
left out, so that the update is PPO's, bit for bit.

Deviations:

- The violation that moves ν is relative, (Ĵ − b)/b (the excess itself where b is 0), and both advantages have mean 0
  and deviation 1: neither the unit of the reward nor that of a cost changes a run.
- ν has a ceiling of 2, as in OmniSafe's published settings; the paper's only stays at 0 or above.
- ν is moved by plain projected ascent, as in the paper; OmniSafe uses Adam (preset `omnisafe`).
- Ĵ is undiscounted and over whole episodes of this iteration; the paper estimates the discounted cost.
- In the factor γ counts as 0.99 at most, since it is infinite at γ = 1.
- Both phases share one Adam, as in OmniSafe, so that the projection begins with the improvement's momentum.
- The improvement's clipped surrogate stands for the penalty on the KL divergence in the paper's bound, as in its code.
"""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.rule import BALANCE, REWARD, Minibatch, Plan, Rule, Seen, single
from equipoise.algorithms.rules.dual_ascent import DualAscent, Multipliers
from equipoise.settings import settings

PROJECTION = 1
"""Number of the second phase."""

LARGEST_DISCOUNT = 0.99
"""Largest γ in the factor of the projection."""


def _factor(seen: Seen) -> Float[Array, ""]:
    """Return (1 − γλ)/(1 − γ) of the costs."""
    discount = jnp.minimum(seen.cost_discount, LARGEST_DISCOUNT)
    return (1 - discount * seen.cost_gae_lambda) / (1 - discount)


@settings
class CUP(Rule):
    """Constrained update projection: PPO's step for the reward, then a projection towards lower cost."""

    only_on: ClassVar[str] = "Proximal"
    logs: ClassVar[dict[str, str]] = {"multiplier": "ν·(1 − γλ)/(1 − γ), the projection's price, in reward per cost"}
    phases: ClassVar[int] = 2

    dual: DualAscent = DualAscent()
    """How the multipliers follow the violation."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        self.dual.check()

    def init(self, constraints: int) -> Multipliers:
        """Return the multipliers before the first update."""
        return self.dual.init(constraints)

    def plan(self, memory: Multipliers, seen: Seen) -> tuple[Multipliers, Plan]:
        """Move the multipliers, and weigh the costs by them."""
        memory = self.dual.ascend(memory, seen)
        memory = memory._replace(exchange=_factor(seen) * memory.exchange)
        mode = jnp.where(memory.value.any(), BALANCE, REWARD)
        return memory, single(mode, jnp.concatenate([jnp.ones(1), memory.value]))

    def idle(self, weights: Float[Array, " m"], phase: int) -> Bool[Array, ""]:
        """Pass the projection over while every multiplier is 0."""
        return jnp.asarray(phase == PROJECTION) & ~weights[1:].any()

    def loss(
        self, batch: Minibatch, weights: Float[Array, " m"], seen: Seen, clip: float | Float[Array, ""], phase: int
    ) -> Float[Array, ""]:
        """Return PPO's loss of the reward, or the costs' unclipped surrogates beside the KL divergence."""
        if phase != PROJECTION:
            return super().loss(batch, weights * (jnp.arange(len(weights)) == 0), seen, clip, phase)
        costs = batch.advantage[:, 1:] @ weights[1:]  # minus the costs' advantages: up is better
        return batch.mean(batch.kl - _factor(seen) * batch.ratio * costs)

    def sound(self, memory: Multipliers) -> Bool[Array, ""]:
        """Tell whether the multipliers are in [0, ν_max]."""
        return self.dual.sound(memory)

    def columns(self, memory: Multipliers) -> dict[str, Float[Array, "..."]]:
        """Return the multipliers in reward per cost."""
        return {"multiplier": memory.exchange}
