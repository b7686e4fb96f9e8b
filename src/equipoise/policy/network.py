"""The network of a policy or a critic: a multilayer perceptron."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from equipoise.numerics.normaliser import Moments


class Dense(NamedTuple):
    """An affine layer x ↦ xWᵀ + b."""

    weight: Float[Array, "*stack outputs inputs"]
    """W, one row per output."""
    bias: Float[Array, "*stack outputs"]
    """b, one entry per output."""


class TanhMLP(eqx.Module):
    """A multilayer perceptron with tanh hidden layers."""

    layers: tuple[Dense, ...]
    """Layers in order, the output layer last; with a leading axis where networks are stacked."""

    @classmethod
    def create(cls, key: PRNGKeyArray, inputs: int, outputs: int, hidden: tuple[int, ...], last_gain: float) -> TanhMLP:
        """Draw orthogonal weights (gain √2 in hidden layers, `last_gain` in the last) and zero biases."""
        sizes = (inputs, *hidden, outputs)
        gains = (*[np.sqrt(2.0) for _ in hidden], last_gain)
        keys = jax.random.split(key, len(gains))
        orthogonal = jax.nn.initializers.orthogonal
        return cls(
            tuple(
                Dense(orthogonal(gain)(key, (fan_out, fan_in), jnp.float32), jnp.zeros(fan_out))
                for key, fan_in, fan_out, gain in zip(keys, sizes[:-1], sizes[1:], gains, strict=True)
            )
        )

    def renormalised(self, old: Moments, new: Moments) -> TanhMLP:
        """Return the network that does with inputs normalised by `new` what this one does with `old`.

        An entry that was constant had no influence: its weights begin at 0 when it first varies. An input that is
        clipped by only one of the two leads elsewhere.
        """
        weight, bias = self.layers[0]
        ratio = jnp.where(new.scale > 0, old.scale / jnp.where(new.scale > 0, new.scale, 1.0), 1.0)
        shift = old.scale * (new.mean - old.mean)
        first = Dense(weight * ratio, bias + weight @ shift)
        return eqx.tree_at(lambda n: n.layers[0], self, first)

    def frozen(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the weights and biases of x ↦ xW + b of every layer, in NumPy."""
        return [(np.asarray(layer.weight).T.copy(), np.asarray(layer.bias)) for layer in self.layers]

    def __call__(self, x: Float[Array, "*n inputs"]) -> Float[Array, "*n outputs"]:
        """Evaluate the network at one or many inputs."""
        for layer in self.layers[:-1]:
            x = jnp.tanh(x @ layer.weight.T + layer.bias)
        return x @ self.layers[-1].weight.T + self.layers[-1].bias
