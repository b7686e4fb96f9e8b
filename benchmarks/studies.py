"""The runs behind docs/results/ and docs/decisions/.

    python benchmarks/studies.py STUDY [--seeds 5] [--runs runs/studies]

Trains the runs of a study that have no rows in docs/results/data/STUDY.csv yet, one on each core, and adds a run's rows
when it is finished, one for every fifth of its training: a study can be stopped at any time and started again. Two
others measure finished policies: `scores` what policies cost that were trained on the cost alone or on the reward
alone, `bias` how far Ĵ is off. Both need the runs of `trpo`, and `bias` those of `safe`.

`python benchmarks/tables.py` then writes the tables.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from equipoise.algorithms import ALGORITHMS
from equipoise.files import write_atomically
from equipoise.physics import NativePhysics
from equipoise.physics.models import load_model
from equipoise.tasks import TASKS
from equipoise.training.evaluate import evaluate
from equipoise.training.rollout import Rollout, collect
from equipoise.training.run import Run

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "data"
FIVE = [f"Safety{robot}Velocity-v1" for robot in ("Ant", "HalfCheetah", "Hopper", "Walker2d", "Swimmer")]
TWO = ["SafetyHopperVelocity-v1", "SafetyHalfCheetahVelocity-v1"]
FOUR = ["SafetyHalfCheetah-v4", "SafetyHopper-v4", *TWO]
VELOCITY = [name for name in TASKS if "Velocity" in name]
WHOLE = ("--step.fisher-every", "1")
"""Options of studies in which the Fisher matrix is over all steps, as OmniSafe's is."""
QUARTER = ("--step.fisher-every", "4")
"""Options of studies made while the default was to take it over every fourth step."""
SHORT = 500_000
"""Steps of a run where many are compared."""
SOME = ("trpo_lag", "trpo_pid", "ppo_lag", "cpo", "c_trpo", "crpo", "pcrpo")
"""Algorithms that are looked at on more tasks than the others."""
TUNING = ("SafetyReacher-v4", "SafetyWalker2dVelocity-v1", "SafetySwimmerVelocity-v1")
"""Tasks that settings are chosen on; no claim rests on them."""
SETTINGS = {
    "10 × 128, 3e-4": "--step.minibatch-size 128 --step.learning-rate 3e-4",
    "10 × 1024, 3e-3": "--step.minibatch-size 1024 --step.learning-rate 3e-3",
    "omnisafe": "--preset omnisafe",
}
"""What is tried of PPO's step."""
WHOLE_NOISE = ("--step.noise-share", "1")
NO_LANDING = (*WHOLE_NOISE, "--landing", "0")
POISE = {
    "default": (),
    "shortened half as much": ("--shorten", "0.5"),
    "noise share 1": WHOLE_NOISE,
    "noise share 1, full length": (*WHOLE_NOISE, "--shorten", "0"),
    "noise share 1, shortened half as much": (*WHOLE_NOISE, "--shorten", "0.5"),
    "noise share 1, no landing": NO_LANDING,
    "noise share 1, no landing, full length": (*NO_LANDING, "--shorten", "0"),
    "noise share 1, no landing, margin 5 %": (*NO_LANDING, "--margin", "0.05"),
    "noise share 1, no landing, margin 5 %, full length": (*NO_LANDING, "--margin", "0.05", "--shorten", "0"),
    "noise share 1, no landing, margin 5 %, full length, room 1": (
        *NO_LANDING,
        *"--margin 0.05 --shorten 0 --room 1".split(),
    ),
}
"""What is tried of POISE."""
WINDOW = 100_000
"""Steps before a stage over which training reward and cost are averaged: 100 full episodes, as in OmniSafe's log."""


@dataclass(frozen=True)
class Job:
    """One run of a study."""

    name: str
    """Its folder."""
    arguments: tuple[str, ...]
    """What follows `equipoise train`."""
    labels: dict[str, str]
    """What distinguishes it from the study's other runs."""
    limit: float | None = None
    """The limit that it is judged by, where it was trained with another."""

    @property
    def key(self) -> tuple[str, ...]:
        """The values of the labels."""
        return tuple(self.labels.values())


def job(
    algorithm: str, task: str, seed: int, steps: int, *options: str, judged_by: float | None = None, **labels: str
) -> Job:
    """Describe a run of `algorithm` on `task`."""
    extra = "".join(f"-{value}" for value in labels.values())
    arguments = (algorithm, task, "--seed", str(seed), "--total-steps", str(steps), *options)
    labels = {"task": task, "algorithm": algorithm, **labels, "seed": str(seed)}
    return Job(f"{task}-{algorithm}{extra}-{seed}", arguments, labels, judged_by)


def trpo(seeds: int) -> Iterator[Job]:
    """Unconstrained TRPO on the velocity tasks."""
    for seed in range(seeds):
        for task in FIVE:
            yield job("trpo", task, seed, 1_000_000)


def full_fisher(seeds: int) -> Iterator[Job]:
    """Unconstrained TRPO with the Fisher matrix over all steps."""
    for seed in range(seeds):
        for task in FIVE:
            yield job("trpo", task, seed, 1_000_000, *WHOLE)


def omnisafe_settings(seeds: int) -> Iterator[Job]:
    """TRPO at OmniSafe's settings: its KL is a mean over action dimensions, so δ and damping are n times as large."""
    for seed in range(seeds):
        for task in FIVE:
            n = load_model(TASKS[task]).nu
            options = f"--log-std 0 --step.max-kl {0.01 * n:g} --step.damping {0.1 * n:g}"
            options += " --step.cg-iterations 15"
            yield job("trpo", task, seed, 1_000_000, *options.split(), *WHOLE)


def hopper(seeds: int) -> Iterator[Job]:
    """TRPO on Hopper with OmniSafe's initial σ, with its other settings, and with both."""
    sigma, others = (
        "--log-std 0",
        "--step.max-kl 0.03 --step.damping 0.3 --step.cg-iterations 15",
    )
    for seed in range(seeds):
        for name, options in {"sigma": sigma, "both": f"{sigma} {others}", "others": others}.items():
            yield job("trpo", "SafetyHopperVelocity-v1", seed, 1_000_000, *options.split(), *WHOLE, setting=name)


def damping(seeds: int) -> Iterator[Job]:
    """TRPO with three times the default damping, on the two tasks where a first seed had gained most by it."""
    for seed in range(seeds):
        for task in ("SafetyHopperVelocity-v1", "SafetyWalker2dVelocity-v1"):
            yield job("trpo", task, seed, 1_000_000, "--step.damping", "0.3", *WHOLE, setting="0.3")


def fisher(seeds: int) -> Iterator[Job]:
    """TRPO with the Fisher matrix over a quarter of the steps."""
    for seed in range(seeds):
        for task in FIVE:
            yield job("trpo", task, seed, 1_000_000, *QUARTER, setting="4")


def epochs(seeds: int) -> Iterator[Job]:
    """TRPO and PCRPO with half as many epochs of the critics, beside the runs of `fisher` and `margin`."""
    half = ("--critic.epochs", "5", *QUARTER)
    for seed in range(seeds):
        for task in ("SafetyHalfCheetahVelocity-v1", "SafetySwimmerVelocity-v1", "SafetyHopperVelocity-v1"):
            yield job("trpo", task, seed, 1_000_000, *half, setting="5")
        for task in FOUR:
            narrow = ("--slack.low", "-0.1")
            yield job("pcrpo", task, seed, SHORT, *narrow, *half, judged_by=TASKS[task].limits()[0], setting="5")


def safe(seeds: int) -> Iterator[Job]:
    """CRPO and PCRPO at a limit of 25, PCRPO also with a band of 0.5·b. (OmniSafe's CRPO has a tolerance of 2.)"""
    for algorithm, low in (("pcrpo", -0.3), ("crpo", 0.0), ("pcrpo", -0.5)):
        options = ("--slack.low", f"{low:g}", *QUARTER) if low else QUARTER
        for seed in range(seeds):
            for task in TWO:
                yield job(algorithm, task, seed, 2_000_000, *options, low=f"{low:g}")


def margin(seeds: int) -> Iterator[Job]:
    """PCRPO at five limits b with a band of 0.1·b, and CRPO at 0.9·b, where that band begins; both judged by b."""
    for seed in range(seeds):
        for share in (1.0, 0.5, 2.0, 0.25, 1.5):
            for task in FOUR:
                limit = share * TASKS[task].limits()[0]
                band, below = ("--limits", f"{limit:g}", "--slack.low", "-0.1"), ("--limits", f"{0.9 * limit:g}")
                for algorithm, options in (("pcrpo", band), ("crpo", below)):
                    yield job(algorithm, task, seed, SHORT, *options, *QUARTER, judged_by=limit, share=f"{share:g}")


def band(seeds: int) -> Iterator[Job]:
    """PCRPO with bands of 0.3·b and 0.5·b, and CRPO at 0.7·b, where the first of them begins; all judged by b."""
    for seed in range(seeds):
        for task in FOUR:
            limit = TASKS[task].limits()[0]
            for low in ("-0.3", "-0.5"):
                yield job("pcrpo", task, seed, SHORT, "--slack.low", low, *QUARTER, judged_by=limit, low=low)
            below = ("--limits", f"{0.7 * limit:g}")
            yield job("crpo", task, seed, SHORT, *below, *QUARTER, judged_by=limit, low="-0.3")


def first_look(seeds: int) -> Iterator[Job]:
    """Every algorithm on two velocity tasks, and some on Safety-MuJoCo, those first."""
    others = [name for name in ALGORITHMS if name not in SOME]
    for seed in range(seeds):
        for algorithm in (*SOME, *others):
            for task in FOUR if algorithm in SOME else TWO:
                yield job(algorithm, task, seed, 1_000_000)


def tuning(seeds: int) -> Iterator[Job]:
    """PPO and PPO-Lagrangian with several settings of the step on the tuning tasks."""
    for seed in range(seeds):
        for algorithm in ("ppo", "ppo_lag"):
            for setting, options in SETTINGS.items():
                for task in TUNING:
                    yield job(algorithm, task, seed, 300_000, *options.split(), setting=setting)


def poise(seeds: int) -> Iterator[Job]:
    """POISE with and without what its settings do, on tuning tasks; its rivals are in the campaign `look`.

    Where seeds differ most, five at least.
    """
    for seed in range(max(seeds, 5)):
        for task in ("SafetyHopper-v4", *TWO):
            for setting, options in POISE.items():
                if seed < seeds or (task == "SafetyHopper-v4" and setting in ("default", "noise share 1")):
                    yield job("poise", task, seed, 1_000_000, *options, setting=setting)


def exploring(seeds: int) -> Iterator[Job]:
    """POISE's rivals where it learns and they do not, with all of a cost's gradient in log σ and with a share of it."""
    for seed in range(seeds):
        for algorithm in ("pcrpo", "crpo", "trpo_lag", "trpo_pid", "cpo", "c_trpo"):
            for share in ("1", "0.3"):
                options = ("--step.noise-share", share)
                yield job(algorithm, "SafetyHopper-v4", seed, 1_000_000, *options, noise_share=share)


TRAINING = {
    "poise": poise,
    "exploring": exploring,
    "tuning": tuning,
    "first_look": first_look,
    "trpo": trpo,
    "full_fisher": full_fisher,
    "omnisafe_settings": omnisafe_settings,
    "hopper": hopper,
    "damping": damping,
    "fisher": fisher,
    "epochs": epochs,
    "safe": safe,
    "margin": margin,
    "band": band,
}


def train(jobs: list[Job], folder: Path) -> Iterator[Job]:
    """Train the jobs, one run a core as two side by side waste less than one on two cores; yield each when finished."""
    cores: SimpleQueue[int] = SimpleQueue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)

    def run(job: Job) -> Job:
        core, path = cores.get(), folder / job.name
        command = [sys.executable, "-m", "equipoise"]
        if list(path.glob("checkpoints/*.npz")):
            command += ["resume", str(path)]
        else:
            command += ["train", *job.arguments, "--run-dir", str(path)]
        command += ["--threads", "1"]
        os.sched_setaffinity(0, {core})  # of this thread, and of the process that it starts
        result = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        cores.put(core)
        if result.returncode:
            raise SystemExit(f"{job.name} failed: {' '.join(command)}")
        return job

    with ThreadPoolExecutor(cores.qsize()) as pool:
        for future in as_completed([pool.submit(run, job) for job in jobs]):
            yield future.result()


def study(name: str, jobs: list[Job], folder: Path) -> None:
    """Train what the study's table lacks, and keep the table up to date."""
    table = RESULTS / f"{name}.csv"
    known: dict[tuple[str, ...], list[dict[str, str]]] = {}
    if table.exists():
        with table.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                known.setdefault(tuple(row[label] for label in jobs[0].labels), []).append(row)
    folder.mkdir(parents=True, exist_ok=True)
    order = {job.key: place for place, job in enumerate(jobs)}
    for job in train([job for job in jobs if job.key not in known], folder):
        known[job.key] = list(rows_of(job, folder / job.name))
        done = sorted(known, key=lambda key: order.get(key, len(order)))  # those of more seeds than asked for stay
        save(table, [row for key in done for row in known[key]])
        print(job.name, flush=True)


def save(table: Path, rows: list[dict[str, str]]) -> None:
    """Write the rows as CSV."""
    content = io.StringIO()
    writer = csv.DictWriter(content, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    table.parent.mkdir(exist_ok=True)
    write_atomically(table, content.getvalue().encode())


def rows_of(job: Job, path: Path) -> Iterator[dict[str, str]]:
    """Return one row for every fifth of a run."""
    run = Run.load(path)
    steps = np.array([row["steps"] for row in run.metrics], int)
    limit = run.limits[0] if job.limit is None else job.limit
    for fifth in range(1, 6):
        stage = fifth * run.config.total_steps // 5
        rows = [r for r, at in zip(run.metrics, steps, strict=True) if stage - WINDOW < at <= stage]
        until = [r for r, at in zip(run.metrics, steps, strict=True) if at <= stage]
        costs = np.array([float(r["cost/cost"]) for r in until])
        taken = np.diff(steps[: len(until)], prepend=0)  # ESPO's iterations are not all of one size

        def mean(column: str, rows: list = rows) -> float | str:
            return float(np.mean([float(row[column]) for row in rows])) if column in rows[0] else ""

        def share(column: str, *values: str, until: list = until) -> float:
            return float(np.mean([row[column] in values for row in until]))

        last = {}
        if fifth == 5 and job.limit is None:  # a certificate is of a run's own limit
            found = evaluate(run, 100, threads=1).stochastic
            last = {"eval_reward": found.reward.value, "eval_cost": found.costs[0].mean.value}
            last["eval_upper"] = found.costs[0].upper
        row = {
            **job.labels,
            "limit": limit,
            "steps": stage,
            "reward": mean("reward"),
            "cost": mean("cost/cost"),
            "violation": float(np.maximum(costs - limit, 0.0).mean() / limit),
            "inside": float((costs <= limit).mean()),
            "swing": float(costs[len(costs) // 2 :].std(ddof=1)),
            "log_std": mean("log_std"),
            "kl": mean("kl"),
            "backtracks": mean("backtracks"),
            "balance": share("mode", "balance"),
            "safety": share("mode", "safety"),
            "stationary": share("outcome", "stationary", "stationary, then fallback"),
            "rejected": share("outcome", "rejected", "rejected, then fallback"),
            "minutes": sum(n / float(r["steps_per_second"]) for n, r in zip(taken, until, strict=True)) / 60,
            **{name: last.get(name, "") for name in ("eval_reward", "eval_cost", "eval_upper")},
        }
        yield {name: f"{value:.5g}" if isinstance(value, float) else str(value) for name, value in row.items()}


def scores(folder: Path) -> Iterator[dict[str, str]]:
    """Measure what policies cost that were trained on the cost alone, and on the reward alone."""
    always_safety = "--limits 0 --tolerance -1".split()  # no cost is below −1
    jobs = [job("crpo", task, 0, 1_000_000, *always_safety) for task in VELOCITY]
    humanoid = job("trpo", "SafetyHumanoidVelocity-v1", 0, 1_000_000)
    for trained in train([humanoid, *jobs], folder / "scores"):
        print(trained.name, flush=True)
    for task, cost_only in zip(VELOCITY, jobs, strict=True):
        reward_only = folder / "trpo" / f"{task.replace('-v0', '-v1')}-trpo-0"  # v0 differs in its cost only
        if not reward_only.exists():
            reward_only = folder / "scores" / reward_only.name
        found = [episodes_of(Run.load(path), task) for path in (folder / "scores" / cost_only.name, reward_only)]
        yield {
            "task": task,
            "cost_only": f"{found[0].costs.mean():.4g}",
            "unconstrained": f"{found[1].costs.mean():.4g}",
            "reward_of_cost_only": f"{found[0].returns.mean():.4g}",
            "reward_of_unconstrained": f"{found[1].returns.mean():.4g}",
        }


def episodes_of(run: Run, task: str, episodes: int = 100) -> Rollout:
    """Roll out fresh episodes of the run's stochastic policy on `task`."""
    physics = NativePhysics(TASKS[task], episodes, threads=1)
    return collect(physics, run.policy, run.problem.horizon, (run.config.seed, run.state.iteration, 7))


def bias(folder: Path, rounds: int = 50) -> Iterator[dict[str, str]]:
    """Compare Ĵ_c, as an iteration estimates it from 20 000 steps in 20 and in 4 environments, with 1 000 fresh ones.

    In 20 environments one episode in each counts, so Ĵ is unbiased; in 4, episodes that end early are followed by
    others.
    """
    names = (
        "safe/SafetyHopperVelocity-v1-crpo-0-0",
        "safe/SafetyHalfCheetahVelocity-v1-crpo-0-0",
        "trpo/SafetyWalker2dVelocity-v1-trpo-0",
    )
    for name, run in [(Path(name).name, Run.load(folder / name)) for name in names]:  # all, before minutes of work
        fresh = episodes_of(run, run.config.task, 1000).costs
        row = {"run": name, "fresh": f"{fresh.mean():.4g}", "fresh_se": f"{fresh.std(ddof=1) / np.sqrt(1000):.2g}"}
        for num_envs in (20, 4):
            physics = NativePhysics(TASKS[run.config.task], num_envs)
            key = (run.config.seed, run.state.iteration, 8, num_envs)  # longer than any key of training
            rollouts = [collect(physics, run.policy, 20_000 // num_envs, (*key, i)) for i in range(rounds)]
            means = np.array([rollout.costs.mean() for rollout in rollouts])
            row[f"envs_{num_envs}"] = f"{means.mean():.4g}"
            row[f"envs_{num_envs}_se"] = f"{means.std(ddof=1) / np.sqrt(rounds):.2g}"
            row[f"envs_{num_envs}_episodes"] = f"{np.mean([len(rollout.costs) for rollout in rollouts]):.4g}"
        yield row


def main() -> None:
    """Train and summarise a study."""
    measuring = {"scores": scores, "bias": bias}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=[*TRAINING, *measuring])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/studies"))
    options = parser.parse_args()
    if options.study in TRAINING:
        study(options.study, list(TRAINING[options.study](options.seeds)), options.runs / options.study)
    else:
        save(RESULTS / f"{options.study}.csv", list(measuring[options.study](options.runs)))


if __name__ == "__main__":
    main()
