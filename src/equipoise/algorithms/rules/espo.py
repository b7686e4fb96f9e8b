"""ESPO (Gu et al., NeurIPS 2024, arXiv 2405.20860): PCRPO that collects more steps where gradients oppose each other.

Modes, band and projection are PCRPO's, by the same authors. New is how many steps the next iteration collects, X being
the usual number:

    X_{n+1} = X·(1 + ζ⁺)  if the update was in balance mode and ⟨g_r, g_c⟩ < 0,
    X_{n+1} = X·(1 + ζ⁻)  otherwise, in the modes that improve reward or safety alone, too,

with ζ⁻ ≤ 0 ≤ ζ⁺: opposing gradients need more samples for a step that does justice to both, and the others need fewer.

With K constraints, gradients oppose each other if the reward's and that of any active constraint do.

Deviations:
- An iteration consists of whole episodes, so X·(1 + ζ) is rounded to a whole number of environments, at least 2: with
  20 environments to steps of 5 %.
- The first iteration collects X steps.
- Training ends with the first iteration that reaches the total number of steps, which it passes by less than one
  iteration.
- The paper tunes ζ⁺ and ζ⁻ by task, from 0 and −0.5 (HumanoidStandup, Walker2d) to 0.1 and −0.4 (HopperVelocity,
  AntVelocity) and 0.1 and −0.3 (Reacher). The default is one pair for all, that of the velocity tasks.
- The band is PCRPO's default here, not one tuned by task.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, NamedTuple

import jax.numpy as jnp
import tyro
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.direction import Direction, Region
from equipoise.algorithms.rule import BALANCE, Plan, Rule, Seen, Taken
from equipoise.algorithms.rules.pcrpo import PCRPO
from equipoise.gradients.metric import Geometry, Metric
from equipoise.gradients.projection import Combination
from equipoise.numerics.krylov import NaturalGradients
from equipoise.settings import require, require_ranges, settings


class Sizes(NamedTuple):
    """The memory: how large the next iteration is, and what decides it."""

    factor: Float[Array, ""]
    """1 + ζ of the next iteration."""
    active: Float[Array, " K"]
    """1 for the constraints that this update wanted beside the reward, else 0."""


@settings
class ESPO(Rule):
    """Efficient safe policy optimisation: PCRPO's soft switching, with larger iterations in conflict and smaller ones
    elsewhere."""

    only_on: ClassVar[str] = "TrustRegion"
    projects: ClassVar[bool] = True
    logs: ClassVar[dict[str, str]] = {"batch_factor": "steps of the next iteration, as a multiple of the usual number"}

    switch: Annotated[PCRPO, tyro.conf.arg(name="")] = PCRPO()
    """The rule that plans."""
    extra_in_conflict: float = 0.1
    """ζ⁺, by what share more steps are collected after a balance in which gradients opposed each other."""
    extra_otherwise: float = -0.4
    """ζ⁻, by what share more are collected otherwise: 0 or less, for fewer."""

    @property
    def metric(self) -> Metric:  # type: ignore[override]
        """Geometry in which gradients are compared and projected."""
        return self.switch.metric

    @property
    def scheduled(self) -> tuple[str, ...]:
        """Names of the settings that make it depend on the share of training done: the slack's."""
        return self.switch.scheduled

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        self.switch.check()
        require_ranges(self, extra_in_conflict=(0, 1))
        require(
            -1 < self.extra_otherwise <= 0,
            f"extra_otherwise is {self.extra_otherwise}; allowed: more than -1, up to 0",
        )

    def init(self, constraints: int) -> Sizes:
        """Begin with the usual number of steps."""
        return Sizes(jnp.ones((), jnp.float32), jnp.zeros(constraints, jnp.float32))

    def plan(self, memory: Sizes, seen: Seen) -> tuple[Sizes, Plan]:
        """Plan as PCRPO does."""
        plan = self.switch.plan((), seen)[1]
        return memory._replace(active=plan.wanted[0, 1:].astype(jnp.float32)), plan

    def combine(
        self, gram: Float[Array, "m m"], preference: Float[Array, " m"], wanted: Bool[Array, " m"]
    ) -> Combination:
        """Combine as PCRPO does."""
        return self.switch.combine(gram, preference, wanted)

    def direct(
        self, natural: NaturalGradients, wanted: Bool[Array, " m"], weights: Float[Array, " m"], seen: Seen, to: Region
    ) -> Direction:
        """Step as PCRPO does."""
        return self.switch.direct(natural, wanted, weights, seen, to)

    def distance(
        self,
        kl: Float[Array, ""],
        change: Float[Array, " m"],
        wanted: Bool[Array, " m"],
        seen: Seen,
    ) -> Float[Array, ""]:
        """Bound what PCRPO bounds."""
        return self.switch.distance(kl, change, wanted, seen)

    def geometry(self, natural: NaturalGradients, seen: Seen) -> Geometry:
        """Compare gradients as PCRPO does."""
        return self.switch.geometry(natural, seen)

    def after(self, memory: Sizes, taken: Taken) -> Sizes:
        """Choose the next iteration's size."""
        opposed = (taken.mode == BALANCE) & ((taken.cos < 0) & (memory.active > 0)).any()
        extra = jnp.where(opposed, self.extra_in_conflict, self.extra_otherwise)
        return memory._replace(factor=jnp.asarray(1 + extra, jnp.float32))

    def batch_factor(self, memory: Sizes) -> Float[Array, ""]:
        """Return 1 + ζ."""
        return memory.factor

    def sound(self, memory: Sizes) -> Bool[Array, ""]:
        """Tell whether the next iteration has any steps."""
        return memory.factor > 0

    def columns(self, memory: Sizes) -> dict[str, Float[Array, "..."]]:
        """Log the next iteration's size."""
        return {"batch_factor": memory.factor}
