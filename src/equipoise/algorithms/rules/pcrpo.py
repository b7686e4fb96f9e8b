"""PCRPO: projection constraint-rectified policy optimisation (Gu et al., AAAI 2024, arXiv 2405.01677, Algorithm 1).

Soft switching: around the limit b there is a band, in which reward and safety are improved together,

    Ĵ ≤ b + h⁻:             improve the reward,
    b + h⁻ < Ĵ ≤ b + h⁺:    improve both, along d = x_r g_r⁺ + x_c g_c⁺,
    Ĵ > b + h⁺:             lower the cost.

g_r and g_c are the gradients of the reward and of minus the cost. While they conflict, ⟨g_r, g_c⟩ < 0, each is
projected on the normal plane of the other (§4 of the paper), so that neither undoes the other:

    g_r⁺ = g_r − (⟨g_r, g_c⟩/⟨g_c, g_c⟩) g_c,    g_c⁺ = g_c − (⟨g_c, g_r⟩/⟨g_r, g_r⟩) g_r.

Without conflict they stay as they are. With h⁻ = h⁺ = η there is no band, and it switches exactly where CRPO with
tolerance η does, ties included; with one constraint it then is CRPO to the last bit.

With K constraints each one is violated (Ĵ_k > b_k + h⁺_k), active (inside its band) or slack. If none is violated, the
reward and the active ones are improved together; otherwise the violated and the active ones. Each gradient is projected
on the cone of directions that harm no other (UPGrad: Quinton & Rey, 2024, arXiv 2406.16232, eq. 5), which for two
gradients is the formula above.

Deviations:

- h⁺ is 0 by default: above 0, training can rest above the limit.
- h⁻ is −0.3·b by default, about what a step does to the cost: a narrower band is stepped over.
- Gradients are scaled to length 1 in the metric before they are weighted, so that the units of reward and cost do not
  matter.
- The radius of the step is δ·sin²φ while gradients conflict. The projected direction vanishes where they oppose each
  other, and scaling it back to full length would amplify noise exactly at the optimum.
- The metric in which gradients are compared can be chosen. `step` is nearest to what the authors published as code
  later.
- Other aggregators can take the place of the projection, to compare with (`balance.aggregator`).
- On the proximal step (`ppo_pcrpo`) gradients are compared in the Euclidean metric, minibatch by minibatch.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.direction import Direction, Region, projected
from equipoise.algorithms.rule import BALANCE, REWARD, SAFETY, Memory, Plan, Rule, Seen
from equipoise.algorithms.rules.balance import Balance
from equipoise.algorithms.rules.crpo import worst_violated
from equipoise.algorithms.rules.slack import Slack
from equipoise.gradients.aggregation import aggregated_combination
from equipoise.gradients.aggregators import find
from equipoise.gradients.barrier import Barrier, barrier, with_barrier
from equipoise.gradients.metric import Geometry, Metric, geometry
from equipoise.gradients.projection import Combination, combine
from equipoise.numerics.krylov import NaturalGradients
from equipoise.settings import require_ranges, settings, static


@settings
class PCRPO(Rule):
    """Projection constraint-rectified policy optimisation: soft switching, with projected gradients near the limit."""

    projects: ClassVar[bool] = True

    slack: Slack = Slack()
    """The band around the limit."""
    metric: Metric = static(default="euclidean")
    """Geometry in which gradients are compared and projected. In `fisher` the step harms neither on the episodes it was
    computed from; on others `euclidean` steps do less harm (docs/conflict.md)."""
    barrier: float = 25.0
    """With metric `barrier`: its strength β in units of 1/limit, for every cost that is below its limit. At a limit of
    25 the default is the β = 1 of C-TRPO, whose geometry it is."""
    reward_weight: float = 0.5
    """x_r, the reward's weight in the balance; the active constraints share 1 − x_r."""
    balance: Balance = Balance()
    """What combines reward and constraints inside the band."""

    @property
    def scheduled(self) -> tuple[str, ...]:
        """Names of the settings that make it depend on the share of training done: the slack's."""
        return self.slack.scheduled

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require_ranges(self, reward_weight=(0, 1), barrier=(0, float("inf")))
        self.slack.check()
        self.balance.check()

    def plan(self, memory: Memory, seen: Seen) -> tuple[Memory, Plan]:
        """Switch softly between reward, balance and safety.

        Each constraint is violated (Ĵ_k > b_k + h⁺), slack (Ĵ_k ≤ b_k + h⁻) or active (between). None violated: the
        reward with the active ones, then, should that be stationary or rejected, the active ones above their limits.
        Some violated: the violated and active ones (leaving active ones out would make two constraints take turns),
        then the violated alone, then the worst of them.
        """
        estimate, limits = seen.estimate, seen.limits
        low, high = self.slack.bounds(estimate, limits, seen.fraction)
        warming_up = seen.fraction < self.slack.warm_up
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
        mode = jnp.where(unsafe, SAFETY, jnp.where(active.any(), BALANCE, REWARD)).astype(jnp.int32)
        return memory, Plan(mode, wanted, self._preference(reward, constraints))

    def combine(
        self, gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]
    ) -> Combination:
        """Combine reward and constraints by the balance's aggregator, and constraints alone by the projection."""
        balance = partial(aggregated_combination, find(self.balance.aggregator))
        return jax.lax.cond(wanted[0] & wanted[1:].any(), balance, combine, gram, preference, wanted)

    def direct(
        self, natural: NaturalGradients, wanted: Bool[Array, " m"], weights: Float[Array, " m"], seen: Seen, to: Region
    ) -> Direction:
        """Project in the metric; with barriers, among the natural gradients of their geometry."""
        if self.metric != "barrier":
            return projected(natural, self.metric, self.combine, wanted, weights, to)
        barred = with_barrier(natural, self._barrier(seen).weights)
        found = projected(barred.natural, self.metric, self.combine, wanted, weights, to)
        return found._replace(coefficients=found.coefficients @ barred.mixture)

    def distance(
        self, kl: Float[Array, ""], change: Float[Array, " m"], wanted: Bool[Array, " m"], seen: Seen
    ) -> Float[Array, ""]:
        """Return the KL divergence, with the barriers' if there are any."""
        return kl + self._barrier(seen).divergence(change[1:]) if self.metric == "barrier" else kl

    def geometry(self, natural: NaturalGradients, seen: Seen) -> Geometry:
        """Return the objectives in the metric."""
        if self.metric == "barrier":
            natural = with_barrier(natural, self._barrier(seen).weights).natural
        return geometry(natural, self.metric)

    def _barrier(self, seen: Seen) -> Barrier:
        """Return the barriers of the costs below their limits."""
        limits = jnp.asarray(seen.limits)
        return barrier(seen.excess < 0, self.barrier, seen.excess, limits, seen.per_episode[1:])

    def _preference(self, reward: Bool[Array, " C"], constraints: Bool[Array, "C K"]) -> Float[Array, "C m"]:
        """Share the weights: x_r for a wanted reward, the rest equally among the wanted constraints."""
        count = constraints.sum(1)
        x_r = jnp.where(reward, jnp.where(count > 0, self.reward_weight, 1.0), 0.0)
        x_k = constraints * ((1 - x_r) / jnp.maximum(count, 1))[:, None]
        return jnp.concatenate([x_r[:, None], x_k], axis=1)
