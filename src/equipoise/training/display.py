"""The live display of a training run, and the tables of what it shows."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

from rich.console import Group
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from equipoise.progress import error_console, in_words, somebody_looks
from equipoise.training.config import Config
from equipoise.training.metrics import Row
from equipoise.training.run import Run
from equipoise.training.views import View, view_of


def with_error(mean: float, error: float) -> str:
    """Write `mean ± error`, both to four significant digits at most."""
    return f"{mean:.4g} ± {error:.2g}"


def result(row: Row) -> str:
    """Write an iteration's reward, and each cost against its limit, on one line."""
    names = [column.removeprefix("cost/") for column in row if column.startswith("cost/")]
    costs = [f"{name} {row[f'cost/{name}']:.4g}/{row[f'limit/{name}']:.4g}" for name in names]
    return "  ".join([f"reward {row['reward']:.4g}", *costs])


def summary(row: Row) -> Table:
    """Lay out an iteration: reward, every cost against its limit, mode, conflict and speed."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    table.add_row("reward", with_error(row["reward"], row["reward_se"]))
    for column in row:
        if column.startswith("cost/"):
            name = column.removeprefix("cost/")
            inside = row[column] <= row[f"limit/{name}"]
            text = f"{with_error(row[column], row[f'cost_se/{name}'])}   limit {row[f'limit/{name}']:.4g}"
            table.add_row(escape(name), f"[{'green' if inside else 'red'}]{text}[/]")
    table.add_row("mode", f"{row['mode']} ({row['outcome']})")
    for column in row:
        if column.startswith("cos/"):
            table.add_row(escape(column.replace("cos/", "cos φ of ", 1)), f"{row[column]:+.3f}")
    table.add_row("speed", f"{row['steps_per_second']:,.0f} steps/s")
    if row["diverged"]:
        table.add_row("diverged", f"[red]{row['diverged']} episodes broke down[/]")
    return table


def ending(run: Run) -> Table:
    """Lay out how a run ended: its first iteration beside its last."""
    first, last = run.metrics[0], run.metrics[-1]
    table = Table(title=f"{escape(run.config.algorithm_name)} on {escape(run.problem.id)}: {last['steps']:,} steps")
    table.add_column("per episode")
    table.add_column("first iteration", justify="right")
    table.add_column("last iteration", justify="right")
    table.add_column("limit", justify="right")
    table.add_row("reward", *[with_error(row["reward"], row["reward_se"]) for row in (first, last)], "")
    for name in run.problem.cost_names:
        cells = [with_error(row[f"cost/{name}"], row[f"cost_se/{name}"]) for row in (first, last)]
        colour = "green" if last[f"cost/{name}"] <= last[f"limit/{name}"] else "red"
        table.add_row(escape(name), cells[0], f"[{colour}]{cells[1]}[/]", f"{last[f'limit/{name}']:.4g}")
    return table


class Display:
    """Shows every iteration as it comes: redrawn on a terminal and in a notebook, a line now and then elsewhere.

    Args:
        config: what is trained.
        steps: those done already.
        shown: whether to show anything; by default, if somebody looks.
        run_dir: the folder of the run, of which a notebook then sees the picture, too.
    """

    def __init__(self, config: Config, steps: int = 0, shown: bool | None = None, run_dir: Path | None = None) -> None:
        title, console = f"{config.algorithm_name} on {config.task}", error_console()
        self._total, self._first = config.planned_steps, (time.monotonic(), steps)
        self._bar = Progress(
            TextColumn(f"[bold]{escape(title)}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps, left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("", total=self._total, completed=steps)
        self._view: View | None = None
        if somebody_looks() if shown is None else shown:
            self._view = view_of(console, title, self._bar, run_dir)

    def __enter__(self) -> Display:
        if self._view is not None:
            self._view.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._view is not None:
            self._view.stop()

    def show(self, row: Row) -> None:
        """Show the iteration described by `row`."""
        if self._view is None:
            return
        self._bar.update(self._task, completed=row["steps"])
        self._view.show(row["iteration"], Group(summary(row), self._bar), self._line(row))

    def _line(self, row: Row) -> str:
        began, steps = self._first
        passed, done, left = time.monotonic() - began, row["steps"] - steps, max(self._total - row["steps"], 0)
        said = [
            f"iteration {row['iteration']:>4}",
            result(row),
            row["mode"],
            f"{row['steps_per_second']:,.0f} steps/s",
            f"{100 * min(row['steps'] / self._total, 1.0):.0f} %",
        ]
        if left and done > 0:  # the first iteration may be one that a killed run has written down already
            said.append(f"about {in_words(passed * left / done)} left")
        return "  ".join(said)
