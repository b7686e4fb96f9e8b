"""Balance: how the reward's and the active constraints' gradients become one direction."""

from __future__ import annotations

from equipoise.gradients.aggregators import find
from equipoise.settings import require, settings, static


@settings
class Balance:
    """How the reward's and the active constraints' gradients become one direction."""

    aggregator: str = static(default="pcrpo")
    """The aggregator that combines them, by name; MODULE:NAME for one of your own that MODULE registers."""

    def check(self) -> None:
        """Raise `UsageError`, naming the nearest, for an aggregator that is not registered."""
        require(isinstance(self.aggregator, str), f"aggregator is {self.aggregator!r}; allowed: a name, as in 'cagrad'")
        find(self.aggregator)
