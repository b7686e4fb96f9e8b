"""First-order algorithms with a penalty, a projection or a barrier in the loss."""

from __future__ import annotations

import math
from dataclasses import replace

from equipoise.algorithms.algorithm import Algorithm
from equipoise.algorithms.entry import OMNISAFE_PROXIMAL, OMNISAFE_PROXIMAL_LEARNER, Entry, omnisafe_proximal
from equipoise.algorithms.rules.cup import CUP
from equipoise.algorithms.rules.dual_ascent import OMNISAFE_ASCENT
from equipoise.algorithms.rules.focops import FOCOPS
from equipoise.algorithms.rules.ipo import IPO
from equipoise.algorithms.rules.p3o import P3O
from equipoise.algorithms.steps.proximal import Proximal

FOCOPS_PAPER = "Zhang, Vuong & Ross, NeurIPS 2020, arXiv 2002.06506"
CUP_PAPER = "Yang et al., NeurIPS 2022, arXiv 2209.07089"
P3O_PAPER = "Zhang et al., IJCAI 2022, arXiv 2205.11814"
IPO_PAPER = "Liu, Ding & Liu, AAAI 2020, arXiv 1910.09615"

OMNISAFE_FOCOPS = FOCOPS(dual=OMNISAFE_ASCENT, share=True)
OMNISAFE_IPO = IPO(kappa=0.01, reach=math.inf, unit="cost", restore=False)
OMNISAFE_P3O = Algorithm(
    P3O(excess="episode", clip_cost=False),
    replace(OMNISAFE_PROXIMAL, epochs=10, max_kl=math.inf),
    learner=replace(OMNISAFE_PROXIMAL_LEARNER, critic=replace(OMNISAFE_PROXIMAL_LEARNER.critic, epochs=10)),
)

ENTRIES: dict[str, Entry] = {
    "focops": Entry(Algorithm(FOCOPS(), Proximal()), FOCOPS_PAPER, 2020, presets=omnisafe_proximal(OMNISAFE_FOCOPS)),
    "cup": Entry(
        Algorithm(CUP(), Proximal()),
        CUP_PAPER,
        2022,
        parent="ppo",
        presets=omnisafe_proximal(CUP(dual=OMNISAFE_ASCENT), replace(OMNISAFE_PROXIMAL, max_kl=0.01)),
    ),
    "p3o": Entry(Algorithm(P3O(), Proximal()), P3O_PAPER, 2022, parent="ppo", presets={"omnisafe": OMNISAFE_P3O}),
    "ipo": Entry(
        Algorithm(IPO(), Proximal()),
        IPO_PAPER,
        2020,
        parent="ppo",
        rests="inside",
        presets=omnisafe_proximal(OMNISAFE_IPO),
    ),
}
"""Entries by name."""
