"""Primal-dual algorithms: multipliers that rise while a limit is violated."""

from __future__ import annotations

from equipoise.algorithms.algorithm import Algorithm
from equipoise.algorithms.entry import Entry
from equipoise.algorithms.families.unconstrained import GRADIENT, NATURAL_GRADIENT
from equipoise.algorithms.rules.appo import APPO
from equipoise.algorithms.rules.cspo import CSPO
from equipoise.algorithms.rules.lagrangian import Lagrangian
from equipoise.algorithms.rules.pid import PIDLagrangian
from equipoise.algorithms.steps.proximal import Proximal

LAGRANGIAN_PAPER = "Ray, Achiam & Amodei, Benchmarking safe exploration in deep reinforcement learning"
RCPO_PAPER = "Tessler, Mankowitz & Mannor, ICLR 2019, arXiv 1805.11074"
PDO_PAPER = "Chow, Ghavamzadeh, Janson & Pavone, JMLR 18, arXiv 1512.01629"
PID_PAPER = "Stooke, Achiam & Abbeel, ICML 2020, arXiv 2007.03964"
APPO_PAPER = "Dai, Ji, Yang, Zheng & Pan, AAAI 2023"
CSPO_PAPER = "ICML 2026, arXiv 2606.14415"

ENTRIES: dict[str, Entry] = {
    "trpo_lag": Entry(Algorithm(Lagrangian()), LAGRANGIAN_PAPER, 2019, parent="trpo"),
    "ppo_lag": Entry(Algorithm(Lagrangian(), Proximal()), LAGRANGIAN_PAPER, 2019, parent="ppo"),
    "rcpo": Entry(Algorithm(Lagrangian(), NATURAL_GRADIENT), RCPO_PAPER, 2019, parent="npg"),
    "pdo": Entry(Algorithm(Lagrangian(), GRADIENT), PDO_PAPER, 2018, parent="pg"),
    "trpo_pid": Entry(Algorithm(PIDLagrangian()), PID_PAPER, 2020, parent="trpo"),
    "ppo_pid": Entry(Algorithm(PIDLagrangian(), Proximal()), PID_PAPER, 2020, parent="ppo"),
    "appo": Entry(Algorithm(APPO(), Proximal()), APPO_PAPER, 2023, parent="ppo"),
    "cspo": Entry(Algorithm(CSPO(), Proximal()), CSPO_PAPER, 2026, parent="ppo"),
}
"""Entries by name."""
