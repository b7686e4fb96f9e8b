"""What a policy step needs of the distributions of actions that a policy gives, one at each of n observations."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, Int


@runtime_checkable
class Distribution(Protocol):
    """n distributions of actions; a pytree of the parameters that a policy's network decides, and so are its tangents.

    Gaussians (`numerics.gaussian`) and categorical distributions (`numerics.categorical`) are such.
    """

    def log_density(self, action: Any) -> Float[Array, "*n"]:
        """Return log π(a|s) of an action at each observation; of one of finitely many, its log-probability."""

    def divergence(self, new: Any) -> Float[Array, "*n"]:
        """Return KL(self ‖ new) at each observation, in nats."""

    def entropy(self) -> Float[Array, "*n"]:
        """Return the entropy at each observation, in nats."""

    def at(self, rows: Int[Array, " b"]) -> Any:
        """Return the distributions at some of the observations."""

    def metric(self, change: Any, weight: Float[Array, " n"]) -> Any:
        """Apply the Fisher metric in the distributions' parameters to a tangent, each observation by its weight."""
