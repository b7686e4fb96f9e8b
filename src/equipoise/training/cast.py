"""Who acts in the next episodes: a run's policy, or of a mixture one that is drawn for each environment."""

from __future__ import annotations

import numpy as np

from equipoise.physics import Simulator
from equipoise.policy import Actor
from equipoise.training.budget import renew_budget, renew_budgets
from equipoise.training.mixture import Mixture, SideBySide
from equipoise.training.run import Run


def cast(run: Run, simulator: Simulator, random: np.random.Generator) -> Actor | SideBySide:
    """Return what acts in the next episode of every environment of `simulator`, which is given its budget.

    `random` decides which policies of a mixture; nothing is drawn from it for a single one.
    """
    algorithm, policy = run.config.algorithm, run.policy
    if not isinstance(policy, Mixture):
        renew_budget(simulator, algorithm, run.state.learner, run.limits)
        return policy
    drawn = random.integers(len(run.mixture), size=simulator.num_envs).tolist()
    renew_budgets(simulator, algorithm, [run.mixture[i].learner for i in drawn], run.limits)
    actors = [policy.actors[i] for i in drawn]
    return SideBySide(actors) if len(actors) > 1 else actors[0]
