"""Several runs beside one another: `compare` draws them, `runs` lists them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.markup import escape
from rich.table import Table

from equipoise.cli.options import RunFolder
from equipoise.cli.output import say_json, summary_of
from equipoise.errors import printable
from equipoise.terminal import open_console

if TYPE_CHECKING:
    from equipoise.runs.listing import Found
    from equipoise.training.rows import Row


def compare(runs: Annotated[tuple[Path, ...], tyro.conf.Positional], out: Path = Path("comparison.png")) -> None:
    """Overlay the learning curves of several runs: reward, and each cost with its limit.

    Args:
        runs: Folders of the runs, two or more.
        out: The picture, ending in .png, .pdf or .svg.
    """
    from equipoise.runs.comparison import compare as draw

    print(f"written: {draw(runs, out)}")


def runs(folder: RunFolder = Path("runs"), json: bool = False) -> None:
    """List the runs in a folder: task, algorithm, steps, reward, cost, and whether the limits are certified.

    Reward and costs are those of the last iteration, certified is what the last evaluation found.

    Args:
        folder: Where to look, also in the folders in there.
        json: Say every run as one JSON object a line.
    """
    from equipoise.runs.listing import find_runs

    found = find_runs(folder)
    if json:
        for run in found:
            _say(run)
        return
    console = open_console()
    whole = [run for run in found if run.record is not None]
    if whole:
        console.print(_table(whole, folder))
    for run in found:
        if run.damage:
            said = f"damaged  {run.path}: {run.damage}"
            console.print(printable(said), highlight=False, markup=False, soft_wrap=True)
    if not found:
        console.print(f"no runs in {folder}", highlight=False, markup=False, soft_wrap=True)


def _say(run: Found) -> None:
    """Say a run in JSON: what it has come to, or that it has no iteration yet, or what is damaged."""
    if run.record is None:
        say_json("damaged", {"run": run.path, "why": run.damage})
    elif run.record.metrics:
        say_json("summary", {**summary_of(run.record), "certified": run.certified})
    else:
        say_json("begun", {"run": run.record.path, "task": run.record.problem.id})


def _table(found: list[Found], folder: Path) -> Table:
    table = Table()
    for name in ("run", "task", "algorithm"):
        table.add_column(name, overflow="fold")
    for name in ("seed", "steps", "reward", "cost / limit"):
        table.add_column(name, justify="right")
    table.add_column("certified")
    for run in found:
        record = run.record
        assert record is not None
        path = str(run.path.relative_to(folder)) if run.path != folder else run.path.name
        last = record.metrics[-1] if record.metrics else None
        table.add_row(
            escape(printable(path)),
            escape(record.problem.id),
            escape(record.algorithm_name),
            str(record.seed),
            f"{last['steps']:,}" if last else "0",
            f"{last['reward']:.4g}" if last else "",
            escape(_costs(last, record.problem.cost_names)) if last else "",
            {None: "not evaluated", True: "[green]yes[/]", False: "[red]no[/]"}[run.certified],
        )
    return table


def _costs(row: Row, names: tuple[str, ...]) -> str:
    """Write each cost against its limit, by name where there are several."""
    costs = [f"{row[f'cost/{name}']:.4g} / {row[f'limit/{name}']:.4g}" for name in names]
    return "\n".join(f"{name} {cost}" for name, cost in zip(names, costs, strict=True)) if len(names) > 1 else costs[0]
