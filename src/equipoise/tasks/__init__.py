"""Tasks: what is observed, rewarded and charged, as pure functions of arrays; and their registry by id."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from equipoise.errors import UsageError
from equipoise.registry import Registry
from equipoise.tasks.navigation import NAVIGATION
from equipoise.tasks.safety_mujoco import SAFETY_MUJOCO
from equipoise.tasks.safety_velocity import SAFETY_VELOCITY
from equipoise.tasks.task import Mark, MeasuredLimit, Mechanism, Random, State, Task, namespace

TASKS: Registry[Task] = Registry(
    "task", {task.id: task for task in (*(kind() for kind in (*SAFETY_MUJOCO, *SAFETY_VELOCITY)), *NAVIGATION)}
)
"""Every task by id, the library's own first. The tests run over this registry, so nothing in it can opt out."""


def is_own(task: Task) -> bool:
    """Tell whether a task is a user's own, not the library's."""
    return type(task).__module__.partition(".")[0] != "equipoise"


def find_task(task_id: str, parameters: Mapping[str, Any] | None = None) -> Task:
    """Return the task registered as `task_id`, made anew with `parameters` if there are any.

    `UsageError` naming the nearest id if there is none, or for a parameter that it does not take.
    """
    task = TASKS.find(task_id)
    if not parameters:
        return task
    if not is_own(task):
        raise UsageError(f"{task.id} is a task of the library, which takes no arguments; leave out env_args")
    taken = list(inspect.signature(type(task)).parameters)
    for name in parameters:
        if name not in taken:
            raise UsageError(f"{task.id} takes no argument {name!r}; it takes: {', '.join(taken) or 'none'}")
    return type(task)(**parameters)


__all__ = ["TASKS", "Mark", "MeasuredLimit", "Mechanism", "Random", "State", "Task", "find_task", "is_own", "namespace"]
