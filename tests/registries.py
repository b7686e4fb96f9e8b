"""Parts of the registry of tasks, for tests that need not, or cannot, run over all of it."""

from __future__ import annotations

from equipoise.tasks import TASKS
from equipoise.tasks.navigation import Navigation

CLASSIC = [task_id for task_id, task in TASKS.items() if not isinstance(task, Navigation)]
"""Tasks that keep nothing beside the physics, each specified a second time in `specifications.py`."""
NAVIGATION = [task_id for task_id, task in TASKS.items() if isinstance(task, Navigation)]
"""Navigation tasks: products of robots, families and levels, which `test_navigation*.py` run over."""
SOME_NAVIGATION = [
    "SafetyPointGoal2Split-v0",
    "SafetyCarButton1-v0",
    "SafetyDoggoPush1-v0",
    "SafetyRacecarCircle1-v0",
    "SafetyAntRun0-v0",
]
"""One of each robot and of each family, for what they have in common with all other tasks."""
SAMPLE = [*CLASSIC, *SOME_NAVIGATION]
