"""The Lagrangian method: one multiplier for each limit, which rises while the limit is violated.

With a trust region and with clipping it is TRPO-Lagrangian and PPO-Lagrangian (Ray, Achiam & Amodei, Benchmarking
safe exploration in deep reinforcement learning, 2019). With the whole natural-gradient step it is RCPO (Tessler,
Mankowitz & Mannor, ICLR 2019, arXiv 1805.11074), with the plain policy gradient primal-dual optimisation
(PDO: Chow, Ghavamzadeh, Janson & Pavone, JMLR 18, 2018, arXiv 1512.01629, Algorithm 1, with mean costs in place of
CVaR).

    max over π, min over λ ≥ 0 of   J_r(π) − Σ_k λ_k (J_k(π) − b_k)

    λ_k ← clip(λ_k + s_k Adam((Ĵ_k − b_k)/b_k), 0, upper · s_k)   first, from the episodes of this update
    π   ← a step up  (A_r − Σ_k λ_k A_k) / (1 + Σ_k λ_k)          then, weighed with the new λ
    s_k = S_r / S_k,   S_i ← max(σ_i, 0.9 S_i),   σ_i = std(A_i) · mean length of an episode

Adam is that of optax with its usual averages (0.9, 0.999). s_k is how much more the reward's advantages vary than the
cost's, and A_i are advantages of standard deviation 1 with λ_k σ_k/σ_r in place of λ_k, which is the same sum divided
by the reward's spread. Where every λ is 0 the step is, bit for bit, that of the reward alone.

There is one multiplier for each of the K limits, each moved by its own violation with its own averages. A limit of 0
has no relative violation: its violation is Ĵ_k itself.

Deviations:
- λ is kept in reward per cost and moves in steps of s_k by the relative violation, so that a run does not depend on
  the units of reward and costs. `scaling` published keeps it in units of the advantages and moves it by Ĵ_k − b_k.
- λ does not live in units of a batch's standardised advantages by default: those change as the policy moves, and in
  them λ alone decides no policy. Where cost and reward oppose each other fully, Adam then swings about the limit ever
  further.
- At a bound, a violation that would push λ out of it counts as 0 in Adam's averages. Otherwise many updates inside of
  the limit would have to be made up for before λ starts to rise. Not with `scaling` published.
- Ĵ_k is the mean over this update's episodes, not over the last 100.
- RCPO and PDO move λ by plain gradient ascent on a slower time scale in their papers; here by Adam, as in OmniSafe.
- RCPO's penalised reward r − Σλ_k c_k is not given to one critic: every cost has a critic and advantages of its own,
  which is the same where discounts are, and does not make the critic's target move with λ.
- The default learning rate was chosen in runs of 25 updates on one robot. On a bandit λ swings with it for a long time;
  a lower one settles sooner there, but leaves a limit violated for longer at first.
- λ starts at 0, not at 0.001, so that costs do not count before a limit is violated, and its learning rate is 0.3,
  not 0.035. The preset `omnisafe` has those.
"""

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
