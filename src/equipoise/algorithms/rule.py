"""A rule: what an update is for. One class per algorithm paper; only `plan` is required.

Every objective is written so that up is better: objective 0 is the reward, objective k is minus cost k. Surrogates are
in units of standardised advantages; `Seen.per_episode` turns a change of one into a change per episode.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from equipoise.algorithms.direction import Direction, Region, projected, weighted
from equipoise.gradients.metric import Geometry, Metric, geometry
from equipoise.gradients.projection import Combination, combine
from equipoise.numerics.krylov import NaturalGradients
from equipoise.problem import Estimate

MODES = ("reward", "balance", "safety")
"""What an update is for, in the order of `Plan.mode`."""

REWARD, BALANCE, SAFETY = range(3)

Memory = Any
"""What a rule carries from update to update: a pytree of arrays, kept in the checkpoint."""


class Seen(NamedTuple):
    """What a rule knows when it plans an update."""

    estimate: Estimate
    """Ĵ_r and Ĵ_k with their standard errors."""
    limits: Float[Array, " K"]
    """b_k."""
    fraction: Float[Array, ""]
    """Share of training already done, in [0, 1]."""
    per_episode: Float[Array, " m"]
    """What a unit of each surrogate is worth per episode, in the reward's and the costs' own units; 0 for an objective
    whose payoffs say nothing."""
    cost_discount: Float[Array, ""] | float = 0.99
    """γ_c, the learner's discount of the costs."""
    cost_gae_lambda: Float[Array, ""] | float = 0.95
    """λ_c of the costs' generalised advantage estimation."""
    memory: Memory = ()
    """What the rule remembers after `plan`, for `direct`."""

    @property
    def excess(self) -> Float[Array, " K"]:
        """Ĵ_k − b_k."""
        return jnp.asarray(self.estimate.cost - self.limits, jnp.float32)

    @property
    def relative_excess(self) -> Float[Array, " K"]:
        """(Ĵ_k − b_k)/b_k; where the limit is 0, the excess itself."""
        return self.excess / jnp.where(self.limits > 0, self.limits, 1.0)

    @property
    def reward_per_cost(self) -> Float[Array, " K"]:
        """What turns a weight of a cost's surrogate, beside 1 of the reward's, into reward per cost.

        0 for a cost whose advantages are all equal.
        """
        reward, cost = self.per_episode[0], self.per_episode[1:]
        return jnp.where(cost > 0, reward / jnp.where(cost > 0, cost, 1.0), 0.0)

    @property
    def surrogate_excess(self) -> Float[Array, " K"]:
        """(Ĵ_k − b_k) in units of cost k's surrogate: by how much that has to rise for the limit to be met."""
        cost = self.per_episode[1:]
        return jnp.where(cost > 0, self.excess / jnp.where(cost > 0, cost, 1.0), 0.0)


class Plan(NamedTuple):
    """What a rule asks of an update: candidates to try in turn until one is accepted."""

    mode: Int[Array, ""]
    """Index into `MODES`."""
    wanted: Bool[Array, "C m"]
    """For each candidate, the objectives to improve; a candidate that wants none is passed over."""
    weights: Float[Array, "C m"]
    """For each candidate, the objectives' weights, 0 or more."""


def single(mode: Int[Array, ""] | int, weights: Float[Array, " m"]) -> Plan:
    """Return the plan of one candidate that wants every objective of positive weight."""
    return Plan(jnp.asarray(mode, jnp.int32), weights[None] > 0, weights[None])


class Taken(NamedTuple):
    """What a rule sees of the step that was taken."""

    mode: Int[Array, ""]
    """Index into `MODES`."""
    cos: Float[Array, " K"]
    """cos φ of the reward's and each cost's gradient in the rule's metric; they conflict below 0."""
    weights: Float[Array, " m"]
    """What the objectives weighed in it, up to a common factor; all 0 where no step was taken."""
    gain: Float[Array, " m"]
    """First-order change per episode of every objective along it; up is better."""


class Minibatch(NamedTuple):
    """What a proximal loss is computed from: n steps."""

    ratio: Float[Array, " n"]
    """π(a|s)/π_old(a|s), π_old the policy that acted."""
    kl: Float[Array, " n"]
    """KL(π ‖ π_phase) per step, π_phase the policy at the start of this phase (the one that acted, if there is one)."""
    advantage: Float[Array, "n m"]
    """Advantages of every objective, up is better."""
    valid: Float[Array, " n"]
    """1 for steps that count, else 0."""
    slope2: Float[Array, " m"]
    """Squared length of the gradient of every objective's surrogate, at the policy that acted and over all steps."""

    def mean(self, values: Float[Array, " n"]) -> Float[Array, ""]:
        """Return the mean of `values` over the steps that count."""
        return (self.valid * values).sum() / jnp.maximum(self.valid.sum(), 1.0)

    def clipped(self, advantage: Float[Array, " n"], clip: float | Float[Array, ""]) -> Float[Array, ""]:
        """Return PPO's surrogate, the mean of min(ρÂ, clip(ρ, 1 − ε, 1 + ε)Â) (arXiv 1707.06347, eq. 7)."""
        return self.mean(jnp.minimum(self.ratio * advantage, jnp.clip(self.ratio, 1 - clip, 1 + clip) * advantage))


class Rule:
    """Base of all rules: the hooks' defaults. A rule is a class with `@settings` that overrides what its paper needs.

    With `projects`, objectives are compared in `metric`, where each has length 1, and projected so that none is harmed;
    without it, they are summed with the plan's weights.
    """

    projects: ClassVar[bool] = False
    """Whether a candidate's objectives are projected, instead of being summed with their weights."""
    logs: ClassVar[dict[str, str]] = {}
    """What `columns` logs: a description of each column."""
    metric: Metric = "fisher"
    """Geometry in which gradients are compared."""
    phases: ClassVar[int] = 1
    """How many losses a proximal step minimises one after the other."""
    only_on: ClassVar[str] = ""
    """The class of the only step that does what the rule is for: `TrustRegion` where `direct` says what that is,
    `Proximal` where `loss` does; empty if any step does. On others the algorithm is refused."""

    @property
    def scheduled(self) -> tuple[str, ...]:
        """Names of the settings that make it depend on the share of training done (`Seen.fraction`), as they are now.

        A training that goes on beyond the end that was planned for it differs by them from one that was longer from the
        start.
        """
        return ()

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""

    def init(self, constraints: int) -> Memory:
        """Return the memory before the first update."""
        return ()

    def plan(self, memory: Memory, seen: Seen) -> tuple[Memory, Plan]:
        """Decide what this update is for, from what was seen, and remember it. Compiled: no `if` on numbers."""
        raise NotImplementedError

    def combine(
        self, gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]
    ) -> Combination:
        """Combine the wanted objectives, given their Gram matrix, if the rule projects."""
        return combine(gram, preference, wanted)

    def direct(
        self, natural: NaturalGradients, wanted: Bool[Array, " m"], weights: Float[Array, " m"], seen: Seen, to: Region
    ) -> Direction:
        """Return a candidate's step of full length in a trust region, and what the line search has to see of it."""
        if self.projects:
            return projected(natural, self.metric, self.combine, wanted, weights, to)
        return weighted(natural, weights, to)

    def geometry(self, natural: NaturalGradients, seen: Seen) -> Geometry:
        """Return the objectives in the rule's metric, in which a report's cos φ are measured."""
        return geometry(natural, self.metric)

    def distance(
        self, kl: Float[Array, ""], change: Float[Array, " m"], wanted: Bool[Array, " m"], seen: Seen
    ) -> Float[Array, ""]:
        """Return what a trust region bounds, from the KL divergence and the surrogates' changes of a candidate."""
        return kl

    def loss(
        self, batch: Minibatch, weights: Float[Array, " m"], seen: Seen, clip: float | Float[Array, ""], phase: int
    ) -> Float[Array, ""]:
        """Return what a proximal step minimises: by default PPO's clipped surrogate of the weighted advantages."""
        return -batch.clipped(batch.advantage @ (weights / weights.sum()), clip)

    def idle(self, weights: Float[Array, " m"], phase: int) -> Bool[Array, ""]:
        """Tell whether a proximal step is to pass a phase over, which then leaves policy and optimiser untouched."""
        return jnp.zeros((), bool)

    def after(self, memory: Memory, taken: Taken) -> Memory:
        """Remember what the step did that was taken."""
        return memory

    def batch_factor(self, memory: Memory) -> Float[Array, ""] | None:
        """Return how many times the usual number of steps the next iteration takes; None for always as many."""
        return None

    def sound(self, memory: Memory) -> Bool[Array, ""]:
        """Tell whether the memory keeps its invariants: multipliers are 0 or more, say."""
        return jnp.ones((), bool)

    def columns(self, memory: Memory) -> dict[str, Float[Array, "..."]]:
        """Return what to log of the memory: by column, one number per constraint or one in all."""
        return {}
