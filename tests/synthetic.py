"""Folders of runs as training leaves them, written from numbers that a test chooses instead of being trained."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

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
        (path / "evaluation.json").write_text(json.dumps(dataclasses.asdict(Evaluation(policy, policy))))
        episodes = episode_rows(np.arange(3.0), np.column_stack(list(evaluation.values())), names)
        both = [{"policy": policy, **row} for policy in ("stochastic", "deterministic") for row in episodes]
        (path / "evaluation.csv").write_bytes(encode(both, header=True))
    return path
