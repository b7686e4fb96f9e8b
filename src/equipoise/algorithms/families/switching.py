"""Algorithms that switch between reward and safety."""

from __future__ import annotations

from equipoise.algorithms.algorithm import Algorithm
from equipoise.algorithms.entry import Entry, omnisafe_region
from equipoise.algorithms.rules.crpo import CRPO
from equipoise.algorithms.rules.espo import ESPO
from equipoise.algorithms.rules.pcrpo import PCRPO
from equipoise.algorithms.rules.poise import Poise
from equipoise.algorithms.steps.proximal import Proximal
from equipoise.algorithms.steps.trust_region import TrustRegion

CRPO_PAPER = "Xu, Liang & Lan, ICML 2021, arXiv 2011.05869"
PCRPO_PAPER = "Gu et al., AAAI 2024, arXiv 2405.01677"
ESPO_PAPER = "Gu et al., NeurIPS 2024, arXiv 2405.20860"

ENTRIES = {
    "crpo": Entry(Algorithm(CRPO()), CRPO_PAPER, 2021, parent="trpo", presets=omnisafe_region(CRPO(tolerance=2.0))),
    "pcrpo": Entry(Algorithm(PCRPO()), PCRPO_PAPER, 2024, parent="trpo", rests="inside"),
    "espo": Entry(Algorithm(ESPO()), ESPO_PAPER, 2024, rests="inside"),
    "poise": Entry(Algorithm(Poise(), TrustRegion(noise_share=0.3)), "equipoise, this library", 2026, parent="trpo"),
    "ppo_crpo": Entry(Algorithm(CRPO(), Proximal()), CRPO_PAPER, 2021, parent="ppo"),
    "ppo_pcrpo": Entry(Algorithm(PCRPO(), Proximal()), PCRPO_PAPER, 2024, parent="ppo", rests="inside"),
}
"""Entries by name."""
