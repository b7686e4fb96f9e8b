"""CSPO (Belouadah, Kubler & Le Traon, ICML 2026, arXiv 2606.14415): a clipped Lagrangian with a penalty on violation.

The penalty is on the predicted violation, scaled by the length of its gradient, so that one step along it would meet
the limit whatever the cost's unit.

    ĝ_k  = Ĵ_k − b_k + L_k^clip / (1 − γ)                               violation predicted of the new policy
    loss = −L_r^clip + Σ_k (λ_k ĝ_k + (α/2) w_k [ĝ_k]₊²),   w_k = 1/(‖∇ĝ_k‖² + ε)
    λ_k  ← [λ_k + η (Ĵ_k − b_k)]₊

as the paper has it. Here λ moves first, and all is in units of advantages of standard deviation 1:

    λ_k  ← clip(λ_k + η s_k (Ĵ_k − b_k)/b_k, 0, upper · s_k)
    ĝ_k  = (Ĵ_k − b_k)/σ_k + L_k^clip
    loss = (−L_r^clip + Σ_k ((λ_k σ_k/σ_r) ĝ_k + (α/2) w_k [ĝ_k]₊²)) / (1 + Σ_k λ_k σ_k/σ_r)
    s_k = S_r / S_k,   S_i ← max(σ_i, 0.9 S_i),   σ_i = std(A_i) · mean length of an episode

L_r^clip is PPO's surrogate of the reward, the mean of min(ρA, clip(ρ, 1 − ε, 1 + ε)A), and L_k^clip that of a cost,
the mean of max(ρA_k, clip(ρ, 1 − ε, 1 + ε)A_k). w_k is computed once in an update, from the gradient over all of its
steps at the policy that acted, and is held. Inside of the limit and with λ at 0 the loss is, bit for bit, PPO's.

There are one multiplier and one penalty for each of the K limits, and the penalties are summed. A limit of 0 has no
relative violation: λ is moved by Ĵ_k itself.

Deviations:
- λ is kept in reward per cost and moves in steps of s_k by the relative violation, so that a run does not depend on
  the units of reward and costs. `scaling` published keeps it in units of the advantages and moves it by Ĵ_k − b_k.
- A surrogate is worth what an episode of mean length makes of it, not 1/(1 − γ): limits are on undiscounted sums over
  episodes.
- w is averaged by taking the gradient over the whole batch, once in an update, and is clipped at `largest_scale`.
- The loss is divided by 1 + Σλ, which Adam hardly notices, so that the cap on the gradient's length does not depend
  on λ.
- ε, the bound of w and η are settings with defaults of this library; α = 1 is the most that the paper allows.
"""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.rule import Minibatch, Plan, Rule, Seen
from equipoise.algorithms.rules.multiplier import PlainAscent, Scaling, within
from equipoise.settings import require_positive, require_ranges, settings, static


@settings
class CSPO(Rule):
    """CSPO: a Lagrangian with a penalty on the predicted violation, scaled by the length of the cost's gradient."""

    only_on: ClassVar[str] = "Proximal"
    logs: ClassVar[dict[str, str]] = {"multiplier": "λ used in this update, without the penalty, reward per cost"}

    penalty: float = 1.0
    """α, the weight of the penalty."""
    learning_rate: float = 0.1
    """η, by how much λ follows the violation in an update."""
    initial: float = 0.0
    """λ before the first update; 0 unless `scaling` is published."""
    upper: float = 100.0
    """The largest λ."""
    scaling: Scaling = static(default="invariant")
    """invariant: λ is kept in reward per cost and follows (Ĵ − b)/b, so that the units of reward and costs do not
    matter; published: λ is a weight of the advantages as they are and follows Ĵ − b."""
    epsilon: float = 1e-8
    """ε, added to ‖∇ĝ‖²."""
    largest_scale: float = 100.0
    """The largest w."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require_ranges(self, penalty=(0, 1), learning_rate=(0, 1e30))
        require_positive(self, "upper", "epsilon", "largest_scale")
        require_ranges(
            self,
            upper=(0, 1e30),
            initial=(0, self.upper if self.scaling == "published" else 0),
            largest_scale=(0, 1e30),
        )

    def init(self, constraints: int) -> PlainAscent:
        """Start every multiplier at its initial value."""
        return PlainAscent.start(constraints, self.initial)

    def plan(self, memory: PlainAscent, seen: Seen) -> tuple[PlainAscent, Plan]:
        """Move the multipliers by the violations just measured."""
        moved, unit = memory.ascend(seen, self.scaling, self.learning_rate, self.upper)
        return moved, unit.plan(moved.multiplier)

    def loss(
        self, batch: Minibatch, weights: Float[Array, " m"], seen: Seen, clip: float | Float[Array, ""], phase: int
    ) -> Float[Array, ""]:
        """Return the Lagrangian with its penalty, divided by 1 + Σλ."""
        surrogates = jnp.stack([batch.clipped(advantage, clip) for advantage in batch.advantage.T])
        predicted = seen.surrogate_excess - surrogates[1:]
        scale = jnp.minimum(1 / (batch.slope2[1:] + self.epsilon), self.largest_scale)
        penalty = 0.5 * self.penalty * scale @ jnp.maximum(predicted, 0.0) ** 2
        return weights[0] * (penalty - surrogates[0]) + weights[1:] @ predicted

    def sound(self, memory: PlainAscent) -> Bool[Array, ""]:
        """Tell whether every multiplier is from 0 to its upper bound."""
        return within(memory.multiplier, memory.spread, self.scaling, self.upper)

    def columns(self, memory: PlainAscent) -> dict[str, Float[Array, "..."]]:
        """Return the multipliers."""
        return {"multiplier": memory.logged}
