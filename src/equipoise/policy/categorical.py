"""The policy of discrete actions: softmax of an MLP of the normalised observation."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from equipoise.numerics.categorical import Categorical, largest
from equipoise.policy.base import Policy
from equipoise.policy.network import TanhMLP


class CategoricalPolicy(Policy):
    """π(a|s) = softmax(network(s)), for actions that are one choice of finitely many.

    An action of several choices makes each independently of the others, given the observation.
    """

    choices: tuple[int, ...] = eqx.field(static=True)
    """How many values each choice has; they are numbered from 0."""

    @classmethod
    def create(
        cls, key: PRNGKeyArray, observation_size: int, choices: tuple[int, ...], hidden: tuple[int, ...] = (64, 64)
    ) -> CategoricalPolicy:
        """Draw a policy that takes every value about as often, everywhere."""
        return cls(TanhMLP.create(key, observation_size, sum(choices), hidden, last_gain=1e-3), choices)

    def __call__(self, observation: Float[Array, "n obs"]) -> Categorical:
        """Return the distributions at `n` normalised observations."""
        return Categorical(self.network(observation), self.choices)

    def columns(self, observation: Float[Array, "n obs"], weight: Float[Array, " n"]) -> dict[str, Float[Array, ""]]:
        """Return the mean entropy."""
        return {"entropy": weight @ self(observation).entropy()}

    def frozen(self) -> tuple[list[tuple[np.ndarray, np.ndarray]], CategoricalDraws]:
        """Return the layers and the choices."""
        return self.network.frozen(), CategoricalDraws(self.choices)


class CategoricalDraws:
    """Draws from softmax(logits) as the largest of logits + Gumbel noise (Gumbel, 1954; the Gumbel-max trick)."""

    dtype = np.dtype(np.int32)
    """What the entries of an action are stored as."""

    def __init__(self, choices: tuple[int, ...]) -> None:
        self.choices = choices
        """How many values each choice has."""

    def __repr__(self) -> str:
        return f"a choice of {' × '.join(map(str, self.choices))}"

    def noise(self, random: np.random.Generator, shape: tuple[int, ...]) -> Float[np.ndarray, "*n logits"]:
        """Draw a Gumbel variable for every logit."""
        return random.gumbel(size=(*shape, sum(self.choices))).astype(np.float32)

    def side_by_side(self, others: Sequence[CategoricalDraws]) -> CategoricalDraws:
        """Return itself: what is drawn depends on the logits alone."""
        return self

    def arrays(self) -> dict[str, np.ndarray]:
        """Return nothing: how many values each choice has is no number that was learned."""
        return {}

    def decide(self, outputs: Float[np.ndarray, "*n logits"]) -> Int[np.ndarray, "*n act"]:
        """Return the number of the largest sum of every choice."""
        return largest(outputs, self.choices)
