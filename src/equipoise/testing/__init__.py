"""For authors: the checks that the library's own algorithms pass, probes with known answers, and single transitions."""

from equipoise.testing.contract import CHECKS, check_algorithm
from equipoise.testing.probes import Arms, AtTheEnd, Bandit, NowOrLater, Probe, TwoLimits, Walk
from equipoise.testing.transitions import StepFrom, step_from

__all__ = [
    "CHECKS",
    "Arms",
    "AtTheEnd",
    "Bandit",
    "NowOrLater",
    "Probe",
    "StepFrom",
    "TwoLimits",
    "Walk",
    "check_algorithm",
    "step_from",
]
