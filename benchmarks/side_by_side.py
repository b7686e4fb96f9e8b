"""What runs side by side gain: the throughput of a small campaign, by how many of its runs go on at a time.

    python benchmarks/side_by_side.py [--workers 1 2] [--rounds 3] [--tasks SafetyHopper-v4 ...]

The same campaign is run from its beginning with each number of workers in turn, round after round, and the figures are
medians over rounds of ratios within one, as a shared machine changes its speed from minute to minute. A first campaign,
which is not counted, fills the cache of compiled code. Writes docs/results/data/side_by_side.csv.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from studies import save

TABLE = Path(__file__).parents[1] / "docs" / "results" / "data" / "side_by_side.csv"

RUNS = 4
STEPS = 200_000
CAMPAIGN = """
name = "side-by-side"
algorithms = ["trpo_lag", "pcrpo"]
tasks = ["{task}"]
seeds = 2
total_steps = {steps}
evaluation_episodes = 2
"""


def throughput(file: Path, workers: int) -> float:
    """Return the training steps per second of the whole campaign in `file`, processes and evaluations included."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, "-m", "equipoise", "campaign", str(file), "--out", f"{folder}/out"]
        subprocess.run([*command, "--workers", str(workers)], check=True, capture_output=True)
        return RUNS * STEPS / (time.perf_counter() - began)


def main() -> None:
    """Time campaigns on two tasks, one of cheap and one of dear physics, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", default=["SafetyHalfCheetah-v4", "SafetyHopper-v4"])
    asked = parser.parse_args()
    rows = []
    for task in asked.tasks:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "side-by-side.toml"
            file.write_text(CAMPAIGN.format(task=task, steps=STEPS), encoding="utf-8")
            throughput(file, max(asked.workers))
            rounds = [{n: throughput(file, n) for n in asked.workers} for _ in range(asked.rounds)]
        for n in asked.workers:
            ratio = statistics.median(speeds[n] / speeds[asked.workers[0]] for speeds in rounds)
            speed = statistics.median(speeds[n] for speeds in rounds)
            rows.append({"task": task, "workers": n, "steps_per_second": round(speed), "ratio": round(ratio, 2)})
            print(rows[-1], flush=True)
    save(TABLE, rows)


if __name__ == "__main__":
    main()
