"""An update in compiled pieces, two of which run at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from equipoise.algorithms import critics
from equipoise.algorithms.algorithm import Algorithm, LearnerState, Report, join
from equipoise.algorithms.critics import Critics
from equipoise.algorithms.lenses.lens import Lens
from equipoise.algorithms.prepare import prepare
from equipoise.problem import Batch
from equipoise.training.jax_doors import uses_jax

compiled_prepare = jax.jit(prepare)
compiled_improve = jax.jit(Algorithm.improve)
compiled_fit = jax.jit(critics.fit)
compiled_join = jax.jit(join)


@jax.jit
def compiled_reshape(lens: Lens, batch: Batch, limits: Float[Array, " K"]) -> Batch:
    """See a rollout through a lens."""
    return lens.reshape(batch, limits)


def reshaped(lens: Lens, batch: Batch, limits: Float[Array, " K"]) -> Batch:
    """See a rollout through a lens; one that changes nothing is not called, as that would copy the batch."""
    return batch if type(lens).reshape is Lens.reshape else compiled_reshape(lens, batch, limits)


@uses_jax  # again, since JAX's precision is a thread's own, as is its default device
def _fitted(device: jax.Device | None, *arguments: Any) -> Critics:
    with jax.default_device(device):
        return jax.block_until_ready(compiled_fit(*arguments))


@uses_jax
def update(
    algorithm: Algorithm,
    state: LearnerState,
    batch: Batch,
    limits: Float[Array, " K"],
    fraction: Float[Array, ""],
    key: PRNGKeyArray,
) -> tuple[LearnerState, Report]:
    """Do what `algorithm.update` does, the policy step and the critics' fit on a thread each.

    They need nothing of each other and neither keeps two cores busy alone; inside one compiled function XLA would run
    them one after the other. The pieces that algorithms share are compiled once for all of them.
    """
    seen = reshaped(algorithm.lens, batch, limits)
    prepared = compiled_prepare(algorithm.learner, state.critics, state.observations, seen)
    flat = prepared.samples.flat()
    with ThreadPoolExecutor(1) as pool:
        fitting = pool.submit(
            _fitted,
            jax.config.jax_default_device,  # type: ignore[attr-defined]
            state.critics,
            flat.observation,
            prepared.targets,
            flat.valid,
            algorithm.learner.critic,
            key,
        )
        moved = jax.block_until_ready(
            compiled_improve(algorithm, state, prepared, batch.estimate, jnp.asarray(limits), fraction, key)
        )
        return compiled_join(moved, fitting.result(), prepared)
