"""CSPO."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.rule import Minibatch, Plan, Rule, Seen
from equipoise.algorithms.rules.multiplier import Scaling, fade, units, within
from equipoise.settings import require_positive, require_ranges, settings, static


class CSPOMemory(NamedTuple):
    """What CSPO remembers."""

    multiplier: Float[Array, " K"]
    """λ."""
    spread: Float[Array, " m"]
    """The largest spread seen of every objective's advantages, faded."""
    logged: Float[Array, " K"]
    """λ in reward per cost."""


@settings
class CSPO(Rule):
    """CSPO: a Lagrangian with a penalty on the predicted violation, scaled by the length of the cost's gradient."""

    logs: ClassVar[dict[str, str]] = {"multiplier": "λ used in this update, without the penalty, reward per cost"}

    penalty: float = 1.0
    """α, the weight of the penalty."""
    learning_rate: float = 0.1
    """η, by how much λ follows the violation in an update."""
    initial: float = 0.0
    """λ before the first update."""
    upper: float = 100.0
    """The largest λ; inf for no bound."""
    scaling: Scaling = static(default="invariant")
    """invariant: λ is kept in reward per cost and follows (Ĵ − b)/b, so that the units of reward and costs do not
    matter; published: λ is a weight of the advantages as they are and follows Ĵ − b."""
    epsilon: float = 1e-8
    """ε, added to ‖∇ĝ‖²."""
    largest_scale: float = 100.0
    """The largest w."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require_ranges(self, penalty=(0, 1), learning_rate=(0, 1e30))
        require_positive(self, "upper", "epsilon", "largest_scale")
        require_ranges(self, initial=(0, min(self.upper, 1e30)), largest_scale=(0, 1e30))

    def init(self, constraints: int) -> CSPOMemory:
        """Start every multiplier at its initial value."""
        return CSPOMemory(
            jnp.full(constraints, self.initial, jnp.float32), jnp.zeros(1 + constraints), jnp.zeros(constraints)
        )

    def plan(self, memory: CSPOMemory, seen: Seen) -> tuple[CSPOMemory, Plan]:
        """Move the multipliers by the violations just measured."""
        spread = fade(memory.spread, seen)
        unit = units(spread, seen, self.scaling)
        most = self.upper * unit.step
        multiplier = jnp.clip(memory.multiplier + self.learning_rate * unit.step * unit.violation, 0.0, most)
        return CSPOMemory(multiplier, spread, multiplier * unit.reward_per_cost), unit.plan(multiplier)

    def loss(
        self, batch: Minibatch, weights: Float[Array, " m"], seen: Seen, clip: float | Float[Array, ""], phase: int
    ) -> Float[Array, ""]:
        """Return the Lagrangian with its penalty, divided by 1 + Σλ."""
        surrogates = jnp.stack([batch.clipped(advantage, clip) for advantage in batch.advantage.T])
        predicted = seen.surrogate_excess - surrogates[1:]
        scale = jnp.minimum(1 / (batch.slope2[1:] + self.epsilon), self.largest_scale)
        penalty = 0.5 * self.penalty * scale @ jnp.maximum(predicted, 0.0) ** 2
        return weights[0] * (penalty - surrogates[0]) + weights[1:] @ predicted

    def sound(self, memory: CSPOMemory) -> Bool[Array, ""]:
        """Tell whether every multiplier is from 0 to its upper bound."""
        return within(memory.multiplier, memory.spread, self.scaling, self.upper)

    def columns(self, memory: CSPOMemory) -> dict[str, Float[Array, "..."]]:
        """Return the multipliers."""
        return {"multiplier": memory.logged}
