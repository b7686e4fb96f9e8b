"""Categorical distributions and products of such: log-probability, divergence, entropy, and the metric of their logits.

An action is one choice of finitely many, or several made independently of one another, each with logits of its own.
With p = softmax(logits), the Fisher matrix of a choice in its logits is diag(p) − ppᵀ.
"""

from __future__ import annotations

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def parts(logits: Any, choices: tuple[int, ...]) -> list[Any]:
    """Split arrays whose last axis has the logits of all choices, one after the other, into those of each."""
    ends = list(itertools.accumulate(choices, initial=0))
    return [logits[..., start:end] for start, end in itertools.pairwise(ends)]


class Categorical(eqx.Module):
    """A distribution over the values of one or several independent choices, at each of n observations."""

    logits: Float[Array, "*n logits"]
    """Unnormalised log-probabilities of the values, those of one choice after those of another."""
    choices: tuple[int, ...] = eqx.field(static=True)
    """How many values each choice has; they are numbered from 0."""

    def log_probabilities(self) -> list[Float[Array, "*n values"]]:
        """Return log p of every value, choice by choice."""
        return [jax.nn.log_softmax(part) for part in parts(self.logits, self.choices)]

    def log_density(self, action: Int[Array, "*n act"]) -> Float[Array, "*n"]:
        """Return the log-probability of a value for every choice."""
        of_each = self.log_probabilities()
        chosen = [jnp.take_along_axis(p, action[..., k, None], -1)[..., 0] for k, p in enumerate(of_each)]
        return sum(chosen[1:], chosen[0])

    def divergence(self, new: Categorical) -> Float[Array, "*n"]:
        """Return KL(self ‖ new) in nats, the sum over the choices."""
        pairs = zip(self.log_probabilities(), new.log_probabilities(), strict=True)
        each = [(jnp.exp(old) * (old - new)).sum(-1) for old, new in pairs]
        return sum(each[1:], each[0])

    def entropy(self) -> Float[Array, "*n"]:
        """Return the entropy in nats, the sum over the choices."""
        each = [-(jnp.exp(p) * p).sum(-1) for p in self.log_probabilities()]
        return sum(each[1:], each[0])

    def at(self, rows: Int[Array, " b"]) -> Categorical:
        """Return the distributions at some of the observations."""
        return Categorical(self.logits[rows], self.choices)

    def metric(self, change: Categorical, weight: Float[Array, " n"]) -> Categorical:
        """Apply the Fisher metric to a tangent, p ∘ (v − pᵀv) for every choice, at each observation by its weight."""
        probabilities = map(jnp.exp, self.log_probabilities())
        moved = [
            p * (v - (p * v).sum(-1, keepdims=True))
            for p, v in zip(probabilities, parts(change.logits, self.choices), strict=True)
        ]
        return Categorical(jnp.concatenate(moved, -1) * weight[:, None], self.choices)


def largest(logits: Float[np.ndarray, "*n logits"], choices: tuple[int, ...]) -> Int[np.ndarray, "*n act"]:
    """Return the value of the largest logit for every choice, the first of equal ones; in NumPy."""
    return np.stack([part.argmax(-1) for part in parts(logits, choices)], axis=-1).astype(np.int32)
