"""What every policy is: a network, distributions of actions made of its outputs, and how actions are drawn."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from equipoise.numerics.distribution import Distribution
from equipoise.policy.network import TanhMLP


@runtime_checkable
class Draws(Protocol):
    """How actions are drawn from what a policy's network gives, in NumPy: noise is added to it, and then it decides.

    Without noise it decides for the mode, which the deterministic policy takes.
    """

    dtype: np.dtype
    """What the entries of an action are stored as."""

    def noise(self, random: np.random.Generator, shape: tuple[int, ...]) -> Float[np.ndarray, "*n outputs"]:
        """Draw what is added, for as many actions as `shape` says."""

    def side_by_side(self, others: Sequence[Any]) -> Draws:
        """Return how actions are drawn in as many environments as there are `others`, each with a policy of its own."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what drawing needs, by name."""

    def decide(self, outputs: Float[np.ndarray, "*n outputs"]) -> Num[np.ndarray, "*n act"]:
        """Return the actions that the sums stand for."""


class Policy(eqx.Module):
    """π(a|s), a network whose outputs decide the distribution of actions at each observation."""

    network: TanhMLP
    """s ↦ what the distribution of actions depends on."""

    @abstractmethod
    def __call__(self, observation: Float[Array, "n obs"]) -> Distribution:
        """Return the distributions of actions at `n` normalised observations."""

    @abstractmethod
    def columns(self, observation: Float[Array, "n obs"], weight: Float[Array, " n"]) -> dict[str, Float[Array, ""]]:
        """Return what to log of the policy, by column, where a mean over observations is weighted by `weight`."""

    @abstractmethod
    def frozen(self) -> tuple[list[tuple[np.ndarray, np.ndarray]], Draws]:
        """Return the weights and biases of x ↦ xW + b of every layer, in NumPy, and how actions are drawn."""

    def exploration(self) -> Policy:
        """Return a tree of the policy's shape, 1 where a parameter sets only how much is explored, and else 0."""
        return jax.tree.map(jnp.zeros_like, self)

    def on_floor(self) -> Policy:
        """Return the same policy with its parameters, too, nowhere below a floor, if it has one."""
        return self
