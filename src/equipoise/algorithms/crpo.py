"""CRPO (Xu, Liang & Lan, ICML 2021, arXiv 2011.05869): a hard switch between reward and violated constraint."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.settings import Balance, Learner, LearnerField, require, settings
from equipoise.algorithms.trust_region import Wish
from equipoise.gradients.metric import Metric
from equipoise.problem import Estimate


@settings
class CRPO:
    """Constraint-rectified policy optimisation (Algorithm 1 of the paper).

    While every Ĵ_k ≤ b_k + η the reward is improved; otherwise the cost of a violated constraint is lowered. Of
    several violated ones the paper lets any be chosen; here it is the one with the largest (Ĵ_k − b_k)/SE_k.
    """

    tolerance: float = 0.0
    """η, in units of the episode cost."""
    learner: LearnerField = Learner()
    """What all algorithms share."""

    @property
    def metric(self) -> Metric:
        """With a single objective at a time every metric gives the same step."""
        return "fisher"

    @property
    def balance(self) -> Balance:
        """There is never more than one objective to improve."""
        return Balance()

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require(self.tolerance == self.tolerance, "tolerance is not a number")
        self.learner.check()

    def wish(self, estimate: Estimate, limits: Float[Array, " K"], progress: Float[Array, ""]) -> Wish:
        """Improve the reward where no constraint is violated, else the worst violated constraint."""
        violated = estimate.cost > limits + self.tolerance
        worst = worst_violated(estimate, limits, violated)
        wanted = jnp.concatenate([~violated.any()[None], worst])
        mode = jnp.where(violated.any(), 2, 0).astype(jnp.int32)
        return Wish(mode, wanted[None], wanted[None].astype(float))


def worst_violated(estimate: Estimate, limits: Float[Array, " K"], violated: Bool[Array, " K"]) -> Bool[Array, " K"]:
    """Mark the violated constraint with the largest (Ĵ_k − b_k)/SE_k; none if none is violated."""
    evidence = (estimate.cost - limits) / jnp.maximum(estimate.cost_se, 1e-12)
    worst = jnp.argmax(jnp.where(violated, evidence, -jnp.inf))
    return violated & (jnp.arange(len(limits)) == worst)
