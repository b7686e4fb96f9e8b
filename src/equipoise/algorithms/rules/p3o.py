"""P3O: penalised proximal policy optimisation (Zhang et al., IJCAI 2022, arXiv 2205.11814, eq. 13 and Algorithm 1).

The constraints become exact penalties, so that for κ no smaller than every optimal multiplier the unconstrained
problem has the constrained optimum. With ρ = π(a|s)/π_old(a|s), every minibatch descends

    L(θ) = −mean min(ρÂ, clip(ρ, 1 − ε, 1 + ε)Â) + κ·Σ_k max(0, G_k)
    G_k  =  mean max(ρÂ_k, clip(ρ, 1 − ε, 1 + ε)Â_k) + (1 − γ)(Ĵ_k − b_k)

G_k predicts by how much the new policy's cost exceeds its limit, per step; both clips are pessimistic. While it is
below 0 for every constraint, nothing is left but PPO's loss. The sum over k is the paper's own way with K constraints.

(1 − γ)(Ĵ_k − b_k) is a mean per step where Ĵ_k is a discounted sum, as in the paper. In this library Ĵ_k is the
undiscounted sum over an episode of mean length T, so (Ĵ_k − b_k)/T is what stands beside a mean of advantages over
steps; that is the default (`excess="step"`). For γ 0.99 and 1000 steps the paper's factor is ten times as large.

Deviations:

- G_k is divided by the deviation of cost k's advantages, and the reward's have deviation 1 as well: κ weighs one in its
  deviations against the other, and no unit changes a run.
- (Ĵ_k − b_k)/T instead of (1 − γ)(Ĵ_k − b_k), see above; `excess="discounted"` is the paper's.
- ρ − 1 stands for ρ in G_k: the change from the policy that acted. The mean of Â_k over all steps is 0, so that this is
  the same over a whole batch; over a minibatch of 64 the mean of ρÂ_k has an error of an eighth of a deviation, many
  times as large as the excess it is added to, and would switch the penalty on at random.
- κ is constant, as in the paper's experiments.
- OmniSafe has neither the clip nor the factor in G_k: there (preset `omnisafe`) Ĵ_k − b_k per *episode* is added to a
  surrogate per step, so that practically the sign of Ĵ_k − b_k decides alone.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.rule import BALANCE, REWARD, Minibatch, Plan, Rule, Seen, single
from equipoise.algorithms.rules.dual_ascent import in_payoffs
from equipoise.settings import require, require_positive, settings, static


class Penalty(NamedTuple):
    """What P3O remembers, for the log alone."""

    exchange: Float[Array, " K"]
    """The penalty's slope at the policy that acted, in reward per cost."""


@settings
class P3O(Rule):
    """Penalised proximal policy optimisation: an exact penalty on the predicted excess of every cost."""

    only_on: ClassVar[str] = "Proximal"
    logs: ClassVar[dict[str, str]] = {
        "penalty": "κ, in reward per cost, where the update began above the limit; else 0"
    }

    kappa: float = 20.0
    """κ, the penalty's slope; at least the optimal multiplier between advantages of deviation 1."""
    excess: Literal["step", "discounted", "episode"] = static(default="step")
    """What joins the cost's surrogate: (Ĵ − b)/T, T the mean length of an episode; discounted: (1 − γ)(Ĵ − b), as the
    paper writes it; episode: Ĵ − b, as in OmniSafe."""
    clip_cost: bool = static(default=True)
    """Whether the cost's surrogate is clipped, as in the paper."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require_positive(self, "kappa")
        require(self.kappa < float("inf"), f"kappa is {self.kappa}; allowed: a finite number")
        require(isinstance(self.clip_cost, bool), f"clip_cost is {self.clip_cost}; allowed: True or False")

    def init(self, constraints: int) -> Penalty:
        """Return what is logged before the first update."""
        return Penalty(jnp.zeros(constraints))

    def plan(self, memory: Penalty, seen: Seen) -> tuple[Penalty, Plan]:
        """Weigh reward and costs by the slope of the penalised objective at the policy that acted."""
        slope = jnp.where(seen.excess > 0, self.kappa, 0.0)
        mode = jnp.where(slope.any(), BALANCE, REWARD)
        return Penalty(in_payoffs(slope, seen)), single(mode, jnp.concatenate([jnp.ones(1), slope]))

    def loss(
        self, batch: Minibatch, weights: Float[Array, " m"], seen: Seen, clip: float | Float[Array, ""], phase: int
    ) -> Float[Array, ""]:
        """Return PPO's loss of the reward and the penalty on every cost's predicted excess."""
        reward_alone = (jnp.arange(len(weights)) == 0).astype(weights.dtype)
        excess = self.in_deviations(seen)
        change = batch.ratio - 1
        clipped = jnp.clip(batch.ratio, 1 - clip, 1 + clip) - 1 if self.clip_cost else change
        penalty = jnp.zeros(())
        for k in range(len(excess)):
            cost = -batch.advantage[:, k + 1]
            penalty += jnp.maximum(0.0, batch.mean(jnp.maximum(change * cost, clipped * cost)) + excess[k])
        return super().loss(batch, reward_alone, seen, clip, phase) + self.kappa * penalty

    def in_deviations(self, seen: Seen) -> Float[Array, " K"]:
        """Return each limit's excess in units of its cost's surrogate; 0 for a cost that does not vary."""
        if self.excess == "step":
            return seen.surrogate_excess
        factor = 1 - seen.cost_discount if self.excess == "discounted" else 1.0
        return jnp.asarray(seen.surrogate_excess * seen.estimate.length * factor, jnp.float32)

    def sound(self, memory: Penalty) -> Bool[Array, ""]:
        """Tell whether the penalty's slopes are finite and not negative."""
        return (jnp.isfinite(memory.exchange) & (memory.exchange >= 0)).all()

    def columns(self, memory: Penalty) -> dict[str, Float[Array, "..."]]:
        """Return the penalty's slopes in reward per cost."""
        return {"penalty": memory.exchange}
