"""A lens: how the learner sees the task. It changes what is learned from, never what is measured."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from equipoise.problem import Batch
from equipoise.settings import settings


class Lens:
    """Base of all lenses: the hooks' defaults, which change nothing."""

    observes_budget: ClassVar[bool] = False
    """Whether the share of each constraint's budget that is left joins the observation."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""

    def init(self, limits: Float[Array, " K"]) -> Float[Array, "..."]:
        """Return the memory before the first iteration."""
        return jnp.zeros(0)

    def budget(self, memory: Float[Array, "..."], limits: Float[Array, " K"]) -> Float[Array, " K"]:
        """Return what an episode may cost before its budget is spent, for each constraint."""
        return limits

    def left(
        self, left: Float[Any, "N K"], cost: Float[Any, "N K"], budget: Float[Any, " K"], horizon: int
    ) -> Float[Any, "N K"]:
        """Return the share of each budget that is left after a step's cost; NumPy or JAX arrays."""
        return left - cost / budget

    def reshape(self, batch: Batch, budget: Float[Array, " K"]) -> Batch:
        """Return the rollout as the learner is to see it; its estimate is left alone."""
        return batch

    def after(
        self, memory: Float[Array, "..."], cost: Float[Array, " K"], limits: Float[Array, " K"]
    ) -> Float[Array, "..."]:
        """Remember the episode cost Ĵ that an iteration measured."""
        return memory


@settings
class Plain(Lens):
    """The task as it is."""
