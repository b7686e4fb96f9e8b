"""A campaign's runs as configurations, all checked before the first of them starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from equipoise.algorithms.own import load_algorithm
from equipoise.campaigns.folder import CampaignFolder
from equipoise.campaigns.job import Job
from equipoise.campaigns.options import set_option
from equipoise.errors import UsageError
from equipoise.gradients import load
from equipoise.problem import Problem
from equipoise.training.config import Config, make_simulator
from equipoise.training.run import read_config


def begin(base: str, preset: str | None = None, task: str = "") -> Config:
    """Return the configuration that settings are set in: that of `equipoise train BASE TASK --preset PRESET`."""
    return Config(task=task, algorithm=load_algorithm(base, preset), algorithm_name=base)


def config_of(job: Job) -> Config:
    """Return the configuration of a run, except for its scaled limits, which need the problem (`scaled`)."""
    config = begin(job.base, job.preset, job.task)
    config = dataclasses.replace(config, seed=job.seed, total_steps=job.total_steps)
    if "balance.aggregator" in job.settings:
        load(job.settings["balance.aggregator"])
    for name, value in job.settings.items():
        config = set_option(config, name, value)
    return config


def scaled(config: Config, problem: Problem, scale: float) -> Config:
    """Return `config` with limits `scale` times those of the task."""
    if scale == 1.0:
        return config
    if config.limits or config.limits_per_step:
        raise UsageError("both limits_scale and limits are given; give one of them")
    if problem.limits is None:
        raise UsageError(f"limits_scale is {scale:g}, but {problem.id} has no limits of its own; give limits")
    return dataclasses.replace(config, limits=tuple(scale * limit for limit in problem.limits))


def whole_config_of(job: Job) -> Config:
    """Return the configuration of a run, its limits scaled."""
    config = config_of(job)
    return config if job.limits_scale == 1.0 else scaled(config, problem_of(config), job.limits_scale)


def check_begun(folder: CampaignFolder, jobs: Sequence[Job]) -> None:
    """Raise `UsageError` for the first run that was begun with another configuration, or changed by hand since.

    A finished one would otherwise be in the tables under a name that is not its own.
    """
    expected: dict[tuple[str, ...], Config] = {}
    for job in jobs:
        if has_begun(folder.run_dir(job)):
            kind = (job.task, job.algorithm, str(job.limits_scale), job.varied)  # all but the seed
            if kind not in expected:
                expected[kind] = whole_config_of(job)
            check_same(folder.run_dir(job), dataclasses.replace(expected[kind], seed=job.seed))


def has_begun(path: Path) -> bool:
    """Tell whether there is a run in the folder `path`."""
    return (path / "config.json").exists()


def check_same(path: Path, config: Config) -> None:
    """Raise `UsageError` unless the run in `path` has the configuration `config`."""
    found, _ = read_config(path, config.algorithm)
    if found != config:
        raise UsageError(f"{path} has another configuration than the campaign's file says; remove it to do it again")


def problem_of(config: Config) -> Problem:
    """Return the problem that a configuration is of, as its policy sees it."""
    simulator = make_simulator(dataclasses.replace(config, num_envs=2), 1)
    try:
        return simulator.problem
    finally:
        simulator.close()


def check(jobs: Sequence[Job]) -> None:
    """Raise `UsageError` for the first run that could not be trained. Runs that differ in the seed are one kind."""
    problems: dict[object, Problem] = {}
    looked_at: set[str] = set()
    for job in jobs:
        if job.evaluation_episodes < 2:
            raise UsageError(f"evaluation_episodes is {job.evaluation_episodes}; allowed: 2 or more")
        if job.seed < 0:
            raise UsageError(f"a seed is {job.seed}; allowed: 0 or more")
        kind = dataclasses.replace(job, seed=0).name
        if kind in looked_at:
            continue
        looked_at.add(kind)
        try:
            config = config_of(job)
            key = (config.task, config.cost_names, config.horizon)
            if key not in problems:
                problems[key] = problem_of(config)
            scaled(config, problems[key], job.limits_scale).check(problems[key])
        except UsageError as error:
            raise UsageError(f"{job.algorithm} on {job.task}: {error}") from None
