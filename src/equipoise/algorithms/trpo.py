"""TRPO (Schulman et al., ICML 2015, arXiv 1502.05477): reward alone, the costs only watched."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from equipoise.algorithms.settings import Balance, Learner, LearnerField, settings
from equipoise.algorithms.trust_region import Wish
from equipoise.gradients.metric import Metric
from equipoise.problem import Estimate


@settings
class TRPO:
    """Trust-region policy optimisation of the reward; limits are reported, never acted on."""

    learner: LearnerField = Learner()
    """What all algorithms share."""

    @property
    def metric(self) -> Metric:
        """With a single objective every metric gives the same step."""
        return "fisher"

    @property
    def balance(self) -> Balance:
        """There is only the reward to improve."""
        return Balance()

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        self.learner.check()

    def wish(self, estimate: Estimate, limits: Float[Array, " K"], progress: Float[Array, ""]) -> Wish:
        """Always improve the reward."""
        reward = jnp.arange(1 + len(limits)) == 0
        return Wish(jnp.zeros((), jnp.int32), reward[None], reward[None].astype(float))
