"""Algorithms that see the task through a lens: a budget in the observation, or an episode that ends early."""

from __future__ import annotations

import dataclasses

from equipoise.algorithms.algorithm import Algorithm
from equipoise.algorithms.entry import Entry, omnisafe_proximal, omnisafe_region
from equipoise.algorithms.lenses import EarlyTermination, Lens, Saute, Simmer
from equipoise.algorithms.rules.unconstrained import Unconstrained
from equipoise.algorithms.steps.proximal import Proximal

SAUTE_PAPER = "Sootla et al., ICML 2022, arXiv 2202.06558"
SIMMER_PAPER = "Sootla et al., NeurIPS 2022, arXiv 2206.02675"
EARLY_PAPER = "Sun et al., arXiv 2107.04200"

OMNISAFE_SAUTE = Saute(unsafe_reward=-1.0, unsafe_unit="reward", budget_discount=0.999)
"""Sauté as in OmniSafe's published table."""

OMNISAFE_SIMMER = Simmer(
    first=1.0,
    lowest=0.0,
    kp=0.0005,
    ki=0.00001,
    kd=0.0,
    smoothing=0.995,
    largest_move=0.04,
    unsafe_reward=-1.0,
    unsafe_unit="reward",
    budget_discount=0.999,
)
"""Simmer as in OmniSafe's published table."""


def _region(lens: Lens) -> dict[str, Algorithm]:
    return {name: dataclasses.replace(each, lens=lens) for name, each in omnisafe_region(Unconstrained()).items()}


def _proximal(lens: Lens) -> dict[str, Algorithm]:
    return {name: dataclasses.replace(each, lens=lens) for name, each in omnisafe_proximal(Unconstrained()).items()}


def _algorithm(lens: Lens) -> Algorithm:
    return Algorithm(Unconstrained(), lens=lens)


def _proximal_algorithm(lens: Lens) -> Algorithm:
    return Algorithm(Unconstrained(), Proximal(), lens=lens)


ENTRIES = {
    "trpo_saute": Entry(_algorithm(Saute()), SAUTE_PAPER, 2022, rests="inside", presets=_region(OMNISAFE_SAUTE)),
    "ppo_saute": Entry(
        _proximal_algorithm(Saute()), SAUTE_PAPER, 2022, rests="inside", presets=_proximal(OMNISAFE_SAUTE)
    ),
    "trpo_simmer": Entry(_algorithm(Simmer()), SIMMER_PAPER, 2022, rests="inside", presets=_region(OMNISAFE_SIMMER)),
    "ppo_simmer": Entry(
        _proximal_algorithm(Simmer()), SIMMER_PAPER, 2022, rests="inside", presets=_proximal(OMNISAFE_SIMMER)
    ),
    "trpo_early": Entry(
        _algorithm(EarlyTermination()),
        EARLY_PAPER,
        2021,
        parent="trpo",
        rests="inside",
        presets=_region(EarlyTermination()),
    ),
    "ppo_early": Entry(
        _proximal_algorithm(EarlyTermination()),
        EARLY_PAPER,
        2021,
        parent="ppo",
        rests="inside",
        presets=_proximal(EarlyTermination()),
    ),
}
"""Entries by name."""
