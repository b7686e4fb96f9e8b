"""The probes that the library ships for authors of algorithms."""

from equipoise.testing.probes import Arms, AtTheEnd, Bandit, NowOrLater, Probe, TwoLimits, Walk

__all__ = ["Arms", "AtTheEnd", "Bandit", "NowOrLater", "Probe", "TwoLimits", "Walk"]
