"""The policy: a diagonal Gaussian whose mean is an MLP of the normalised observation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from equipoise.errors import UsageError
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

    def __call__(self, x: Float[Array, "*n inputs"]) -> Float[Array, "*n outputs"]:
        """Evaluate the network at one or many inputs."""
        for layer in self.layers[:-1]:
            x = jnp.tanh(x @ layer.weight.T + layer.bias)
        return x @ self.layers[-1].weight.T + self.layers[-1].bias


class GaussianPolicy(eqx.Module):
    """π(a|s) = N(a; mean(s), diag(σ²)), σ independent of the state, as in TRPO.

    Network and parameters are in units of the actions' ranges, so that the same initial σ explores a motor of ±0.4 N·m
    as it does one of ±2: mean = middle + unit · network(s), σ = unit · exp(log_std).
    """

    network: TanhMLP
    """s ↦ mean."""
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

    def on_floor(self) -> GaussianPolicy:
        """Return the same policy with its parameters, too, nowhere below the floor."""
        return eqx.tree_at(lambda p: p.raw_log_std, self, jnp.maximum(self.raw_log_std, self.log_std_floor))

    def __call__(self, observation: Float[Array, "n obs"]) -> tuple[Float[Array, "n act"], Float[Array, " act"]]:
        """Return the means at `n` normalised observations, and log σ."""
        unit = jnp.asarray(self.unit)
        return jnp.asarray(self.middle) + unit * self.network(observation), self.log_std + jnp.log(unit)


class Actor:
    """A policy frozen together with its normaliser, in NumPy: what acts in rollouts and on robots.

    One small forward pass in NumPy costs half of what a call into compiled JAX does. What the environment clips actions
    to, they are clipped to here, too, so that the policy acts anywhere as it did in training.

    Args:
        policy: the policy.
        moments: the normaliser of its observations.
        expects: what an observation consists of, for the `UsageError` that one of the wrong length raises.
        flatten: makes the vector of an observation that is none.
        low: what the environment clips actions to from below; nothing where it passes them on.
        high: what it clips them to from above.
        unflatten: makes the environment's own of a vector, where it takes another action.
    """

    CLIP: ClassVar[float] = 10.0
    """What normalised observations are clipped to, on both sides."""

    def __init__(
        self,
        policy: GaussianPolicy,
        moments: Moments,
        expects: str = "",
        flatten: Callable[[Any], np.ndarray] | None = None,
        low: tuple[float, ...] = (),
        high: tuple[float, ...] = (),
        unflatten: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self._layers = [(np.asarray(layer.weight).T.copy(), np.asarray(layer.bias)) for layer in policy.network.layers]
        self._expects, self._flatten, self._unflatten = expects, flatten, unflatten
        self._low, self._high = np.asarray(low), np.asarray(high)
        # Rounded to single precision, a bound might be passed.
        self._dtype = np.float32 if all((x.astype(np.float32) == x).all() for x in (self._low, self._high)) else float
        self._mean, self._scale = np.asarray(moments.mean), np.asarray(moments.scale)
        weight, bias = self._layers[-1]
        unit, middle = np.asarray(policy.unit, np.float32), np.asarray(policy.middle, np.float32)
        self._layers[-1] = weight * unit, middle + bias * unit
        self.std: Float[np.ndarray, " act"] = unit * np.exp(np.asarray(policy.log_std))
        """σ of each action."""

    def __repr__(self) -> str:
        layers = ", ".join(str(len(bias)) for _, bias in self._layers[:-1])
        return f"<Actor: {len(self._mean)} numbers observed, layers of {layers or 'none'}, {len(self.std)} actions>"

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that acting needs, by name; a layer's weight has one row per output.

        The last layer is in units of the actions: with x = clip((s − mean)·scale, ±`CLIP`), its output is the mean.
        """
        found = {"observation_mean": self._mean, "observation_scale": self._scale}
        for i, (weight, bias) in enumerate(self._layers):
            found |= {f"layers.{i}.weight": np.ascontiguousarray(weight.T), f"layers.{i}.bias": bias}
        low, high = self._low.astype(np.float64), self._high.astype(np.float64)
        return found | {"action_std": self.std, "action_low": low, "action_high": high}

    def for_episode(self, random: np.random.Generator) -> Actor:
        """Return the policy that acts in an episode: itself, while a mixture of policies draws one of them."""
        return self

    def mean(self, observation: Float[np.ndarray, "*n obs"]) -> Float[np.ndarray, "*n act"]:
        """Return the means of the policy's Gaussians at one or many vectors of observation, before anything clips."""
        if observation.shape[-1:] != self._mean.shape:
            raise UsageError(
                f"an observation has {observation.shape[-1] if observation.ndim else 0} number(s); allowed: "
                f"{len(self._mean)}{': ' * bool(self._expects)}{self._expects}"
            )
        hidden = ((observation.astype(np.float32) - self._mean) * self._scale).clip(-self.CLIP, self.CLIP)
        for weight, bias in self._layers[:-1]:
            hidden = np.tanh(hidden @ weight + bias)
        weight, bias = self._layers[-1]
        return hidden @ weight + bias

    def __call__(self, observation: Any) -> np.ndarray:
        """Return the mean action, the deterministic policy, at an observation as the environment gives it.

        Where that is a vector, it may also be many of them.
        """
        return self._own(self.mean(self._vector(observation)))

    def sample(self, observation: Any, random: np.random.Generator) -> np.ndarray:
        """Return an action of the stochastic policy, its noise drawn from `random`."""
        mean = self.mean(self._vector(observation))
        return self._own(mean + self.std * random.standard_normal(mean.shape, np.float32))

    def _vector(self, observation: Any) -> Float[np.ndarray, "*n obs"]:
        if self._flatten is None or (isinstance(observation, np.ndarray) and observation.shape == self._mean.shape):
            return np.asarray(observation)
        return self._flatten(observation)

    def _own(self, action: Float[np.ndarray, "*n act"]) -> np.ndarray:
        """Return actions as the environment takes them."""
        clipped = np.clip(action, self._low, self._high).astype(self._dtype) if self._low.size else action
        return clipped if self._unflatten is None else self._unflatten(clipped)
