"""The gradients of every environment of a rollout apart: what all questions about their noise are answered from.

An iteration's gradient is the mean over its environments, which are independent of each other. So the gradient
of each says how far the mean can be trusted, and any half or resample of the episodes is another mean
of the same vectors.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equipoise.algorithms.algorithm import LearnerState
from equipoise.algorithms.learner import Learner
from equipoise.algorithms.prepare import Samples
from equipoise.algorithms.rule import Seen
from equipoise.algorithms.steps.trust_region import TrustRegion, objective_gradients
from equipoise.numerics.krylov import Products
from equipoise.policy import Policy
from equipoise.problem import Batch, Estimate
from equipoise.training.update import compiled_prepare

STATES = 5000
"""States, about, that the Fisher matrix is averaged over: neighbours in time say almost the same."""

BLOCKS = 5
"""Steps of block Lanczos. A block holds a vector for every environment and objective, so that a few steps go far."""


class Observed(NamedTuple):
    """A rollout at a checkpoint, as an update would see it."""

    state: LearnerState
    """The learner that acted."""
    samples: Samples
    """The rollout's steps, with the advantages of every objective in units of their standard deviation."""
    unit: Float[np.ndarray, " m"]
    """Factor that turns a change of each surrogate into a change of the episode's return or cost. It is 0, and so is
    the gradient, for an objective that is 0 in every step: there is nothing to see except the critics' errors."""
    estimate: Estimate
    """Ĵ of the rollout's episodes."""


class EnvGradients(NamedTuple):
    """hₛᵢ and (F + λI)⁻¹hₛᵢ of N environments and m objectives, up is better; the batch's gradients are their means."""

    gradients: Float[np.ndarray, "N m d"]
    """hₛᵢ."""
    directions: Float[np.ndarray, "N m d"]
    """(F + λI)⁻¹hₛᵢ, F the Fisher matrix of all environments."""


def as_planned(observed: Observed, limits: Float[np.ndarray, " K"], fraction: float, learner: Learner) -> Seen:
    """Return what a rule would know when it plans an update from this rollout."""
    unit = jnp.asarray(observed.unit, jnp.float32)
    discounts = learner.cost_discount, learner.cost_gae_lambda
    return Seen(observed.estimate, jnp.asarray(limits), jnp.asarray(fraction), unit, *discounts)


def see(state: LearnerState, batch: Batch, learner: Learner) -> Observed:
    """Prepare `batch` as the update does: observations normalised, advantages estimated by the checkpoint's critics."""
    prepared = compiled_prepare(learner, state.critics, state.observations, batch)
    occurs = np.array([batch.reward.any(), *batch.cost.any((0, 1))])
    unit = np.asarray(batch.estimate.length * prepared.scale, float)
    samples = prepared.samples._replace(advantage=prepared.samples.advantage * occurs)
    return Observed(state, samples, occurs * unit, batch.estimate)


def env_gradients(seen: Observed, damping: float) -> EnvGradients:
    """Return every environment's gradients, and their natural counterparts in one Krylov space of all of them."""
    policy, samples = seen.state.policy, seen.samples
    sums = np.asarray(_sums_by_env(policy, samples), float)
    # An environment counts by its steps, of which all have the same number, except one in which a simulation diverged.
    envs, objectives, parameters = sums.shape
    gradients = sums * (envs / np.asarray(samples.valid).sum())
    every = max(1, samples.valid.size // STATES)
    rows = gradients.reshape(envs * objectives, parameters)
    directions = solve_together(lambda rows: _fisher_rows(policy, samples, every, rows), rows, damping)
    return EnvGradients(gradients, directions.reshape(gradients.shape))


@jax.jit
def _sums_by_env(policy: Policy, samples: Samples) -> Float[Array, "N m d"]:
    apart = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1)[:, :, None], samples)
    return jax.lax.map(lambda env: objective_gradients(policy, env) * env.valid.sum(), apart)


@partial(jax.jit, static_argnames="every")
def _fisher_rows(policy: Policy, samples: Samples, every: int, rows: Float[Array, "k d"]) -> Float[Array, "k d"]:
    return TrustRegion(fisher_every=every).fisher(policy, samples)(rows)


def solve_together(products: Products, rows: Float[np.ndarray, "k d"], damping: float) -> Float[np.ndarray, "k d"]:
    """Solve (F + `damping`·I)u = g for every row g in the Krylov space of all rows, by block Lanczos.

    `numerics.krylov` does the same for an update's few objectives, one Gram–Schmidt step a vector. For a hundred rows
    that takes a minute to compile, and here nothing has to be compiled except the products.
    """
    block = np.linalg.qr(rows.T)[0].T
    basis = np.zeros((0, rows.shape[1]))
    images = basis
    for _ in range(BLOCKS):
        for _ in range(2):  # twice is enough (Parlett, The Symmetric Eigenvalue Problem, §6.9)
            block = np.linalg.qr((block - (block @ basis.T) @ basis).T)[0].T
        image = np.asarray(products(jnp.asarray(block, jnp.float32)), float)
        basis, images, block = np.concatenate([basis, block]), np.concatenate([images, image]), image
    # Where the space is exhausted, QR fills up with vectors that are in it already: leave those out.
    size, rotation = np.linalg.eigh(basis @ basis.T)
    rotation = rotation[:, size > 1e-3] / np.sqrt(size[size > 1e-3])
    basis, images = rotation.T @ basis, rotation.T @ images
    fisher = basis @ images.T
    system = 0.5 * (fisher + fisher.T) + damping * np.eye(len(basis))
    return np.linalg.solve(system, basis @ rows.T).T @ basis
