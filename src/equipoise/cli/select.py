"""The best policy of a run that certainly keeps its limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from equipoise.cli.options import AlgorithmName, EnvironmentId, RunFolder, open_run
from equipoise.progress import Progress
from equipoise.terminal import open_console

if TYPE_CHECKING:
    from equipoise.training.selected import Candidate, Selection


def select(
    run: RunFolder,
    episodes: int = 100,
    iterates: int = 8,
    confidence: float = 0.95,
    deterministic: bool = False,
    seed: int = 0,
    out: Path | None = None,
    environment: EnvironmentId = None,
    algorithm: AlgorithmName = None,
    threads: int = 0,
    workers: int = 0,
) -> None:
    """Select the policy of a run with the highest reward that certainly keeps its limits, and write it to a folder.

    Looked at are the most promising policies along the run, the average of the last ten, and the mixture that draws an
    iterate for each episode. Exits with 1 if none is certified.

    Args:
        run: Folder of the run.
        episodes: The most fresh episodes of a policy; most are decided by fewer.
        iterates: How many policies of single iterations to look at.
        confidence: Probability with which all that is said of all of them holds together.
        deterministic: Look at mean actions, instead of the stochastic policies that were trained and have the limits.
        seed: Decides the episodes.
        out: Folder for the selected policy; by default `selected` in the run's folder.
        environment: For a run on an environment MODULE:ID, the same again: it allows the import.
        algorithm: For a run of an algorithm MODULE:NAME, the same again: it allows the import.
        threads: Physics threads, 0 for all cores. Results do not depend on it.
        workers: Processes that step an environment that is not of this library, 0 for this process alone. Results do
            not depend on it.
    """
    from equipoise.cli.train import named_again
    from equipoise.selection.select import selected_of
    from equipoise.training.folder import command, near

    opened = open_run(run, algorithm)
    with Progress(f"selecting from {opened.problem.id}", shown=True) as progress:
        found = selected_of(
            opened,
            episodes,
            iterates,
            confidence,
            deterministic,
            seed,
            out,
            environment,
            threads,
            workers,
            progress.reach,
        )
    open_console().print(_table(found, escape(opened.problem.id)))
    print(f"cost      {found.episodes:,} fresh episodes, {found.steps:,} environment steps")
    if found.chosen is None:
        print("selected  none: no policy is certified to keep its limits; more --episodes or --iterates may find one")
        raise SystemExit(1)
    acting = (
        ("its mean actions", "drawn ones") if found.deterministic else ("drawn actions, as it was trained", "mean ones")
    )
    print(f"certified with {acting[0]}; with {acting[1]} it is another policy")
    print(f"selected  {found.best.name}: {near(Path(found.folder))}")
    again, folder = named_again(opened.config, "environment", "algorithm"), Path(found.folder).absolute()
    print(f"evaluate  {command('evaluate', folder)}{again}")
    print(f"film      {command('render', folder)}{again}")


def _table(found: Selection, task: str) -> Table:
    kind = "deterministic" if found.deterministic else "stochastic"
    table = Table(title=f"{task}, {kind} policies: all intervals hold together with {100 * found.confidence:g} %")
    table.add_column("policy")
    table.add_column("reward", justify="right")
    for name, limit in zip(found.cost_names, found.limits, strict=True):
        table.add_column(f"{escape(name)} (limit {limit:.4g})", justify="right")
    table.add_column("episodes", justify="right")
    table.add_column("certain")
    for number, candidate in enumerate(found.candidates):
        intervals = (candidate.reward, *candidate.costs)
        cells = [f"{i.value:.4g} [{i.low:.4g}, {i.high:.4g}]" for i in intervals]
        style = "bold" if number == found.chosen else None
        table.add_row(candidate.name, *cells, str(candidate.episodes), _certain(candidate), style=style)
    return table


def _certain(candidate: Candidate) -> str:
    words = {
        "inside": "[green]inside its limits[/]",
        "outside": "[red]outside a limit[/]",
        "worse": "less reward than the best",
        "open": "nothing",
        "broken": "[red]episodes broke down[/]",
    }
    return words[candidate.verdict] + (", inside" if candidate.certified and candidate.verdict == "worse" else "")
