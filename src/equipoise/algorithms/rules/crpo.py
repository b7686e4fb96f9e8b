"""CRPO (Xu, Liang & Lan, ICML 2021, arXiv 2011.05869): a hard switch between reward and violated constraint."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.rule import REWARD, SAFETY, Memory, Plan, Rule, Seen
from equipoise.problem import Estimate
from equipoise.settings import require, settings


@settings
class CRPO(Rule):
    """Constraint-rectified policy optimisation (Algorithm 1 of the paper).

    While every Ĵ_k ≤ b_k + η the reward is improved; otherwise the cost of a violated constraint is lowered. Of
    several violated ones the paper lets any be chosen; here it is the one with the largest (Ĵ_k − b_k)/SE_k.
    """

    projects: ClassVar[bool] = True

    tolerance: float = 0.0
    """η, in units of the episode cost."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require(self.tolerance == self.tolerance, "tolerance is not a number")

    def plan(self, memory: Memory, seen: Seen) -> tuple[Memory, Plan]:
        """Improve the reward where no constraint is violated, else the worst violated constraint."""
        violated = seen.estimate.cost > seen.limits + self.tolerance
        worst = worst_violated(seen.estimate, seen.limits, violated)
        wanted = jnp.concatenate([~violated.any()[None], worst])
        mode = jnp.where(violated.any(), SAFETY, REWARD).astype(jnp.int32)
        return memory, Plan(mode, wanted[None], wanted[None].astype(float))


def worst_violated(estimate: Estimate, limits: Float[Array, " K"], violated: Bool[Array, " K"]) -> Bool[Array, " K"]:
    """Mark the violated constraint with the largest (Ĵ_k − b_k)/SE_k; none if none is violated."""
    evidence = (estimate.cost - limits) / jnp.maximum(estimate.cost_se, 1e-12)
    worst = jnp.argmax(jnp.where(violated, evidence, -jnp.inf))
    return violated & (jnp.arange(len(limits)) == worst)
