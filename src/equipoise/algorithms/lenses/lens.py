"""A lens: how the learner sees the task. It changes what is learned from, never what is measured."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equipoise.problem import Batch
from equipoise.settings import settings

Memory = Any
"""What a lens carries from iteration to iteration: a pytree of arrays, kept in the checkpoint."""


class Lens:
    """Base of all lenses: the hooks' defaults, which change nothing."""

    observes_budget: ClassVar[bool] = False
    """Whether what is left of each constraint's budget joins the observation."""
    logs: ClassVar[dict[str, str]] = {}
    """What `columns` logs: a description of each column."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""

    def init(self, limits: Float[Array, " K"]) -> Memory:
        """Return the memory before the first iteration."""
        return ()

    def start(self, memory: Memory, limits: Float[Array, " K"]) -> Float[Array, " K"]:
        """Return what an episode begins with, for each constraint, as a share of the limit."""
        return jnp.ones(len(limits))

    def left(
        self,
        left: Float[np.ndarray, "N K"],
        cost: Float[np.ndarray, "N K"],
        limits: Float[np.ndarray, " K"],
        horizon: int,
    ) -> Float[np.ndarray, "N K"]:
        """Return what is left after a step's cost of what was left before, as a share of each limit."""
        return left

    def reshape(self, batch: Batch, limits: Float[Array, " K"]) -> Batch:
        """Return the rollout as the learner is to see it; its estimate is left alone."""
        return batch

    def after(self, memory: Memory, cost: Float[Array, " K"], limits: Float[Array, " K"]) -> Memory:
        """Remember the episode cost Ĵ that an iteration measured."""
        return memory

    def columns(self, memory: Memory) -> dict[str, Float[Array, "..."]]:
        """Return what to log of the memory: by column, one number per constraint or one in all."""
        return {}


@settings
class Plain(Lens):
    """The task as it is."""
