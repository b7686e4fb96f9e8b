"""Primal-dual algorithms: multipliers that rise while a limit is violated."""

from __future__ import annotations

import dataclasses

from equipoise.algorithms.algorithm import Algorithm
from equipoise.algorithms.entry import OMNISAFE_REGION, Entry, omnisafe_proximal, omnisafe_region
from equipoise.algorithms.families.unconstrained import GRADIENT, NATURAL_GRADIENT
from equipoise.algorithms.rules.appo import APPO
from equipoise.algorithms.rules.cspo import CSPO
from equipoise.algorithms.rules.lagrangian import Lagrangian
from equipoise.algorithms.rules.multiplier import Multiplier
from equipoise.algorithms.rules.pid import PID, PIDLagrangian
from equipoise.algorithms.steps.proximal import Proximal

LAGRANGIAN_PAPER = "Ray, Achiam & Amodei, Benchmarking safe exploration in deep reinforcement learning"
RCPO_PAPER = "Tessler, Mankowitz & Mannor, ICLR 2019, arXiv 1805.11074"
PDO_PAPER = "Chow, Ghavamzadeh, Janson & Pavone, JMLR 18, arXiv 1512.01629"
PID_PAPER = "Stooke, Achiam & Abbeel, ICML 2020, arXiv 2007.03964"
APPO_PAPER = "Dai, Ji, Yang, Zheng & Pan, AAAI 2023"
CSPO_PAPER = "Belouadah, Kubler & Le Traon, ICML 2026, arXiv 2606.14415"

PUBLISHED = Lagrangian(Multiplier(learning_rate=0.035, initial=0.001, scaling="published"))
"""Multipliers of OmniSafe's published table."""

PUBLISHED_PID = PIDLagrangian(
    PID(kp=0.1, ki=0.01, kd=0.01, smooth_p=0.95, smooth_d=0.95, initial=0.001, scaling="published")
)
"""Its controllers."""

ENTRIES: dict[str, Entry] = {
    "trpo_lag": Entry(
        Algorithm(Lagrangian()), LAGRANGIAN_PAPER, 2019, parent="trpo", presets=omnisafe_region(PUBLISHED)
    ),
    "ppo_lag": Entry(
        Algorithm(Lagrangian(), Proximal()),
        LAGRANGIAN_PAPER,
        2019,
        parent="ppo",
        presets=omnisafe_proximal(PUBLISHED),
    ),
    "rcpo": Entry(
        Algorithm(Lagrangian(), NATURAL_GRADIENT),
        RCPO_PAPER,
        2019,
        parent="npg",
        presets=omnisafe_region(PUBLISHED, dataclasses.replace(OMNISAFE_REGION, line_search=False)),
    ),
    "pdo": Entry(Algorithm(Lagrangian(), GRADIENT), PDO_PAPER, 2018, parent="pg"),
    "trpo_pid": Entry(
        Algorithm(PIDLagrangian()), PID_PAPER, 2020, parent="trpo", presets=omnisafe_region(PUBLISHED_PID)
    ),
    "ppo_pid": Entry(
        Algorithm(PIDLagrangian(), Proximal()),
        PID_PAPER,
        2020,
        parent="ppo",
        presets=omnisafe_proximal(PUBLISHED_PID),
    ),
    "appo": Entry(Algorithm(APPO(), Proximal()), APPO_PAPER, 2023, parent="ppo"),
    "cspo": Entry(Algorithm(CSPO(), Proximal()), CSPO_PAPER, 2026, parent="ppo"),
}
"""Entries by name."""
