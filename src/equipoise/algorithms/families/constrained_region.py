"""Second-order algorithms whose step itself meets the limits: a linear model of the costs inside a trust region."""

from __future__ import annotations

from equipoise.algorithms.algorithm import Algorithm
from equipoise.algorithms.entry import Entry, omnisafe_region
from equipoise.algorithms.rules.c_trpo import CTRPO
from equipoise.algorithms.rules.cpo import CPO
from equipoise.algorithms.rules.pcpo import PCPO
from equipoise.algorithms.rules.sb_trpo import SBTRPO

CPO_PAPER = "Achiam et al., ICML 2017, arXiv 1705.10528"
PCPO_PAPER = "Yang et al., ICLR 2020, arXiv 2010.03152"
SB_TRPO_PAPER = "Kanwar, Wagner & Ong, 2025, arXiv 2512.23770"
C_TRPO_PAPER = "Milosevic, Müller & Scherf, ICML 2025, arXiv 2411.02957"

ENTRIES = {
    "cpo": Entry(Algorithm(CPO()), CPO_PAPER, 2017, parent="trpo", presets=omnisafe_region(CPO())),
    "pcpo": Entry(Algorithm(PCPO()), PCPO_PAPER, 2020, parent="trpo", presets=omnisafe_region(PCPO())),
    "sb_trpo": Entry(Algorithm(SBTRPO()), SB_TRPO_PAPER, 2025, parent="trpo"),
    # Its barriers bend the trust region however far the limits are: TRPO is only what it tends to.
    "c_trpo": Entry(Algorithm(CTRPO()), C_TRPO_PAPER, 2025, rests="inside"),
}
"""Entries by name."""
