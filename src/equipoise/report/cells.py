"""What an algorithm reached on a condition, over its seeds: rewards, costs and certificates, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from equipoise import statistics
from equipoise.report.results import Condition, Results, RunResult
from equipoise.statistics import Interval


@dataclass(frozen=True)
class CostCell:
    """A cost of an algorithm's last policies, or of its training, over all seeds."""

    name: str
    """The cost's name."""
    limit: float
    """d, its limit."""
    mean: Interval
    """Mean over seeds of the mean episode cost, with Student's t interval; no interval for one seed."""
    upper: float
    """One-sided upper 95 % bound of that mean; for one seed, over its episodes: a bound for that policy alone."""
    broken: int
    """Episodes of evaluations that broke down."""
    certified_runs: int
    """Runs whose own upper bound, over their episodes, is within the limit."""
    share: Interval
    """V, the share of all seeds' episodes above the limit."""
    excess: float
    """D = (mean C − d)/d."""
    violating_excess: float
    """D⁺, the same over the episodes above the limit."""
    cvar: float
    """Mean of the worst tenth of all seeds' episodes."""

    @property
    def certified(self) -> bool:
        """Whether the upper bound is within the limit, and no episode broke down."""
        return self.upper <= self.limit and not self.broken


@dataclass(frozen=True)
class Cell:
    """What an algorithm reached on a condition, on one split of the episodes."""

    condition: Condition
    """The task and its limits."""
    method: str
    """The algorithm."""
    split: str
    """Which episodes: of training, or of the last policy, stochastic or deterministic."""
    rewards: Float[np.ndarray, " seeds"]
    """Mean episode reward of every seed."""
    reward: Interval
    """Their mean, with Student's t interval; no interval for one seed."""
    costs: tuple[CostCell, ...]
    """One entry for each of the condition's costs."""
    certified_runs: int
    """Runs whose own episodes certify every cost."""

    @property
    def certified(self) -> bool:
        """Whether every cost is certified."""
        return all(cost.certified for cost in self.costs)


def mean_over_seeds(values: Float[np.ndarray, " seeds"]) -> Interval:
    """Return the mean and its 95 % interval by Student's t; one seed has no interval, its ends are not numbers."""
    if len(values) > 1:
        return statistics.mean_interval(values)
    return Interval(float(values[0]), float("nan"), float("nan"))


def mean_violation(runs: Sequence[RunResult], name: str) -> Interval:
    """Return the mean over iterations, then over seeds, of (Ĵ − d)⁺/d of a cost during training."""
    return mean_over_seeds(
        np.array([statistics.shortfall(run.updates[f"cost/{name}"], run.limits[name]) for run in runs])
    )


def make_cell(condition: Condition, method: str, split: str, runs: Sequence[RunResult]) -> Cell:
    """Summarise the runs of an algorithm on a condition."""
    rewards = np.array([run.episodes[split]["reward"].mean() for run in runs])
    costs = tuple(_cost(name, split, runs) for name in runs[0].limits)
    certified = sum(all(run_certified(run, name, split) for name in run.limits) for run in runs)
    return Cell(condition, method, split, rewards, mean_over_seeds(rewards), costs, certified)


def _cost(name: str, split: str, runs: Sequence[RunResult]) -> CostCell:
    limit = runs[0].limits[name]
    each = [run.costs(split, name) for run in runs]
    means, pooled = np.array([costs.mean() for costs in each]), np.concatenate(each)
    return CostCell(
        name=name,
        limit=limit,
        mean=mean_over_seeds(means),
        upper=statistics.mean_upper_bound(means if len(runs) > 1 else each[0]),
        broken=sum(run.missing for run in runs),
        certified_runs=sum(run_certified(run, name, split) for run in runs),
        share=statistics.violation_share(pooled, limit),
        excess=statistics.relative_excess(pooled, limit),
        violating_excess=statistics.violating_excess(pooled, limit),
        cvar=statistics.cvar(pooled),
    )


def run_certified(run: RunResult, name: str, split: str = "stochastic") -> bool:
    """Return whether the episodes of a run certify that it keeps the limit of a cost."""
    return statistics.mean_upper_bound(run.costs(split, name)) <= run.limits[name] and not run.missing


class Cells:
    """Every cell of a campaign, made when it is first asked for."""

    def __init__(self, results: Results) -> None:
        self.results = results
        """The campaign."""
        self._made: dict[tuple[Condition, str, str], Cell] = {}

    def get(self, condition: Condition, method: str, split: str = "stochastic") -> Cell | None:
        """Return a cell; None where the algorithm has no finished run on the condition, or the split no episodes."""
        key = (condition, method, split)
        if key not in self._made:
            runs = self.results.of(condition, method)
            if not runs or min(len(run.episodes[split]["reward"]) for run in runs) < 2:
                return None
            self._made[key] = make_cell(condition, method, split, runs)
        return self._made[key]

    def of(self, condition: Condition, split: str = "stochastic") -> list[Cell]:
        """Return the cells of a condition, in the order of the algorithms."""
        cells = [self.get(condition, method, split) for method in self.results.methods]
        return [cell for cell in cells if cell is not None]
