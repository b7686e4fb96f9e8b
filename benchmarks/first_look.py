"""A first look at every algorithm: one seed, a million steps, two velocity tasks; and some on Safety-MuJoCo.

    python benchmarks/first_look.py [--jobs 2] [--minutes 60] [--only NAME …] [--device cpu]

Each run is a process of its own with one physics thread. A run that is in the table already is not repeated, and one
that was interrupted goes on where it stopped, so that the command can be started again until the table is full. It adds
a row per run to docs/results/data/first_look.csv: means over the last tenth of training, the mean over all updates of
(Ĵ − b)⁺/b, the share of updates with Ĵ ≤ b, and seconds.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from equipoise.algorithms import ALGORITHMS
from equipoise.training.metrics import read_metrics
from studies import save

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "results" / "data" / "first_look.csv"
WRITING = threading.Lock()
STEPS = 1_000_000
EVERYWHERE = ("SafetyHopperVelocity-v1", "SafetyHalfCheetahVelocity-v1")
SOME = ("trpo_lag", "trpo_pid", "ppo_lag", "cpo", "c_trpo", "crpo", "pcrpo")
ALSO = ("SafetyHopper-v4", "SafetyHalfCheetah-v4")


class Job(NamedTuple):
    """One run."""

    task: str
    algorithm: str
    seed: int = 0

    @property
    def folder(self) -> Path:
        """Where it trains."""
        return ROOT / "runs" / "first_look" / f"{self.task}-{self.algorithm}-seed{self.seed}"


def jobs() -> Iterator[Job]:
    """Yield all runs: those that rivals are compared in first."""
    first = [name for name in ALGORITHMS if name in SOME]
    for name in [*first, *(name for name in ALGORITHMS if name not in first)]:
        for task in EVERYWHERE:
            yield Job(task, name)
    for name in first:
        for task in ALSO:
            yield Job(task, name)


def rows() -> list[dict[str, str]]:
    """Read the table; empty if there is none."""
    if not TABLE.exists():
        return []
    with TABLE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def train(job: Job, device: str) -> float:
    """Train, or go on; return the seconds that this process took."""
    started = time.time()
    if (job.folder / "config.json").exists():
        what = ["resume", str(job.folder)]
    else:
        what = ["train", job.algorithm, job.task, "--run-dir", str(job.folder), "--total-steps", str(STEPS)]
        what += ["--seed", str(job.seed)]
    command = [sys.executable, "-m", "equipoise", *what, "--threads", "1"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment(device))
    return time.time() - started


def environment(device: str) -> dict[str, str]:
    """Return the variables of a run's process."""
    return os.environ | {"JAX_PLATFORMS": device}


def measure(job: Job, device: str) -> dict[str, object]:
    """Summarise a finished run."""
    metrics = read_metrics(job.folder / "metrics.csv")
    last = metrics[-max(1, len(metrics) // 10) :]
    cost, limit = np.array([row["cost/cost"] for row in metrics]), metrics[0]["limit/cost"]
    seconds = sum(row["time/physics"] + row["time/policy"] + row["time/update"] for row in metrics)
    return {
        "task": job.task,
        "algorithm": job.algorithm,
        "seed": job.seed,
        "steps": metrics[-1]["steps"],
        "limit": limit,
        "reward": f"{np.mean([row['reward'] for row in last]):.5g}",
        "cost": f"{np.mean([row['cost/cost'] for row in last]):.4g}",
        "violation": f"{np.mean(np.maximum(cost - limit, 0) / limit):.3f}",
        "inside": f"{np.mean(cost <= limit):.2f}",
        "seconds": f"{seconds:.0f}",
        "device": device,
    }


def add(row: dict[str, object]) -> None:
    """Add a row to the table, which stays sorted."""
    with WRITING:  # or of two runs that end at once, one would be lost
        found = [*rows(), {name: str(value) for name, value in row.items()}]
        save(TABLE, sorted(found, key=lambda row: (row["task"], row["algorithm"], int(row["seed"]))))


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after so many")
    parser.add_argument("--only", nargs="*", default=list(ALGORITHMS), help="algorithms")
    parser.add_argument("--device", default="cpu", help="where JAX computes: cpu or cuda")
    asked = parser.parse_args()
    deadline = time.time() + 60 * asked.minutes
    done = {(row["task"], row["algorithm"], int(row["seed"])) for row in rows()}
    missing = [job for job in jobs() if tuple(job) not in done and job.algorithm in asked.only]

    def work(job: Job) -> None:
        if time.time() > deadline:
            return
        try:
            train(job, asked.device)
        except subprocess.CalledProcessError as error:
            print(f"{job.task} {job.algorithm}: exit code {error.returncode}", flush=True)
            return
        row = measure(job, asked.device)
        add(row)
        print(*row.values(), flush=True)

    with ThreadPoolExecutor(asked.jobs) as pool:
        list(pool.map(work, missing))


if __name__ == "__main__":
    main()
