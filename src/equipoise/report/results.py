"""The finished runs of a campaign, each with its own part of the two tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from equipoise.campaigns.columns import LABELS, SPLITS, Columns, costs_of, read_episodes, read_updates
from equipoise.campaigns.folder import CampaignFolder, read_record
from equipoise.campaigns.job import Job
from equipoise.errors import UsageError, printable
from equipoise.training.evaluation import read_evaluation_file

CLOCK = ("time/physics", "time/policy", "time/update")
"""Columns whose sum is the time of an iteration, in seconds."""


class Condition(NamedTuple):
    """What algorithms are compared on: a task at some limits."""

    task: str
    """The task."""
    scale: float
    """Its limits as a multiple of its own."""

    @property
    def label(self) -> str:
        """The condition in words."""
        return self.task if self.scale == 1.0 else f"{self.task}, limits × {self.scale:g}"


@dataclass(frozen=True)
class RunResult:
    """A finished run."""

    condition: Condition
    """What it was trained on."""
    method: str
    """Its algorithm, with the settings that tell it from others."""
    seed: str
    """Its seed."""
    limits: dict[str, float]
    """Its limits by the costs' names."""
    updates: Columns
    """Its rows of `updates.csv`."""
    episodes: dict[str, Columns]
    """Its rows of `episodes.csv` by split."""
    missing: int = 0
    """Episodes that its evaluation has too few of: they broke down, and then nothing is certified."""

    @cached_property
    def minutes(self) -> float:
        """Minutes of rollouts and updates."""
        known = [self.updates[column] for column in CLOCK if column in self.updates]
        return float(np.nansum(known)) / 60 if known else float("nan")

    def costs(self, split: str, name: str) -> Float[np.ndarray, " n"]:
        """Return a cost of every episode of a split."""
        return self.episodes[split][f"cost/{name}"]


@dataclass(frozen=True)
class Results:
    """A campaign's finished runs."""

    path: Path
    """The campaign's folder."""
    name: str
    """The campaign's name."""
    runs: tuple[RunResult, ...]
    """The finished runs."""
    left: tuple[Job, ...]
    """The runs that are not finished."""
    starts: tuple[dict[str, Any], ...]
    """Of each start what it ran, where and since when."""

    @cached_property
    def conditions(self) -> list[Condition]:
        """Tasks and limits, in the order of the campaign's file."""
        return list(dict.fromkeys(run.condition for run in self.runs))

    @cached_property
    def methods(self) -> list[str]:
        """Algorithms, in the order of the campaign's file."""
        return list(dict.fromkeys(run.method for run in self.runs))

    @cached_property
    def most_seeds(self) -> int:
        """The most seeds that any algorithm has on any condition."""
        return max(len(self.of(c, m)) for c in self.conditions for m in self.methods)

    def of(self, condition: Condition, method: str) -> list[RunResult]:
        """Return the runs of an algorithm on a condition, one a seed."""
        return [run for run in self.runs if run.condition == condition and run.method == method]

    def costs(self, condition: Condition) -> list[str]:
        """Return the names of a condition's costs."""
        return list(dict.fromkeys(name for run in self.runs if run.condition == condition for name in run.limits))


def method_name(algorithm: str, settings: str) -> str:
    """Name an algorithm with the settings that tell it from the campaign's others."""
    return f"{algorithm} ({settings.replace(',', ', ')})" if settings else algorithm


def read_results(path: Path) -> Results:
    """Read the campaign in the folder `path`; `UsageError` if it is none, or a table is missing, empty or damaged."""
    record = read_record(path)
    jobs = [Job.restored(job) for job in record["jobs"]]
    folder = CampaignFolder(path, jobs)
    updates, episodes = read_updates(path), read_episodes(path)
    rows, lines = _by_run(updates), _by_run(episodes)
    for key in rows:
        if key not in lines:
            raise UsageError(f"{path / 'episodes.csv'} has no row of {' '.join(map(str, key))}, and updates.csv has")
    found, left = [], []
    for job in jobs:
        key = (job.task, job.algorithm, job.limits_scale, job.varied, str(job.seed))
        if key in rows:
            found.append(_run(job, _part(updates, rows[key]), _part(episodes, lines[key]), folder))
        else:
            left.append(job)
    if not found:
        raise UsageError(f"{path} has no finished run in its tables; `equipoise campaign FILE.toml` goes on with them")
    starts = tuple(start for start in record["starts"] if isinstance(start, dict))
    return Results(path, printable(str(record.get("name")), 200), tuple(found), tuple(left), starts)


def _run(job: Job, updates: Columns, episodes: Columns, folder: CampaignFolder) -> RunResult:
    limits = {name: float(updates[f"limit/{name}"][-1]) for name in costs_of(updates)}
    limits = {name: limit for name, limit in limits.items() if np.isfinite(limit)}
    for table, file in ((updates, "updates.csv"), (episodes, "episodes.csv")):
        _demand_finite(table, ["reward", *(f"cost/{name}" for name in limits)], f"{folder.path / file}, {job.name}")
    by_split = {split: _part(episodes, np.flatnonzero(episodes["split"] == split)) for split in SPLITS}
    for split in ("stochastic", "deterministic"):
        if len(by_split[split]["reward"]) < 2:
            raise UsageError(f"{folder.path / 'episodes.csv'} has fewer than 2 episodes ({split}) of {job.name}")
    missing = max(job.evaluation_episodes - len(by_split["stochastic"]["reward"]), 0)
    evaluation = read_evaluation_file(folder.run_dir(job))  # it knows more, where the run is there too
    if evaluation is not None:
        missing = max(missing, evaluation.stochastic.broken)
    method = method_name(job.algorithm, job.varied)
    return RunResult(Condition(job.task, job.limits_scale), method, str(job.seed), limits, updates, by_split, missing)


def _demand_finite(table: Columns, columns: Sequence[str], place: str) -> None:
    """Raise `UsageError` for a reward or a cost that is no finite number: no run writes one."""
    for column in columns:
        wrong = np.flatnonzero(~np.isfinite(table[column]))
        if len(wrong):
            raise UsageError(f"{place}: {column} is {table[column][wrong[0]]:g}; allowed: a finite number")


def _by_run(table: Columns) -> dict[tuple[Any, ...], np.ndarray]:
    """Return the rows of each run by its labels."""
    places: dict[tuple[Any, ...], list[int]] = {}
    for i, key in enumerate(zip(*(table[label].tolist() for label in LABELS), strict=True)):
        places.setdefault(key, []).append(i)
    return {key: np.array(rows) for key, rows in places.items()}


def _part(table: Columns, rows: np.ndarray) -> Columns:
    return {name: column[rows] for name, column in table.items()}
