"""The runs behind docs/anchors.md: is what is learnt here as good as what the reference implementations learn?

    python benchmarks/anchors.py trpo | safe | margin | bias [--seeds 5] [--runs runs/anchors]

Trains every run of a study that is not finished yet, one on each core, and writes docs/anchors/STUDY.csv from those
that are: one row a run and stage of training. `bias` needs the runs of `trpo` and `safe`. A study can be stopped at
any time and started again.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from equipoise.physics import NativePhysics
from equipoise.tasks import TASKS
from equipoise.training.evaluate import evaluate
from equipoise.training.rollout import collect
from equipoise.training.run import Run

RESULTS = Path(__file__).parents[1] / "docs" / "anchors"
FIVE = [f"Safety{robot}Velocity-v1" for robot in ("Ant", "HalfCheetah", "Hopper", "Walker2d", "Swimmer")]
TWO = ["SafetyHopperVelocity-v1", "SafetyHalfCheetahVelocity-v1"]
FOUR = ["SafetyHalfCheetah-v4", "SafetyHopper-v4", *TWO]
WINDOW = 100_000
"""Steps before a stage over which training reward and cost are averaged: 100 episodes, as OmniSafe's curves."""


@dataclass(frozen=True)
class Job:
    """One run of a study."""

    name: str
    """Its folder."""
    arguments: tuple[str, ...]
    """What follows `equipoise train`."""
    labels: dict[str, str]
    """What tells it from the study's other runs."""


def job(algorithm: str, task: str, seed: int, steps: int, *options: str, **labels: str) -> Job:
    """Describe a run of `algorithm` on `task`."""
    extra = "".join(f"-{value}" for value in labels.values())
    arguments = (algorithm, task, "--seed", str(seed), "--total-steps", str(steps), *options)
    labels = {"task": task, "algorithm": algorithm, **labels, "seed": str(seed)}
    return Job(f"{task}-{algorithm}{extra}-{seed}", arguments, labels)


def trpo(seeds: int) -> Iterator[Job]:
    """Unconstrained TRPO on the velocity tasks."""
    for seed in range(seeds):
        for task in FIVE:
            yield job("trpo", task, seed, 1_000_000)


def safe(seeds: int) -> Iterator[Job]:
    """CRPO, with OmniSafe's tolerance of 2 inside the limit of 25, and PCRPO."""
    for seed in range(seeds):
        for task in TWO:
            for algorithm in ("crpo", "pcrpo"):
                yield job(algorithm, task, seed, 2_000_000)


def margin(seeds: int) -> Iterator[Job]:
    """PCRPO, and CRPO at the limit b + h⁻ that PCRPO's default band begins at, over five limits."""
    for seed in range(seeds):
        for share in (1.0, 0.5, 2.0, 0.25, 1.5):
            for task in FOUR:
                limit = share * TASKS[task].limits()[0]
                yield job("pcrpo", task, seed, 500_000, "--limits", f"{limit:g}", share=f"{share:g}")
                yield job("crpo", task, seed, 500_000, "--limits", f"{0.9 * limit:g}", share=f"{share:g}")


STUDIES = {"trpo": trpo, "safe": safe, "margin": margin}


def train(jobs: list[Job], folder: Path) -> None:
    """Train what is not finished, one run a core: two runs side by side waste less than one on two cores."""
    cores: SimpleQueue[int] = SimpleQueue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)

    def run(job: Job) -> None:
        path = folder / job.name
        if (path / "finished").exists():
            return
        core = cores.get()
        command = [sys.executable, "-m", "equipoise"]
        command += ["resume", str(path)] if list(path.glob("checkpoints/*.npz")) else ["train", *job.arguments]
        command += ["--threads", "1"] + (["--run-dir", str(path)] if "train" in command else [])
        started = time.time()
        result = subprocess.run(
            command, stdout=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, {core}), check=False
        )
        cores.put(core)
        if result.returncode:
            raise SystemExit(f"{job.name} failed: {' '.join(command)}")
        (path / "finished").write_text(f"{time.time() - started:.0f}\n")
        print(f"{job.name}: {time.time() - started:.0f} s", flush=True)

    with ThreadPoolExecutor(cores.qsize()) as pool:
        list(pool.map(run, jobs))


def rows_of(job: Job, path: Path) -> Iterator[dict[str, object]]:
    """Return one row for every fifth of a run."""
    run = Run.load(path)
    steps = np.array([row["steps"] for row in run.metrics], int)
    (limit,) = run.limits
    for fifth in range(1, 6):
        stage = fifth * run.config.total_steps // 5
        rows = [r for r, at in zip(run.metrics, steps, strict=True) if stage - WINDOW < at <= stage]
        until = [r for r, at in zip(run.metrics, steps, strict=True) if at <= stage]

        def mean(column: str, rows: list = rows) -> float:
            return float(np.mean([float(row[column]) for row in rows]))

        def share(column: str, *values: str, until: list = until) -> float:
            return float(np.mean([row[column] in values for row in until]))

        last = {}
        if fifth == 5:
            found = evaluate(run, 100, threads=1).stochastic
            last = {"eval_reward": found.reward.value, "eval_cost": found.costs[0].mean.value}
            last["eval_upper"] = found.costs[0].upper
        row = {
            **job.labels,
            "limit": limit,
            "steps": stage,
            "reward": mean("reward"),
            "cost": mean("cost/cost"),
            "violation": mean("violation", until),
            "inside": float(np.mean([float(r["cost/cost"]) <= limit for r in until])),
            "log_std": mean("log_std"),
            "kl": mean("kl"),
            "backtracks": mean("backtracks"),
            "balance": share("mode", "balance"),
            "safety": share("mode", "safety"),
            "stationary": share("outcome", "stationary", "stationary, then fallback"),
            "rejected": share("outcome", "rejected", "rejected, then fallback"),
            "minutes": sum(20_000 / float(r["steps_per_second"]) for r in until) / 60,
            **{name: last.get(name, "") for name in ("eval_reward", "eval_cost", "eval_upper")},
        }
        yield {name: f"{value:.5g}" if isinstance(value, float) else value for name, value in row.items()}


def bias(folder: Path, rounds: int = 50) -> Iterator[dict[str, object]]:
    """Compare Ĵ_c, as an iteration estimates it, with the mean of fresh episodes, 1 000 each."""
    for name in (
        "SafetyHopperVelocity-v1-crpo-0",
        "SafetyHalfCheetahVelocity-v1-crpo-0",
        "SafetyWalker2dVelocity-v1-trpo-0",
    ):
        run = Run.load(folder / ("trpo" if "trpo" in name else "safe") / name)
        physics = NativePhysics(TASKS[run.config.task], run.config.slots, threads=1)

        def sample(purpose: int, run: Run = run, physics: NativePhysics = physics) -> list[np.ndarray]:
            key = (run.config.seed, run.progress.iteration, 7, purpose)  # longer than any key of training
            return [collect(physics, run.policy, run.problem.horizon, (*key, i)).costs[:, 0] for i in range(rounds)]

        estimates, fresh = sample(1), np.concatenate(sample(2))
        means = np.array([e.mean() for e in estimates])
        yield {
            "task": run.config.task,
            "run": name,
            "iterations": rounds,
            "estimate": f"{means.mean():.4g}",
            "estimate_se": f"{means.std(ddof=1) / np.sqrt(rounds):.2g}",
            "fresh": f"{fresh.mean():.4g}",
            "fresh_se": f"{fresh.std(ddof=1) / np.sqrt(len(fresh)):.2g}",
        }


def main() -> None:
    """Train and summarise a study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=[*STUDIES, "bias"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/anchors"))
    options = parser.parse_args()
    folder = options.runs / options.study
    if options.study == "bias":
        rows = list(bias(options.runs))
    else:
        jobs = list(STUDIES[options.study](options.seeds))
        folder.mkdir(parents=True, exist_ok=True)
        train(jobs, folder)
        rows = [row for job in jobs for row in rows_of(job, folder / job.name)]
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{options.study}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
