"""The policy: a diagonal Gaussian whose mean is an MLP of the normalised observation."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from equipoise.numerics.normaliser import Moments


class TanhMLP(eqx.Module):
    """A multilayer perceptron with tanh hidden layers; all its leaves are arrays."""

    layers: tuple[eqx.nn.Linear, ...]
    """Linear layers, the output's last."""

    @classmethod
    def create(cls, key: PRNGKeyArray, inputs: int, outputs: int, hidden: tuple[int, ...], last_gain: float) -> TanhMLP:
        """Draw orthogonal weights (gain √2 in hidden layers, `last_gain` in the last) and zero biases."""
        sizes = (inputs, *hidden, outputs)
        gains = (*[np.sqrt(2.0) for _ in hidden], last_gain)
        keys = jax.random.split(key, len(gains))
        return cls(tuple(_orthogonal_linear(*layer) for layer in zip(keys, sizes[:-1], sizes[1:], gains, strict=True)))

    def __call__(self, x: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        """Evaluate the network at one input."""
        for layer in self.layers[:-1]:
            x = jnp.tanh(layer(x))
        return self.layers[-1](x)


def _orthogonal_linear(key: PRNGKeyArray, inputs: int, outputs: int, gain: float) -> eqx.nn.Linear:
    weight = jax.nn.initializers.orthogonal(gain)(key, (outputs, inputs), jnp.float32)
    linear = eqx.nn.Linear(inputs, outputs, key=key)
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), linear, (weight, jnp.zeros(outputs)))


class GaussianPolicy(eqx.Module):
    """π(a|s) = N(a; mean(s), diag(σ²)), σ independent of the state, as in TRPO."""

    network: TanhMLP
    """s ↦ mean."""
    raw_log_std: Float[Array, " act"]
    """log σ before the floor."""
    log_std_floor: float = eqx.field(static=True)
    """log σ never falls below this."""

    @classmethod
    def create(
        cls,
        key: PRNGKeyArray,
        observation_size: int,
        action_size: int,
        hidden: tuple[int, ...] = (64, 64),
        log_std: float = 0.0,
        log_std_floor: float = -20.0,
    ) -> GaussianPolicy:
        """Draw a policy whose mean is near zero everywhere."""
        network = TanhMLP.create(key, observation_size, action_size, hidden, last_gain=0.01)
        return cls(network, jnp.full(action_size, log_std), log_std_floor)

    @property
    def log_std(self) -> Float[Array, " act"]:
        """Log σ of each action."""
        return jnp.maximum(self.raw_log_std, self.log_std_floor)

    def __call__(self, observation: Float[Array, "n obs"]) -> tuple[Float[Array, "n act"], Float[Array, " act"]]:
        """Return the means at `n` normalised observations, and log σ."""
        return jax.vmap(self.network)(observation), self.log_std


class Actor:
    """A policy frozen together with its normaliser, in NumPy: what acts in rollouts and on robots.

    One small forward pass in NumPy costs half of what a call into compiled JAX does.
    """

    def __init__(self, policy: GaussianPolicy, moments: Moments) -> None:
        self._layers = [(np.asarray(layer.weight).T.copy(), np.asarray(layer.bias)) for layer in policy.network.layers]
        self._mean = np.asarray(moments.mean)
        self._deviation = np.asarray(moments.deviation)
        self.std: Float[np.ndarray, " act"] = np.exp(np.asarray(policy.log_std))
        """σ of each action."""

    def __call__(self, observation: Float[np.ndarray, "*n obs"]) -> Float[np.ndarray, "*n act"]:
        """Return the mean action, the deterministic policy, at one or many observations (as the task gives them)."""
        hidden = ((observation - self._mean) / self._deviation).astype(np.float32).clip(-10.0, 10.0)
        for weight, bias in self._layers[:-1]:
            hidden = np.tanh(hidden @ weight + bias)
        weight, bias = self._layers[-1]
        return hidden @ weight + bias

    def sample(
        self, observation: Float[np.ndarray, "*n obs"], random: np.random.Generator
    ) -> Float[np.ndarray, "*n act"]:
        """Return an action of the stochastic policy, its noise drawn from `random`."""
        mean = self(observation)
        return mean + self.std * random.standard_normal(mean.shape, np.float32)
