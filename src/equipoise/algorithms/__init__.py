"""Algorithms: one file each, an (init, update) pair composed from a policy step and a constraint handler."""

from __future__ import annotations

from collections.abc import Callable

from equipoise.algorithms.algorithm import Algorithm, Handler, LearnerState, Report, make_algorithm
from equipoise.algorithms.crpo import CRPO
from equipoise.algorithms.pcrpo import PCRPO
from equipoise.algorithms.settings import Balance, CriticFit, Learner, TrustRegion
from equipoise.algorithms.slack import Slack
from equipoise.algorithms.trpo import TRPO
from equipoise.errors import unknown

ALGORITHMS: dict[str, type[Handler]] = {"trpo": TRPO, "crpo": CRPO, "pcrpo": PCRPO}
"""Every algorithm of the library by name. The tests run over this registry, so nothing in it can opt out."""


def find_algorithm(name: str) -> Callable[..., Handler]:
    """Return the settings class of the algorithm `name`; `UsageError` naming the nearest if there is none."""
    try:
        return ALGORITHMS[name]
    except KeyError:
        raise unknown("algorithm", name, ALGORITHMS) from None


__all__ = [
    "ALGORITHMS",
    "CRPO",
    "PCRPO",
    "TRPO",
    "Algorithm",
    "Balance",
    "CriticFit",
    "Handler",
    "Learner",
    "LearnerState",
    "Report",
    "Slack",
    "TrustRegion",
    "find_algorithm",
    "make_algorithm",
]
