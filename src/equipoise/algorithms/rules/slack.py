"""Slack: the band around a limit in which PCRPO seeks a balance."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from equipoise.problem import Estimate
from equipoise.settings import require, require_ranges, settings, static

Schedule = Literal["constant", "linear", "exponential", "calibrated"]
"""How the band changes over training."""

Unit = Literal["cost", "fraction"]
"""Whether bounds are episode costs or fractions of the limit."""


@settings
class Slack:
    """The band [b + h⁻, b + h⁺] around a limit b.

    With `schedule` calibrated, h⁻ = −t·SE with t the 95 % quantile of Student's t: reward mode then needs evidence
    that the policy is inside the limit, not luck; `low` and `decay` are not used, and h⁺ is `high`. That band covers
    the noise of Ĵ but not what a step changes: where SE is small, training steps across it without ever being in it,
    and so it is not the default (numbers: docs/algorithms/pcrpo.md).
    """

    schedule: Schedule = static(default="constant")
    """constant; linear: both bounds shrink to 0 at the end of training; exponential: they shrink by `decay` e-folds;
    calibrated: h⁻ from the standard error of Ĵ."""
    low: float = -0.3
    """h⁻, at or below which distance from the limit the reward alone is improved. A band narrower than what a step
    changes is stepped over; a wider one can cost more reward, as training may rest anywhere inside it."""
    high: float = 0.0
    """h⁺, above which distance from the limit safety alone is improved. Above 0, training may rest above the limit."""
    unit: Unit = static(default="fraction")
    """Unit of both bounds: fractions of the limit, or episode costs."""
    decay: float = 5.0
    """How many e-folds an exponential schedule shrinks over training."""
    warm_up: float = 0.0
    """Share of training, from its start, in which the reward alone counts."""

    @property
    def scheduled(self) -> tuple[str, ...]:
        """Names of the settings that make the band depend on the share of training done."""
        shrinks, warms_up = self.schedule in ("linear", "exponential"), self.warm_up > 0
        return ("slack.schedule",) * shrinks + ("slack.warm_up",) * warms_up

    def check(self) -> None:
        """Raise `UsageError` naming the first value that is not allowed."""
        if self.schedule != "calibrated":
            require(
                self.low <= self.high,
                f"the slack's low bound h⁻ = {self.low} is above its high bound h⁺ = {self.high}; allowed: low ≤ high",
            )
        require(abs(self.high) < float("inf"), f"the slack's high bound h⁺ is {self.high}; allowed: a finite number")
        require_ranges(self, warm_up=(0, 1), decay=(0, float("inf")))

    def bounds(
        self, estimate: Estimate, limits: Float[Array, " K"], fraction: Float[Array, ""]
    ) -> tuple[Float[Array, " K"], Float[Array, " K"]]:
        """Return h⁻ and h⁺ of every constraint in units of the episode cost, with h⁻ ≤ h⁺."""
        unit = limits if self.unit == "fraction" else jnp.ones_like(limits)
        if self.schedule == "calibrated":
            high = self.high * unit
            return jnp.minimum(-estimate.t95 * estimate.cost_se, high), high
        if self.schedule == "linear":
            unit = unit * (1 - fraction)
        elif self.schedule == "exponential":
            unit = unit * jnp.exp(-self.decay * fraction)
        return self.low * unit, self.high * unit
