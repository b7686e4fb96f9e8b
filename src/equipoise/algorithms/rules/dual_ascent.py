"""Multipliers that follow the violation by projected gradient ascent, as FOCOPS and CUP have them.

    ν_k ← clip(ν_k + α·(Ĵ_k − b_k), 0, ν_max)

The projection on [0, ν_max] keeps each multiplier non-negative and bounded. There is one for each of the K constraints,
and none sees another's violation.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.rule import Seen
from equipoise.settings import require, require_positive, require_ranges, settings, static

FIRST, SECOND = 0.9, 0.999
"""Decay of Adam's two moments."""


class Multipliers(NamedTuple):
    """The multipliers ν and what moves them."""

    value: Float[Array, " K"]
    """ν_k, the weight of cost k's advantages beside the reward's."""
    exchange: Float[Array, " K"]
    """ν_k as reward per cost: what the last update paid in return for one unit less of cost k per episode."""
    first: Float[Array, " K"]
    """Adam's running mean of the violation."""
    second: Float[Array, " K"]
    """Adam's running mean of its square."""
    updates: Float[Array, ""]
    """Updates so far."""


def in_payoffs(weights: Float[Array, " K"], seen: Seen) -> Float[Array, " K"]:
    """Turn weights of costs' advantages beside the reward's into reward per cost; 0 for a cost that does not vary."""
    return jnp.asarray(weights * seen.reward_per_cost, jnp.float32)


@settings
class DualAscent:
    """Projected gradient ascent of the multipliers on the violation of their limits."""

    initial: float = 0.0
    """ν before the first update."""
    rate: float = 0.2
    """α: by how much ν moves for each unit of violation (see `unit`); Adam's learning rate with `adam`."""
    ceiling: float = 2.0
    """ν_max. Where both advantages have deviation 1, as by default, 2 gives a cost twice the reward's weight."""
    unit: Literal["fraction", "cost"] = static(default="fraction")
    """Unit of the violation: fractions of the limit, of which a cost is never further below it than 1 and counts as
    never further above it, so that ν falls as fast as it rose; or episode costs."""
    adam: bool = static(default=False)
    """Whether Adam scales the violation, so that ν moves by about `rate` whatever the violation's size."""

    def check(self) -> None:
        """Raise `UsageError` naming the first value that is not allowed."""
        require_positive(self, "rate", "ceiling")
        require_ranges(self, rate=(0, 1e6), ceiling=(0, 1e6))
        require_ranges(self, initial=(0, self.ceiling))
        require(isinstance(self.adam, bool), f"adam is {self.adam}; allowed: True or False")

    def init(self, constraints: int) -> Multipliers:
        """Return the multipliers before the first update."""
        zero = jnp.zeros(constraints)
        return Multipliers(jnp.full(constraints, self.initial, jnp.float32), zero, zero, zero, jnp.zeros(()))

    def ascend(self, old: Multipliers, seen: Seen) -> Multipliers:
        """Move the multipliers by what the last episodes say of the limits."""
        violation = jnp.minimum(seen.relative_excess, 1.0) if self.unit == "fraction" else seen.excess
        updates = old.updates + 1
        first = FIRST * old.first + (1 - FIRST) * violation
        second = SECOND * old.second + (1 - SECOND) * violation**2
        if self.adam:
            violation = first / (1 - FIRST**updates) / (jnp.sqrt(second / (1 - SECOND**updates)) + 1e-8)
        value = jnp.clip(old.value + self.rate * violation, 0.0, self.ceiling)
        return Multipliers(value, in_payoffs(value, seen), first, second, updates)

    def sound(self, multipliers: Multipliers) -> Bool[Array, ""]:
        """Tell whether every multiplier is finite and in [0, ν_max]."""
        inside = (multipliers.value >= 0) & (multipliers.value <= self.ceiling)
        return inside.all() & (jnp.isfinite(multipliers.exchange) & (multipliers.exchange >= 0)).all()


OMNISAFE_ASCENT = DualAscent(initial=0.001, rate=0.035, ceiling=2.0, unit="cost", adam=True)
"""Multipliers of OmniSafe's published table for FOCOPS and CUP."""
