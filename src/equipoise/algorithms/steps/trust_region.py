"""The trust-region step: natural gradients of all objectives, a rule's direction in them, and a KL line search.

TRPO (Schulman et al., ICML 2015, arXiv 1502.05477, appendix C) for any number of objectives, which are solved for in
one Krylov space (`numerics.krylov`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from equipoise.algorithms.direction import Region
from equipoise.algorithms.prepare import Samples
from equipoise.algorithms.rule import Plan, Rule, Seen
from equipoise.algorithms.steps.report import Improved, StepReport
from equipoise.gradients.metric import cosines
from equipoise.gradients.weakened import weakened
from equipoise.numerics.fisher import fisher_products
from equipoise.numerics.krylov import NaturalGradients, Products, natural_gradients
from equipoise.numerics.line_search import backtrack
from equipoise.policy import Policy
from equipoise.settings import require, require_positive, require_ranges, settings, static

Rebuild = Callable[[Float[Array, " d"]], Policy]
"""A policy from its parameters as one vector."""

Measure = Callable[[Float[Array, " d"]], tuple[Float[Array, ""], Float[Array, " m"]]]
"""Parameters ↦ the mean KL divergence from where a step starts, and every surrogate's change."""


@settings
class TrustRegion:
    """The natural-gradient step and its line search."""

    logs: ClassVar[dict[str, str]] = {
        "cos_fisher": "cos φ of the reward's and the cost's gradient in the Fisher metric",
        "implied_multiplier": "−⟨g_r, g_c⟩/⟨g_c, g_c⟩ in the Fisher metric, reward per cost: λ* where only this limit "
        "binds",
        "backtracks": "how often the accepted step was shortened",
        "heldout_change": "with `--step.heldout`: change per episode along the step that half of the environments "
        "would take, by the gradients of the other half",
    }
    """What the step logs: a description of each column."""

    max_kl: float = 0.05
    """δ, the largest mean KL divergence (nats, of the whole action) between the old policy and the new."""
    damping: float = 0.1
    """λ, added to the Fisher matrix's diagonal."""
    cg_iterations: int = static(default=10)
    """Block Lanczos iterations, each one Fisher-vector product per objective."""
    fisher_every: int = static(default=2)
    """The Fisher matrix is taken over every so many time steps of the samples; gradients and divergences over all."""
    line_search: bool = static(default=True)
    """Whether the step is shortened until it is good; without it the whole step is taken (natural policy gradient)."""
    backtrack: float = 0.8
    """Factor by which the line search shortens a step that it does not accept."""
    backtracks: int = static(default=15)
    """How often it does so before it rejects the direction."""
    noise_share: float = 1.0
    """Share of a cost's gradient that counts in log σ; 1: all of it. Where effort costs, exploring less is the quickest
    way to lower a cost, and then nothing better is found."""
    min_sin2_phi: float = 1e-3
    """sin²φ below which objectives are taken to have no common direction of ascent."""
    allowed_loss: float = 0.1
    """Loss, in standard errors of an objective's surrogate, that the line search allows a projected objective."""
    heldout: bool = static(default=False)
    """Whether to log what the step that half of the environments would take does to the gradients of the others: a
    diagnosis, which makes an update take up to a fifth longer."""

    @property
    def scheduled(self) -> tuple[str, ...]:
        """Names of the settings that make it depend on the share of training done: none."""
        return ()

    def check(self) -> None:
        """Raise `UsageError` naming the first value that is not allowed."""
        require_positive(self, "max_kl", "damping")
        require(0 < self.backtrack < 1, f"backtrack is {self.backtrack}; allowed: between 0 and 1")
        require_ranges(self, cg_iterations=(1, float("inf")), fisher_every=(1, float("inf")), min_sin2_phi=(0, 1))
        require_ranges(self, allowed_loss=(0, float("inf")), backtracks=(0, float("inf")), noise_share=(0, 1))

    def init(self, policy: Policy) -> tuple[()]:
        """Return the step's memory, which is empty."""
        return ()

    def improve(
        self,
        policy: Policy,
        state: tuple[()],
        samples: Samples,
        plan: Plan,
        seen: Seen,
        rule: Rule,
        key: PRNGKeyArray,
    ) -> Improved:
        """Take the first acceptable step among the plan's candidates; the policy stays as it is if there is none."""
        start, rebuild = ravel_pytree(policy)
        natural = self.natural_gradients(policy, samples, objective_gradients(policy, samples))
        step = self.first_accepted(
            start,
            self.exploring(policy, natural),
            plan,
            seen,
            rule,
            self.region(samples),
            _surrogates(rebuild, start, samples),
        )
        own = {
            "cos_fisher": cosines(natural.gram)[0, 1:],
            "implied_multiplier": implied_multipliers(natural.gram, seen.per_episode),
            "backtracks": step.backtracks,
        }
        if self.heldout:
            gain = seen.per_episode * self._heldout(policy, samples, plan, step, seen, rule)
            own |= {"heldout_change": jnp.where(jnp.arange(len(gain)) == 0, gain, -gain)}
        report = StepReport(
            mode=step.mode,
            outcome=step.outcome,
            cos=cosines(rule.geometry(natural, seen).gram)[0, 1:],
            weights=step.weights,
            gain=seen.per_episode * step.gain,
            kl=step.kl,
            own=own,
        )
        return Improved(rebuild(step.parameters).on_floor(), state, report)

    def fisher(self, policy: Policy, samples: Samples) -> Products:
        """Return the products with the Fisher matrix over the valid samples of every `fisher_every`-th time step.

        Neighbours in time have nearly the same observation, and these products are the most expensive part of a policy
        step (TRPO takes a tenth of the samples: Schulman et al., ICML 2015, appendix C).
        """
        thinned = jax.tree.map(lambda x: x[:: self.fisher_every], samples).flat()
        weight = thinned.valid / jnp.maximum(thinned.valid.sum(), 1)
        parameters, rebuild = ravel_pytree(policy)
        return fisher_products(lambda p: rebuild(p)(thinned.observation), parameters, weight)

    def natural_gradients(self, policy: Policy, samples: Samples, gradients: Float[Array, "m d"]) -> NaturalGradients:
        """Solve for the natural counterparts of `gradients`, F taken over `samples`."""
        return natural_gradients(self.fisher(policy, samples), gradients, self.damping, self.cg_iterations)

    def exploring(self, policy: Policy, natural: NaturalGradients) -> NaturalGradients:
        """Return what a direction is chosen from: costs count for less in what sets how much the policy explores."""
        return weakened(natural, ravel_pytree(policy.exploration())[0], self.noise_share)

    def region(self, samples: Samples) -> Region:
        """Return the bounds of a step; losses are weighed against the standard errors of the surrogates."""
        env_means = samples.advantage.sum(0) / jnp.maximum(samples.valid.sum(0), 1)[:, None]
        allowed_loss = self.allowed_loss * env_means.std(0, ddof=1) / jnp.sqrt(env_means.shape[0])
        return Region(self.max_kl, self.min_sin2_phi, allowed_loss)

    def first_accepted(
        self,
        start: Float[Array, " d"],
        natural: NaturalGradients,
        plan: Plan,
        seen: Seen,
        rule: Rule,
        region: Region,
        measure: Measure,
    ) -> Step:
        """Try the candidates of `plan` in turn, each with a line search from `start`, until one is accepted."""

        def attempt(candidate: Int[Array, ""], before: Step) -> tuple[Bool[Array, ""], Step]:
            direction = rule.direct(natural, plan.wanted[candidate], plan.weights[candidate], seen, region)
            step = direction.step(natural)

            def judge(share: Float[Array, ""]) -> tuple[Bool[Array, ""], Float[Array, ""]]:
                kl, change = measure(start + share * step)
                if not self.line_search:
                    return jnp.isfinite(kl), kl
                near = rule.distance(kl, change, plan.wanted[candidate], seen) <= region.max_kl
                good = near & (direction.goal @ change > 0)
                return good & (change >= direction.floor).all(), kl

            found = backtrack(judge, ~direction.vanishes, self.backtrack, self.backtracks if self.line_search else 0)
            failure = jnp.where(candidate == 0, jnp.where(direction.vanishes, 1, 2), before.outcome)
            shortened = direction.shortened(found.share)
            mode = plan.mode if direction.mode is None else jnp.asarray(direction.mode, jnp.int32)
            before = before._replace(mode=jnp.where(candidate == 0, mode, before.mode))
            taken = Step(
                parameters=start + shortened.step(natural),
                weights=shortened.coefficients,
                gain=shortened.gain(natural),
                mode=before.mode,
                candidate=candidate,
                outcome=jnp.where(candidate == 0, 0, before.outcome + 2).astype(jnp.int32),
                kl=found.distance,
                backtracks=found.backtracks,
            )
            failed = before._replace(outcome=failure.astype(jnp.int32))
            return found.good, jax.tree.map(lambda a, b: jnp.where(found.good, a, b), taken, failed)

        def try_next(carry: tuple[Array, Array, Step]) -> tuple[Array, Array, Step]:
            candidate, _, before = carry
            return candidate + 1, *attempt(candidate, before)

        def unfinished(carry: tuple[Array, Array, Step]) -> Array:
            return ~carry[1] & (carry[0] < len(plan.wanted))

        zero = jnp.zeros((), jnp.int32)
        none = jnp.zeros(len(natural.gradients))
        nothing = Step(start, none, none, plan.mode, zero, zero, jnp.zeros(()), zero)
        return jax.lax.while_loop(unfinished, try_next, (zero, jnp.zeros((), bool), nothing))[2]

    def _heldout(
        self, policy: Policy, samples: Samples, plan: Plan, step: Step, seen: Seen, rule: Rule
    ) -> Float[Array, " m"]:
        """Return dᵀgᵢ, d computed from every second environment and gᵢ from the others.

        On the data it was computed from, a step keeps its promises by construction; whether it keeps them elsewhere
        only other data can say.
        """
        half, other = (jax.tree.map(lambda x, s=s: x[:, s::2], samples) for s in (0, 1))
        natural = self.exploring(policy, self.natural_gradients(policy, half, objective_gradients(policy, half)))
        wanted, weights = plan.wanted[step.candidate], plan.weights[step.candidate]
        direction = rule.direct(natural, wanted, weights, seen, self.region(half))
        gain = objective_gradients(policy, other) @ direction.step(natural)
        return jnp.where((step.parameters != ravel_pytree(policy)[0]).any(), gain, 0.0)


class Step(NamedTuple):
    """A step that was accepted, or none."""

    parameters: Float[Array, " d"]
    """Where it leads; where it started from if there is none."""
    weights: Float[Array, " m"]
    """cᵢ of the step Σ cᵢuᵢ, uᵢ the natural gradients; all 0 if there is none."""
    gain: Float[Array, " m"]
    """First-order change of every surrogate."""
    mode: Int[Array, ""]
    """Index into `rule.MODES`."""
    candidate: Int[Array, ""]
    """Which candidate of the plan it is."""
    outcome: Int[Array, ""]
    """Index into `report.OUTCOMES`."""
    kl: Float[Array, ""]
    """Mean KL divergence from the old policy to the new."""
    backtracks: Int[Array, ""]
    """How often it was shortened."""


def objective_gradients(policy: Policy, samples: Samples) -> Float[Array, "m d"]:
    """Return the gradient of every objective's surrogate at `policy`, the mean of Âᵢ ∇ log π(a|s)."""
    start, rebuild = ravel_pytree(policy)
    flat = samples.flat()

    def log_densities(parameters: Float[Array, " d"]) -> Float[Array, " n"]:
        return rebuild(parameters)(flat.observation).log_density(flat.action)

    pull = jax.vjp(log_densities, start)[1]
    return jax.vmap(lambda weights: pull(weights)[0])(flat.advantage.T) / samples.valid.sum()


def implied_multipliers(gram: Float[Array, "m m"], per_episode: Float[Array, " m"]) -> Float[Array, " K"]:
    """Return −⟨g_r, g_k⟩/⟨g_k, g_k⟩ in the Fisher metric, reward per cost: λ_k where only limit k binds."""
    length = jnp.diagonal(gram)[1:]
    ratio = jnp.where(length > 0, -gram[0, 1:] / jnp.where(length > 0, length, 1), 0)
    return ratio * per_episode[0] / jnp.where(per_episode[1:] > 0, per_episode[1:], 1.0)


def _surrogates(rebuild: Rebuild, start: Float[Array, " d"], samples: Samples) -> Measure:
    """Return a function of parameters: the mean KL divergence from `start`, and every surrogate's change."""
    flat = samples.flat()
    weight = flat.valid / flat.valid.sum()
    old = rebuild(start)(flat.observation)
    log_density = old.log_density(flat.action)

    def measure(parameters: Float[Array, " d"]) -> tuple[Float[Array, ""], Float[Array, " m"]]:
        new = rebuild(parameters)(flat.observation)
        change = new.log_density(flat.action) - log_density
        kl = weight @ old.divergence(new)
        return kl, (weight * jnp.expm1(change)) @ flat.advantage

    return measure
