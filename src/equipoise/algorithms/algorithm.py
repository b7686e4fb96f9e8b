"""What an algorithm is: an (init, update) pair, as Optax's gradient transformations are.

Every algorithm here is a policy step (trust region) and a constraint handler put together; the handler is all that
an algorithm's own file holds.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from equipoise.algorithms.critics import Critics, create_critics, fit, values
from equipoise.algorithms.settings import Balance, Learner
from equipoise.algorithms.trust_region import Samples, StepReport, Wish, improve
from equipoise.gradients.aggregators import find
from equipoise.gradients.metric import Metric
from equipoise.numerics.advantages import generalised_advantages
from equipoise.numerics.normaliser import Moments, merge, no_moments, normalise
from equipoise.policy import GaussianPolicy
from equipoise.problem import Batch, Estimate, Problem


class LearnerState(NamedTuple):
    """All that learning carries from one iteration to the next."""

    policy: GaussianPolicy
    """π."""
    critics: Critics
    """V_r and V_k."""
    observations: Moments
    """The observation normaliser; frozen within an iteration."""


class Report(NamedTuple):
    """What an update saw and did, in the reward's and costs' own units where it has any."""

    step: StepReport
    """The policy step; its gains are per episode: the predicted change of Ĵ_r, and the predicted decrease of Ĵ_k."""
    multiplier: Float[Array, " K"]
    """Estimate of each constraint's multiplier, −⟨g_r, g_k⟩/⟨g_k, g_k⟩ in the Fisher metric."""
    log_std: Float[Array, ""]
    """Mean of the new policy's log standard deviations, in units of the actions' ranges."""
    explained: Float[Array, " m"]
    """Share of the variance of their targets that the critics explained before they were fitted."""


@runtime_checkable
class Handler(Protocol):
    """A constraint handler, all that tells one algorithm from another; a JAX pytree of its settings."""

    @property
    def learner(self) -> Learner:
        """What all algorithms share."""

    @property
    def metric(self) -> Metric:
        """The geometry in which gradients are combined."""

    @property
    def balance(self) -> Balance:
        """What combines the reward's gradient with constraints'."""

    def wish(self, estimate: Estimate, limits: Float[Array, " K"], progress: Float[Array, ""]) -> Wish:
        """Decide what this update is for. `progress` is the share of training already done, in [0, 1]."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""


class Algorithm(NamedTuple):
    """A pure (init, update) pair."""

    init: Callable[[Problem, PRNGKeyArray], LearnerState]
    """Draw the first state for a problem."""
    update: Callable[
        [LearnerState, Batch, Float[Array, " K"], Float[Array, ""], PRNGKeyArray], tuple[LearnerState, Report]
    ]
    """(state, batch, limits, progress, key) ↦ the next state and what happened."""


def make_algorithm(handler: Handler) -> Algorithm:
    """Put `handler` together with the trust-region step and the critics."""

    def init(problem: Problem, key: PRNGKeyArray) -> LearnerState:
        learner = handler.learner
        policy_key, critic_key = jax.random.split(key)
        return LearnerState(
            policy=GaussianPolicy.create(
                policy_key,
                problem.observation_size,
                problem.action_size,
                learner.hidden,
                learner.log_std,
                learner.log_std_floor,
                problem.action_middle,
                problem.action_unit,
            ),
            critics=create_critics(critic_key, problem.observation_size, 1 + len(problem.cost_names), learner.hidden),
            observations=no_moments(problem.observation_size),
        )

    def update(
        state: LearnerState,
        batch: Batch,
        limits: Float[Array, " K"],
        progress: Float[Array, ""],
        key: PRNGKeyArray,
    ) -> tuple[LearnerState, Report]:
        lesson = _prepare(handler.learner, state, batch)
        # The policy step and the critics' fit need nothing of each other, and neither keeps two cores busy alone.
        with ThreadPoolExecutor(1) as pool:
            fitting = pool.submit(lambda: jax.block_until_ready(_fit(handler.learner, state.critics, lesson, key)))
            policy, report = jax.block_until_ready(
                _improve(handler, state.policy, lesson, batch.estimate, limits, progress)
            )
            critics = fitting.result()
        return LearnerState(policy, critics, lesson.observations), report

    return Algorithm(init, update)


class _Lesson(NamedTuple):
    """What an iteration teaches, before anyone learns it."""

    samples: Samples
    targets: Float[Array, "n m"]
    scale: Float[Array, " m"]
    explained: Float[Array, " m"]
    observations: Moments


@jax.jit
def _prepare(learner: Learner, state: LearnerState, batch: Batch) -> _Lesson:
    """Normalise observations, estimate advantages of every objective, and set the critics' targets."""
    steps, num_envs = batch.reward.shape
    observation = normalise(batch.observation, state.observations)
    following = normalise(batch.next_observation, state.observations)

    def value(x: Float[Array, "T N obs"]) -> Float[Array, "T N m"]:
        return values(state.critics, x.reshape(steps * num_envs, -1)).reshape(steps, num_envs, -1)

    payoff = jnp.concatenate([batch.reward[..., None], batch.cost], axis=-1)
    first = jnp.arange(payoff.shape[-1]) == 0
    before = value(observation)
    # A step in which the simulation diverged is no step: the one before it is where that episode was cut.
    cut = batch.done.at[:-1].max(~batch.valid[1:])
    advantage = generalised_advantages(
        payoff,
        before,
        value(following),
        batch.terminated[..., None],
        cut[..., None],
        jnp.where(first, learner.discount, learner.cost_discount),
        jnp.where(first, learner.gae_lambda, learner.cost_gae_lambda),
    )
    weight = batch.valid[..., None] / batch.valid.sum()

    def variance(x: Float[Array, "T N m"]) -> Float[Array, " m"]:
        return (weight * (x - (weight * x).sum((0, 1))) ** 2).sum((0, 1))

    scale = jnp.sqrt(variance(advantage))
    unit = (advantage - (weight * advantage).sum((0, 1))) / jnp.where(scale > 1e-12, scale, jnp.inf)
    target = before + advantage
    spread = variance(target)
    return _Lesson(
        samples=Samples(observation, batch.action, jnp.where(first, unit, -unit) * batch.valid[..., None], batch.valid),
        targets=target.reshape(steps * num_envs, -1),
        scale=scale,
        explained=1 - variance(advantage) / jnp.where(spread > 0, spread, 1.0),
        observations=merge(
            state.observations, batch.observation.reshape(steps * num_envs, -1), batch.valid.reshape(-1)
        ),
    )


@jax.jit
def _fit(learner: Learner, critics: Critics, lesson: _Lesson, key: PRNGKeyArray) -> Critics:
    observation = lesson.samples.observation
    flat = observation.reshape(-1, observation.shape[-1])
    return fit(critics, flat, lesson.targets, lesson.samples.valid.reshape(-1), learner.critic, key)


@jax.jit
def _improve(
    handler: Handler,
    policy: GaussianPolicy,
    lesson: _Lesson,
    estimate: Estimate,
    limits: Float[Array, " K"],
    progress: Float[Array, ""],
) -> tuple[GaussianPolicy, Report]:
    """Take the policy step that the handler wishes for, and translate its report into the problem's units."""
    wish = handler.wish(estimate, limits, progress)
    aggregator = find(handler.balance.aggregator)
    policy, step = improve(policy, lesson.samples, wish, handler.learner.trust_region, handler.metric, aggregator)
    scale = lesson.scale
    per_episode = estimate.length * scale
    costs = jnp.where(scale[1:] > 0, scale[1:], 1.0)
    return policy, Report(
        step=step._replace(gain=per_episode * step.gain, gain_heldout=per_episode * step.gain_heldout),
        multiplier=step.ratio * scale[0] / costs,
        log_std=policy.log_std.mean(),
        explained=lesson.explained,
    )
