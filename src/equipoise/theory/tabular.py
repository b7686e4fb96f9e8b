"""The tabular step: an exact natural gradient step, for any rule of the library.

The policy is a softmax of a table θ(s, a), and the step is natural policy gradient in closed form (`natural`), which is
mirror descent in every state:

    θ ← θ + α/(1 − γ) · Σ w_i Q_i        (up is better: Q_0 is the reward's, Q_k minus cost k's)

The rule is the one that trains networks, and says the weights w. `Seen` shows it J of the current policy, exact with
standard error 0 (or sampled), in place of an estimate. Outside a trust region advantages are not standardised, so a
unit of a surrogate is worth 1 per episode and a multiplier is in reward per cost: λ* of `optimum`.

- A rule that projects (CRPO, PCRPO): the first of the plan's candidates that is not stationary, combined by the rule in
  its metric; if all are stationary, the first. The weights are scaled to sum to 1: then a step is one of natural
  gradient ascent on a payoff in [−1, 1], which is all that the theorem of `bounds` needs, and the direction vanishes
  with sin φ where reward and cost balance.
- A rule that chooses its direction in a trust region (CPO, PCPO, SB-TRPO, C-TRPO, POISE; PCRPO with the metric
  `barrier`): what the library's own trust-region step does with it, line search included, with exact gradients of
  advantages of deviation 1, an exact Fisher matrix without damping, and exact KL divergences and surrogates. Here α is
  δ, the largest mean KL divergence of a step, and w such that the step is the one above: wᵢ = cᵢ/α of a step Σ cᵢuᵢ.
- Any other rule: the weights of the plan's first candidate as they are. So their sum is part of the step's size, which
  other steps of the library set themselves: (1, λ) ascends the Lagrangian as published, (1, λ)/(1 + Σλ) never takes a
  step longer than that on the reward alone. Both rest at the same policy.

What belongs to other steps is not used: the `loss`, the `batch_factor`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from equipoise.algorithms.direction import Region
from equipoise.algorithms.rule import Memory, Plan, Rule, Seen, Taken
from equipoise.algorithms.steps.trust_region import TrustRegion
from equipoise.gradients.metric import FIXED, cosines, geometry
from equipoise.numerics.krylov import NaturalGradients
from equipoise.problem import Array, Estimate
from equipoise.theory.cmdp import CMDP, Evaluation, values_of
from equipoise.theory.natural import natural_gradients

SEARCH = TrustRegion()
"""The library's trust-region step, whose line search is used."""

STATIONARY = SEARCH.min_sin2_phi
"""sin²φ below which the next candidate of a plan is tried, if there is one; as in the trust-region step."""

NEARLY_STATIONARY = 1e-12
"""sin²φ below which a trust-region step stops here: values without noise are worth following further."""


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


def in_a_region(rule: Rule) -> bool:
    """Tell whether the rule chooses its direction in a trust region, so that a step's size is its KL divergence."""
    return rule.metric not in FIXED or not (rule.projects or type(rule).direct is Rule.direct)


def remember(rule: Rule, constraints: int) -> Memory:
    """Return the rule's memory before the first step, its floating-point numbers in the precision in use."""
    return jax.tree.map(_widen, rule.init(constraints))


def move(
    rule: Rule, memory: Memory, parameters: Float[Array, "S A"], view: View, step: Float[Array, ""]
) -> tuple[Memory, Move]:
    """Return the step of size α = `step` that `rule` plans from θ = `parameters`, and what it remembers."""
    advantage = view.quality - jnp.einsum("sa,msa->ms", view.policy, view.quality)[:, :, None]
    scale = _deviation(view, advantage) if in_a_region(rule) else jnp.ones(len(advantage))
    natural = natural_gradients(view.policy, advantage / scale[:, None, None], view.exact.occupancy, view.cmdp.discount)
    # Q is a whole sum of payoffs discounted by γ, which generalised advantage estimation gives with λ = 1.
    seen = Seen(
        view.estimate,
        view.cmdp.limits,
        view.fraction,
        per_episode=scale,
        cost_discount=view.cmdp.discount,
        cost_gae_lambda=1.0,
    )
    following, plan = rule.plan(memory, seen)
    seen = seen._replace(memory=following)
    if in_a_region(rule):
        made, weights, gain = within(rule, parameters, natural, plan, seen, view, step)
    else:
        weights = mixture(natural, plan, rule) if rule.projects else plan.weights[0]
        made, gain = Move(jnp.tensordot(weights, view.quality, 1), weights, plan.mode), natural.gram @ weights
    if isinstance(rule, Bonus):
        made = made._replace(direction=made.direction + rule.bonus(view.policy, view.quality_of))
    cos = cosines(rule.geometry(natural, seen).gram)[0, 1:]
    following = rule.after(following, Taken(made.mode, cos, weights, gain))
    # The memory keeps its precision from step to step, whatever a rule computes in.
    following = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), following, memory)
    return following, made


def within(
    rule: Rule,
    parameters: Float[Array, "S A"],
    natural: NaturalGradients,
    plan: Plan,
    seen: Seen,
    view: View,
    max_kl: Float[Array, ""],
) -> tuple[Move, Float[Array, " m"], Float[Array, " m"]]:
    """Return the step in a trust region of radius `max_kl`, found by the library's own search.

    With it, as a rule is told them, its weights of the standardised objectives and what they gain by it.
    """
    share, remaining = view.exact.occupancy[:, None], 1 - view.cmdp.discount
    old = jax.nn.log_softmax(parameters)

    def measure(candidate: Float[Array, " d"]) -> tuple[Float[Array, ""], Float[Array, " m"]]:
        new = jax.nn.log_softmax(candidate.reshape(parameters.shape))
        change = share * (jnp.exp(new) - view.policy) / remaining
        surrogates = jnp.einsum("sa,msa->m", change, view.quality) / seen.per_episode
        return (share * view.policy * (old - new)).sum(), surrogates

    region = Region(max_kl, NEARLY_STATIONARY, jnp.zeros_like(seen.per_episode))
    found = SEARCH.first_accepted(parameters.ravel(), natural, plan, seen, rule, region, measure)
    moved = found.parameters.reshape(parameters.shape) - parameters
    made = Move(moved * remaining / max_kl, found.weights / seen.per_episode / max_kl, found.mode)
    return made, found.weights, seen.per_episode * found.gain


def _deviation(view: View, advantage: Float[Array, "m S A"]) -> Float[Array, " m"]:
    """Return the standard deviation of every objective's advantages where the policy goes; 1 where it is 0."""
    square = jnp.einsum("s,sa,msa->m", view.exact.occupancy, view.policy, advantage**2)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 1.0)


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
