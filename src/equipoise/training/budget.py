"""Budgets in the observation: what is left of each constraint's budget, for lenses that show it to the policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from equipoise.algorithms import Algorithm, LearnerState
from equipoise.algorithms.lenses.lens import Lens
from equipoise.physics import Simulator, Transition


class BudgetObserver:
    """A `Simulator` around another: its observations end with the share of each budget that is left (1 at a reset)."""

    def __init__(self, simulator: Simulator, lens: Lens, budget: Float[np.ndarray, " K"]) -> None:
        self.inner = simulator
        """The simulator of the task itself."""
        self.num_envs = simulator.num_envs
        size = simulator.problem.observation_size + len(simulator.problem.cost_names)
        self.problem = dataclasses.replace(simulator.problem, observation_size=size)
        self.budget = budget
        """What an episode may cost."""
        self._lens = lens
        self._left = np.ones((simulator.num_envs, len(budget)))

    def reset(self, indices: Sequence[int], randoms: Sequence[np.random.Generator]) -> Float[np.ndarray, "n obs"]:
        """Start an episode in each environment of `indices`, with the whole budget."""
        observation = self.inner.reset(indices, randoms)
        self._left[list(indices)] = 1.0
        return np.concatenate([observation, self._left[list(indices)]], axis=1)

    def step(self, action: Float[np.ndarray, "N act"]) -> Transition:
        """Step every environment and charge its budget."""
        step = self.inner.step(action)
        cost = np.where(step.diverged[:, None], 0.0, step.cost)
        self._left = np.asarray(self._lens.left(self._left, cost, self.budget, self.problem.horizon))
        return step._replace(observation=np.concatenate([step.observation, self._left], axis=1))

    def close(self) -> None:
        """Release what the simulator holds."""
        self.inner.close()


def observed(simulator: Simulator, lens: Lens, limits: tuple[float, ...]) -> Simulator:
    """Return `simulator` as the policy sees it through `lens`."""
    return BudgetObserver(simulator, lens, np.asarray(limits, float)) if lens.observes_budget else simulator


def bare(simulator: Simulator) -> Simulator:
    """Return the simulator of the task itself."""
    return simulator.inner if isinstance(simulator, BudgetObserver) else simulator


def renew_budget(simulator: Simulator, algorithm: Algorithm, state: LearnerState, limits: tuple[float, ...]) -> None:
    """Give the simulator the budget that the lens's memory says an episode has now."""
    if isinstance(simulator, BudgetObserver):
        simulator.budget = np.asarray(algorithm.lens.budget(state.lens, jnp.asarray(limits)), float)
