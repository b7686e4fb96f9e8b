"""The proximal step: epochs of minibatch Adam on a clipped surrogate (PPO: Schulman et al., 2017, arXiv 1707.06347)."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

from equipoise.algorithms.prepare import Samples
from equipoise.algorithms.rule import Minibatch, Plan, Rule, Seen
from equipoise.algorithms.steps.report import Improved, StepReport
from equipoise.algorithms.steps.trust_region import objective_gradients
from equipoise.gradients.metric import cosines, euclidean_units
from equipoise.numerics.distribution import Distribution
from equipoise.numerics.shuffle import permutation
from equipoise.policy import Policy
from equipoise.settings import require, require_positive, require_ranges, settings, static


@settings
class Proximal:
    """Epochs of minibatch Adam on a rule's loss, by default PPO's clipped surrogate."""

    logs: ClassVar[dict[str, str]] = {
        "epochs": "epochs run before the policy was too far from the one that acted, summed over phases",
        "clipped": "share of the steps whose probability ratio ended outside of the clipping range",
    }
    """What the step logs: a description of each column."""

    learning_rate: float = 3e-4
    """Adam's learning rate at the start of training."""
    decay: bool = static(default=True)
    """Whether the learning rate falls linearly to 0 over training."""
    epochs: int = static(default=10)
    """Passes over an iteration's steps, at most."""
    minibatch_size: int = static(default=128)
    """Steps in a minibatch."""
    clip: float = 0.2
    """ε: the probability ratio counts between 1 − ε and 1 + ε; inf for no clipping."""
    max_kl: float = 0.02
    """Mean KL divergence (nats, of the whole action) after which no further epoch is begun; inf for no such stop."""
    max_grad_norm: float = 40.0
    """Longest gradient; longer ones are scaled down to it."""

    @property
    def scheduled(self) -> tuple[str, ...]:
        """Names of the settings that make it depend on the share of training done."""
        return ("step.decay",) * self.decay

    def check(self) -> None:
        """Raise `UsageError` naming the first value that is not allowed."""
        require_positive(self, "learning_rate", "clip", "max_kl", "max_grad_norm")
        require_ranges(self, epochs=(1, float("inf")), minibatch_size=(1, float("inf")))
        require(isinstance(self.decay, bool), f"decay is {self.decay}; allowed: True or False")

    def init(self, policy: Policy) -> optax.OptState:
        """Return Adam's moments before the first update."""
        return optax.scale_by_adam().init(policy)

    def improve(
        self,
        policy: Policy,
        state: optax.OptState,
        samples: Samples,
        plan: Plan,
        seen: Seen,
        rule: Rule,
        key: PRNGKeyArray,
    ) -> Improved:
        """Minimise the rule's loss for the plan's first candidate, one phase after the other."""
        flat = samples.flat()
        acted = _Densities(policy, flat)
        gradients = objective_gradients(policy, samples)
        slope2 = (gradients**2).sum(1)
        rate = jnp.asarray(self.learning_rate * (1 - seen.fraction if self.decay else 1.0))
        now, moments = policy, state
        epochs = []
        for phase in range(rule.phases):
            run = _Phase(self, flat, acted, _Densities(now, flat), slope2, plan, seen, rule, phase)
            now, moments, number = run.descend(now, moments, rate, jax.random.fold_in(key, phase))
            epochs.append(number)
        after = _Densities(now, flat)
        ratio = jnp.exp(after.log_density - acted.log_density)
        weight = flat.valid / flat.valid.sum()
        step = ravel_pytree(now)[0] - ravel_pytree(policy)[0]
        done = sum(epochs, jnp.zeros((), jnp.int32))
        report = StepReport(
            mode=plan.mode,
            outcome=jnp.where(done > 0, 0, 1).astype(jnp.int32),
            cos=cosines(gradients @ gradients.T)[0, 1:],
            weights=jnp.where(done > 0, plan.weights[0], 0.0),
            gain=seen.per_episode * (gradients @ step),
            kl=weight @ acted.divergence(after),
            own={"epochs": done, "clipped": weight @ (jnp.abs(ratio - 1) > self.clip)},
        )
        return Improved(now.on_floor(), moments, report)


class _Densities:
    """What a policy says of the steps taken: its distributions, and the log-densities of the actions."""

    def __init__(self, policy: Policy, flat: Samples) -> None:
        self.distribution: Distribution = policy(flat.observation)
        self.log_density = self.distribution.log_density(flat.action)

    def divergence(self, new: _Densities) -> Float[Array, " n"]:
        """Return KL(self ‖ new) at every step."""
        return self.distribution.divergence(new.distribution)


class _Phase(NamedTuple):
    """One loss, minimised over epochs."""

    config: Proximal
    flat: Samples
    acted: _Densities
    start: _Densities
    slope2: Float[Array, " m"]
    plan: Plan
    seen: Seen
    rule: Rule
    number: int

    def descend(
        self, policy: Policy, moments: optax.OptState, rate: Float[Array, ""], key: PRNGKeyArray
    ) -> tuple[Policy, optax.OptState, Int[Array, ""]]:
        """Descend until the epochs are over or the policy is too far from where the phase began."""
        size = min(self.config.minibatch_size, len(self.flat.action))
        batches = len(self.flat.action) // size
        adam = optax.chain(optax.clip_by_global_norm(self.config.max_grad_norm), optax.scale_by_adam())
        weight = self.flat.valid / self.flat.valid.sum()

        def descend(carry: tuple[Policy, tuple], rows: Int[Array, " b"]) -> tuple[tuple, None]:
            policy, moments = carry
            updates, moments = adam.update(self.gradient(policy, rows), moments)
            return (jax.tree.map(lambda p, u: p - rate * u, policy, updates), moments), None

        def epoch(carry: tuple) -> tuple:
            number, policy, moments, _ = carry
            order = permutation(jax.random.fold_in(key, number), len(self.flat.action))
            rows = order[: batches * size].reshape(batches, size)
            (policy, moments), _ = jax.lax.scan(descend, (policy, moments), rows)
            kl = weight @ self.start.divergence(_Densities(policy, self.flat))
            return number + 1, policy, moments, kl

        # Without anything to ascend a step would only follow Adam's momentum.
        nothing = ~((self.plan.weights[0] > 0) & (self.seen.per_episode > 0)).any()
        idle = self.rule.idle(self.plan.weights[0], self.number) | nothing

        def going_on(carry: tuple) -> Array:
            return (carry[0] < self.config.epochs) & (carry[3] <= self.config.max_kl) & ~idle

        start = (jnp.zeros((), jnp.int32), policy, (optax.EmptyState(), moments), jnp.zeros(()))
        number, policy, (_, moments), _ = jax.lax.while_loop(going_on, epoch, start)
        return policy, moments, number

    def gradient(self, policy: Policy, rows: Int[Array, " b"]) -> Policy:
        """Return the gradient of the loss on a minibatch; of a rule that projects, the combination to descend."""
        wanted, weights = self.plan.wanted[0], self.plan.weights[0]

        def weighted(weights: Float[Array, " m"]) -> Policy:
            return jax.grad(lambda p: self.loss(self.minibatch(p, rows), weights))(policy)

        def projected(preference: Float[Array, " m"]) -> Policy:
            apart = [weighted(alone) for alone in jnp.eye(len(preference))]
            gram, scale = euclidean_units(jnp.stack([ravel_pytree(gradient)[0] for gradient in apart]))
            combined = self.rule.combine(gram, preference, wanted).weights * scale
            largest = jnp.abs(combined).max()
            combined = combined / jnp.where(largest > 0, largest, 1.0)  # Adam does not mind the length
            return jax.tree.map(lambda *g: sum(w * x for w, x in zip(combined, g, strict=True)), *apart)

        # A branch is compiled apart from what is around it, so that an objective alone gives every rule the same bits;
        # without projection the condition never holds, but XLA must not know.
        together = wanted.sum() > 1 if self.rule.projects else self.seen.fraction < 0
        other = projected if self.rule.projects else lambda _: jax.tree.map(jnp.zeros_like, policy)
        return jax.lax.cond(together, other, weighted, weights)

    def loss(self, batch: Minibatch, weights: Float[Array, " m"]) -> Float[Array, ""]:
        """Return the rule's loss of this phase."""
        return self.rule.loss(batch, weights, self.seen, self.config.clip, self.number)

    def minibatch(self, policy: Policy, rows: Int[Array, " b"]) -> Minibatch:
        """Return what the loss is computed from, differentiable in the policy."""
        flat = jax.tree.map(lambda x: x[rows], self.flat)
        distribution = policy(flat.observation)
        ratio = jnp.exp(distribution.log_density(flat.action) - self.acted.log_density[rows])
        kl = distribution.divergence(self.start.distribution.at(rows))
        return Minibatch(ratio, kl, flat.advantage, flat.valid.astype(ratio.dtype), self.slope2)
