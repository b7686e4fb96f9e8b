"""Sauté (Sootla et al., ICML 2022, arXiv 2202.06558): the budget left joins the state, and gates the reward.

Every observation ends with what is left of each constraint's budget, as a share z of it,

    z_0 = 1,    z_{t+1} = (z_t − c_t / b) / γ_s,

and from the first step that leaves z ≤ 0, the learner's reward is a constant n, low enough that nobody wants it:

    r̃_t = r_t where z_{t+1} > 0,    r̃_t = n where z_{t+1} ≤ 0.

Any algorithm without constraints then learns to stay within the budget in almost every episode, which is more than a
limit on the mean asks for: training comes to rest inside the limit. On the way it can be above: only what is lost
within the horizon of the reward's discount counts, and the critic has to learn first what an empty budget means.
Limits, estimates and evaluations remain those of the task.

With K constraints there are K budgets, and the reward is lost with the first of them. A limit of 0 is a budget that
any cost at all uses up.

Deviations:
- The limits here are on undiscounted sums, so γ_s is 1 by default: then z ≤ 0 exactly where an episode's cost has
  reached its limit. With γ_s < 1 the budget b is that of a constant cost per step, b·(1 − γ_s^H) / ((1 − γ_s)·H) for
  a horizon of H steps, as in OmniSafe, and an episode whose costs come late can pass its limit unpunished.
- z is not followed below 0, where it can never rise again and nothing depends on it; without this floor, the first
  episodes' large costs would stretch the scale by which observations are normalised, and the range from 0 to 1 would
  hardly be visible any more.
- By default n is not a number in the reward's unit but μ + n′·ρ with n′ = −2, where μ and ρ are the mean and the root
  mean square of the rewards of the iteration's steps, so that the unit of the reward does not matter. For a constant
  reward of 1 that is −1, OmniSafe's value. `unsafe_unit` = reward takes n in the reward's unit, as the paper does.
- z joins the observations that are normalised by their running mean and deviation; OmniSafe appends it afterwards.
- An episode that the task itself terminates ends the constant, too: if n < 0, a policy out of budget would rather fall.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.lenses.lens import Lens
from equipoise.numerics.scale import binary_unit
from equipoise.problem import Batch
from equipoise.settings import require, require_ranges, settings, static

Unit = Literal["relative", "reward"]
"""What the unsafe reward is measured in."""

ROUNDING = 1e-9
"""A budget of which no more than this share is left is used up: the rest is what rounding left over."""


@settings
class Saute(Lens):
    """State augmentation: the budget left joins the observation, and once it is used up a constant is the reward."""

    observes_budget: ClassVar[bool] = True

    unsafe_reward: float = -2.0
    """n, the reward of a step that leaves nothing of a budget."""
    unsafe_unit: Unit = static(default="relative")
    """relative: n counts in root mean squares of an iteration's rewards, from their mean; reward: it is the reward."""
    budget_discount: float = 1.0
    """γ_s, the discount of costs in the budget."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        check_budget(self.unsafe_reward, self)

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


def check_budget(unsafe_reward: float, lens: object) -> None:
    """Raise `UsageError` unless the unsafe reward is finite, and the budget's discount such that z stays finite."""
    require(abs(unsafe_reward) < float("inf"), f"unsafe_reward is {unsafe_reward}; allowed: a finite number")
    require_ranges(lens, budget_discount=(0.99, 1))


def spend(
    left: Float[np.ndarray, "N K"],
    cost: Float[np.ndarray, "N K"],
    limits: Float[np.ndarray, " K"],
    discount: float,
    horizon: int,
) -> Float[np.ndarray, "N K"]:
    """Charge a step's cost to the shares that are left; 0 is the least."""
    budget = limits * discounted_share(discount, horizon)
    spent = np.where(budget > 0, cost / np.where(budget > 0, budget, 1.0), np.where(cost > 0, np.inf, 0.0))
    after = (left - spent) / discount
    return np.where(after > ROUNDING, after, 0.0)


def discounted_share(discount: float, horizon: int) -> float:
    """Return the discounted sum of a constant cost over an episode, as a share of its plain sum."""
    return 1.0 if discount == 1 else (1 - discount**horizon) / (1 - discount) / horizon


def used_up(batch: Batch) -> Bool[Array, "T N"]:
    """Mark the steps that leave nothing of some budget."""
    return (batch.next_observation[..., -batch.cost.shape[-1] :] <= 0).any(-1)


def without_reward(batch: Batch, unsafe_reward: Float[Array, ""] | float, unit: Unit) -> Batch:
    """Replace the reward of the steps that leave nothing of some budget."""
    constant = jnp.asarray(unsafe_reward, jnp.float32)
    if unit == "relative":
        weight = batch.valid / batch.valid.sum()
        size = binary_unit(jnp.abs(jnp.where(batch.valid, batch.reward, 0.0)).max())
        reward = batch.reward / size
        constant = size * ((weight * reward).sum() + constant * jnp.sqrt((weight * reward**2).sum()))
    return batch._replace(reward=jnp.where(used_up(batch), constant, batch.reward))
