"""What all algorithms share: networks, discounts, advantages and the critics' fit."""

from __future__ import annotations

from typing import Literal

from equipoise.settings import require, require_positive, require_ranges, settings, static

CostAdvantages = Literal["standardised", "centred"]
"""What happens to the advantages of costs before an update."""


@settings
class CriticFit:
    """How the reward critic and the cost critics are fitted, all at once."""

    learning_rate: float = 1e-3
    """Adam's learning rate."""
    epochs: int = static(default=10)
    """Passes over an iteration's steps."""
    minibatch_size: int = static(default=128)
    """Steps in a minibatch."""
    l2: float = static(default=0.0)
    """Weight of the sum of the networks' squared parameters in the loss."""

    def check(self) -> None:
        """Raise `UsageError` naming the first value that is not allowed."""
        require_positive(self, "learning_rate")
        require_ranges(self, epochs=(1, float("inf")), minibatch_size=(1, float("inf")), l2=(0, float("inf")))


@settings
class Learner:
    """Networks, discounts, advantages and critics."""

    discount: float = 0.99
    """γ of the reward."""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation for the reward."""
    cost_discount: float = 0.99
    """γ_c of the costs. Limits are on undiscounted sums; a low γ_c can trade a cost now for a larger one later."""
    cost_gae_lambda: float = 0.95
    """λ of generalised advantage estimation for the costs."""
    cost_advantages: CostAdvantages = static(default="standardised")
    """standardised: a cost's advantages are centred and scaled to deviation 1, so that its unit does not matter;
    centred: they keep its unit, as in OmniSafe."""
    hidden: tuple[int, ...] = static(default=(64, 64))
    """Widths of the hidden layers of the policy and of each critic."""
    log_std: float = -0.5
    """Initial log of the standard deviation of continuous actions, in units of half an action's range."""
    log_std_floor: float = -20.0
    """That log standard deviation never falls below this; −20 is as good as no floor."""
    critic: CriticFit = CriticFit()
    """The critics' fit."""

    def check(self) -> None:
        """Raise `UsageError` naming the first value that is not allowed."""
        require_ranges(self, discount=(0, 1), gae_lambda=(0, 1), cost_discount=(0, 1), cost_gae_lambda=(0, 1))
        require(all(width >= 1 for width in self.hidden), f"hidden is {self.hidden}; allowed: widths of 1 or more")
        self.critic.check()
