"""What a policy step reports, and what became of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Array, Float, Int

from equipoise.policy import Policy

OUTCOMES = ("accepted", "stationary", "rejected", "stationary, then fallback", "rejected, then fallback")
"""What became of an update, in the order of `StepReport.outcome`."""


class StepReport(NamedTuple):
    """What a policy step saw and did."""

    mode: Int[Array, ""]
    """Index into `rule.MODES`."""
    outcome: Int[Array, ""]
    """Index into `OUTCOMES`."""
    cos: Float[Array, " K"]
    """cos φ of the reward's and each cost's gradient in the algorithm's metric; they conflict below 0."""
    weights: Float[Array, " m"]
    """What the objectives weighed in the step, up to a common factor; all 0 where none was taken."""
    gain: Float[Array, " m"]
    """First-order change per episode of every objective along the step taken; up is better."""
    kl: Float[Array, ""]
    """Mean KL divergence from the old policy to the new."""
    own: dict[str, Array]
    """What this kind of step logs besides, by column: K numbers are one per constraint, m one per objective."""


class Improved(NamedTuple):
    """What a policy step returns."""

    policy: Policy
    """The new policy."""
    state: Any
    """The step's own memory: an optimiser's moments, say."""
    report: StepReport
    """What happened."""
