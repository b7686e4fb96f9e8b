"""What an update takes: of every algorithm, as a share of the physics of the same steps; and piece by piece.

    python benchmarks/update.py [TASK] [--rounds 7] [--only NAME …]

One rollout of 20 × 1000 steps, the limit being what it costs, so that costs count. Algorithms and pieces are
timed in turn within a round, and the figures are medians over rounds of ratios within one, as a shared machine
changes its speed from minute to minute. Writes docs/results/data/update.csv.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

from equipoise.algorithms import ALGORITHMS, Algorithm, TrustRegion
from equipoise.physics import NativePhysics
from equipoise.policy import Actor
from equipoise.tasks import TASKS
from equipoise.training.budget import observed, renew_budget
from equipoise.training.rollout import collect
from equipoise.training.update import compiled_fit, compiled_improve, compiled_prepare, update
from studies import save

TABLE = Path(__file__).parents[1] / "docs" / "results" / "data" / "update.csv"


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Return wall-clock and processor milliseconds of `run`."""
    wall, processor = time.perf_counter(), time.process_time()
    jax.block_until_ready(run())
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor)


def prepared(algorithm: Algorithm, task: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return an update of `algorithm`, ready to be run again and again on one rollout, and that rollout itself."""
    physics = observed(NativePhysics(TASKS[task], 20), algorithm.lens)
    limits = TASKS[task].limits()
    state = algorithm.init(physics.problem, jnp.asarray(limits), jax.random.key(0))
    renew_budget(physics, algorithm, state, limits)
    rollout = partial(collect, physics, Actor(state.policy, state.observations), 1000, (0, 1))
    batch = rollout().batch
    middle = jnp.asarray(batch.estimate.cost)  # so that a limit binds, and costs count
    arguments = (algorithm, state, batch, middle, jnp.asarray(0.1), jax.random.key(0))
    return partial(update, *arguments), rollout


def pieces(task: str) -> dict[str, Callable[[], object]]:
    """Return the pieces of TRPO's update."""
    algorithm = ALGORITHMS["trpo"].algorithm
    run, _ = prepared(algorithm, task)
    _, state, batch, limits, fraction, key = run.args  # type: ignore[attr-defined]
    prepare = partial(compiled_prepare, algorithm.learner, state.critics, state.observations, batch)
    ready = prepare()
    flat = ready.samples.flat()
    fit = partial(
        compiled_fit, state.critics, flat.observation, ready.targets, flat.valid, algorithm.learner.critic, key
    )
    found: dict[str, Callable[[], object]] = {"advantages, normalisation, targets": prepare, "critics": fit}
    for every, steps in ((2, "every 2nd step"), (4, "every 4th step"), (1, "every step")):
        thinned = Algorithm(algorithm.rule, TrustRegion(fisher_every=every))
        found[f"policy step, F over {steps}"] = partial(
            compiled_improve, thinned, state, ready, batch.estimate, limits, fraction, key
        )
    return found


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", default="SafetyHalfCheetah-v4", choices=list(TASKS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=list(ALGORITHMS), help="algorithms beside trpo")
    options = parser.parse_args()
    names = list(dict.fromkeys(["trpo", *options.only]))
    updates = {name: prepared(ALGORITHMS[name].algorithm, options.task) for name in names}
    runs = {name: run for name, (run, _) in updates.items()} | pieces(options.task)
    for run in runs.values():  # compiles
        jax.block_until_ready(run())
    shares: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        physics = updates["trpo"][1]().physics_seconds * 1e3  # type: ignore[attr-defined]
        trpo, _ = timed(runs["trpo"])
        for name, run in runs.items():
            wall, processor = timed(run)
            shares[name].append((wall, processor, wall / physics, wall / trpo))
    rows = []
    for name, found in shares.items():
        wall, processor, of_physics, of_trpo = (statistics.median(column) for column in zip(*found, strict=True))
        row = {"update": name, "wall_ms": round(wall), "processor_ms": round(processor)}
        rows.append({**row, "of_physics": f"{of_physics:.2f}", "of_trpo": f"{of_trpo:.2f}"})
        print(*rows[-1].values(), sep="\t", flush=True)
    save(TABLE, rows)


if __name__ == "__main__":
    main()
