"""Registration: what makes a task known to `equipoise train` and to `gymnasium.make`."""

from __future__ import annotations

from typing import Any, TypeVar

import gymnasium

from equipoise.errors import UsageError
from equipoise.tasks import TASKS, Task

Kind = TypeVar("Kind")

NEEDED = {
    "model": "an MJCF file or a mujoco.MjSpec",
    "frame_skip": "substeps per step",
    "observation_size": "the length of an observation",
}
"""Attributes that a task cannot do without, and what they are."""


def register_task(task: Kind) -> Kind:
    """Register a task of one's own, a class (as a decorator) or an instance, under its `id` or else its class's name.

    It is then `equipoise train ALGORITHM MODULE:ID` and `gymnasium.make("equipoise/ID")`. What the class's
    constructor takes are the task's parameters: `--env-args NAME=VALUE`, or further arguments of `gymnasium.make`.
    Registering the same class anew replaces it, as when a cell of a notebook is run again. `UsageError` where an
    attribute is missing, or where the name is taken.
    """
    instance: Any = task() if isinstance(task, type) else task
    if not isinstance(instance, Task):
        raise UsageError(f"{type(instance).__name__} is no task; derive it from equipoise.Task")
    kind = type(instance)
    if not _has_own_id(instance):
        kind.id = kind.__name__
    for name, what in NEEDED.items():
        if not hasattr(instance, name):
            raise UsageError(f"{instance.id} has no {name} ({what})")
    before = TASKS.get(instance.id)
    if before is not None and _home(before) == _home(instance):
        del TASKS[instance.id]
        gymnasium.registry.pop(f"equipoise/{instance.id}", None)
    TASKS.register(instance.id, instance)
    register_with_gymnasium(instance)
    return task


def _has_own_id(task: Task) -> bool:
    """Tell whether a task has an id that was meant for it, not the class name of one that it is derived from."""
    owner = next((kind for kind in type(task).__mro__ if "id" in vars(kind)), None)
    given = owner is not None and (owner is type(task) or vars(owner)["id"] != owner.__name__)
    return given or "id" in vars(task)


def _home(task: Task) -> tuple[str, str]:
    return type(task).__module__, type(task).__qualname__


def register_with_gymnasium(task: Task) -> None:
    """Register a task with Gymnasium as `equipoise/ID`."""
    gymnasium.register(
        f"equipoise/{task.id}",
        entry_point="equipoise.environments.gymnasium_env:SafetyEnv",
        vector_entry_point="equipoise.environments.vector_env:SafetyVectorEnv",
        max_episode_steps=task.horizon,
        kwargs={"task_id": task.id},
    )


def register() -> None:
    """Register every task of the library with Gymnasium."""
    for task in TASKS.values():
        register_with_gymnasium(task)
