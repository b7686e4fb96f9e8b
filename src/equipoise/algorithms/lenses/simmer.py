"""Simmer (Sootla et al., NeurIPS 2022, arXiv 2206.02675): Sauté with a budget that a controller moves to the limit.

As in Sauté (Sootla et al., ICML 2022, arXiv 2202.06558), every observation ends with what is left of each constraint's
budget, as a share z of the limit b, and from the first step that leaves z ≤ 0 the learner's reward is a constant n. But
an episode begins with a part of the limit only, the budget d:

    z_0 = d / b,    z_{t+1} = (z_t − c_t / b) / γ_s;    r̃_t = r_t where z_{t+1} > 0,    r̃_t = n where z_{t+1} ≤ 0.

d is small at first. After every iteration, a PID controller moves it by how far the episodes' cost Ĵ stayed
inside the limit, as a share of that:

    e ← σ·e + (1 − σ)·max((b − Ĵ) / b, −1),    Δ = K_p·e + K_i·Σe + K_d·(e − e_before),
    d ← clip(d + b·clip(Δ, −Δ_max, Δ_max), d_min, b).

So while the mean cost is within the limit the budget grows, up to the limit, and while it is not the budget shrinks.
A run whose first policy is outside the limit begins with a budget that shrinks to its lowest, and learns to cost next
to nothing before it is given more.

Each of K constraints has a budget and a controller of its own. A limit of 0 is a budget that any cost at all uses up,
whatever its controller does.

Deviations:
- The limits here are on undiscounted sums, so γ_s is 1 by default. With γ_s < 1, b in the formula for z is multiplied
  by (1 − γ_s^H) / ((1 − γ_s)·H) for a horizon of H steps, as in OmniSafe: the budget of a constant cost per step.
- z is not followed below 0, where it can never rise again and nothing depends on it.
- By default n is not a number in the reward's unit but μ + n′·ρ with n′ = −2, where μ and ρ are the mean and the root
  mean square of the rewards of the iteration's steps, so that the unit of the reward does not matter.
- z joins the observations that are normalised by their running mean and deviation; OmniSafe appends it afterwards.
- The reference of the controller is the limit. The paper gives it a schedule of references; OmniSafe takes the present
  budget, and then a policy whose cost is always a little above its budget loses all of it, however far inside the limit
  it is.
- Errors and moves are shares of the limit, so that its unit does not matter, and an error is at least −1: costs far
  above a limit do not hold the budget down long after they have fallen. OmniSafe's errors are in the cost's unit and
  have no bound; its gains are the same numbers here, and its largest move of 1 is 0.04 of its limit of 25.
- Σe runs over all iterations, but leaves out errors in whose direction the budget is at a bound or already makes the
  largest move; OmniSafe sums the last ten errors.
- K_d is on the change of the error; in OmniSafe it is on what the bounds left of the last move.
- The budget never falls below `lowest`, by default a twentieth of the limit. With nothing to begin with, every reward
  would be the same constant, no policy would be better than another, and the budget could not rise again.
- The defaults begin with a quarter of the limit and can reach it in 15 iterations; OmniSafe's published settings
  (preset `omnisafe`) begin with the whole limit, with gains so small that the budget hardly moves.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equipoise.algorithms.lenses.lens import Lens
from equipoise.algorithms.lenses.saute import Unit, check_budget, spend, without_reward
from equipoise.problem import Batch
from equipoise.settings import require, require_ranges, settings, static


class Controller(NamedTuple):
    """The controller's memory, one number per constraint."""

    share: Float[Array, " K"]
    """d/b."""
    error: Float[Array, " K"]
    """e."""
    integral: Float[Array, " K"]
    """Σe."""


@settings
class Simmer(Lens):
    """Sauté with a budget that begins small and is moved towards the limit by a PID controller."""

    observes_budget: ClassVar[bool] = True
    logs: ClassVar[dict[str, str]] = {
        "budget_share": "what an episode may cost in the next iteration before its reward is lost, as a share of the "
        "limit"
    }

    first: float = 0.25
    """d/b in the first iteration."""
    lowest: float = 0.05
    """d/b never falls below this; it can end at 0 for good, so that is better avoided."""
    kp: float = 0.05
    """K_p, gain of the error."""
    ki: float = 0.005
    """K_i, gain of the sum of errors."""
    kd: float = 0.0
    """K_d, gain of the error's change."""
    smoothing: float = 0.5
    """σ, weight of the errors before in the exponential average of the error."""
    largest_move: float = 0.05
    """Δ_max, the largest move of d/b in one iteration."""
    unsafe_reward: float = -2.0
    """n, the reward of a step that leaves nothing of a budget."""
    unsafe_unit: Unit = static(default="relative")
    """relative: n counts in root mean squares of an iteration's rewards, from their mean; reward: it is the reward."""
    budget_discount: float = 1.0
    """γ_s, the discount of costs in the budget."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        infinity = float("inf")
        check_budget(self.unsafe_reward, self)
        require(0 < self.first <= 1, f"first is {self.first}; allowed: more than 0, up to 1")
        require_ranges(self, lowest=(0, self.first), kp=(0, infinity), ki=(0, infinity), kd=(0, infinity))
        require_ranges(self, largest_move=(0, 1))
        require(0 <= self.smoothing < 1, f"smoothing is {self.smoothing}; allowed: 0 or more, less than 1")

    def init(self, limits: Float[Array, " K"]) -> Controller:
        """Begin with the first budget and no error."""
        zero = jnp.zeros(len(limits), jnp.float32)
        return Controller(zero + self.first, zero, zero)

    def start(self, memory: Controller, limits: Float[Array, " K"]) -> Float[Array, " K"]:
        """Return z_0."""
        return memory.share

    def left(
        self,
        left: Float[np.ndarray, "N K"],
        cost: Float[np.ndarray, "N K"],
        limits: Float[np.ndarray, " K"],
        horizon: int,
    ) -> Float[np.ndarray, "N K"]:
        """Return z_{t+1} for z_t = `left`."""
        return spend(left, cost, limits, self.budget_discount, horizon)

    def reshape(self, batch: Batch, limits: Float[Array, " K"]) -> Batch:
        """Replace the reward where no budget is left."""
        return without_reward(batch, self.unsafe_reward, self.unsafe_unit)

    def after(self, memory: Controller, cost: Float[Array, " K"], limits: Float[Array, " K"]) -> Controller:
        """Move the budget."""
        inside = jnp.maximum(jnp.asarray((limits - cost) / jnp.where(limits > 0, limits, 1.0), jnp.float32), -1.0)
        error = self.smoothing * memory.error + (1 - self.smoothing) * inside
        integral = memory.integral + error
        move = self.kp * error + self.ki * integral + self.kd * (error - memory.error)
        wished = memory.share + jnp.clip(move, -self.largest_move, self.largest_move)
        share = jnp.clip(wished, self.lowest, 1.0)
        no_more = ((wished >= 1) | (move >= self.largest_move)) & (error > 0)
        no_less = ((wished <= self.lowest) | (move <= -self.largest_move)) & (error < 0)
        return Controller(share, error, jnp.where(no_more | no_less, memory.integral, integral))

    def columns(self, memory: Controller) -> dict[str, Float[Array, "..."]]:
        """Log the budgets."""
        return {"budget_share": memory.share}
