"""Settings that an algorithm is made of, and how they enter the compiled update."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar, dataclass_transform, get_type_hints

import jax
import tyro

from equipoise.errors import UsageError
from equipoise.gradients.aggregators import find

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def settings(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass whose float fields and nested settings are traced by JAX, and the rest static.

    So a new limit, slack or discount does not recompile the update, and a new number of iterations does.
    """
    made = dataclasses.dataclass(frozen=True)(cls)
    hints = get_type_hints(made)
    names = [f.name for f in dataclasses.fields(made)]  # type: ignore[arg-type]
    traced = [name for name in names if hints[name] is float or hasattr(hints[name], "__dataclass_fields__")]
    static = [name for name in names if name not in traced]

    def flatten(value: T) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        leaves = [(jax.tree_util.GetAttrKey(name), getattr(value, name)) for name in traced]
        return leaves, tuple(getattr(value, name) for name in static)

    def unflatten(fixed: tuple[Any, ...], leaves: Iterable[Any]) -> T:
        value = object.__new__(made)  # not through __init__: inside the update the floats are tracers
        for name, leaf in zip((*traced, *static), (*leaves, *fixed), strict=True):
            object.__setattr__(value, name, leaf)
        return value

    jax.tree_util.register_pytree_with_keys(made, flatten, unflatten)
    return made


def require(holds: bool, otherwise: str) -> None:
    """Raise `UsageError` with the message `otherwise` unless the condition holds."""
    if not holds:
        raise UsageError(otherwise)


@settings
class TrustRegion:
    """The natural-gradient step and its line search."""

    max_kl: float = 0.05
    """δ, the largest mean KL divergence (nats, of the whole action) between the old policy and the new."""
    damping: float = 0.1
    """λ, added to the Fisher matrix's diagonal."""
    cg_iterations: int = 10
    """Block Lanczos iterations, each one Fisher-vector product an objective."""
    fisher_every: int = 2
    """The Fisher matrix is taken over every so many time steps of the samples; gradients and divergences over all."""
    backtrack: float = 0.8
    """Factor by which the line search shortens a step that it does not accept."""
    backtracks: int = 15
    """How often it does so before it rejects the direction."""
    min_sin2_phi: float = 1e-3
    """sin²φ below which objectives are taken to have no common direction of ascent."""
    allowed_loss: float = 0.1
    """Loss, in standard errors of an objective's surrogate, that the line search lets it suffer."""

    def check(self) -> None:
        """Raise `UsageError` naming the first value that is not allowed."""
        require(self.max_kl > 0, f"max_kl is {self.max_kl}; allowed: more than 0")
        require(self.damping > 0, f"damping is {self.damping}; allowed: more than 0")
        require(self.cg_iterations >= 1, f"cg_iterations is {self.cg_iterations}; allowed: 1 or more")
        require(self.fisher_every >= 1, f"fisher_every is {self.fisher_every}; allowed: 1 or more")
        require(0 < self.backtrack < 1, f"backtrack is {self.backtrack}; allowed: between 0 and 1")
        require(0 <= self.min_sin2_phi <= 1, f"min_sin2_phi is {self.min_sin2_phi}; allowed: from 0 to 1")
        require(self.allowed_loss >= 0, f"allowed_loss is {self.allowed_loss}; allowed: 0 or more")
        require(self.backtracks >= 0, f"backtracks is {self.backtracks}; allowed: 0 or more")


@settings
class Balance:
    """How the reward's and the active constraints' gradients become one direction."""

    aggregator: str = "pcrpo"
    """The aggregator that combines them, by name; MODULE:NAME for one of your own that MODULE registers."""

    def check(self) -> None:
        """Raise `UsageError`, naming the nearest, for an aggregator that is not registered."""
        require(isinstance(self.aggregator, str), f"aggregator is {self.aggregator!r}; allowed: a name, as in 'cagrad'")
        find(self.aggregator)


@settings
class CriticFit:
    """How the reward critic and the cost critics are fitted, all at once."""

    learning_rate: float = 1e-3
    """Adam's learning rate."""
    epochs: int = 10
    """Passes over an iteration's steps."""
    minibatch_size: int = 128
    """Steps in a minibatch."""

    def check(self) -> None:
        """Raise `UsageError` naming the first value that is not allowed."""
        require(self.learning_rate > 0, f"learning_rate is {self.learning_rate}; allowed: more than 0")
        require(self.epochs >= 1, f"epochs is {self.epochs}; allowed: 1 or more")
        require(self.minibatch_size >= 1, f"minibatch_size is {self.minibatch_size}; allowed: 1 or more")


@settings
class Learner:
    """What all algorithms share: networks, discounts, critics and the trust region."""

    discount: float = 0.99
    """γ of the reward."""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation for the reward."""
    cost_discount: float = 0.99
    """γ_c of the costs. Limits are on undiscounted sums; a low γ_c can trade a cost now for a larger one later."""
    cost_gae_lambda: float = 0.95
    """λ of generalised advantage estimation for the costs."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of the policy and of each critic."""
    log_std: float = -0.5
    """Initial log of the policy's standard deviation, in units of half an action's range."""
    log_std_floor: float = -20.0
    """That log standard deviation never falls below this; −20 is as good as no floor."""
    trust_region: TrustRegion = TrustRegion()
    """The policy's step."""
    critic: CriticFit = CriticFit()
    """The critics' fit."""

    def check(self) -> None:
        """Raise `UsageError` naming the first value that is not allowed."""
        for name in ("discount", "gae_lambda", "cost_discount", "cost_gae_lambda"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"{name} is {value}; allowed: from 0 to 1")
        require(all(width >= 1 for width in self.hidden), f"hidden is {self.hidden}; allowed: widths of 1 or more")
        self.trust_region.check()
        self.critic.check()


LearnerField = Annotated[Learner, tyro.conf.arg(name="")]
"""A `learner` whose fields appear on the command line without a prefix."""
