"""What the registry holds of an algorithm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from equipoise.algorithms.algorithm import Algorithm
from equipoise.algorithms.learner import CriticFit, Learner
from equipoise.algorithms.steps.proximal import Proximal
from equipoise.algorithms.steps.trust_region import TrustRegion

Rests = Literal["unconstrained", "limit", "inside"]
"""Where training rests if a limit binds: at the optimum without limits, at the constrained optimum, or inside of it."""


@dataclass(frozen=True)
class Entry:
    """An algorithm of the registry."""

    algorithm: Algorithm
    """What it is made of, with the library's defaults."""
    paper: str
    """Authors, venue, arXiv number."""
    year: int
    """Of the paper."""
    parent: str = ""
    """The algorithm that it is, bit for bit, while no limit binds; empty if there is none."""
    rests: Rests = "limit"
    """Where training rests if a limit binds."""
    presets: dict[str, Algorithm] = field(default_factory=dict)
    """Other settings by name: `omnisafe` has those of its published table."""


OMNISAFE_REGION = TrustRegion(max_kl=0.01, cg_iterations=15)
"""Second-order step of OmniSafe's published table. Its KL is the mean over action dimensions, ours is the sum."""

OMNISAFE_REGION_LEARNER = Learner(cost_advantages="centred", log_std=0.0, critic=CriticFit(l2=1e-3))
"""Networks and critics beside it."""

OMNISAFE_PROXIMAL = Proximal(epochs=40, minibatch_size=64)
"""First-order step of OmniSafe's published table."""

OMNISAFE_PROXIMAL_LEARNER = Learner(
    cost_advantages="centred", log_std=0.0, critic=CriticFit(learning_rate=3e-4, epochs=40, minibatch_size=64, l2=1e-3)
)
"""Networks and critics beside it."""


def omnisafe_region(rule: object, step: TrustRegion = OMNISAFE_REGION) -> dict[str, Algorithm]:
    """Return the preset `omnisafe` of a rule on the trust-region step."""
    return {"omnisafe": Algorithm(rule, step, learner=OMNISAFE_REGION_LEARNER)}


def omnisafe_proximal(rule: object, step: Proximal = OMNISAFE_PROXIMAL) -> dict[str, Algorithm]:
    """Return the preset `omnisafe` of a rule on the proximal step."""
    return {"omnisafe": Algorithm(rule, step, learner=OMNISAFE_PROXIMAL_LEARNER)}
