"""A campaign that is small enough for a test, and its tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path


def small(*algorithms: str) -> str:
    """The file of a campaign of three iterations on one task and one seed."""
    return f"""\
name = "small"
algorithms = {json.dumps(algorithms)}
tasks = ["SafetyReacher-v4"]
seeds = 1
total_steps = 6000
evaluation_episodes = 2

[settings]
num-envs = 2
steps_per_iteration = 2000
"""


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def without_clock(path: Path) -> list[dict[str, str]]:
    """The rows of a table, without what depends on the clock."""
    return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in read(path)]
