"""PCRPO: soft switching between reward and safety (Gu et al., AAAI 2024, arXiv 2405.01677, Algorithm 1)."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.crpo import worst_violated
from equipoise.algorithms.settings import Balance, Learner, LearnerField, require, settings
from equipoise.algorithms.slack import Slack
from equipoise.algorithms.trust_region import Wish
from equipoise.gradients.metric import Metric
from equipoise.problem import Estimate


@settings
class PCRPO:
    """Projection constraint-rectified policy optimisation, for K constraints.

    Ĵ ≤ b + h⁻: improve the reward. Ĵ > b + h⁺: improve safety. Between: improve both, each gradient projected on the
    normal plane of the other while they conflict (or combined by another aggregator). With h⁻ = h⁺ = η it is CRPO with
    tolerance η.
    """

    slack: Slack = Slack()
    """The band around the limit."""
    metric: Metric = "euclidean"
    """Geometry in which gradients are compared and projected. In `fisher` the step harms neither on the episodes it was
    computed from; on others `euclidean` steps do less harm (docs/conflict.md)."""
    reward_weight: float = 0.5
    """x_r, the reward's weight in the balance; the active constraints share 1 − x_r."""
    balance: Balance = Balance()
    """What combines reward and constraints inside the band."""
    learner: LearnerField = Learner()
    """What all algorithms share."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require(0 <= self.reward_weight <= 1, f"reward_weight is {self.reward_weight}; allowed: from 0 to 1")
        self.slack.check()
        self.balance.check()
        self.learner.check()

    def wish(self, estimate: Estimate, limits: Float[Array, " K"], progress: Float[Array, ""]) -> Wish:
        """Switch softly between reward, balance and safety.

        Each constraint is violated (Ĵ_k > b_k + h⁺), slack (Ĵ_k ≤ b_k + h⁻) or active (between). None violated: the
        reward with the active ones, then, should that be stationary or rejected, the active ones above their limits.
        Some violated: the violated and active ones (leaving active ones out would make two constraints take turns),
        then the violated alone, then the worst of them.
        """
        low, high = self.slack.bounds(estimate, limits, progress)
        warming_up = progress < self.slack.warm_up
        violated = (estimate.cost > limits + high) & ~warming_up
        active = (estimate.cost > limits + low) & ~violated & ~warming_up
        unsafe = violated.any()
        worst = worst_violated(estimate, limits, violated)
        constraints = jnp.stack(
            [
                violated | active,
                jnp.where(unsafe, violated & active.any(), active & (estimate.cost > limits)),
                worst & (violated.sum() > 1),
            ]
        )
        reward = jnp.stack([~unsafe, jnp.zeros_like(unsafe), jnp.zeros_like(unsafe)])
        wanted = jnp.concatenate([reward[:, None], constraints], axis=1)
        mode = jnp.where(unsafe, 2, jnp.where(active.any(), 1, 0)).astype(jnp.int32)
        return Wish(mode, wanted, self._preference(reward, constraints))

    def _preference(self, reward: Bool[Array, " C"], constraints: Bool[Array, "C K"]) -> Float[Array, "C m"]:
        """Share the weights: x_r for a wanted reward, the rest equally among the wanted constraints."""
        count = constraints.sum(1)
        x_r = jnp.where(reward, jnp.where(count > 0, self.reward_weight, 1.0), 0.0)
        x_k = constraints * ((1 - x_r) / jnp.maximum(count, 1))[:, None]
        return jnp.concatenate([x_r[:, None], x_k], axis=1)
