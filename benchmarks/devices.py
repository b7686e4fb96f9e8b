"""What an update takes on each device that JAX has here, by the size of networks and iterations.

    python benchmarks/devices.py [--rounds 5]

Devices take turns within a round on the same rollout, and figures are medians over rounds. `difference` is how far the
policy's step lies from that on the processor, as a share of its length: devices add up in different orders, and may
multiply with fewer digits. Writes docs/results/data/devices.csv.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from equipoise.algorithms import ALGORITHMS, Algorithm
from equipoise.campaigns.provenance import processor
from equipoise.physics import NativePhysics
from equipoise.policy import Actor, GaussianPolicy
from equipoise.problem import Problem
from equipoise.tasks import TASKS
from equipoise.training.device import computing_on
from equipoise.training.rollout import Rollout, collect
from equipoise.training.update import update
from studies import save

TABLE = Path(__file__).parents[1] / "docs" / "results" / "data" / "devices.csv"
TASK = "SafetyHalfCheetah-v4"
STEPS = 1000
SIZES = [(20, (64, 64)), (20, (256, 256)), (100, (64, 64))]
"""Environments, and hidden layers."""
NAMES = ("pcrpo", "ppo_lag")
"""Algorithms: one on each kind of step."""


def sized(name: str, hidden: tuple[int, ...]) -> Algorithm:
    """Return the algorithm with networks of that size."""
    algorithm = ALGORITHMS[name].algorithm
    return dataclasses.replace(algorithm, learner=dataclasses.replace(algorithm.learner, hidden=hidden))


def stepped(algorithm: Algorithm, problem: Problem, rollout: Rollout, device: str) -> tuple[float, np.ndarray]:
    """Update from a new start on `device`; return the seconds it took and the policy's step."""
    with computing_on(device):
        middle = jnp.asarray(rollout.batch.estimate.cost)  # a limit that binds, so that costs count
        start = algorithm.init(problem, middle, jax.random.key(0))
        call = partial(update, algorithm, start, rollout.batch, middle, jnp.asarray(0.1), jax.random.key(1))
        before = time.perf_counter()
        after, _ = jax.block_until_ready(call())
        return time.perf_counter() - before, flat(after.policy) - flat(start.policy)


def flat(policy: GaussianPolicy) -> np.ndarray:
    """Return all parameters of a policy, in double precision."""
    return np.concatenate([np.ravel(leaf).astype(float) for leaf in jax.tree.leaves(policy)])


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    devices = {"cpu": f"{os.cpu_count()} cores, {processor()}"}
    if jax.default_backend() != "cpu":
        devices[jax.default_backend()] = jax.devices()[0].device_kind
    rows = []
    for num_envs, hidden in SIZES:
        physics = NativePhysics(TASKS[TASK], num_envs)
        for name in NAMES:
            algorithm = sized(name, hidden)
            start = algorithm.init(physics.problem, jnp.asarray(TASKS[TASK].limits()), jax.random.key(0))
            rollout = collect(physics, Actor(start.policy, start.observations), STEPS, (0, 1))
            steps = {device: stepped(algorithm, physics.problem, rollout, device)[1] for device in devices}  # compiles
            seconds: dict[str, list[float]] = {device: [] for device in devices}
            for _ in range(options.rounds):
                for device in devices:
                    seconds[device].append(stepped(algorithm, physics.problem, rollout, device)[0])
            for device, what in devices.items():
                away = np.linalg.norm(steps[device] - steps["cpu"]) / np.linalg.norm(steps["cpu"])
                share = statistics.median(
                    here / there for here, there in zip(seconds[device], seconds["cpu"], strict=True)
                )
                row = {
                    **{"algorithm": name, "num_envs": num_envs, "hidden": "-".join(map(str, hidden))},
                    **{"device": device, "hardware": what, "wall_ms": round(1e3 * statistics.median(seconds[device]))},
                    **{"of_cpu": f"{share:.2f}", "physics_ms": round(1e3 * rollout.physics_seconds)},
                    "difference": f"{away:.1e}",
                }
                rows.append(row)
                print(*row.values(), sep="\t", flush=True)
    save(TABLE, rows)


if __name__ == "__main__":
    main()
