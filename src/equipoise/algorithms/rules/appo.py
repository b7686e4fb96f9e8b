"""APPO."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.rule import Minibatch, Plan, Rule, Seen
from equipoise.algorithms.rules.multiplier import Scaling, fade, units, within
from equipoise.settings import require_positive, require_ranges, settings, static


class APPOMemory(NamedTuple):
    """What APPO remembers."""

    multiplier: Float[Array, " K"]
    """λ."""
    spread: Float[Array, " m"]
    """The largest spread seen of every objective's advantages, faded."""
    logged: Float[Array, " K"]
    """[λ + τc]₊ in reward per cost."""


@settings
class APPO(Rule):
    """Augmented proximal policy optimisation."""

    logs: ClassVar[dict[str, str]] = {"multiplier": "[λ + τc]₊ used in this update, reward per cost"}

    penalty: float = 1.0
    """τ, the weight of the quadratic penalty."""
    learning_rate: float = 0.1
    """η, by how much λ follows the violation in an update."""
    initial: float = 0.0
    """λ before the first update."""
    upper: float = 100.0
    """The largest λ, and the largest λ + τc; inf for no bound."""
    scaling: Scaling = static(default="invariant")
    """invariant: λ is kept in reward per cost and follows (Ĵ − b)/b, so that the units of reward and costs do not
    matter; published: λ is a weight of the advantages as they are and follows Ĵ − b."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require_ranges(self, penalty=(0, 1e30), learning_rate=(0, 1e30))
        require_positive(self, "upper")
        require_ranges(self, initial=(0, min(self.upper, 1e30)))

    def init(self, constraints: int) -> APPOMemory:
        """Start every multiplier at its initial value."""
        return APPOMemory(
            jnp.full(constraints, self.initial, jnp.float32), jnp.zeros(1 + constraints), jnp.zeros(constraints)
        )

    def plan(self, memory: APPOMemory, seen: Seen) -> tuple[APPOMemory, Plan]:
        """Move the multipliers by the violations just measured; the penalty's slope joins them."""
        spread = fade(memory.spread, seen)
        unit = units(spread, seen, self.scaling)
        most = self.upper * unit.step
        multiplier = jnp.clip(memory.multiplier + self.learning_rate * unit.step * unit.violation, 0.0, most)
        used = jnp.clip(multiplier + self.penalty * unit.step * unit.violation, 0.0, most)
        return APPOMemory(multiplier, spread, used * unit.reward_per_cost), unit.plan(used)

    def loss(
        self, batch: Minibatch, weights: Float[Array, " m"], seen: Seen, clip: float | Float[Array, ""], phase: int
    ) -> Float[Array, ""]:
        """Return the weighted sum of the objectives' clipped surrogates, each clipped for itself."""
        surrogates = jnp.stack([batch.clipped(advantage, clip) for advantage in batch.advantage.T])
        return -(weights / weights.sum()) @ surrogates

    def sound(self, memory: APPOMemory) -> Bool[Array, ""]:
        """Tell whether every multiplier is from 0 to its upper bound."""
        return within(memory.multiplier, memory.spread, self.scaling, self.upper)

    def columns(self, memory: APPOMemory) -> dict[str, Float[Array, "..."]]:
        """Return the multipliers."""
        return {"multiplier": memory.logged}
