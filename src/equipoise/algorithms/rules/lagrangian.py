"""The Lagrangian method: one multiplier for each limit, which rises while the limit is violated."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Array, Bool, Float

from equipoise.algorithms.rule import Plan, Rule, Seen
from equipoise.algorithms.rules.multiplier import Ascent, Multiplier, within
from equipoise.settings import settings


@settings
class Lagrangian(Rule):
    """Ascend the Lagrangian in the policy, descend it in the multipliers."""

    logs: ClassVar[dict[str, str]] = {"multiplier": "λ used in this update, reward per cost"}

    multiplier: Multiplier = Multiplier()
    """How λ follows the violation."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        self.multiplier.check()

    def init(self, constraints: int) -> Ascent:
        """Start every multiplier at its initial value."""
        return self.multiplier.init(constraints)

    def plan(self, memory: Ascent, seen: Seen) -> tuple[Ascent, Plan]:
        """Move the multipliers by the violations just measured, then weigh reward and costs with them."""
        return self.multiplier.ascend(memory, seen)

    def sound(self, memory: Ascent) -> Bool[Array, ""]:
        """Tell whether every multiplier is from 0 to its upper bound."""
        return within(memory.multiplier, memory.spread, self.multiplier.scaling, self.multiplier.upper)

    def columns(self, memory: Ascent) -> dict[str, Float[Array, "..."]]:
        """Return the multipliers."""
        return {"multiplier": memory.logged}
