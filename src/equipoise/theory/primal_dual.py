"""NPG primal-dual (Ding, Zhang, Başar & Jovanović, NeurIPS 2020): natural gradient on the Lagrangian, and a multiplier.

θ ← θ + α/(1 − γ) · (Q_r − Σ λ_k Q_k),     λ ← clip(λ + β (Ĵ − b), 0, ceiling)
"""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Float

from equipoise.algorithms.rule import BALANCE, Plan, Rule, Seen, single
from equipoise.problem import Array
from equipoise.settings import require_positive, settings


@settings
class PrimalDual(Rule):
    """Ascend the Lagrangian, and move the multipliers with the violation."""

    logs: ClassVar[dict[str, str]] = {"multiplier": "λ, reward per cost"}

    dual_step: float
    """β."""
    ceiling: float
    """The largest multiplier allowed; at least λ*, for which 1/((1 − γ)ξ) will do (ξ is Slater's constant)."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require_positive(self, "dual_step", "ceiling")

    def init(self, constraints: int) -> Float[Array, " K"]:
        """Return multipliers of 0."""
        return jnp.zeros(constraints)

    def plan(self, memory: Float[Array, " K"], seen: Seen) -> tuple[Float[Array, " K"], Plan]:
        """Weigh the reward by 1 and each cost by its multiplier, and move those for the next step."""
        following = memory + self.dual_step * (seen.estimate.cost - seen.limits)
        plan = single(BALANCE, jnp.concatenate([jnp.ones(1), memory]))
        return jnp.clip(following, 0, self.ceiling), plan

    def columns(self, memory: Float[Array, " K"]) -> dict[str, Float[Array, "..."]]:
        """Return λ."""
        return {"multiplier": memory}
