"""The PID Lagrangian (Stooke, Achiam & Abbeel, ICML 2020, arXiv 2007.03964, Algorithm 2): the multiplier is the
output of a proportional, integral and derivative controller of the violation. The Lagrangian method alone is its
integral part, which answers a violation a quarter of a swing too late; the other parts damp that.

    Δ   = (Ĵ − b)/b                                        violation
    P   ← α_P P + (1 − α_P) Δ                              smoothed
    I   ← clip(I + K_I s Δ, 0, upper · s)                  integral, never below 0
    D   = [Δ̄ − Δ̄ of `delay` updates ago]₊                  Δ̄ ← α_D Δ̄ + (1 − α_D) Δ;  rises only
    λ   = clip(s (K_P P + K_D D) + I, 0, upper · s)
    π   ← a step up  (A_r − Σ_k λ_k A_k) / (1 + Σ_k λ_k)
    s   = S_r / S_k,   S_i ← max(σ_i, 0.9 S_i),   σ_i = std(A_i) · mean length of an episode

Ĵ is the mean over the episodes of this update, and λ weighs the same update. s is how much more the reward's
advantages vary than the cost's, and A_i are advantages of standard deviation 1 with λ_k σ_k/σ_r in place of λ_k,
which is the same sum divided by the reward's spread. Before the first update P and Δ̄ have no past: they start at the
first violation. Where every λ is 0 the step is, bit for bit, that of the reward alone.

There is one controller for each of the K limits, with the same gains. A limit of 0 has no relative violation: its
violation is Ĵ_k itself.

Deviations:
- λ is kept in reward per cost and moves in steps of s_k by the relative violation, so that a run does not depend on
  the units of reward and costs. `scaling` published keeps it in units of the advantages and moves it by Ĵ_k − b_k.
- The integral is bounded above as well as below, so that it does not wind up while λ is at its upper bound.
- K_I multiplies the violation before it is summed, not the sum: the same while K_I is constant.
- P and the derivative's average start at the first violation, not at 0, so that there is no rise to see at once.
- The derivative is of the violation, not of the cost: the same while the limit is constant.
- The default gains are 0.3, 0.1 and 0 on relative violations without smoothing, for runs of some tens to hundreds of
  updates. The preset `omnisafe` has its 0.1, 0.01 and 0.01 on violations in cost, with averages of 0.95 and a delay
  of 10.
- OmniSafe does not apply the upper bound where the loss is divided by 1 + λ; here it always holds.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.rule import Plan, Rule, Seen
from equipoise.algorithms.rules.multiplier import Scaling, fade, units, within
from equipoise.settings import require, require_positive, require_ranges, settings, static


class Control(NamedTuple):
    """What the controller remembers."""

    updates: Float[Array, ""]
    """Updates seen."""
    integral: Float[Array, " K"]
    """K_I Σ violation, from 0 to the upper bound."""
    proportional: Float[Array, " K"]
    """The smoothed violation."""
    past: Float[Array, "D K"]
    """The violation as smoothed for the derivative, of the last D updates, oldest first."""
    multiplier: Float[Array, " K"]
    """λ."""
    spread: Float[Array, " m"]
    """The largest spread seen of every objective's advantages, faded."""
    logged: Float[Array, " K"]
    """λ in reward per cost."""


@settings
class PID:
    """A controller of multipliers: proportional to the violation, its sum and its rise, one for each limit."""

    kp: float = 0.3
    """K_P, by how much λ follows the violation at once."""
    ki: float = 0.1
    """K_I, by how much it follows the sum of violations."""
    kd: float = 0.0
    """K_D, by how much it follows a rise of the cost."""
    delay: int = static(default=10)
    """D, the updates over which that rise is taken."""
    smooth_p: float = 0.0
    """Share of the old value in the exponential average of the violation that K_P takes."""
    smooth_d: float = 0.0
    """The same in that of the cost that K_D takes."""
    initial: float = 0.0
    """The integral before the first update; 0 unless `scaling` is published."""
    upper: float = 100.0
    """The largest λ, and the largest integral."""
    scaling: Scaling = static(default="invariant")
    """invariant: λ is kept in reward per cost and follows (Ĵ − b)/b, so that the units of reward and costs do not
    matter; published: λ is a weight of the advantages as they are and follows Ĵ − b."""

    def check(self) -> None:
        """Raise `UsageError` naming the first value that is not allowed."""
        finite = (0, 1e30)
        require_ranges(self, kp=finite, ki=finite, kd=finite, delay=(1, 10_000), smooth_p=(0, 1), smooth_d=(0, 1))
        require(self.smooth_p < 1 and self.smooth_d < 1, "smooth_p or smooth_d is 1; allowed: below 1")
        require_positive(self, "upper")
        require_ranges(self, upper=(0, 1e30), initial=(0, self.upper if self.scaling == "published" else 0))

    def init(self, constraints: int) -> Control:
        """Return the controller before the first update."""
        zero = jnp.zeros(constraints)
        start = jnp.full(constraints, self.initial, jnp.float32)
        past = jnp.zeros((self.delay, constraints))
        return Control(jnp.zeros(()), start, zero, past, start, jnp.zeros(1 + constraints), zero)

    def control(self, before: Control, seen: Seen) -> tuple[Control, Plan]:
        """Return the controller after one more update, and the plan that weighs the objectives with its multipliers."""
        spread = fade(before.spread, seen)
        unit = units(spread, seen, self.scaling)
        now, most = unit.violation, self.upper * unit.step
        first = before.updates == 0
        past = jnp.where(first, now, before.past)
        smoothed = self.smooth_d * past[-1] + (1 - self.smooth_d) * now
        proportional = jnp.where(first, now, self.smooth_p * before.proportional + (1 - self.smooth_p) * now)
        integral = jnp.clip(before.integral + self.ki * unit.step * now, 0.0, most)
        rise = jnp.maximum(smoothed - past[0], 0.0)
        multiplier = jnp.clip(unit.step * (self.kp * proportional + self.kd * rise) + integral, 0.0, most)
        past = jnp.concatenate([past[1:], smoothed[None]])
        logged = multiplier * unit.reward_per_cost
        control = Control(before.updates + 1, integral, proportional, past, multiplier, spread, logged)
        return control, unit.plan(multiplier)


@settings
class PIDLagrangian(Rule):
    """The Lagrangian method with a PID controller of the multipliers."""

    logs: ClassVar[dict[str, str]] = {"multiplier": "λ used in this update, reward per cost"}

    multiplier: PID = PID()
    """How λ follows the violation."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        self.multiplier.check()

    def init(self, constraints: int) -> Control:
        """Start every integral at its initial value."""
        return self.multiplier.init(constraints)

    def plan(self, memory: Control, seen: Seen) -> tuple[Control, Plan]:
        """Let the controller see the violations just measured, then weigh reward and costs with its multipliers."""
        return self.multiplier.control(memory, seen)

    def sound(self, memory: Control) -> Bool[Array, ""]:
        """Tell whether every multiplier and every integral is from 0 to the upper bound."""
        scaling, upper = self.multiplier.scaling, self.multiplier.upper
        kept = (memory.multiplier, memory.integral)
        return jnp.stack([within(values, memory.spread, scaling, upper) for values in kept]).all()

    def columns(self, memory: Control) -> dict[str, Float[Array, "..."]]:
        """Return the multipliers."""
        return {"multiplier": memory.logged}
