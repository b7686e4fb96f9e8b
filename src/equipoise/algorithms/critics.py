"""Critics: one value function for the reward and one for each cost, fitted together as a stack of networks."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from equipoise.algorithms.learner import CriticFit
from equipoise.numerics.scale import weighted_moments
from equipoise.numerics.shuffle import permutation
from equipoise.policy import TanhMLP

ROUNDING = 1e-6
"""Deviations of targets beside their size that are no more than single precision's rounding."""


class Critics(NamedTuple):
    """m value functions V_i(s) = mean_i + deviation_i · network_i(s).

    The networks work in units of their targets' mean and deviation; when those move, the last layer is rescaled so
    that no value changes (PopArt: van Hasselt et al., NeurIPS 2016, arXiv 1602.07714, §2.2).
    """

    networks: TanhMLP
    """All networks, every parameter with a leading axis m."""
    optimiser: optax.OptState
    """Adam's moments."""
    mean: Float[Array, " m"]
    """Mean of the last targets."""
    deviation: Float[Array, " m"]
    """Their standard deviation; 0 before any differed from another, which makes every value their mean."""


def create_critics(key: PRNGKeyArray, observation_size: int, m: int, hidden: tuple[int, ...]) -> Critics:
    """Draw `m` critics whose values are all 0."""
    networks = eqx.filter_vmap(lambda k: TanhMLP.create(k, observation_size, 1, hidden, last_gain=0.1))(
        jax.random.split(key, m)
    )
    return Critics(networks, optax.scale_by_adam().init(networks), jnp.zeros(m), jnp.zeros(m))


def outputs(networks: TanhMLP, observation: Float[Array, "n obs"]) -> Float[Array, "m n"]:
    """Evaluate every network at every normalised observation."""

    def one(network: TanhMLP) -> Float[Array, " n"]:
        return network(observation)[:, 0]

    return eqx.filter_vmap(one)(networks)


def values(critics: Critics, observation: Float[Array, "n obs"]) -> Float[Array, "n m"]:
    """Return V_i at every normalised observation."""
    return critics.mean + critics.deviation * outputs(critics.networks, observation).T


def fit(
    critics: Critics,
    observation: Float[Array, "n obs"],
    target: Float[Array, "n m"],
    valid: Bool[Array, " n"],
    config: CriticFit,
    key: PRNGKeyArray,
) -> Critics:
    """Regress the critics on `target` by minibatch Adam on the squared error, `valid` steps only."""
    critics = rescale(critics, target, valid)
    fresh = critics.deviation == 0
    goal = jnp.where(fresh, 0.0, (target - critics.mean) / jnp.where(fresh, 1.0, critics.deviation))
    weight = valid.astype(goal.dtype)
    adam = optax.scale_by_adam()
    batch = min(config.minibatch_size, len(observation))
    batches = len(observation) // batch

    def loss(networks: TanhMLP, rows: Array) -> Float[Array, ""]:
        error = outputs(networks, observation[rows]) - goal[rows].T
        squares = (weight[rows] * error**2).mean(-1).sum()
        if config.l2 == 0:
            return squares
        return squares + config.l2 * sum((leaf**2).sum() for leaf in jax.tree.leaves(networks))

    def descend(carry: tuple[TanhMLP, optax.OptState], rows: Array) -> tuple[tuple[TanhMLP, optax.OptState], None]:
        networks, state = carry
        updates, state = adam.update(jax.grad(loss)(networks, rows), state)
        moved = jax.tree.map(lambda p, u: p - config.learning_rate * u, networks, updates)
        return (moved, state), None

    def shuffled(key: PRNGKeyArray) -> Array:
        return permutation(key, len(observation))[: batches * batch].reshape(batches, batch)

    rows = jax.vmap(shuffled)(jax.random.split(key, config.epochs)).reshape(-1, batch)
    (networks, state), _ = jax.lax.scan(descend, (critics.networks, critics.optimiser), rows)
    return critics._replace(networks=networks, optimiser=state)


def rescale(critics: Critics, target: Float[Array, "n m"], valid: Bool[Array, " n"]) -> Critics:
    """Move the critics to the targets' mean and deviation without changing any value.

    Critics without targets that differ have no values to keep so far: they are put in the units of the first that do.
    Later a deviation shrinks at most by half at a time, for a cost may happen not to occur in an iteration, and not to
    less than the targets' rounding. Nothing here has a size of its own, so that payoffs may have any.
    """
    weight = valid.astype(target.dtype)[:, None]
    mean, spread = weighted_moments(target, weight / weight.sum())
    rounding = ROUNDING * jnp.abs(jnp.where(valid[:, None], target, 0.0)).max(0)
    fresh = critics.deviation == 0
    grown = jnp.maximum(jnp.maximum(spread, 0.5 * critics.deviation), rounding)
    deviation = jnp.where(fresh & (spread <= rounding), 0.0, grown)
    kept = ~fresh & (deviation > 0)
    ratio = jnp.where(kept, critics.deviation / jnp.where(kept, deviation, 1.0), 1.0)
    shift = jnp.where(kept, (critics.mean - mean) / jnp.where(kept, deviation, 1.0), 0.0)
    last = critics.networks.layers[-1]
    networks = eqx.tree_at(
        lambda n: (n.layers[-1].weight, n.layers[-1].bias),
        critics.networks,
        (
            last.weight * ratio[:, None, None],
            last.bias * ratio[:, None] + shift[:, None],
        ),
    )
    return critics._replace(networks=networks, mean=mean, deviation=deviation)
