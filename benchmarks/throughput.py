"""How much of the raw speed of the physics is left at each stage up to full training.

    python benchmarks/throughput.py [--rounds 7] [--tasks SafetyHopper-v4 ...]

Stages, all on the actions of the same rollout, and starting anew where its episodes end: `raw` is mujoco.batch
stepping the same 20 simulations and nothing else; `environment` adds observation, reward, cost and checks; `rollout`
adds the policy; `training` adds the update (PCRPO in balance mode, at its default settings). Stages are timed in
turn, round after round, the first two even in turns of 50 steps within a round, and shares are medians of a round's
ratios, so that a noisy machine disturbs both sides. Start-up and memory are of whole processes. Prints a JSON object a
line for machines to read, and a table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import mujoco.batch
import numpy as np
from rich.console import Console
from rich.table import Table

from equipoise.algorithms import PCRPO, Algorithm, Slack
from equipoise.physics import NativePhysics
from equipoise.physics.models import load_model
from equipoise.policy import Actor
from equipoise.tasks import TASKS
from equipoise.training.config import Config
from equipoise.training.loop import iterate
from equipoise.training.rollout import collect, random_for
from equipoise.training.run import first_state

BALANCE = Algorithm(PCRPO(slack=Slack(schedule="constant", low=-1e9, high=1e9, unit="cost")))
RAW_SIZES = (16, 20, 32, 64, 128)
NAVIGATION = ("SafetyPointGoal1-v0", "SafetyCarButton2-v0", "SafetyDoggoPush1-v0", "SafetyAntCircle1-v0")
"""What is measured of the navigation tasks where nothing else is asked for."""
TURN = 50
"""Steps of a stage before it is the other's turn."""
Steps = Callable[[int, int], None]
"""Does the steps from one number up to another."""


def speed(steps: int, run: Callable[[], object]) -> float:
    """Steps per second of `run`, which does `steps` of them."""
    return steps / seconds(run)


def seconds(run: Callable[[], object]) -> float:
    """Seconds that `run` takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def side_by_side(runs: dict[str, Steps], steps: int, num_envs: int) -> dict[str, float]:
    """Speeds of `runs`, which take turns of a few of all `num_envs`' `steps` each."""
    taken = dict.fromkeys(runs, 0.0)
    for first in range(0, steps, TURN):
        last = min(first + TURN, steps)
        for name, run in runs.items():
            taken[name] += seconds(partial(run, first, last))
    return {name: steps * num_envs / time for name, time in taken.items()}


def replay(physics: NativePhysics, actions: np.ndarray, done: np.ndarray, num_envs: int) -> Steps:
    """Steps of a bare mujoco.batch of `num_envs` simulations under the rollout's `actions`."""
    model = load_model(physics.task)
    batch = mujoco.batch.Batch(model, num_envs)
    qpos, qvel, control = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
    starts = first_states(physics, num_envs)
    qpos[:], qvel[:] = starts
    if model.nmocap:  # where the first worlds have them, and they stay there
        poses = physics.task.mocap_pose(physics.state.memory)
        rows = np.arange(num_envs) % physics.num_envs
        batch.bind("mocap_pos")[:], batch.bind("mocap_quat")[:] = (pose[rows] for pose in poses)
    batch.forward()
    columns = np.arange(num_envs) % actions.shape[1]
    chosen = [(action[columns], np.flatnonzero(over[columns])) for action, over in zip(actions, done, strict=True)]

    def run(first: int, last: int) -> None:
        for action, ended in chosen[first:last]:
            control[:] = action
            batch.step(nstep=physics.task.frame_skip)
            if len(ended):
                qpos[ended], qvel[ended] = starts[0][ended], starts[1][ended]

    return run


def best_size(physics: NativePhysics, actions: np.ndarray, done: np.ndarray) -> float:
    """Speed of the fastest of bare batches of several sizes."""
    speeds = []
    for num_envs in RAW_SIZES:
        steps = min(len(actions), max(200, done.size // num_envs))
        run = replay(physics, actions, done, num_envs)
        speeds.append(speed(steps * num_envs, partial(run, 0, steps)))
    return max(speeds)


def first_states(physics: NativePhysics, num_envs: int) -> tuple[np.ndarray, np.ndarray]:
    """States that a rollout starts from."""
    physics.reset(range(physics.num_envs), randoms(physics.num_envs))
    rows = np.arange(num_envs) % physics.num_envs
    return physics.state.qpos[rows], physics.state.qvel[rows]


def randoms(num_envs: int) -> list[np.random.Generator]:
    """The environments' sources of first states."""
    return [random_for("bench", env) for env in range(num_envs)]


def environment(physics: NativePhysics, actions: np.ndarray, done: np.ndarray) -> Steps:
    """Steps of the environment under the rollout's `actions`."""
    sources = randoms(physics.num_envs)
    physics.reset(range(physics.num_envs), sources)
    chosen = [(action, np.flatnonzero(over).tolist()) for action, over in zip(actions, done, strict=True)]

    def run(first: int, last: int) -> None:
        for action, ended in chosen[first:last]:
            physics.step(action)
            if ended:
                physics.reset(ended, [sources[env] for env in ended])

    return run


def measure(task: str, rounds: int) -> list[dict[str, object]]:
    """Time every stage of one task."""
    config = Config(task, BALANCE)
    physics = NativePhysics(TASKS[task], config.num_envs)
    state = first_state(config, physics.problem)
    steps = config.steps_per_iteration // config.num_envs
    state, *_ = iterate(config, physics, state)  # compiles
    stages: dict[str, list[float]] = {}
    for _ in range(rounds):
        learner = state.learner
        actor = Actor(learner.policy, learner.observations)
        rollout = collect(physics, actor, steps, (0, state.iteration))
        replayed = rollout.batch.action.astype(float), rollout.batch.done
        raw = replay(physics, *replayed, config.num_envs)  # draws first states, before the environment has its own
        runs = {"raw": raw, "environment": environment(physics, *replayed)}
        for stage, found in side_by_side(runs, steps, config.num_envs).items():
            stages.setdefault(stage, []).append(found)
        key = (0, state.iteration)
        stages.setdefault("rollout", []).append(
            speed(config.steps_per_iteration, lambda a=actor, k=key: collect(physics, a, steps, k))
        )
        state, row, _ = iterate(config, physics, state)
        stages.setdefault("training", []).append(row["steps_per_second"])
        stages.setdefault("raw, best size", []).append(best_size(physics, *replayed))
    return [
        {
            "task": task,
            "stage": stage,
            "steps_per_second": round(statistics.median(speeds)),
            "share_of_raw": round(statistics.median(np.divide(speeds, stages["raw"]).tolist()), 3),
        }
        for stage, speeds in stages.items()
    ]


def start_up(cache: str) -> tuple[float, float]:
    """Seconds from the command to its first finished iteration, and the process's peak memory in GiB."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "equipoise", "train", "pcrpo", "SafetyHalfCheetah-v4"]
        started = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--total-steps", "100000", "--run-dir", str(run)],
            stdout=subprocess.DEVNULL,
            env={**os.environ, "XDG_CACHE_HOME": cache},
        )
        while not list(run.glob("checkpoints/*.npz")):
            if process.poll() is not None:
                raise SystemExit("the training command failed")
            time.sleep(0.01)
        first = time.perf_counter() - started
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit("the training command failed")
    return first, usage.ru_maxrss / 2**20


def main() -> None:
    """Measure, and print a table and JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    usual = [name for name, task in TASKS.items() if not task.family or name in NAVIGATION]
    parser.add_argument("--tasks", nargs="*", default=usual, choices=list(TASKS))
    parser.add_argument("--no-start-up", action="store_true", help="leave out start-up time and memory")
    options = parser.parse_args()

    if not options.no_start_up:  # first: a process's peak memory counts that of the one that started it
        with tempfile.TemporaryDirectory() as cache:
            for state in ("cold", "warm"):
                seconds, memory = start_up(cache)
                print(
                    json.dumps(
                        {
                            "stage": f"first iteration, {state} cache",
                            "seconds": round(seconds, 1),
                            "peak_memory_gib": round(memory, 2),
                        }
                    )
                )
    rows = []
    for task in options.tasks:
        measured = measure(task, options.rounds)
        for row in measured:  # at once: a whole run takes half an hour
            print(json.dumps(row), flush=True)
        rows += measured
    table = Table("task", "stage", "steps/s", "share of raw")
    for row in rows:
        table.add_row(row["task"], row["stage"], f"{row['steps_per_second']:,}", f"{row['share_of_raw']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
