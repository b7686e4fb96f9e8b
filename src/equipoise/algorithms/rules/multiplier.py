"""Lagrange multipliers: their units, their weights, and Adam's way of moving them. What primal-dual rules share."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.rule import BALANCE, REWARD, Plan, Seen, single
from equipoise.settings import require_positive, require_ranges, settings, static

Scaling = Literal["invariant", "published"]
"""How multipliers are kept and moved.

invariant: in reward per cost, by (Ĵ − b)/b, in steps of how much more the reward's advantages vary than the cost's: a
run does not depend on the units of reward and costs. published: as weights of the advantages, by Ĵ − b, in steps of 1.
"""

FADING = 0.9
"""Share that the largest spread seen of an objective's advantages keeps from update to update."""

HEAVIEST = 1e6
"""The largest weight of a cost, where the reward hardly varies."""


class Units(NamedTuple):
    """What a multiplier is measured in, at an update."""

    violation: Float[Array, " K"]
    """By how much every limit is violated; below 0 inside of it."""
    step: Float[Array, " K"]
    """What a multiplier moves by, for a violation of 1 and a gain of 1."""
    weight: Float[Array, " K"]
    """What turns a multiplier into a weight of the cost's advantages, beside a weight of 1 of the reward's."""
    reward_per_cost: Float[Array, " K"]
    """What turns a multiplier into reward per cost."""

    def plan(self, multiplier: Float[Array, " K"]) -> Plan:
        """Weigh the objectives by (1, λ)/(1 + Σλ): the reward alone, exactly, where all multipliers are 0."""
        price = jnp.minimum(multiplier * self.weight, HEAVIEST)
        weights = jnp.concatenate([jnp.ones(1), price]) / (1 + price.sum())
        return single(jnp.where((price > 0).any(), BALANCE, REWARD), weights)


def fade(spread: Float[Array, " m"], seen: Seen) -> Float[Array, " m"]:
    """Return the largest spread of every objective's advantages that was seen, older ones faded."""
    return jnp.maximum(seen.per_episode, FADING * spread)


def steps(spread: Float[Array, " m"], scaling: Scaling) -> Float[Array, " K"]:
    """Return what multipliers move by; 0 for a cost that has never varied."""
    if scaling == "published":
        return jnp.ones_like(spread[1:])
    reward = jnp.where(spread[0] > 0, spread[0], 1.0)
    return jnp.where(spread[1:] > 0, reward / jnp.where(spread[1:] > 0, spread[1:], 1.0), 0.0)


def units(spread: Float[Array, " m"], seen: Seen, scaling: Scaling) -> Units:
    """Return the units of multipliers, given the faded spread of the advantages."""
    reward, cost = seen.per_episode[0], seen.per_episode[1:]
    step = steps(spread, scaling)
    if scaling == "published":
        return Units(seen.excess, step, step, seen.reward_per_cost)
    reward = jnp.where(spread[0] > 0, jnp.maximum(reward, spread[0] / HEAVIEST), 1.0)
    return Units(seen.relative_excess, step, cost / reward, jnp.ones_like(step))


def within(
    multiplier: Float[Array, " K"], spread: Float[Array, " m"], scaling: Scaling, upper: float
) -> Bool[Array, ""]:
    """Tell whether multipliers are numbers from 0 to `upper` steps."""
    most = upper * steps(spread, scaling)
    return ((multiplier >= 0) & (multiplier <= most * (1 + 1e-6))).all()


class PlainAscent(NamedTuple):
    """Multipliers that move in proportion to the violation."""

    multiplier: Float[Array, " K"]
    """λ."""
    spread: Float[Array, " m"]
    """The largest spread seen of every objective's advantages, faded."""
    logged: Float[Array, " K"]
    """What the last update weighed the costs with, in reward per cost."""

    @classmethod
    def start(cls, constraints: int, initial: float | Float[Array, ""]) -> PlainAscent:
        """Return the multipliers before the first update, each at `initial`."""
        return cls(jnp.full(constraints, initial, jnp.float32), jnp.zeros(1 + constraints), jnp.zeros(constraints))

    def ascend(
        self, seen: Seen, scaling: Scaling, rate: float | Float[Array, ""], upper: float | Float[Array, ""]
    ) -> tuple[PlainAscent, Units]:
        """Return λ ← clip(λ + rate · violation, 0, upper), and what it is measured in."""
        spread = fade(self.spread, seen)
        unit = units(spread, seen, scaling)
        multiplier = jnp.clip(self.multiplier + rate * unit.step * unit.violation, 0.0, upper * unit.step)
        return PlainAscent(multiplier, spread, multiplier * unit.reward_per_cost), unit


class Ascent(NamedTuple):
    """Multipliers on their way."""

    multiplier: Float[Array, " K"]
    """λ."""
    moments: optax.ScaleByAdamState
    """Adam's."""
    spread: Float[Array, " m"]
    """The largest spread seen of every objective's advantages, faded."""
    logged: Float[Array, " K"]
    """λ in reward per cost."""


@settings
class Multiplier:
    """Lagrange multipliers that follow their limits' violations by Adam, one for each limit."""

    learning_rate: float = 0.3
    """Adam's learning rate, which is about what λ changes by in an update."""
    initial: float = 0.0
    """λ before the first update; above 0 costs count from the start, whether or not a limit is near. 0 unless
    `scaling` is published."""
    upper: float = 100.0
    """The largest λ, in the steps in which it moves."""
    scaling: Scaling = static(default="invariant")
    """invariant: λ is kept in reward per cost and follows (Ĵ − b)/b, so that the units of reward and costs do not
    matter; published: λ is a weight of the advantages as they are and follows Ĵ − b."""

    def check(self) -> None:
        """Raise `UsageError` naming the first value that is not allowed."""
        require_positive(self, "learning_rate", "upper")
        require_ranges(
            self,
            learning_rate=(0, 1e30),
            upper=(0, 1e30),
            initial=(0, self.upper if self.scaling == "published" else 0),
        )

    def init(self, constraints: int) -> Ascent:
        """Return the multipliers before the first update."""
        start = jnp.full(constraints, self.initial, jnp.float32)
        moments = optax.scale_by_adam().init(start)
        return Ascent(start, moments, jnp.zeros(1 + constraints), jnp.zeros(constraints))

    def ascend(self, before: Ascent, seen: Seen) -> tuple[Ascent, Plan]:
        """Return λ ← clip(λ + Adam(violation)) and the plan that weighs the objectives with it."""
        spread = fade(before.spread, seen)
        unit = units(spread, seen, self.scaling)
        most = self.upper * unit.step
        pull = unit.violation
        if self.scaling == "invariant":
            outwards = ((before.multiplier <= 0) & (pull < 0)) | ((before.multiplier >= most) & (pull > 0))
            pull = jnp.where(outwards, 0.0, pull)
        rise, moments = optax.scale_by_adam().update(pull, before.moments)
        multiplier = jnp.clip(before.multiplier + self.learning_rate * unit.step * rise, 0.0, most)
        return Ascent(multiplier, moments, spread, multiplier * unit.reward_per_cost), unit.plan(multiplier)
