"""Which algorithm is better: on each condition at matched safety, and over all conditions together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np

from equipoise import statistics
from equipoise.report.cells import Cell, Cells
from equipoise.report.results import Condition
from equipoise.statistics import Interval

SEEDS_FOR_A_WIN = 5
"""Seeds that either side has to have: with fewer, an interval over seeds is too narrow to rest a claim on."""


@dataclass(frozen=True)
class Duel:
    """Two algorithms on one condition."""

    ours: Cell
    """The one with more reward."""
    theirs: Cell
    """The other."""
    probability: Interval
    """P(a run of ours has more reward than one of theirs), with its interval; no interval for one seed."""

    @property
    def seeds(self) -> int:
        """Seeds of the one that has fewer."""
        return min(len(self.ours.rewards), len(self.theirs.rewards))

    @property
    def clear(self) -> bool:
        """Whether the interval lies above one half."""
        return self.probability.low > 0.5

    @property
    def won(self) -> bool:
        """Whether ours wins: clearly more reward, both certified, and enough seeds to say so."""
        return self.clear and self.ours.certified and self.theirs.certified and self.seeds >= SEEDS_FOR_A_WIN


@dataclass(frozen=True)
class Verdict:
    """Who is ahead on a condition."""

    condition: Condition
    """The condition."""
    best: Cell | None
    """Of the certified algorithms the one with most reward; None if none is certified."""
    duels: list[Duel]
    """It against each of the other certified ones."""
    uncertified: list[Cell]
    """The algorithms that are not certified."""


def verdict(cells: Cells, condition: Condition) -> Verdict:
    """Say who is ahead on a condition among the algorithms that are certified to keep its limits."""
    certified = _certified(cells, condition)
    duels = [duel(certified[0], other) for other in certified[1:]]
    best = certified[0] if certified else None
    return Verdict(condition, best, duels, [cell for cell in cells.of(condition) if not cell.certified])


def all_duels(cells: Cells, condition: Condition) -> list[Duel]:
    """Compare every two algorithms that are certified to keep a condition's limits."""
    return [duel(ours, theirs) for ours, theirs in combinations(_certified(cells, condition), 2)]


def _certified(cells: Cells, condition: Condition) -> list[Cell]:
    """Return the certified algorithms, that of the most reward first."""
    return sorted((cell for cell in cells.of(condition) if cell.certified), key=lambda cell: -cell.reward.value)


def duel(ours: Cell, theirs: Cell) -> Duel:
    """Compare two algorithms on the same condition."""
    return Duel(ours, theirs, improvement([ours.rewards], [theirs.rewards]))


def improvement(ours: statistics.Scores, theirs: statistics.Scores) -> Interval:
    """Return the probability of improvement; without an interval where a condition has but one seed to draw from."""
    if min(len(scores) for scores in (*ours, *theirs)) < 2:
        return Interval(statistics.probability_of_improvement(ours, theirs), float("nan"), float("nan"))
    return statistics.probability_of_improvement_interval(ours, theirs)


class Ranking:
    """The algorithms over all conditions on which every one of them has finished runs.

    Rewards are those of the last stochastic policies. They are made comparable between tasks: 0 is the mean reward of
    the untrained policies (the first iterations) of a task, 1 the best algorithm's mean on any of its limits.
    """

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        results = cells.results
        self.anchors = {task: self._anchors(task) for task in dict.fromkeys(c.task for c in results.conditions)}
        """For each task the rewards that count 0 and 1."""
        self.methods = results.methods
        """The algorithms."""
        self.conditions = [
            condition
            for condition in results.conditions
            if len(cells.of(condition)) == len(self.methods) and self.learnt(condition.task)
        ]
        """The conditions that count."""
        self.quartile_mean = cache(self._quartile_mean)
        """The interquartile mean of an algorithm, over all conditions and seeds."""
        self.probability = cache(self._probability)
        """The probability that a run of one algorithm has more reward than one of another, over all conditions."""

    @property
    def best(self) -> str:
        """The algorithm of the highest interquartile mean."""
        return max(self.methods, key=lambda method: self.quartile_mean(method).value)

    def learnt(self, task: str) -> bool:
        """Return whether any algorithm ended above the untrained policy, so that scores can be normalised."""
        low, high = self.anchors[task]
        return high > low

    def scores(self, method: str) -> list[np.ndarray]:
        """Return the normalised rewards of an algorithm: for each condition one a seed."""
        found = []
        for condition in self.conditions:
            cell = self._cells.get(condition, method)
            assert cell is not None
            found.append(statistics.normalise(cell.rewards, *self.anchors[condition.task]))
        return found

    def _quartile_mean(self, method: str) -> Interval:
        scores = self.scores(method)
        if min(map(len, scores)) < 2:
            return Interval(statistics.interquartile_mean(scores), float("nan"), float("nan"))
        return statistics.interquartile_mean_interval(scores)

    def _probability(self, ours: str, theirs: str) -> Interval:
        return improvement(self.scores(ours), self.scores(theirs))

    def _anchors(self, task: str) -> tuple[float, float]:
        runs = [run for run in self._cells.results.runs if run.condition.task == task]
        conditions = dict.fromkeys(run.condition for run in runs)
        untrained = float(np.mean([run.updates["reward"][0] for run in runs]))
        return untrained, max(cell.reward.value for condition in conditions for cell in self._cells.of(condition))
