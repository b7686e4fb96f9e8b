"""What there is: the tasks and the algorithms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table


def tasks(task: Annotated[str | None, tyro.conf.Positional] = None, still: Path | None = None) -> None:
    """List the tasks with their limits; or say everything about one of them: formulas, sizes, limits, and a picture.

    Args:
        task: Id of the task to describe, or MODULE:ID of one of your own; without one, all are listed.
        still: PNG file to draw the task's start to.
    """
    from equipoise import catalogue
    from equipoise.tasks import TASKS

    catalogue.show(None if task is None else TASKS.load(task), still)


def algorithms() -> None:
    """List the algorithms by family, each with its paper."""
    from equipoise.algorithms import FAMILIES

    table = Table("algorithm", "what it does", "paper")
    for family, entries in FAMILIES.items():
        table.add_section()
        table.add_row(f"[bold]{family}[/]", "", "")
        for name, entry in entries.items():
            parts = (entry.algorithm.lens, entry.algorithm.rule)
            said = next(part.__doc__ for part in parts if type(part).__name__ != "Plain")
            table.add_row(name, said.splitlines()[0], f"{entry.paper} ({entry.year})")
    Console().print(table)
