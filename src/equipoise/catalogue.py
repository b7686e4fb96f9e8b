"""`equipoise tasks`: the table of all tasks, and one task's page with its picture."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import mujoco
import numpy as np
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from equipoise.errors import UsageError
from equipoise.files import check_place, write_atomically
from equipoise.physics import NativePhysics
from equipoise.physics.models import load_model, mechanism_of
from equipoise.tasks import TASKS, Task, is_own

PARTS = r"(?<=\.)\s+(?=(?:Observation|Reward|Costs?|The episode ends|Source)\b)"
"""Where a task's docstring goes on with another of its parts."""
STILL_SIZE = 480
"""Width and height of a still in pixels, Gymnasium's own."""


def table_of_tasks() -> RenderableType:
    """Lay out every task by suite: sizes, and for each cost its limit and the two scores that it lies between."""
    parts: list[RenderableType] = []
    for suite, tasks in itertools.groupby(TASKS.values(), key=lambda task: task.suite):
        several = list(tasks)
        parts += [*(_families(suite, several) if several[0].family else _list(suite, several)), ""]
    parts.append(
        "Limits are on the mean over episodes of an episode's summed cost. Beside them, to compare with: what a policy "
        "trained on the cost alone costs, and one trained on the reward alone, each for a million steps. "
        "A task's formulas: equipoise tasks ID"
    )
    return Group(*parts)


def _list(suite: str, tasks: list[Task]) -> Iterator[RenderableType]:
    """Yield a table with a row for each task, and what has to be known of some."""
    table = _table(suite, "task")
    for heading in ("obs", "act", "steps", "limit", "per\nstep", "cost\nonly", "uncon-\nstrained"):
        table.add_column(heading, justify="right", no_wrap=True)
    for task in tasks:
        name = task.id + (" [yellow]![/]" if cautions_of(task) else "")
        sizes = [str(task.observation_size), str(load_model(task).nu), str(task.horizon)]
        costs = list(_costs(task))
        if len(costs) == 1:
            table.add_row(name, *sizes, *costs[0][1:])
        else:
            table.add_row(name, *sizes)
            for cost, *numbers in costs:
                table.add_row(f"  {cost}", "", "", "", *numbers)
    yield table
    for task in tasks:
        yield from (Text(f"! {task.id}: {caution}", "yellow") for caution in cautions_of(task))


def _families(suite: str, tasks: list[Task]) -> Iterator[RenderableType]:
    """Yield a table with a row for all tasks that are alike, and the names of their constraints."""
    table = _table(suite, f"{len(tasks)} tasks")
    for heading in ("steps", "limit"):
        table.add_column(heading, justify="right", no_wrap=True)
    by_family: dict[str, list[Task]] = {}
    for task in tasks:
        by_family.setdefault(task.family, []).append(task)
    for family, alike in by_family.items():
        names = dict.fromkeys(name for task in alike for name in task.cost_names)
        table.add_row(Text(family), str(alike[0].horizon), f"{alike[0].limits()[0]:.4g}")
        if len(names) > 1:
            table.add_row(f"  {', '.join(names)}", "", "each")
    yield table


def _table(suite: str, heading: str) -> Table:
    table = Table(title=suite, title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
    table.add_column(heading, no_wrap=True)
    return table


def cautions_of(task: Task) -> list[str]:
    """Return what has to be known of a task before its results are read: its own caution, and limits out of reach."""
    found = [task.caution] if task.caution else []
    for limit, score in zip(task.limits(), task.measured, strict=False):
        if limit < score.cost_only:
            found.append(
                f"its limit of {limit:.4g} is below the {score.cost_only:.4g} of a policy trained on the cost alone, "
                "and is not to be reached in a million steps"
            )
        elif limit >= score.unconstrained:
            found.append(
                f"its limit of {limit:.4g} is above the {score.unconstrained:.4g} of a policy trained on the reward "
                "alone, and does not bind within a million steps"
            )
    return found


def _costs(task: Task) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield each cost's name, limit, limit per step, and its scores without reward and without limit."""
    for name, limit, score in itertools.zip_longest(task.cost_names, task.limits(), task.measured):
        scores = (f"{score.cost_only:.4g}", f"{score.unconstrained:.4g}") if score else ("", "")
        yield name, *((f"{limit:.4g}", f"{limit / task.horizon:.4g}") if task.limits() else ("", "")), *scores


def page_of_task(task: Task) -> RenderableType:
    """Lay out what a task is: its formulas, sizes, limits and caution, and how to go on with it."""
    model = load_model(task)
    dt = mechanism_of(task, model).dt
    sizes = Table.grid(padding=(0, 2))
    sizes.add_column(style="bold")
    sizes.add_column()
    sizes.add_row("observation", f"{task.observation_size} numbers")
    sizes.add_row("action", Text(f"{model.nu} numbers, {_ranges(model)}"))
    sizes.add_row("episode", f"{task.horizon} steps of {dt:g} s, {task.horizon * dt:g} s in all")
    for name, limit, per_step, cost_only, unconstrained in _costs(task):
        sizes.add_row(f"limit on {name}", f"{limit} an episode, {per_step} a step" if limit else "to be given")
        if cost_only:
            sizes.add_row("", f"for the cost alone: {cost_only}; for the reward alone: {unconstrained}")
    usage = Table.grid(padding=(0, 2))
    usage.add_column(style="bold")
    usage.add_column()
    module = f"{type(task).__module__}:" if is_own(task) else ""
    usage.add_row("train", f"equipoise train pcrpo {module}{task.id}")
    usage.add_row("Gymnasium", f'gymnasium.make("{module}equipoise/{task.id}")')
    usage.add_row("picture", f"equipoise tasks {module}{task.id} --still picture.png")
    parts: list[RenderableType] = [f"[bold]{task.id}[/] ({task.suite})"]
    parts += [Text(f"Caution: {caution}", "yellow") for caution in cautions_of(task)]
    parts += ["", *_formulas(task), "", sizes, "", usage]
    return Group(*parts)


def _formulas(task: Task) -> Iterator[RenderableType]:
    """Yield the docstring, a line for each of its parts; then those of the tasks that it says it differs from."""
    for kind in type(task).__mro__:
        if kind is not type(task):
            if "id" not in vars(kind):
                continue
            yield f"\n[bold]{kind.id}[/]"  # type: ignore[attr-defined]
        for paragraph in re.split(r"\n\s*\n", (kind.__doc__ or "").strip()):
            for part in re.split(PARTS, " ".join(paragraph.split())):
                yield _marked(part)


def _marked(part: str) -> RenderableType:
    """Lay out a part of a docstring with its label, if it has one, in bold."""
    label, colon, text = part.partition(": ")
    if colon and len(label) < 20:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", width=17)
        table.add_column()
        table.add_row(label, Text(text))
        return Padding(table, (0, 0, 0, 2))
    return Padding(Text(part), (0, 0, 0, 2))  # as Text, since formulas have brackets, which Rich takes for markup


def _ranges(model: mujoco.MjModel) -> str:
    """Say between which bounds the actuators' controls are clamped."""
    bounds = sorted({(float(low), float(high)) for low, high in model.actuator_ctrlrange})
    return "each within " + " or ".join(f"[{low:g}, {high:g}]" for low, high in bounds)


def draw_still(task: Task, path: Path) -> None:
    """Write a picture of the task's start to `path`; `UsageError` where nothing can draw."""
    from PIL import Image

    from equipoise.rendering.camera import Camera

    check_place(path, "still", ".png")
    camera = Camera(task, STILL_SIZE, STILL_SIZE)
    physics = NativePhysics(task, num_envs=1, threads=1)
    physics.reset([0], [np.random.default_rng(0)])
    content = io.BytesIO()
    Image.fromarray(camera.picture(physics.state_of(0))).save(content, format="PNG")
    camera.close()
    write_atomically(path, content.getvalue())


def show(task: Task | None, still: Path | None) -> None:
    """Print the table, or the page of `task`; then write its picture to `still`, if it is to have one."""
    if task is None:
        if still is not None:
            raise UsageError("--still needs a task, as in: equipoise tasks SafetyHopper-v4 --still hopper.png")
        Console(highlight=False).print(table_of_tasks())
        return
    Console(highlight=False).print(page_of_task(task))
    if still is not None:
        draw_still(task, still)
        print(f"written: {still}")
