"""Tasks: what is observed, rewarded and charged, as pure functions of arrays; and their registry by id."""

from __future__ import annotations

from equipoise.errors import unknown
from equipoise.tasks.safety_mujoco import SAFETY_MUJOCO
from equipoise.tasks.safety_velocity import SAFETY_VELOCITY
from equipoise.tasks.task import MeasuredLimit, Mechanism, Random, State, Task, namespace

TASKS: dict[str, type[Task]] = {task.id: task for task in (*SAFETY_MUJOCO, *SAFETY_VELOCITY)}
"""Every task of the library by id. The tests run over this registry, so nothing in it can opt out."""


def find_task(task_id: str) -> type[Task]:
    """Return the task registered as `task_id`; `UsageError` naming the nearest id if there is none."""
    try:
        return TASKS[task_id]
    except KeyError:
        raise unknown("task", task_id, TASKS) from None


__all__ = ["TASKS", "MeasuredLimit", "Mechanism", "Random", "State", "Task", "find_task", "namespace"]
