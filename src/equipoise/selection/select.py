"""Selecting a policy of a run: which of those along it has the highest reward and certainly keeps the limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from equipoise.errors import UsageError
from equipoise.physics import Simulator
from equipoise.progress import Progress
from equipoise.selection.candidates import Entrant, entrants
from equipoise.selection.race import FEWEST, Batch, Runner, race, winner
from equipoise.selection.write import check_folder, write_selected
from equipoise.statistics import Interval
from equipoise.training.cast import cast
from equipoise.training.config import Environment, reopen_simulator
from equipoise.training.jax_doors import uses_jax
from equipoise.training.rollout import collect, random_for
from equipoise.training.run import Run
from equipoise.training.selected import Candidate, Selection


def select(
    run: Run | str | Path,
    episodes: int = 100,
    iterates: int = 8,
    confidence: float = 0.95,
    deterministic: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    environment: Environment | None = None,
    threads: int = 0,
    workers: int = 0,
    progress: bool | None = None,
) -> Selection:
    """Find the policy of `run` with the highest reward that certainly keeps every limit, and write it to a folder.

    Looked at are the most promising policies along the run, the average of the parameters of its last ten, and the
    mixture that draws an iterate for each episode. Each acts until it is certain that
    it breaks a limit, or that another that keeps them has more reward, or it has had its `episodes`. Of those that are
    certain to keep every limit it is the one whose reward has the highest lower bound. The folder is opened as a run
    is: `equipoise.Run.load(selection.folder)`, `equipoise evaluate FOLDER`. Where none is certified, nothing is
    written.

    Args:
        run: a run, or its folder.
        episodes: the most fresh episodes that a policy may have, 40 or more.
        iterates: how many policies of single iterations to look at.
        confidence: the probability with which all intervals of all candidates, of the reward and of every cost, hold
            together, however often they are looked at: `statistics/sequences.py` states what it assumes.
        deterministic: whether to look at mean actions instead of the stochastic policies, as which they were trained
            and which the limits are on: the two can differ much, in cost too.
        seed: decides the episodes.
        out: the folder for the selected policy; by default `selected` in the run's folder. An earlier selection there
            is replaced.
        environment: to be given again where the task is a callable or a MODULE:ID.
        threads: physics threads (0: all cores); results do not depend on it.
        workers: processes that step an environment which is not of this library (0: this process alone); results do not
            depend on it.
        progress: whether stderr says how far it has come; by default where somebody looks.

    Raises:
        UsageError: an option that is not allowed, a run without policies, or a folder that is something else.
    """
    opened = run if isinstance(run, Run) else Run.load(run)
    with Progress(f"selecting from {opened.problem.id}", progress) as shown:
        return selected_of(
            opened, episodes, iterates, confidence, deterministic, seed, out, environment, threads, workers, shown.reach
        )


@uses_jax
def selected_of(
    run: Run,
    episodes: int,
    iterates: int,
    confidence: float,
    deterministic: bool,
    seed: int,
    out: str | Path | None,
    environment: Environment | None,
    threads: int,
    workers: int = 0,
    watch: Callable[[float], object] = lambda share: None,
) -> Selection:
    """Do what `select` does; `watch` is called now and then with the share of the work that is done at least."""
    _check(run, episodes, iterates, confidence, seed)
    folder = Path(out) if out is not None else run.path / "selected"
    check_folder(folder)
    intervals = (1 + len(run.limits)) * (iterates + 2)
    taking_part = entrants(run, iterates, episodes, (1 - confidence) / intervals)
    error = (1 - confidence) / ((1 + len(run.limits)) * len(taking_part))
    sized = dataclasses.replace(run.config, num_envs=min(episodes, run.config.num_envs))
    simulator = reopen_simulator(sized, run.problem, threads, environment, workers=workers)
    try:
        batches = [
            _Batches(entrant, simulator, number, seed, not deterministic) for number, entrant in enumerate(taking_part)
        ]
        runners = race(batches, run.limits, error, episodes, watch)
    finally:
        simulator.close()
    chosen = winner(runners)
    selection = Selection(
        candidates=tuple(_report(e, r) for e, r in zip(taking_part, runners, strict=True)),
        chosen=chosen,
        cost_names=run.problem.cost_names,
        limits=run.limits,
        deterministic=deterministic,
        confidence=confidence,
        seed=seed,
        episodes=sum(runner.episodes + runner.broken for runner in runners),
        steps=sum(batch.steps for batch in batches),
        folder="" if chosen is None else str(folder),
    )
    if chosen is not None:
        write_selected(folder, run.path, taking_part[chosen], selection)
    return selection


class _Batches:
    """The fresh episodes of a policy, batch by batch."""

    def __init__(self, entrant: Entrant, simulator: Simulator, number: int, seed: int, stochastic: bool) -> None:
        self.steps = 0
        """Environment steps taken."""
        # An evaluation's key has 0 or 1 in the place of the 2, so that it is of other episodes.
        self._key = (entrant.run.config.seed, number, seed, 2)
        self._run, self._simulator, self._stochastic, self._looks = entrant.run, simulator, stochastic, 0

    def __call__(self, most: int) -> Batch:
        key = (*self._key, self._looks)
        actor = cast(self._run, self._simulator, random_for("policy", *key))
        rollout = collect(self._simulator, actor, self._run.problem.horizon, key, self._stochastic)
        self._looks += 1
        self.steps += self._run.problem.horizon * self._simulator.num_envs
        return rollout.returns[:most], rollout.costs[:most], rollout.broken


def _check(run: Run, episodes: int, iterates: int, confidence: float, seed: int) -> None:
    """Raise `UsageError` for the first option that is not allowed."""
    if episodes < FEWEST:
        raise UsageError(f"episodes is {episodes}; allowed: {FEWEST} or more")
    if iterates < 1:
        raise UsageError(f"iterates is {iterates}; allowed: 1 or more")
    if not 0.5 <= confidence < 1:
        raise UsageError(f"confidence is {confidence}; allowed: from 0.5 to less than 1")
    if seed < 0:
        raise UsageError(f"seed is {seed}; allowed: 0 or more")
    if not run.metrics:
        raise UsageError(f"{run.path} has no rows in metrics.csv, by which to choose what to look at")


def _report(entrant: Entrant, runner: Runner) -> Candidate:
    nothing = Interval(0.0, float("-inf"), float("inf"))
    return Candidate(
        name=entrant.name,
        kind=entrant.kind,
        iterations=entrant.iterations,
        reward=runner.reward_interval,
        costs=runner.cost_intervals or (nothing,) * len(entrant.run.limits),
        episodes=runner.episodes,
        verdict=runner.verdict,
        certified=runner.certified,
    )
