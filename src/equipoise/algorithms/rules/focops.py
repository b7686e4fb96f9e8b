"""FOCOPS: first-order constrained optimisation in policy space (Zhang, Vuong & Ross, NeurIPS 2020, arXiv 2002.06506).

The optimal update under a KL bound is known in closed form where policies are tables: π*(a|s) is proportional to
π_old(a|s)·exp((Â − νÂ_c)/λ). FOCOPS finds it first (§4.1) and then moves the network towards it by minimising the
KL divergence between the two (§4.2, Algorithm 1). With ρ = π(a|s)/π_old(a|s), every minibatch descends

    L(θ) = mean over steps of  1[KL(π_θ ‖ π_old)(s) ≤ η] · ( KL(π_θ ‖ π_old)(s) − (1/λ)·ρ·(Â − ν·Â_c) )
    ν ← clip(ν + α·(Ĵ − b), 0, ν_max), once per update and before the policy moves

Here λ is a temperature: large values keep the policy near the old one. The indicator leaves out the states in which the
policy has gone further than η already; there is no clipped ratio. Epochs end early when the mean KL divergence passes
the step's `max_kl`.

For K constraints νÂ_c is the sum Σ ν_k Â_k, each multiplier following its own limit.

Deviations:

- The violation that moves ν is relative, (Ĵ − b)/b (the excess itself where b is 0), and both advantages have mean 0
  and deviation 1: neither the unit of the reward nor that of a cost changes a run. The paper's rate is for costs per
  episode.
- ν is moved by plain projected ascent, as in the paper; OmniSafe uses Adam (preset `omnisafe`).
- The paper's Algorithm 1 stops an epoch's minibatches as soon as the mean KL divergence passes its bound; here it is
  looked at after each epoch, over all steps.
- Ĵ is undiscounted and over whole episodes of this iteration, as everywhere in this library; the paper estimates the
  discounted cost.
- OmniSafe divides Â − νÂ_c by 1 + ν, which weakens the reward against the KL term as ν grows, the paper does not;
  `share` does, and is on in the preset only.
- OmniSafe adds an entropy bonus of weight 0, left out here.
"""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.rule import BALANCE, REWARD, Minibatch, Plan, Rule, Seen, single
from equipoise.algorithms.rules.dual_ascent import DualAscent, Multipliers
from equipoise.settings import require, require_positive, require_ranges, settings, static


@settings
class FOCOPS(Rule):
    """First-order constrained optimisation in policy space: towards the optimal policy of a KL ball, state by state."""

    only_on: ClassVar[str] = "Proximal"
    logs: ClassVar[dict[str, str]] = {"multiplier": "ν, in reward per cost"}

    temperature: float = 1.5
    """λ, the weight of staying near the old policy against rising advantages."""
    state_kl: float = 0.02
    """η: steps in whose state the KL divergence (nats) is above this count nothing."""
    dual: DualAscent = DualAscent()
    """How the multipliers follow the violation."""
    share: bool = static(default=False)
    """Whether advantages are divided by 1 + ν, as in OmniSafe."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require_positive(self, "temperature")
        require_ranges(self, state_kl=(0, float("inf")))
        require(isinstance(self.share, bool), f"share is {self.share}; allowed: True or False")
        self.dual.check()

    def init(self, constraints: int) -> Multipliers:
        """Return the multipliers before the first update."""
        return self.dual.init(constraints)

    def plan(self, memory: Multipliers, seen: Seen) -> tuple[Multipliers, Plan]:
        """Move the multipliers, and weigh the costs by them."""
        memory = self.dual.ascend(memory, seen)
        mode = jnp.where(memory.value.any(), BALANCE, REWARD)
        return memory, single(mode, jnp.concatenate([jnp.ones(1), memory.value]))

    def loss(
        self, batch: Minibatch, weights: Float[Array, " m"], seen: Seen, clip: float | Float[Array, ""], phase: int
    ) -> Float[Array, ""]:
        """Return the mean of KL − ρ·(Â − νÂ_c)/λ over the steps whose state is still near the old policy."""
        if self.share:
            weights = weights / weights.sum()
        near = batch.kl <= self.state_kl
        return batch.mean(jnp.where(near, batch.kl - batch.ratio * (batch.advantage @ weights) / self.temperature, 0.0))

    def sound(self, memory: Multipliers) -> Bool[Array, ""]:
        """Tell whether the multipliers are in [0, ν_max]."""
        return self.dual.sound(memory)

    def columns(self, memory: Multipliers) -> dict[str, Float[Array, "..."]]:
        """Return the multipliers in reward per cost."""
        return {"multiplier": memory.exchange}
