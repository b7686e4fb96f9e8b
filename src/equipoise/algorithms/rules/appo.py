"""APPO, augmented proximal policy optimisation (Dai, Ji, Yang, Zheng & Pan, AAAI 2023): a quadratic penalty on the
violation joins the Lagrangian and damps its swings without moving its optimum.

    min over π of   −J_r(π) + Σ_k ([λ_k + τ_k c_k(π)]₊² − λ_k²) / (2τ_k),   c_k(π) = J_k(π) − b_k

    λ_k ← clip(λ_k + η s_k (Ĵ_k − b_k)/b_k, 0, upper · s_k)
    p_k = clip(λ_k + τ s_k (Ĵ_k − b_k)/b_k, 0, upper · s_k)       the slope [λ_k + τ_k c_k]₊ at the policy that acted
    loss = (−L_r^clip + Σ_k p_k L_k^clip) / (1 + Σ_k p_k)
    s_k = S_r / S_k,   S_i ← max(σ_i, 0.9 S_i),   σ_i = std(A_i) · mean length of an episode

L_r^clip is PPO's surrogate of the reward, the mean of min(ρA, clip(ρ, 1 − ε, 1 + ε)A), and L_k^clip that of a cost,
the mean of max(ρA_k, clip(ρ, 1 − ε, 1 + ε)A_k): each is clipped for itself. p_k is 0 where c_k + λ_k/τ_k ≤ 0. s_k is
how much more the reward's advantages vary than the cost's, and A_i are advantages of standard deviation 1 with p_k
σ_k/σ_r in place of p_k, which is the same sum divided by the reward's spread. Where every p is 0 the loss is, bit for
bit, PPO's.

There is one multiplier for each of the K limits, with the same η and τ. A limit of 0 has no relative violation: its
violation is Ĵ_k itself.

Deviations:
- λ is kept in reward per cost and moves in steps of s_k by the relative violation, so that a run does not depend on
  the units of reward and costs. `scaling` published keeps it in units of the advantages and moves it by Ĵ_k − b_k.
- η and τ are two settings. The method of multipliers has η = τ, which with λ moved first counts each violation twice.
- λ moves by plain gradient ascent. The authors' code uses Adam with learning rate 0.2.
- τ is constant. The authors' code makes it grow by a tenth in every update, from 0.1, in units of the cost.
- The slope is taken at the policy that acted and held during the update, as in the authors' code: it does not follow
  the surrogate from minibatch to minibatch.
"""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.rule import Minibatch, Plan, Rule, Seen
from equipoise.algorithms.rules.multiplier import PlainAscent, Scaling, within
from equipoise.settings import require_positive, require_ranges, settings, static


@settings
class APPO(Rule):
    """Augmented proximal policy optimisation."""

    only_on: ClassVar[str] = "Proximal"
    logs: ClassVar[dict[str, str]] = {"multiplier": "[λ + τc]₊ used in this update, reward per cost"}

    penalty: float = 0.3
    """τ, the weight of the quadratic penalty."""
    learning_rate: float = 0.1
    """η, by how much λ follows the violation in an update."""
    initial: float = 0.0
    """λ before the first update; 0 unless `scaling` is published."""
    upper: float = 100.0
    """The largest λ, and the largest λ + τc."""
    scaling: Scaling = static(default="invariant")
    """invariant: λ is kept in reward per cost and follows (Ĵ − b)/b, so that the units of reward and costs do not
    matter; published: λ is a weight of the advantages as they are and follows Ĵ − b."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require_ranges(self, penalty=(0, 1e30), learning_rate=(0, 1e30))
        require_positive(self, "upper")
        require_ranges(self, upper=(0, 1e30), initial=(0, self.upper if self.scaling == "published" else 0))

    def init(self, constraints: int) -> PlainAscent:
        """Start every multiplier at its initial value."""
        return PlainAscent.start(constraints, self.initial)

    def plan(self, memory: PlainAscent, seen: Seen) -> tuple[PlainAscent, Plan]:
        """Move the multipliers by the violations just measured; the penalty's slope joins them."""
        moved, unit = memory.ascend(seen, self.scaling, self.learning_rate, self.upper)
        used = moved.multiplier + self.penalty * unit.step * unit.violation
        used = jnp.clip(used, 0.0, self.upper * unit.step)
        return moved._replace(logged=used * unit.reward_per_cost), unit.plan(used)

    def loss(
        self, batch: Minibatch, weights: Float[Array, " m"], seen: Seen, clip: float | Float[Array, ""], phase: int
    ) -> Float[Array, ""]:
        """Return the weighted sum of the objectives' clipped surrogates, each clipped for itself."""
        surrogates = jnp.stack([batch.clipped(advantage, clip) for advantage in batch.advantage.T])
        return -(weights / weights.sum()) @ surrogates

    def sound(self, memory: PlainAscent) -> Bool[Array, ""]:
        """Tell whether every multiplier is from 0 to its upper bound."""
        return within(memory.multiplier, memory.spread, self.scaling, self.upper)

    def columns(self, memory: PlainAscent) -> dict[str, Float[Array, "..."]]:
        """Return the multipliers."""
        return {"multiplier": memory.logged}
