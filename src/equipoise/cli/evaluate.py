"""What a finished run is worth: its evaluation, and its picture."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from equipoise.cli.options import AlgorithmName, EnvironmentId, RunFolder, open_run
from equipoise.cli.output import say_json
from equipoise.progress import Progress

if TYPE_CHECKING:
    from equipoise.statistics import Interval
    from equipoise.training.evaluation import CostReport, Evaluation
    from equipoise.training.run import Run


def evaluate(
    run: RunFolder,
    episodes: int = 100,
    seed: int = 0,
    iteration: int | None = None,
    environment: EnvironmentId = None,
    algorithm: AlgorithmName = None,
    threads: int = 0,
    workers: int = 0,
    quiet: bool = False,
    json: bool = False,
) -> None:
    """Evaluate a run's policy: reward and episode cost with 95 % intervals, and the certificate.

    Args:
        run: Folder of the run.
        episodes: Fresh episodes for each of the stochastic and the deterministic policy.
        seed: Decides the episodes.
        iteration: Checkpoint to take the policy from; by default the newest.
        environment: For a run on an environment MODULE:ID, the same again: it allows the import.
        algorithm: For a run of an algorithm MODULE:NAME, the same again: it allows the import.
        threads: Physics threads, 0 for all cores. Results do not depend on it.
        workers: Processes that step an environment that is not of this library, 0 for this process alone. Results do
            not depend on it.
        quiet: Say nothing but mistakes.
        json: Say the result as one JSON object.
    """
    from equipoise.training.evaluate import assess, save

    opened = open_run(run, algorithm, iteration)
    with Progress(f"evaluating {opened.problem.id}", shown=not (quiet or json)) as progress:
        result, single = assess(opened, episodes, seed, environment, threads, workers, progress.reach)
    if not (quiet or json):
        _show(result, opened, episodes)
    written = save(result, single, opened)
    if json:
        about = {"run": opened.path, "task": opened.problem.id, "certified": result.stochastic.certified}
        say_json("evaluation", {**about, **dataclasses.asdict(result)})
    elif written and not quiet:
        print(f"written: {run / 'evaluation.json'}, and each episode: {run / 'evaluation.csv'}")


def _show(result: Evaluation, opened: Run, episodes: int) -> None:
    """Print what an evaluation says, as a table."""
    what = f"{escape(opened.problem.id)}, iteration {result.iteration}"
    table = Table(title=f"{what}, {episodes} episodes each, 95 % intervals")
    table.add_column("")
    table.add_column("stochastic policy", justify="right")
    table.add_column("deterministic policy", justify="right")
    both = (result.stochastic, result.deterministic)
    if any(policy.broken for policy in both):
        table.add_row("episodes that broke down", *[f"[red]{policy.broken}[/]" for policy in both])
        table.add_row("episodes left", *[str(policy.episodes) for policy in both])
    table.add_row("reward", *[_interval(policy.reward) for policy in both])
    for i, name in enumerate(opened.problem.cost_names):
        costs = [policy.costs[i] for policy in both]
        table.add_section()
        table.add_row(f"{escape(name)} (limit {costs[0].limit:.4g})", *[_interval(cost.mean) for cost in costs])
        table.add_row("upper 95 % bound", *[f"{cost.upper:.4g}" for cost in costs])
        table.add_row("certificate", *[_verdict(cost) for cost in costs])
        table.add_row("episodes inside", *[_interval(cost.inside, percent=True) for cost in costs])
    Console().print(table)


def _interval(interval: Interval, percent: bool = False) -> str:
    if percent:
        return f"{100 * interval.value:.0f} % [{100 * interval.low:.0f}, {100 * interval.high:.0f}]"
    return f"{interval.value:.4g} [{interval.low:.4g}, {interval.high:.4g}]"


def _verdict(cost: CostReport) -> str:
    if cost.broken:
        return f"[red]none: {cost.broken} broke down[/]"
    return "[green]within the limit[/]" if cost.certified else "[red]not within the limit[/]"


def plot(run: RunFolder) -> None:
    """Draw a run's picture.

    Args:
        run: Folder of the run.
    """
    from equipoise.training.picture import draw
    from equipoise.training.record import Record

    draw(Record.read(run))
    print(f"written: {run / 'plot.png'}")
