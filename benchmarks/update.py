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
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp

from equipoise.algorithms import Learner, TrustRegion, make_algorithm
from equipoise.algorithms.algorithm import _fit, _improve, _prepare
from equipoise.physics import NativePhysics
from equipoise.policy import Actor
from equipoise.tasks import TASKS
from equipoise.training.config import Config
from equipoise.training.loop import iterate
from equipoise.training.rollout import collect
from equipoise.training.run import first_state
from throughput import BALANCE


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Return wall-clock and processor milliseconds of `run`."""
    wall, processor = time.perf_counter(), time.process_time()
    jax.block_until_ready(run())
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor)


def pieces(task: str) -> dict[str, Callable[[], object]]:
    """Return the pieces of an update, ready to be run again and again on the same rollout."""
    config, physics = Config(task, BALANCE), NativePhysics(TASKS[task], 20)
    state, _ = iterate(config, physics, make_algorithm(BALANCE), first_state(config, physics.problem))
    learner, key = state.learner, jax.random.key(0)
    batch = collect(physics, Actor(learner.policy, learner.observations), 1000, (0, 1)).batch
    limits, share = jnp.asarray(config.resolve_limits(physics.problem)), jnp.asarray(0.0)
    lesson = _prepare(BALANCE.learner, learner, batch)
    found: dict[str, Callable[[], object]] = {
        "advantages, normalisation, targets": partial(_prepare, BALANCE.learner, learner, batch),
        "critics": partial(_fit, BALANCE.learner, learner.critics, lesson, key),
    }
    for every, steps in ((2, "every 2nd step"), (4, "every 4th step"), (1, "every step")):
        handler = replace(BALANCE, learner=Learner(trust_region=TrustRegion(fisher_every=every)))
        step = partial(_improve, handler, learner.policy, lesson, batch.estimate, limits, share)
        update = partial(make_algorithm(handler).update, learner, batch, limits, share, key)
        found[f"policy step, F over {steps}"] = step
        found[f"the update, policy step and critics at once, F over {steps}"] = update
    return found


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", default="SafetyHalfCheetah-v4", choices=list(TASKS))
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    runs = pieces(options.task)
    for run in runs.values():  # compiles
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
