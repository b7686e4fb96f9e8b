"""The methods that run on finite CMDPs. Each turns exact (or sampled) values into one move of the softmax policy.

All move θ ← θ + α/(1 − γ) · (w_r Q_r − Σ w_k Q_k), a natural policy gradient step on a mixture of reward and costs
(mirror descent in every state), and differ only in the weights. CRPO and PCRPO are the library's own handlers.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from equipoise.algorithms.rule import Plan, Rule, Seen
from equipoise.algorithms.steps.trust_region import TrustRegion
from equipoise.gradients.metric import Metric, geometry
from equipoise.gradients.projection import combine
from equipoise.numerics.krylov import NaturalGradients
from equipoise.problem import Array, Estimate
from equipoise.settings import require, settings
from equipoise.theory.cmdp import CMDP, Evaluation, values_of
from equipoise.theory.natural import natural_gradients

STATIONARY = TrustRegion().min_sin2_phi
"""sin²φ below which the next candidate of a wish is tried, if there is one; as in the library's policy step."""


class View(NamedTuple):
    """What a method sees of the current policy."""

    cmdp: CMDP
    """The problem; methods read its discount and limits only."""
    policy: Float[Array, "S A"]
    """π(a|s)."""
    exact: Evaluation
    """Its exact values."""
    quality: Float[Array, "m S A"]
    """Q_i as the method sees it: exact or sampled, up is better."""
    estimate: Estimate
    """Ĵ as the method sees it: exact with standard error 0, or sampled."""
    progress: Float[Array, ""]
    """t/T, the share of the run already done."""


class Move(NamedTuple):
    """What a method does with it."""

    direction: Float[Array, "S A"]
    """θ moves by α/(1 − γ) times this."""
    weights: Float[Array, " m"]
    """w ≥ 0 of the objectives in the direction; the iterate is an output with probability ∝ w_r."""
    mode: Int[Array, ""]
    """Index into `rule.MODES`."""
    dual: Float[Array, " K"]
    """The next multipliers, of methods that keep some."""


@runtime_checkable
class Method(Protocol):
    """A method, a pytree of its settings."""

    def move(self, view: View, dual: Float[Array, " K"]) -> Move:
        """Decide the next move from the current policy's values and the method's own multipliers."""


class Switch(NamedTuple):
    """A constraint handler of the library (CRPO, PCRPO) with natural gradient steps of fixed size α.

    The weights of reward and costs sum to 1 («ours»: a step is then one of natural gradient ascent on a payoff in
    [−1, 1], which is all the theorem needs), so the direction vanishes with sin φ where reward and cost balance.
    """

    handler: Any
    """A `Rule` that switches; its metric decides in which inner product gradients are projected."""

    def move(self, view: View, dual: Float[Array, " K"]) -> Move:
        """Take the first candidate of the handler's wish that is not stationary; if all are, the first."""
        rule: Rule = self.handler
        units = jnp.ones(1 + len(view.cmdp.limits))
        seen = Seen(view.estimate, view.cmdp.limits, view.progress, units, view.cmdp.discount, 1.0)
        _, plan = rule.plan(rule.init(len(view.cmdp.limits)), seen)
        advantage = view.quality - jnp.einsum("sa,msa->ms", view.policy, view.quality)[:, :, None]
        natural = natural_gradients(view.policy, advantage, view.exact.occupancy, view.cmdp.discount)
        weights = mixture(natural, plan, rule.metric)
        return Move(jnp.tensordot(weights, view.quality, 1), weights, plan.mode, dual)


def mixture(natural: NaturalGradients, plan: Plan, metric: Metric) -> Float[Array, " m"]:
    """Return the weights of the objectives in the candidate taken, summing to 1 (to 0 where nothing moves)."""
    gram, scale = geometry(natural, metric)

    def weigh(wanted: Bool[Array, " m"], preference: Float[Array, " m"]) -> tuple[Array, Array]:
        found = combine(gram, preference, wanted)
        return found.weights * scale, wanted.any() & (found.sin2_phi >= STATIONARY)

    weights, free = jax.vmap(weigh)(plan.wanted, plan.weights)
    taken = weights[jnp.argmax(free)]
    total = taken.sum()
    return taken / jnp.where(total > 0, total, 1.0)


@settings
class PrimalDual:
    """NPG primal-dual (Ding, Zhang, Başar & Jovanović, NeurIPS 2020): ascend the Lagrangian, move λ by the violation.

    w_r = 1, w_k = λ_k;   λ ← clip(λ + β (Ĵ − b), 0, ceiling).
    """

    dual_step: float
    """β."""
    ceiling: float
    """The largest multiplier allowed; at least λ*, for which 1/((1 − γ)ξ) will do (ξ is Slater's constant)."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require(self.dual_step > 0, f"dual_step is {self.dual_step}; allowed: above 0")
        require(self.ceiling > 0, f"ceiling is {self.ceiling}; allowed: above 0")

    def move(self, view: View, dual: Float[Array, " K"]) -> Move:
        """Move along the Lagrangian's natural gradient, and the multipliers with the violation."""
        weights = jnp.concatenate([jnp.ones(1), dual])
        following = dual + self.dual_step * (view.estimate.cost - view.cmdp.limits)
        return Move(
            direction=jnp.tensordot(weights, view.quality, 1),
            weights=weights,
            mode=jnp.asarray(1, jnp.int32),
            dual=jnp.clip(following, 0, self.ceiling),
        )


@settings
class Regularised:
    """Regularised primal-dual, RPG-PD (Ding, Wei, Zhang & Ribeiro, NeurIPS 2023, eq. 8): its *last* iterate converges.

    The Lagrangian is made strongly concave by an entropy bonus τ·H(π) and strongly convex by τ·‖λ‖²/2:
    direction Q_r − Σ λ_k Q_k + τ Q_ψ with ψ(s, a) = −log π(a|s);   λ ← clip((1 − βτ) λ + β (Ĵ − b), 0, ceiling).
    """

    dual_step: float
    """β."""
    ceiling: float
    """The largest multiplier allowed."""
    temperature: float
    """τ. The saddle point that the iterates converge to is O(τ) away from the optimum."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        PrimalDual(self.dual_step, self.ceiling).check()
        require(self.temperature >= 0, f"temperature is {self.temperature}; allowed: 0 or more")

    def move(self, view: View, dual: Float[Array, " K"]) -> Move:
        """Move along the regularised Lagrangian's natural gradient; the entropy's values are always exact."""
        surprise = -jnp.log(jnp.maximum(view.policy, 1e-300))
        entropy = values_of(view.cmdp, view.policy, view.exact.successor, surprise[None])[0][0]
        weights = jnp.concatenate([jnp.ones(1), dual])
        following = dual * (1 - self.dual_step * self.temperature)
        following += self.dual_step * (view.estimate.cost - view.cmdp.limits)
        return Move(
            direction=jnp.tensordot(weights, view.quality, 1) + self.temperature * entropy,
            weights=weights,
            mode=jnp.asarray(1, jnp.int32),
            dual=jnp.clip(following, 0, self.ceiling),
        )
