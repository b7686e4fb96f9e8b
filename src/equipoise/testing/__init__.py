"""For authors of algorithms: the checks that the library's own algorithms pass, and probes with known answers."""

from equipoise.testing.contract import CHECKS, check_algorithm
from equipoise.testing.probes import AtTheEnd, Bandit, NowOrLater, Probe, TwoLimits, Walk

__all__ = ["CHECKS", "AtTheEnd", "Bandit", "NowOrLater", "Probe", "TwoLimits", "Walk", "check_algorithm"]
