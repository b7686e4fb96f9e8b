"""Folders of runs and of campaigns as training leaves them, made of numbers that a test chooses, not by training."""

from __future__ import annotations

import dataclasses
import json
from itertools import product

import numpy as np

from equipoise.campaigns.columns import SPLITS
from equipoise.campaigns.folder import FORMAT as FOLDER_FORMAT
from equipoise.campaigns.job import Job
from equipoise.problem import Problem
from equipoise.statistics import mean_interval, mean_upper_bound, share_interval
from equipoise.training.config_file import FORMAT, VERSION
from equipoise.training.episodes import encode, episode_rows
from equipoise.training.evaluation import CostReport, Evaluation, PolicyReport


def metric_rows(rewards, costs, limits, steps=1000, modes=("reward", "safety")):
    """The rows of a `metrics.csv`: `costs` has a list of means by name, `limits` a number by name."""
    rows = []
    for i, reward in enumerate(rewards):
        row = {"iteration": i + 1, "steps": (i + 1) * steps, "reward": reward, "reward_se": 1.0}
        for name, values in costs.items():
            row |= {f"cost/{name}": values[i], f"cost_se/{name}": 0.5, f"limit/{name}": limits[name]}
            row |= {f"violation/{name}": 0.0}
        row |= {"episodes": 4, "diverged": 0, "mode": modes[i % len(modes)], "outcome": "accepted"}
        row |= {f"cos/{name}": -0.5 for name in costs}
        row |= {"steps_per_second": 5000.0, "time/physics": 0.1, "time/policy": 0.05, "time/update": 0.05}
        rows.append(row)
    return rows


def make_run(path, task="SafetyHopper-v4", algorithm="pcrpo", seed=0, rows=None, evaluation=None):
    """Write a run's `config.json` and `metrics.csv`; with `evaluation`, its costs by name and limit, that as well."""
    rows = rows or metric_rows([1.0, 2.0, 3.0], {"cost": [30.0, 20.0, 10.0]}, {"cost": 25.0})
    names = tuple(column.removeprefix("limit/") for column in rows[0] if column.startswith("limit/"))
    limits = tuple(rows[0][f"limit/{name}"] for name in names)
    problem = Problem(task, 3, 1, 100, names, limits)
    path.mkdir(parents=True)
    content = {"format": FORMAT, "equipoise": VERSION, "problem": dataclasses.asdict(problem)}
    content |= {"algorithm_name": algorithm, "seed": seed}
    (path / "config.json").write_text(json.dumps(content))
    (path / "metrics.csv").write_bytes(encode(rows, header=True))
    if evaluation is not None:
        costs = [
            CostReport(
                name, mean_interval(c), mean_upper_bound(c), limit, share_interval(int((c <= limit).sum()), len(c))
            )
            for (name, c), limit in zip(evaluation.items(), limits, strict=True)
        ]
        policy = PolicyReport(mean_interval(np.arange(3.0)), tuple(costs), 3)
        evaluated = Evaluation(policy, policy, rows[-1]["iteration"], rows[-1]["steps"])
        (path / "evaluation.json").write_text(json.dumps(dataclasses.asdict(evaluated)))
        episodes = episode_rows(np.arange(3.0), np.column_stack(list(evaluation.values())), names)
        both = [{"policy": policy, **row} for policy in ("stochastic", "deterministic") for row in episodes]
        (path / "evaluation.csv").write_bytes(encode(both, header=True))
    return path


def make_campaign(path, methods, tasks, scales=(1.0,), seeds=3, iterations=12, episodes=20, steps=20_000, kept=None):
    """Write a campaign's record and its two tables.

    `methods` says for each algorithm what multiple of the task's reward and of its limits it ends at, `tasks` the
    costs of each and their limits. `kept` chooses the runs that are in the tables, by default all.
    """
    random = np.random.default_rng(0)
    path.mkdir(parents=True)
    jobs = [
        Job(task, *named(method), seed, iterations * steps, episodes, limits_scale=scale, varied=varied(method))
        for seed, scale, task, method in product(range(seeds), scales, tasks, methods)
    ]
    content = {"format": FOLDER_FORMAT, "equipoise": VERSION, "name": path.name, "starts": [START]}
    content["jobs"] = [job.described() for job in jobs]
    (path / "campaign.json").write_text(json.dumps(content))
    updates, rows = [], []
    for job in sorted(filter(kept, jobs), key=lambda job: tuple(job.labels.values())):
        ends = methods[f"{job.algorithm} {job.varied}".strip()]
        limits = {name: limit * job.limits_scale for name, limit in tasks[job.task].items()}
        made = _training(random, ends, limits, iterations, steps)
        updates += [{**job.labels, **row} for row in made]
        rows += [{**job.labels, **row} for row in _episodes(random, made, limits, episodes)]
    for name, table in (("updates", updates), ("episodes", rows)):
        columns = list(dict.fromkeys(column for row in table for column in row))
        (path / f"{name}.csv").write_bytes(encode(table, header=bool(table), columns=columns))
    return path


START = {
    "started": "2026-01-01T00:00:00+00:00",
    "command": "equipoise campaign look.toml",
    "commit": "0123456789abcdef",
    "versions": {"python": "3.12.0", "equipoise": VERSION},
    "machine": {"system": "Linux", "processor": "a processor", "cores": 2},
}
"""How the campaign says that it was started."""


def named(method):
    """The names of an algorithm in a job: what the campaign calls it, and its base."""
    return (method.split()[0],) * 2


def varied(method):
    """The settings in an algorithm's name, after a space."""
    return method.partition(" ")[2]


def _training(random, ends, limits, iterations, steps):
    """The rows of a run that learns: reward from 0 on, costs from twice their limits on."""
    reward, cost = ends
    done = 1 - np.exp(-4 * np.arange(iterations) / max(iterations - 1, 1))
    rewards = 1000 * reward * done + random.normal(0, 20) * done + random.normal(0, 10, iterations)
    costs = {n: d * (2 + (cost - 2) * done) * (1 + random.normal(0, 0.03, iterations)) for n, d in limits.items()}
    rows = metric_rows(rewards.tolist(), {n: c.tolist() for n, c in costs.items()}, limits, steps, MODES)
    for row in rows:
        row["time/steps_per_second"] = row.pop("steps_per_second")
        row["mode"] = "safety" if random.random() > done[row["iteration"] - 1] else str(random.choice(MODES))
        row |= {f"cos/{name}": float(-0.6 * done[row["iteration"] - 1] + random.normal(0, 0.1)) for name in limits}
        row["time/physics"] = float(random.uniform(5, 8))
    return rows


MODES = ("reward", "balance", "safety")


def _episodes(random, made, limits, episodes):
    """Episodes around what the iterations reached."""
    last = made[-1]
    for split, of_split in (("training", made), *((split, [last] * episodes) for split in SPLITS[1:])):
        for row in of_split:
            rewards = {"reward": float(row["reward"] + random.normal(0, 15))}
            costs = {
                f"cost/{n}": float(max(row[f"cost/{n}"] + random.normal(0, 0.1 * d), 0)) for n, d in limits.items()
            }
            ends = {f"limit/{name}": limit for name, limit in limits.items()}
            yield {"split": split, "iteration": row["iteration"], **rewards, **costs, **ends}
