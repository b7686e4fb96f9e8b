"""Budgets in the observation: what is left of each constraint's budget, for lenses that show it to the policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Num

from equipoise.algorithms import Algorithm, LearnerState
from equipoise.algorithms.lenses.lens import Lens
from equipoise.physics import Simulator, Transition


class BudgetObserver:
    """A `Simulator` around another: its observations end with what is left of each budget, as a share of its limit.

    It has to be told the limits before an episode starts (`renew_budget`).
    """

    def __init__(self, simulator: Simulator, lens: Lens) -> None:
        self.inner = simulator
        """The simulator of the task itself."""
        self.num_envs = simulator.num_envs
        constraints = len(simulator.problem.cost_names)
        size = simulator.problem.observation_size + constraints
        self.problem = dataclasses.replace(simulator.problem, observation_size=size)
        self.limits: Float[np.ndarray, " K"] = np.full(constraints, np.nan)
        """b_k."""
        self.start: Float[np.ndarray, "*N K"] = np.full(constraints, np.nan)
        """What an episode begins with, as a share of each limit: the same everywhere, or by environment."""
        self._lens = lens
        self._left = np.full((simulator.num_envs, constraints), np.nan)

    def reset(self, indices: Sequence[int], randoms: Sequence[np.random.Generator]) -> Float[np.ndarray, "n obs"]:
        """Start an episode in each environment of `indices`, with the whole budget."""
        if np.isnan(self.start).any():
            raise RuntimeError("an episode starts before its budget is known: call renew_budget first")
        observation = self.inner.reset(indices, randoms)
        self._left[list(indices)] = np.broadcast_to(self.start, self._left.shape)[list(indices)]
        return np.concatenate([observation, self._left[list(indices)]], axis=1)

    def step(self, action: Num[np.ndarray, "N act"]) -> Transition:
        """Step every environment and charge its budget, except where it is idle."""
        step = self.inner.step(action)
        cost = np.where(step.diverged[:, None], 0.0, step.cost)
        left = self._lens.left(self._left, cost, self.limits, self.problem.horizon)
        self._left = left if step.idle is None else np.where(step.idle[:, None], self._left, left)
        return step._replace(observation=np.concatenate([step.observation, self._left], axis=1))

    def close(self) -> None:
        """Release what the simulator holds."""
        self.inner.close()


def observed(simulator: Simulator, lens: Lens) -> Simulator:
    """Return `simulator` as the policy sees it through `lens`."""
    return BudgetObserver(simulator, lens) if lens.observes_budget else simulator


def bare(simulator: Simulator) -> Simulator:
    """Return the simulator of the task itself."""
    return simulator.inner if isinstance(simulator, BudgetObserver) else simulator


def renew_budget(simulator: Simulator, algorithm: Algorithm, state: LearnerState, limits: tuple[float, ...]) -> None:
    """Give the simulator the budget that the lens's memory says an episode has now."""
    if isinstance(simulator, BudgetObserver):
        simulator.limits = np.asarray(limits, float)
        simulator.start = np.asarray(algorithm.lens.start(state.lens, jnp.asarray(limits)), float)


def renew_budgets(
    simulator: Simulator, algorithm: Algorithm, states: Sequence[LearnerState], limits: tuple[float, ...]
) -> None:
    """Give each environment of the simulator the budget that one of the states says, the policy's that acts there."""
    if isinstance(simulator, BudgetObserver):
        starts = [algorithm.lens.start(state.lens, jnp.asarray(limits)) for state in states]
        simulator.limits, simulator.start = np.asarray(limits, float), np.asarray(starts, float)
