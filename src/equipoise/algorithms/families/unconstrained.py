"""Algorithms that ignore limits: what the others are compared with."""

from __future__ import annotations

import math

from equipoise.algorithms.algorithm import Algorithm
from equipoise.algorithms.entry import Entry, omnisafe_proximal, omnisafe_region
from equipoise.algorithms.rules.unconstrained import Unconstrained
from equipoise.algorithms.steps.proximal import Proximal
from equipoise.algorithms.steps.trust_region import TrustRegion

GRADIENT = Proximal(epochs=1, clip=math.inf, max_kl=math.inf)
"""The policy gradient: unclipped, and every step is used once."""

NATURAL_GRADIENT = TrustRegion(line_search=False)
"""The natural policy gradient: the whole step, whatever it does."""

ENTRIES = {
    "pg": Entry(Algorithm(Unconstrained(), GRADIENT), "Williams, Machine Learning 8", 1992, rests="unconstrained"),
    "npg": Entry(Algorithm(Unconstrained(), NATURAL_GRADIENT), "Kakade, NIPS 2001", 2001, rests="unconstrained"),
    "trpo": Entry(
        Algorithm(Unconstrained()),
        "Schulman et al., ICML 2015, arXiv 1502.05477",
        2015,
        rests="unconstrained",
        presets=omnisafe_region(Unconstrained()),
    ),
    "ppo": Entry(
        Algorithm(Unconstrained(), Proximal()),
        "Schulman et al., 2017, arXiv 1707.06347",
        2017,
        rests="unconstrained",
        presets=omnisafe_proximal(Unconstrained()),
    ),
}
"""Entries by name."""
