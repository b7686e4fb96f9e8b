"""Regularised primal-dual, RPG-PD (Ding, Wei, Zhang & Ribeiro, NeurIPS 2023, eq. 8): the *last* iterate converges.

The Lagrangian is made strongly concave by an entropy bonus τ·H(π) and strongly convex by τ·‖λ‖²/2:

    θ ← θ + α/(1 − γ) · (Q_r − Σ λ_k Q_k + τ Q_ψ),  ψ(s, a) = −log π(a|s),
    λ ← clip((1 − βτ) λ + β (Ĵ − b), 0, ceiling)
"""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Float

from equipoise.algorithms.rule import BALANCE, Plan, Rule, Seen, single
from equipoise.problem import Array
from equipoise.settings import require_positive, require_ranges, settings
from equipoise.theory.tabular import Quality


@settings
class Regularised(Rule):
    """Ascend the regularised Lagrangian, and move the multipliers with the violation, pulled towards 0."""

    logs: ClassVar[dict[str, str]] = {"multiplier": "λ, reward per cost"}

    dual_step: float
    """β."""
    ceiling: float
    """The largest multiplier allowed."""
    temperature: float
    """τ. The saddle point that the iterates converge to is O(τ) away from the optimum."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require_positive(self, "dual_step", "ceiling")
        require_ranges(self, temperature=(0, float("inf")))

    def init(self, constraints: int) -> Float[Array, " K"]:
        """Return multipliers of 0."""
        return jnp.zeros(constraints)

    def plan(self, memory: Float[Array, " K"], seen: Seen) -> tuple[Float[Array, " K"], Plan]:
        """Weigh the reward by 1 and each cost by its multiplier, and move those for the next step."""
        following = memory * (1 - self.dual_step * self.temperature)
        following += self.dual_step * (seen.estimate.cost - seen.limits)
        plan = single(BALANCE, jnp.concatenate([jnp.ones(1), memory]))
        return jnp.clip(following, 0, self.ceiling), plan

    def bonus(self, policy: Float[Array, "S A"], quality_of: Quality) -> Float[Array, "S A"]:
        """Return τQ_ψ, which is exact also where the values of reward and costs are sampled."""
        return self.temperature * quality_of(-jnp.log(jnp.maximum(policy, 1e-300)))

    def columns(self, memory: Float[Array, " K"]) -> dict[str, Float[Array, "..."]]:
        """Return λ."""
        return {"multiplier": memory}
