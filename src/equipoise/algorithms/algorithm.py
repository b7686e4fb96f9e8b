"""What an algorithm is: step + rule + lens + learner, and the pure (init, update) pair that they make.

The step says how the policy moves, the rule what an update is for, the lens how the learner sees the task, and the
learner holds what all share. `update` is a pure function that `jax.jit` and `jax.vmap` take; it is put together from
`prepare`, `improve` and `fit`, of which the last two need nothing of each other, so that training runs them at once.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import tyro
from jaxtyping import Array, Float, PRNGKeyArray

from equipoise.algorithms import critics as critics_
from equipoise.algorithms.critics import Critics, create_critics
from equipoise.algorithms.learner import Learner
from equipoise.algorithms.lenses.lens import Plain
from equipoise.algorithms.prepare import Prepared, Samples, prepare
from equipoise.algorithms.rule import Plan, Rule, Seen, Taken
from equipoise.algorithms.steps.report import Improved, StepReport
from equipoise.algorithms.steps.trust_region import TrustRegion
from equipoise.numerics.normaliser import Moments, no_moments
from equipoise.policy import CategoricalPolicy, GaussianPolicy, Policy
from equipoise.problem import Batch, Estimate, Problem
from equipoise.settings import require, settings


@runtime_checkable
class Step(Protocol):
    """How the policy moves; a JAX pytree of its settings."""

    @property
    def scheduled(self) -> tuple[str, ...]:
        """Names of the settings that make it depend on the share of training done."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""

    def init(self, policy: Policy) -> Any:
        """Return the step's memory before the first update: an optimiser's moments, say."""

    def improve(
        self,
        policy: Policy,
        state: Any,
        samples: Samples,
        plan: Plan,
        seen: Seen,
        rule: Rule,
        key: PRNGKeyArray,
    ) -> Improved:
        """Move the policy as the plan asks."""


class LearnerState(NamedTuple):
    """All that learning carries from one iteration to the next."""

    policy: Policy
    """π."""
    critics: Critics
    """V_r and V_k."""
    observations: Moments
    """The observation normaliser; frozen within an iteration."""
    step: Any
    """The step's memory."""
    rule: Any
    """The rule's memory."""
    lens: Any
    """The lens's memory."""


class Report(NamedTuple):
    """What an update saw and did, in the reward's and costs' own units."""

    step: StepReport
    """The policy step."""
    policy: dict[str, Float[Array, ""]]
    """What the new policy logs of itself, by column."""
    explained: Float[Array, " m"]
    """Share of the variance of their targets that the critics explained before they were fitted."""
    rule: dict[str, Array]
    """What rule and lens log of their memories."""


class Moved(NamedTuple):
    """Everything of the next state except the critics."""

    policy: Policy
    step: Any
    rule: Any
    lens: Any
    report: Report


@settings
class Algorithm:
    """An algorithm, a pure (init, update) pair made of its settings."""

    rule: Annotated[Any, tyro.conf.arg(name="")]
    """What an update is for."""
    step: Any = TrustRegion()
    """How the policy moves."""
    lens: Any = Plain()
    """How the learner sees the task."""
    learner: Annotated[Learner, tyro.conf.arg(name="")] = field(default=Learner())
    """Networks, discounts, advantages and critics."""

    @property
    def scheduled(self) -> tuple[str, ...]:
        """Names of the settings that make an update depend on the share of training done; empty if none does."""
        return (*self.rule.scheduled, *self.step.scheduled)

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        for part in (self.rule, self.step, self.lens, self.learner):
            part.check()
        kinds = [kind.__name__ for kind in type(self.step).__mro__]
        only, rule = self.rule.only_on, type(self.rule).__name__
        require(only in ("", *kinds), f"step is {kinds[0]}; allowed with {rule}: {only}")

    def init(self, problem: Problem, limits: Float[Array, " K"], key: PRNGKeyArray) -> LearnerState:
        """Draw the first state for `problem`, as the policy sees it."""
        learner, constraints = self.learner, len(problem.cost_names)
        policy_key, critic_key = jax.random.split(key)
        policy = first_policy(problem, learner, policy_key)
        return LearnerState(
            policy=policy,
            critics=create_critics(critic_key, problem.observation_size, 1 + constraints, learner.hidden),
            observations=no_moments(problem.observation_size),
            step=self.step.init(policy),
            rule=self.rule.init(constraints),
            lens=self.lens.init(limits),
        )

    def update(
        self,
        state: LearnerState,
        batch: Batch,
        limits: Float[Array, " K"],
        fraction: Float[Array, ""],
        key: PRNGKeyArray,
    ) -> tuple[LearnerState, Report]:
        """Learn from a rollout: return the next state and what happened. `fraction` is the share of training done."""
        prepared = self.prepare(state, batch, limits)
        moved = self.improve(state, prepared, batch.estimate, limits, fraction, key)
        return join(moved, self.fit(state.critics, prepared, key), prepared)

    def prepare(self, state: LearnerState, batch: Batch, limits: Float[Array, " K"]) -> Prepared:
        """Set out what the update is computed from, seen through the lens."""
        seen = self.lens.reshape(batch, limits)
        return prepare(self.learner, state.critics, state.observations, seen)

    def improve(
        self,
        state: LearnerState,
        prepared: Prepared,
        estimate: Estimate,
        limits: Float[Array, " K"],
        fraction: Float[Array, ""],
        key: PRNGKeyArray,
    ) -> Moved:
        """Take the policy step that the rule plans."""
        learner = self.learner
        per_episode = estimate.length * prepared.scale
        seen = Seen(estimate, limits, fraction, per_episode, learner.cost_discount, learner.cost_gae_lambda)
        memory, plan = self.rule.plan(state.rule, seen)
        seen = seen._replace(memory=memory)
        policy, step, report = self.step.improve(
            state.policy, state.step, prepared.samples, plan, seen, self.rule, jax.random.fold_in(key, 1)
        )
        memory = self.rule.after(memory, Taken(report.mode, report.cos, report.weights, report.gain))
        lens = self.lens.after(state.lens, estimate.cost, limits)
        own = {**self.rule.columns(memory), **self.lens.columns(lens)}
        flat = prepared.samples.flat()
        logged = policy.columns(flat.observation, flat.valid / flat.valid.sum())
        return Moved(policy, step, memory, lens, Report(report, logged, prepared.explained, own))

    def fit(self, critics: Critics, prepared: Prepared, key: PRNGKeyArray) -> Critics:
        """Fit the critics."""
        flat = prepared.samples.flat()
        return critics_.fit(critics, flat.observation, prepared.targets, flat.valid, self.learner.critic, key)


def first_policy(problem: Problem, learner: Learner, key: PRNGKeyArray) -> Policy:
    """Draw a policy for the actions of `problem`: a categorical one if they are choices, else a Gaussian one."""
    if problem.action_choices:
        return CategoricalPolicy.create(key, problem.observation_size, problem.action_choices, learner.hidden)
    return GaussianPolicy.create(
        key,
        problem.observation_size,
        problem.action_size,
        learner.hidden,
        learner.log_std,
        learner.log_std_floor,
        problem.action_middle,
        problem.action_unit,
    )


def join(moved: Moved, critics: Critics, prepared: Prepared) -> tuple[LearnerState, Report]:
    """Put the halves of an update together, and the networks behind the next iteration's normaliser.

    They do there what they did behind the one they were updated with, so that the policy acts as it was measured.
    """
    old, new = prepared.normaliser, prepared.observations
    policy = eqx.tree_at(lambda p: p.network, moved.policy, moved.policy.network.renormalised(old, new))
    networks = eqx.filter_vmap(lambda network: network.renormalised(old, new))(critics.networks)
    critics = critics._replace(networks=networks)
    state = LearnerState(policy, critics, new, moved.step, moved.rule, moved.lens)
    return state, moved.report
