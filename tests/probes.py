"""The probes that the library ships for authors of algorithms."""

from equipoise.testing.probes import AtTheEnd, Bandit, NowOrLater, Probe, TwoLimits, Walk

__all__ = ["AtTheEnd", "Bandit", "NowOrLater", "Probe", "TwoLimits", "Walk"]
