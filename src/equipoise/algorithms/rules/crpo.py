"""CRPO: constraint-rectified policy optimisation (Xu, Liang & Lan, ICML 2021, arXiv 2011.05869, Algorithm 1).

A hard switch at the limit, without multipliers:

    every Ĵ_k ≤ b_k + η:    improve the reward,
    otherwise:              lower the cost of one violated constraint.

With K constraints the paper lets any of the violated ones be chosen; here it is the one with the largest
(Ĵ_k − b_k)/SE_k, SE_k being the standard error of Ĵ_k.

Deviations:

- The step is that of a trust region with a line search (or a proximal step, as `ppo_crpo`); the paper takes natural
  gradient steps of fixed size.
- Ĵ_k is the mean of whole episodes, undiscounted, as the limits are; the paper estimates the discounted cost by
  temporal differences.
- η is 0 by default, and below 0 it is a safety margin; the paper's theorem needs η > 0, of the order of its own bound.
- The newest policy is the result; the theorem is about one drawn from the iterates that improved the reward.
"""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.rule import REWARD, SAFETY, Memory, Plan, Rule, Seen
from equipoise.problem import Estimate
from equipoise.settings import require, settings


@settings
class CRPO(Rule):
    """Constraint-rectified policy optimisation: a hard switch between the reward and the worst violated constraint."""

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
    evidence = (estimate.cost - limits) / jnp.maximum(estimate.cost_se, 1e-6 * estimate.cost)  # never quite certain
    worst = jnp.argmax(jnp.where(violated, evidence, -jnp.inf))
    return violated & (jnp.arange(len(limits)) == worst)
