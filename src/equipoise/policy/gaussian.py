"""The policy of continuous actions: a diagonal Gaussian whose mean is an MLP of the normalised observation."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from equipoise.numerics.gaussian import Gaussian
from equipoise.policy.base import Policy
from equipoise.policy.network import TanhMLP


class GaussianPolicy(Policy):
    """π(a|s) = N(a; mean(s), diag(σ²)), σ independent of the state, as in TRPO.

    Network and parameters are in units of the actions' ranges, so that the same initial σ explores a motor of ±0.4 N·m
    as it does one of ±2: mean = middle + unit · network(s), σ = unit · exp(log_std).
    """

    raw_log_std: Float[Array, " act"]
    """log (σ/unit) before the floor."""
    log_std_floor: float = eqx.field(static=True)
    """log (σ/unit) never falls below this."""
    middle: tuple[float, ...] = eqx.field(static=True)
    """Middle of each action's range."""
    unit: tuple[float, ...] = eqx.field(static=True)
    """Half the width of each action's range."""

    @classmethod
    def create(
        cls,
        key: PRNGKeyArray,
        observation_size: int,
        action_size: int,
        hidden: tuple[int, ...] = (64, 64),
        log_std: float = 0.0,
        log_std_floor: float = -20.0,
        middle: tuple[float, ...] = (),
        unit: tuple[float, ...] = (),
    ) -> GaussianPolicy:
        """Draw a policy whose mean is near the middle everywhere. By default the middle is 0 and the unit 1."""
        network = TanhMLP.create(key, observation_size, action_size, hidden, last_gain=1e-3)
        zeros, ones = (0.0,) * action_size, (1.0,) * action_size
        return cls(network, jnp.full(action_size, log_std, jnp.float32), log_std_floor, middle or zeros, unit or ones)

    @property
    def log_std(self) -> Float[Array, " act"]:
        """log (σ/unit) of each action; its gradient passes the floor, so that σ can rise from there again."""
        floored = jnp.maximum(self.raw_log_std, self.log_std_floor)
        return self.raw_log_std + jax.lax.stop_gradient(floored - self.raw_log_std)

    def exploration(self) -> GaussianPolicy:
        """Return a tree of the policy's shape, 1 where log σ is, and else 0."""
        return eqx.tree_at(lambda p: p.raw_log_std, super().exploration(), jnp.ones_like(self.raw_log_std))

    def on_floor(self) -> GaussianPolicy:
        """Return the same policy with its parameters, too, nowhere below the floor."""
        return eqx.tree_at(lambda p: p.raw_log_std, self, jnp.maximum(self.raw_log_std, self.log_std_floor))

    def __call__(self, observation: Float[Array, "n obs"]) -> Gaussian:
        """Return the means at `n` normalised observations, and log σ."""
        unit = jnp.asarray(self.unit)
        return Gaussian(jnp.asarray(self.middle) + unit * self.network(observation), self.log_std + jnp.log(unit))

    def columns(self, observation: Float[Array, "n obs"], weight: Float[Array, " n"]) -> dict[str, Float[Array, ""]]:
        """Return the mean of log (σ/unit)."""
        return {"log_std": self.log_std.mean()}

    def frozen(self) -> tuple[list[tuple[np.ndarray, np.ndarray]], GaussianDraws]:
        """Return the layers, the last of them in the actions' own units, and σ."""
        *layers, (weight, bias) = self.network.frozen()
        unit, middle = np.asarray(self.unit, np.float32), np.asarray(self.middle, np.float32)
        return [*layers, (weight * unit, middle + bias * unit)], GaussianDraws(unit * np.exp(np.asarray(self.log_std)))


class GaussianDraws:
    """Draws a ~ N(mean, diag(σ²)) as mean + σ·ε, ε ~ N(0, 1)."""

    dtype = np.dtype(np.float32)
    """What the entries of an action are stored as."""

    def __init__(self, std: Float[np.ndarray, "*envs act"]) -> None:
        self.std = std
        """σ of each action; with a leading axis where every environment has its own."""

    def __repr__(self) -> str:
        return f"{self.std.shape[-1]} actions"

    def noise(self, random: np.random.Generator, shape: tuple[int, ...]) -> Float[np.ndarray, "*n act"]:
        """Draw σ·ε."""
        return random.standard_normal((*shape, self.std.shape[-1]), np.float32) * self.std

    def side_by_side(self, others: Sequence[GaussianDraws]) -> GaussianDraws:
        """Return how actions are drawn in as many environments as there are `others`, each by its own σ."""
        return GaussianDraws(np.stack([other.std for other in others]))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return σ, by its name in an export."""
        return {"action_std": self.std}

    def decide(self, outputs: Float[np.ndarray, "*n act"]) -> Float[np.ndarray, "*n act"]:
        """Return the sums themselves."""
        return outputs
