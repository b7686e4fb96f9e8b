"""The tabular step: an exact natural gradient step of fixed size, for any rule of the library.

The policy is a softmax of a table θ(s, a), and the step is natural policy gradient in closed form (`natural`), which is
mirror descent in every state:

    θ ← θ + α/(1 − γ) · Σ w_i Q_i        (up is better: Q_0 is the reward's, Q_k minus cost k's)

The rule is the one that trains networks, and says the weights w. `Seen` shows it J of the current policy, exact with
standard error 0 (or sampled), in place of an estimate; advantages are not standardised, so a unit of a surrogate is
worth 1 per episode and a multiplier is in reward per cost: λ* of `optimum`.

- A rule that projects (CRPO, PCRPO): the first of the plan's candidates that is not stationary, combined by the rule in
  its metric; if all are stationary, the first. The weights are scaled to sum to 1: then a step is one of natural
  gradient ascent on a payoff in [−1, 1], which is all that the theorem of `bounds` needs, and the direction vanishes
  with sin φ where reward and cost balance.
- Any other rule: the weights of the plan's first candidate as they are. So their sum is part of the step's size, which
  other steps of the library set themselves: (1, λ) ascends the Lagrangian as published, (1, λ)/(1 + Σλ) never takes a
  step longer than that on the reward alone. Both rest at the same policy.

What belongs to other steps is not used: the line search's `distance`, the `loss`, the `batch_factor`. Refused are what
only a trust region has: rules that choose their direction in it (CPO, PCPO, SB-TRPO, C-TRPO, POISE), and the metric
`barrier`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from equipoise.algorithms.rule import Memory, Plan, Rule, Seen, Taken
from equipoise.algorithms.steps.trust_region import TrustRegion
from equipoise.gradients.metric import FIXED, cosines, geometry
from equipoise.numerics.krylov import NaturalGradients
from equipoise.problem import Array, Estimate
from equipoise.settings import require
from equipoise.theory.cmdp import CMDP, Evaluation, values_of
from equipoise.theory.natural import natural_gradients

STATIONARY = TrustRegion().min_sin2_phi
"""sin²φ below which the next candidate of a plan is tried, if there is one; as in the trust-region step."""


class View(NamedTuple):
    """What can be seen of the current policy."""

    cmdp: CMDP
    """The problem; a rule sees its limits only."""
    policy: Float[Array, "S A"]
    """π(a|s)."""
    exact: Evaluation
    """The policy's exact values."""
    quality: Float[Array, "m S A"]
    """Q_i as the step sees it: exact or sampled, up is better."""
    estimate: Estimate
    """Ĵ as the rule sees it: exact with standard error 0, or sampled."""
    fraction: Float[Array, ""]
    """t/T, the share of the run already done."""

    def quality_of(self, payoff: Float[Array, "S A"]) -> Float[Array, "S A"]:
        """Return the exact Q of a payoff per step."""
        return values_of(self.cmdp, self.policy, self.exact.successor, payoff[None])[0][0]


class Move(NamedTuple):
    """What a step does with it."""

    direction: Float[Array, "S A"]
    """θ moves by α/(1 − γ) times this."""
    weights: Float[Array, " m"]
    """w ≥ 0 of the objectives in the direction; the iterate is an output with probability ∝ w_r."""
    mode: Int[Array, ""]
    """Index into `rule.MODES`."""


Quality = Callable[[Float[Array, "S A"]], Float[Array, "S A"]]
"""A payoff per step ↦ Q of it under the current policy, exact."""


@runtime_checkable
class Bonus(Protocol):
    """A rule that ascends more than reward and costs: entropy, say."""

    def bonus(self, policy: Float[Array, "S A"], quality_of: Quality) -> Float[Array, "S A"]:
        """Return what is added to the direction, from π(a|s)."""


def remember(rule: Rule, constraints: int) -> Memory:
    """Return the rule's memory before the first step, its floating-point numbers in the precision in use.

    `UsageError` for a rule that this step cannot follow.
    """
    name = type(rule).__name__
    require(
        rule.projects or type(rule).direct is Rule.direct,
        f"{name} chooses its direction in a trust region, and the tabular step has none; allowed: rules whose plan "
        "weighs the objectives, and rules that project them",
    )
    require(
        not rule.projects or rule.metric in FIXED,
        f"{name}'s metric is {rule.metric}, which the tabular step does not have; allowed: {', '.join(FIXED)}",
    )
    return jax.tree.map(_widen, rule.init(constraints))


def move(rule: Rule, memory: Memory, view: View) -> tuple[Memory, Move]:
    """Return the step that `rule` plans, and what it remembers."""
    limits = view.cmdp.limits
    # Q is a whole sum of payoffs discounted by γ, which generalised advantage estimation gives with λ = 1.
    seen = Seen(
        view.estimate,
        limits,
        view.fraction,
        jnp.ones(1 + len(limits)),
        cost_discount=view.cmdp.discount,
        cost_gae_lambda=1.0,
    )
    following, plan = rule.plan(memory, seen)
    advantage = view.quality - jnp.einsum("sa,msa->ms", view.policy, view.quality)[:, :, None]
    natural = natural_gradients(view.policy, advantage, view.exact.occupancy, view.cmdp.discount)
    weights = mixture(natural, plan, rule) if rule.projects else plan.weights[0]
    direction = jnp.tensordot(weights, view.quality, 1)
    if isinstance(rule, Bonus):
        direction += rule.bonus(view.policy, view.quality_of)
    cos = cosines(geometry(natural, rule.metric).gram)[0, 1:]
    following = rule.after(following, Taken(plan.mode, cos, weights, natural.gram @ weights))
    # The memory keeps its precision from step to step, whatever a rule computes in.
    following = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), following, memory)
    return following, Move(direction, weights, plan.mode)


def mixture(natural: NaturalGradients, plan: Plan, rule: Rule) -> Float[Array, " m"]:
    """Return the weights of the objectives in the candidate taken, summing to 1 (to 0 where nothing moves)."""
    gram, scale = geometry(natural, rule.metric)

    def weigh(wanted: Bool[Array, " m"], preference: Float[Array, " m"]) -> tuple[Array, Array]:
        found = rule.combine(gram, preference, wanted)
        return found.weights * scale, wanted.any() & (found.sin2_phi >= STATIONARY)

    weights, free = jax.vmap(weigh)(plan.wanted, plan.weights)
    taken = weights[jnp.argmax(free)]
    total = taken.sum()
    return taken / jnp.where(total > 0, total, 1.0)


def _widen(leaf: Array) -> Array:
    leaf = jnp.asarray(leaf)
    return leaf.astype(float) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
