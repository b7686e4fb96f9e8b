"""Critics: one value function for the reward and one for each cost, fitted together as a stack of networks."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from equipoise.algorithms.learner import CriticFit
from equipoise.numerics.shuffle import permutation
from equipoise.policy import TanhMLP


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
    """Their standard deviation; 0 before there were any, which makes every value 0."""


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
    goal = (target - critics.mean) / critics.deviation
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

    Critics without targets so far have no values to keep: they are put in the units of their first. Later a deviation
    shrinks at most by half at a time: a cost that happens not to occur in an iteration has none.
    """
    weight = valid.astype(target.dtype)[:, None]
    mean = (weight * target).sum(0) / weight.sum()
    spread = jnp.sqrt((weight * (target - mean) ** 2).sum(0) / weight.sum())
    fresh = critics.deviation == 0
    deviation = jnp.maximum(jnp.maximum(spread, 0.5 * critics.deviation), 1e-6)
    deviation = jnp.where(fresh & (spread < 1e-6), 1.0, deviation)
    ratio = jnp.where(fresh, 1.0, critics.deviation / deviation)
    shift = jnp.where(fresh, 0.0, (critics.mean - mean) / deviation)
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
