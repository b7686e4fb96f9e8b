"""What an update's pieces take, in wall-clock and processor time, with the Fisher matrix thinned and whole.

    python benchmarks/update.py [TASK] [--rounds 7]

PCRPO in balance mode on one rollout of 20 × 1000 steps; pieces are timed in turn, medians over the rounds. Prints
docs/performance.md's table.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from equipoise.algorithms import PCRPO, Learner, Slack, TrustRegion, make_algorithm
from equipoise.algorithms.algorithm import _fit, _improve, _prepare
from equipoise.physics import NativePhysics
from equipoise.policy import Actor
from equipoise.tasks import TASKS
from equipoise.training.config import Config
from equipoise.training.loop import iterate
from equipoise.training.rollout import collect
from equipoise.training.run import first_progress


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Return wall-clock and processor milliseconds of `run`."""
    wall, processor = time.perf_counter(), time.process_time()
    jax.block_until_ready(run())
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor)


def pieces(task: str, fisher_every: int) -> dict[str, Callable[[], object]]:
    """Return the pieces of an update, ready to be run again and again on the same rollout."""
    band = Slack(schedule="constant", low=-1e9, high=1e9, unit="cost")
    handler = PCRPO(learner=Learner(trust_region=TrustRegion(fisher_every=fisher_every)), slack=band)
    algorithm, physics = make_algorithm(handler), NativePhysics(TASKS[task], 20)
    config = Config(task, handler)
    progress, _ = iterate(config, physics, algorithm, first_progress(config, physics.problem))
    learner, key = progress.learner, jax.random.key(0)
    batch = collect(physics, Actor(learner.policy, learner.observations), 1000, (0, 1)).batch
    limits, share = jnp.asarray(config.resolve_limits(physics.problem)), jnp.asarray(0.0)
    lesson = _prepare(handler.learner, learner, batch)
    return {
        "advantages, normalisation, targets": lambda: _prepare(handler.learner, learner, batch),
        "policy step": lambda: _improve(handler, learner.policy, lesson, batch.estimate, limits, share),
        "critics": lambda: _fit(handler.learner, learner.critics, lesson, key),
        "the update, policy step and critics at once": lambda: algorithm.update(learner, batch, limits, share, key),
    }


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", default="SafetyHalfCheetah-v4", choices=list(TASKS))
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    runs = {
        f"{name}, F over every {'' if every == 1 else '4th '}step" if "policy" in name else name: run
        for every in (4, 1)
        for name, run in pieces(options.task, every).items()
    }
    for run in runs.values():
        jax.block_until_ready(run())
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            times[name].append(timed(run))
    print("| piece | wall | processor |\n|---|---|---|")
    for name, found in times.items():
        wall, processor = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"| {name} | {wall:.0f} ms | {processor:.0f} ms |")


if __name__ == "__main__":
    main()
