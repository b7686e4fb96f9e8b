"""What processes gain: the speed of environments whose step takes a millisecond, by how many processes share them.

    python benchmarks/workers.py [--workers 0 1 2 4] [--rounds 5] [--milliseconds 1.0]

One environment computes for that time, of the processor's, and another waits for it, as one does whose physics are
another program's. 20 of each are stepped; the numbers of processes take turns, round after round, and the figures are
medians over rounds of ratios within one, as a shared machine changes its speed from minute to minute. Writes
docs/results/data/workers.csv.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import statistics
import time
from pathlib import Path

import gymnasium
import numpy as np

from equipoise.environments.opening import open_environments
from equipoise.training.rollout import random_for
from studies import save

TABLE = Path(__file__).parents[1] / "docs" / "results" / "data" / "workers.csv"

NUM_ENVS = 20
STEPS = 25


class Slow(gymnasium.Env):
    """Takes `milliseconds` for a step, to compute or to wait."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (20,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (6,), np.float32)

    def __init__(self, computes: bool, milliseconds: float) -> None:
        self.computes, self.seconds = computes, milliseconds / 1000

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """Begin anew, which takes no time."""
        super().reset(seed=seed)
        return np.zeros(20), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Take a step, and its time."""
        if self.computes:
            due = time.process_time() + self.seconds
            while time.process_time() < due:
                pass
        else:
            time.sleep(self.seconds)
        return np.zeros(20), 0.0, False, False, {"cost": 0.0}


def speed(simulator: object) -> float:
    """Return the steps per second of all environments together."""
    action = np.zeros((NUM_ENVS, 6), np.float32)
    began = time.perf_counter()
    for _ in range(STEPS):
        simulator.step(action)
    return NUM_ENVS * STEPS / (time.perf_counter() - began)


def main() -> None:
    """Time both environments with every number of processes, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--milliseconds", type=float, nargs="+", default=[1.0])
    asked = parser.parse_args()
    rows = []
    for computes in (True, False):
        for milliseconds in asked.milliseconds:
            make = functools.partial(Slow, computes, milliseconds)
            with contextlib.ExitStack() as stack:
                simulators = {}
                for n in asked.workers:
                    simulators[n] = open_environments(make, NUM_ENVS, "Slow", horizon=1000, workers=n)
                    stack.callback(simulators[n].close)
                    simulators[n].reset(range(NUM_ENVS), [random_for("benchmark", i) for i in range(NUM_ENVS)])
                    simulators[n].step(np.zeros((NUM_ENVS, 6), np.float32))
                rounds = [{n: speed(simulators[n]) for n in asked.workers} for _ in range(asked.rounds)]
            for n in asked.workers:
                ratio = statistics.median(speeds[n] / speeds[asked.workers[0]] for speeds in rounds)
                row = {"step": "computes" if computes else "waits", "milliseconds": milliseconds, "workers": n}
                row |= {"steps_per_second": round(statistics.median(speeds[n] for speeds in rounds))}
                rows.append({**row, "ratio": round(ratio, 2)})
                print(rows[-1], flush=True)
    save(TABLE, rows)


if __name__ == "__main__":
    main()
