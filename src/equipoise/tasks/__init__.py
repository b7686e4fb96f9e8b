"""Tasks: what is observed, rewarded and charged, as pure functions of arrays; and their registry by id."""

from __future__ import annotations

from equipoise.registry import Registry
from equipoise.tasks.safety_mujoco import SAFETY_MUJOCO
from equipoise.tasks.safety_velocity import SAFETY_VELOCITY
from equipoise.tasks.task import MeasuredLimit, Mechanism, Random, State, Task, namespace

TASKS: Registry[type[Task]] = Registry("task", {task.id: task for task in (*SAFETY_MUJOCO, *SAFETY_VELOCITY)})
"""Every task of the library by id. The tests run over this registry, so nothing in it can opt out."""


def find_task(task_id: str) -> type[Task]:
    """Return the task registered as `task_id`; `UsageError` naming the nearest id if there is none."""
    return TASKS.find(task_id)


__all__ = ["TASKS", "MeasuredLimit", "Mechanism", "Random", "State", "Task", "find_task", "namespace"]
