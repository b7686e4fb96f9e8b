"""From a rollout to what an update is computed from: normalised observations, advantages, and critic targets."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Num

from equipoise.algorithms.critics import ROUNDING, Critics, values
from equipoise.algorithms.learner import Learner
from equipoise.numerics.advantages import generalised_advantages
from equipoise.numerics.normaliser import Moments, merge, normalise
from equipoise.numerics.scale import weighted_moments
from equipoise.problem import Batch


class Samples(NamedTuple):
    """An iteration's steps as a policy step sees them; T time steps of N environments."""

    observation: Float[Array, "*n obs"]
    """Normalised observations."""
    action: Num[Array, "*n act"]
    """Actions taken; of finitely many, whole numbers from 0."""
    advantage: Float[Array, "*n m"]
    """Centred advantages of every objective, up is better; 0 where not valid, and of one whose payoffs say nothing."""
    valid: Bool[Array, "*n"]
    """Steps that count."""

    def flat(self) -> Samples:
        """Return the same steps along one axis."""
        n = self.valid.size
        observation, action, advantage = (x.reshape(n, x.shape[-1]) for x in self[:3])
        return Samples(observation, action, advantage, self.valid.reshape(n))


class Prepared(NamedTuple):
    """All that an update is computed from."""

    samples: Samples
    """For the policy's step."""
    targets: Float[Array, "n m"]
    """For the critics' fit."""
    scale: Float[Array, " m"]
    """What a unit of each objective's advantage is worth per step, in the payoff's own unit; 0 where payoffs say
    nothing."""
    explained: Float[Array, " m"]
    """Share of the targets' variance that the critics explained before they were fitted."""
    normaliser: Moments
    """What the observations were normalised by: as they were when the policy acted, except in the first iteration."""
    observations: Moments
    """The observation normaliser with this iteration's observations merged in."""


def prepare(learner: Learner, critics: Critics, observations: Moments, batch: Batch) -> Prepared:
    """Normalise observations, estimate advantages of every objective, and set the critics' targets.

    The first policy hardly depends on what it observes: its update can use the moments of what it collected.
    """
    steps, num_envs = batch.reward.shape
    merged = merge(observations, batch.observation.reshape(steps * num_envs, -1), batch.valid.reshape(-1))
    used = jax.tree.map(lambda new, old: jnp.where(observations.total > 0, old, new), merged, observations)
    observation = normalise(batch.observation, used)
    following = normalise(batch.next_observation, used)

    def value(x: Float[Array, "T N obs"]) -> Float[Array, "T N m"]:
        return values(critics, x.reshape(steps * num_envs, -1)).reshape(steps, num_envs, -1)

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
    target = before + advantage
    mean, error = weighted_moments(advantage, weight)
    spread = weighted_moments(target, weight)[1]
    telling = informative(payoff, batch) & (error > 0)
    deviation = jnp.where(telling, error, 0.0)
    scale = deviation
    if learner.cost_advantages == "centred":
        scale = jnp.where(first | ~telling, deviation, 1.0)
    unit = jnp.where(telling, (advantage - mean) / jnp.where(telling, scale, 1.0), 0.0)
    return Prepared(
        samples=Samples(observation, batch.action, jnp.where(first, unit, -unit) * batch.valid[..., None], batch.valid),
        targets=target.reshape(steps * num_envs, -1),
        scale=scale,
        explained=1 - (error / jnp.where(spread > 0, spread, 1.0)) ** 2,
        normaliser=used,
        observations=merged,
    )


def informative(payoff: Float[Array, "T N m"], batch: Batch) -> Bool[Array, " m"]:
    """Tell of which objectives the payoffs say anything about the actions.

    Where all are alike, up to rounding, it is only how long episodes last that can matter: not if the payoffs are 0,
    nor if no episode ends early or late. What an advantage estimate says then is the critic's error.
    """
    valid = batch.valid[..., None]
    high = jnp.where(valid, payoff, -jnp.inf).max((0, 1))
    low = jnp.where(valid, payoff, jnp.inf).min((0, 1))
    size = jnp.maximum(jnp.abs(high), jnp.abs(low))
    alike = batch.terminated.all(1) | ~batch.terminated.any(1)
    return (high - low > ROUNDING * size) | ((size > 0) & ~alike.all())
