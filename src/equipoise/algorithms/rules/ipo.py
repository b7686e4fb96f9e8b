"""IPO: interior-point policy optimisation (Liu, Ding & Liu, AAAI 2020, arXiv 1910.09615, eq. 6 and Algorithm 1).

A logarithmic barrier keeps the policy inside its limits, as in interior-point methods:

    maximise  L_CLIP(θ) + Σ_k κ·log(b_k − J_k(θ)),     κ = 1/t

so that the gradient at the policy that acted is the reward's minus Σ_k κ/(b_k − Ĵ_k) times each cost's. The sum over k
is the paper's own way with K constraints. Here margins are relative, m_k = 1 − Ĵ_k/b_k, the reward's and the costs'
advantages have deviation 1, and PPO's clipped surrogate ascends

    Â − Σ_k w_k Â_k,     w_k = min(κ·max(0, 1/m_k − 1/m₀), w_max)

Where a limit is violated the barrier is infinite and the paper leaves open what to do. Here the first phase of
an interior-point method takes over, which looks for a feasible point: while any limit is violated the reward has weight
0, a violated cost weight w_max, and the others keep their barriers. Ĵ_k = b_k is not violated; there w_k = w_max. A
limit of 0 can only be met exactly.

Deviations:

- Relative margins, and the barrier's slope is a weight between advantages of deviation 1: no unit changes a run. The
  paper's κ/(b − Ĵ) has the unit of one over a cost (`unit="cost"`). OmniSafe's κ of 0.01 is for that unit.
- The barrier is only felt where the margin is below m₀ (`reach`), half of the limit; the paper's is felt everywhere, if
  little. So the update is PPO's, bit for bit, while every Ĵ_k is well below its limit.
- The slope has a ceiling w_max, as in OmniSafe: near the limit Ĵ is less exact than the barrier is steep.
- The slope is taken at the policy that acted and held for the update. The paper writes the barrier of J_k(θ) and leaves
  open how that is estimated while θ moves.
- Violated limits: cost reduction alone, see above. OmniSafe goes on with the reward and w_max for the cost (preset
  `omnisafe`, `restore=False`).
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.rule import BALANCE, REWARD, SAFETY, Plan, Rule, Seen, single
from equipoise.algorithms.rules.dual_ascent import in_payoffs
from equipoise.settings import require, require_positive, settings, static


class Barrier(NamedTuple):
    """What IPO remembers, for the log alone."""

    exchange: Float[Array, " K"]
    """The barriers' slopes, in reward per cost."""


@settings
class IPO(Rule):
    """Interior-point policy optimisation: a logarithmic barrier inside the limits, cost reduction outside."""

    logs: ClassVar[dict[str, str]] = {
        "multiplier": "the barrier's slope w, in reward per cost; its ceiling where the limit is violated"
    }

    kappa: float = 0.05
    """κ = 1/t, the barrier's height. Training rests about κ/w* inside the limit, w* the optimal multiplier."""
    max_penalty: float = 1.0
    """w_max, the largest weight of a cost beside the reward's 1."""
    reach: float = 0.5
    """m₀, the margin below which the barrier is felt, in the unit of margins; inf: everywhere, as in the paper."""
    unit: Literal["fraction", "cost"] = static(default="fraction")
    """Unit of margins: fractions of the limit, or episode costs."""
    restore: bool = static(default=True)
    """Whether the reward waits while a limit is violated; without it the cost has weight `max_penalty` beside it."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require_positive(self, "kappa", "max_penalty", "reach")
        require(self.max_penalty < float("inf"), f"max_penalty is {self.max_penalty}; allowed: a finite number")
        require(isinstance(self.restore, bool), f"restore is {self.restore}; allowed: True or False")

    def init(self, constraints: int) -> Barrier:
        """Return what is logged before the first update."""
        return Barrier(jnp.zeros(constraints))

    def plan(self, memory: Barrier, seen: Seen) -> tuple[Barrier, Plan]:
        """Weigh each cost by its barrier's slope, or restore feasibility."""
        violated = seen.excess > 0
        slope = self.slope(seen)
        reward = jnp.where(violated.any() & self.restore, 0.0, 1.0)
        mode = jnp.where(reward == 0, SAFETY, jnp.where(slope.any(), BALANCE, REWARD))
        return Barrier(in_payoffs(slope, seen)), single(mode, jnp.concatenate([reward[None], slope]))

    def slope(self, seen: Seen) -> Float[Array, " K"]:
        """Return w_k: the barrier's slope, w_max at the limit and beyond."""
        margin = -(seen.relative_excess if self.unit == "fraction" else seen.excess)
        steepness = self.kappa * jnp.maximum(1 / jnp.where(margin > 0, margin, 1.0) - 1 / self.reach, 0.0)
        return jnp.where(margin > 0, jnp.minimum(steepness, self.max_penalty), self.max_penalty)

    def sound(self, memory: Barrier) -> Bool[Array, ""]:
        """Tell whether the slopes are finite and not negative."""
        return (jnp.isfinite(memory.exchange) & (memory.exchange >= 0)).all()

    def columns(self, memory: Barrier) -> dict[str, Float[Array, "..."]]:
        """Return the barriers' slopes in reward per cost."""
        return {"multiplier": memory.exchange}
