"""A race among policies: each is tried on fresh episodes until it is certain that it will not be selected.

All intervals are confidence sequences (`statistics.sequences`), which hold at every number of episodes at once. So it
is allowed to look after every batch, and to end a policy's episodes as soon as one of its costs is certainly outside of
its limit, or its reward certainly below that of another that is inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from equipoise.statistics import Interval
from equipoise.statistics.sequences import mean_sequence_interval
from equipoise.training.selected import Verdict

FEWEST = 40
"""Episodes without which nothing is certified to be inside: the intervals are exact for normal values only, and of
skewed ones the first few say too little of how large they can be."""

TIGHTEST = 50
"""Episodes after which intervals are about as tight as such can be; after 1 000 they are at most a tenth wider."""

Batch = tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n K"], int]
"""Returns and costs of some fresh episodes, and how many others broke down."""


@dataclass
class Runner:
    """A policy in the race, and what it has shown so far."""

    returns: list[np.ndarray] = field(default_factory=list)
    costs: list[np.ndarray] = field(default_factory=list)
    broken: int = 0
    """Episodes that broke down."""
    inside: bool = False
    """Whether it was certain at some point that it keeps every limit."""
    out: Verdict | None = None
    """Why it is out of the race."""
    reward_interval: Interval = field(default_factory=lambda: Interval(0.0, -np.inf, np.inf))
    """Mean return, and what is certain of it."""
    cost_intervals: tuple[Interval, ...] = ()
    """Mean costs, and what is certain of them."""

    @property
    def episodes(self) -> int:
        """Episodes that count."""
        return sum(map(len, self.returns))

    @property
    def certified(self) -> bool:
        """Whether it is certain that it keeps every limit; never where an episode broke down."""
        return self.inside and not self.broken

    @property
    def verdict(self) -> Verdict:
        """What is certain of it."""
        return self.out or ("inside" if self.certified else "open")


def race(
    batches: Sequence[Callable[[int], Batch]],
    limits: tuple[float, ...],
    error: float,
    episodes: int,
    watch: Callable[[float], object] = lambda share: None,
) -> list[Runner]:
    """Let policies run until one is left that is certified, or each has had its `episodes`.

    Args:
        batches: for each policy what returns its next episodes, at most as many as it is asked for.
        limits: b_k.
        error: the probability with which each of all intervals, for each policy one of the reward and of every cost,
            may ever be wrong.
        episodes: the most that a policy may have.
        watch: called after each batch with the share of the work that is done at least.
    """
    runners = [Runner() for _ in batches]
    while running := [i for i, r in enumerate(runners) if r.out is None and r.episodes + r.broken < episodes]:
        if len(running) == 1 and runners[running[0]].inside:
            break
        for i in running:
            runner = runners[i]
            returns, costs, broken = batches[i](episodes - runner.episodes - runner.broken)
            runner.returns.append(returns)
            runner.costs.append(costs)
            runner.broken += broken
            _look(runner, limits, error, episodes)
            watch(sum(episodes if r.out else r.episodes for r in runners) / (episodes * len(runners)))
        best = max((r.reward_interval.low for r in runners if r.certified), default=-np.inf)
        for runner in runners:
            if runner.out is None and runner.reward_interval.high < best:
                runner.out = "worse"
    return runners


def _look(runner: Runner, limits: tuple[float, ...], error: float, episodes: int) -> None:
    """Update what is certain of a policy."""
    returns, costs = np.concatenate(runner.returns), np.concatenate(runner.costs).astype(float)
    runner.reward_interval = mean_sequence_interval(returns.astype(float), error, TIGHTEST)
    runner.cost_intervals = tuple(mean_sequence_interval(cost, error, TIGHTEST) for cost in costs.T)
    if runner.broken:
        runner.out = "broken"
    # Costs that are all alike have no deviation to judge by: more are waited for, as long as there are any to come.
    alike = (costs == costs[0]).all(0) & (len(costs) < episodes)
    pairs = list(zip(runner.cost_intervals, limits, alike, strict=True))
    if len(costs) >= FEWEST and all(cost.high <= limit and not same for cost, limit, same in pairs):
        runner.inside = True
    if any(cost.low > limit and not same for cost, limit, same in pairs):
        runner.out = runner.out or "outside"


def winner(runners: Sequence[Runner]) -> int | None:
    """Return the certified policy whose reward has the highest lower bound; None if none is certified."""
    certified = [i for i, runner in enumerate(runners) if runner.certified]
    return max(certified, key=lambda i: runners[i].reward_interval.low, default=None)
