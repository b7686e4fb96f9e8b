"""A policy that acts: frozen together with its normaliser, in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Num

from equipoise.errors import UsageError
from equipoise.numerics.normaliser import Moments
from equipoise.policy.base import Draws, Policy


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
        unflatten: makes the environment's own of a policy's actions, where it takes others: of numbers from 0, say.
    """

    CLIP: ClassVar[float] = 10.0
    """What normalised observations are clipped to, on both sides."""

    def __init__(
        self,
        policy: Policy,
        moments: Moments,
        expects: str = "",
        flatten: Callable[[Any], np.ndarray] | None = None,
        low: tuple[float, ...] = (),
        high: tuple[float, ...] = (),
        unflatten: Callable[[np.ndarray], Any] | None = None,
    ) -> None:
        self._layers, draws = policy.frozen()
        self.draws: Draws = draws
        """How actions are drawn from what the network gives."""
        self._expects, self._flatten, self._unflatten = expects, flatten, unflatten
        self._low, self._high = np.asarray(low), np.asarray(high)
        # Rounded to single precision, a bound might be passed.
        self._dtype = np.float32 if all((x.astype(np.float32) == x).all() for x in (self._low, self._high)) else float
        self._mean, self._scale = np.asarray(moments.mean), np.asarray(moments.scale)

    def __repr__(self) -> str:
        layers = ", ".join(str(len(bias)) for _, bias in self._layers[:-1])
        return f"<Actor: {len(self._mean)} numbers observed, layers of {layers or 'none'}, {self.draws!r}>"

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that acting needs, by name; a layer's weight has one row per output.

        With x = clip((s − mean)·scale, ±`CLIP`), the output of the last layer is the mean in the actions' own units, or
        of discrete actions the logits.
        """
        found = {"observation_mean": self._mean, "observation_scale": self._scale}
        for i, (weight, bias) in enumerate(self._layers):
            found |= {f"layers.{i}.weight": np.ascontiguousarray(weight.T), f"layers.{i}.bias": bias}
        low, high = self._low.astype(np.float64), self._high.astype(np.float64)
        return found | self.draws.arrays() | {"action_low": low, "action_high": high}

    def for_episode(self, random: np.random.Generator) -> Actor:
        """Return the policy that acts in an episode: itself, while a mixture of policies draws one of them."""
        return self

    def outputs(self, observation: Float[np.ndarray, "*n obs"]) -> Float[np.ndarray, "*n outputs"]:
        """Return what the network gives at one or many vectors of observation: a Gaussian's means, or logits.

        Means are in the actions' own units, before anything clips.
        """
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

    def act(
        self, observation: Float[np.ndarray, "*n obs"], noise: Float[np.ndarray, "*n outputs"] | float = 0.0
    ) -> Num[np.ndarray, "*n act"]:
        """Return the policy's own actions, as a simulator takes them, at vectors of observation.

        `noise` is what `draws.noise` gives; without it they are the deterministic policy's.
        """
        return self.draws.decide(self.outputs(observation) + noise)

    def __call__(self, observation: Any) -> Any:
        """Return the deterministic policy's action at an observation as the environment gives it.

        That is the mean action, or of finitely many the most likely. Where the observation is a vector, it may also be
        many of them.
        """
        return self._own(self.act(self._vector(observation)))

    def sample(self, observation: Any, random: np.random.Generator) -> Any:
        """Return an action of the stochastic policy, its noise drawn from `random`."""
        vector = self._vector(observation)
        return self._own(self.act(vector, self.draws.noise(random, vector.shape[:-1])))

    def _vector(self, observation: Any) -> Float[np.ndarray, "*n obs"]:
        if self._flatten is None or (isinstance(observation, np.ndarray) and observation.shape == self._mean.shape):
            return np.asarray(observation)
        return self._flatten(observation)

    def _own(self, action: Num[np.ndarray, "*n act"]) -> Any:
        """Return actions as the environment takes them."""
        clipped = np.clip(action, self._low, self._high).astype(self._dtype) if self._low.size else action
        return clipped if self._unflatten is None else self._unflatten(clipped)
