"""Algorithms: step × rule × lens, a pure (init, update) pair, and the registry of their names."""

from equipoise.algorithms.algorithm import Algorithm, LearnerState, Report, Step
from equipoise.algorithms.entry import Entry
from equipoise.algorithms.learner import CriticFit, Learner
from equipoise.algorithms.lenses import Lens, Plain
from equipoise.algorithms.registry import ALGORITHMS, FAMILIES, find_algorithm
from equipoise.algorithms.rule import MODES, Plan, Rule, Seen, Taken, single
from equipoise.algorithms.rules.balance import Balance
from equipoise.algorithms.rules.crpo import CRPO
from equipoise.algorithms.rules.pcrpo import PCRPO
from equipoise.algorithms.rules.slack import Slack
from equipoise.algorithms.rules.unconstrained import Unconstrained
from equipoise.algorithms.steps import Proximal, TrustRegion

__all__ = [
    "ALGORITHMS",
    "CRPO",
    "FAMILIES",
    "MODES",
    "PCRPO",
    "Algorithm",
    "Balance",
    "CriticFit",
    "Entry",
    "Learner",
    "LearnerState",
    "Lens",
    "Plain",
    "Plan",
    "Proximal",
    "Report",
    "Rule",
    "Seen",
    "Slack",
    "Step",
    "Taken",
    "TrustRegion",
    "Unconstrained",
    "find_algorithm",
    "single",
]
