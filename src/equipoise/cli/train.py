"""Training a policy, and going on with a run that was stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import tyro
from rich.console import Console

from equipoise.algorithms import Handler, find_algorithm
from equipoise.api import default_run_dir
from equipoise.cli.lists import algorithms
from equipoise.cli.options import AggregatorName, EnvironmentId, RunFolder
from equipoise.gradients import load
from equipoise.training import loop
from equipoise.training.config import Config
from equipoise.training.display import Display, ending
from equipoise.training.picture import draw
from equipoise.training.run import Run

H = TypeVar("H", bound=Handler)


@dataclass(frozen=True)
class Training(Generic[H]):
    """Train an algorithm on a task."""

    config: Annotated[Config[H], tyro.conf.arg(name="")]
    """Everything that decides the run."""
    run_dir: Path | None = None
    """New folder for the run; by default runs/TASK-ALGORITHM-seedSEED."""
    threads: int = 0
    """Physics threads, 0 for all cores. Results do not depend on it."""


def train(arguments: list[str]) -> None:
    """Read `ALGORITHM TASK …`, in which the algorithm decides which options there are, and train."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: equipoise train ALGORITHM TASK [options]; `equipoise train ALGORITHM --help` explains them\n")
        algorithms()
        return
    name, *rest = arguments
    kind = find_algorithm(name)
    asked: Training = tyro.cli(Training[kind], args=rest, prog=f"equipoise train {name}")  # type: ignore[valid-type]
    config = asked.config
    load(config.algorithm.balance.aggregator)
    with Display(f"{name} on {config.task}", config.iterations) as display:
        folder = asked.run_dir or default_run_dir(config)
        run = loop.train(config, folder, threads=asked.threads, watch=display.show)
    _finish(run)


def resume(
    run: RunFolder, environment: EnvironmentId = None, aggregator: AggregatorName = None, threads: int = 0
) -> None:
    """Continue a run from its newest checkpoint, bit for bit as if it had never stopped.

    Args:
        run: Folder of the run.
        environment: For a run on an environment MODULE:ID, the same again: it allows the import.
        aggregator: For a run with an aggregator MODULE:NAME, the same again: it allows the import.
        threads: Physics threads, 0 for all cores. Results do not depend on it.
    """
    if aggregator is not None:
        load(aggregator)
    before = Run.load(run)
    config, done = before.config, before.state.iteration
    if done >= config.iterations:
        print(f"{run} is complete: {done} iterations of {config.iterations}")
    with Display(f"{config.algorithm_name} on {config.task}", config.iterations, done) as display:
        finished = loop.resume(run, environment=environment, threads=threads, watch=display.show)
    _finish(finished)


def _finish(run: Run) -> None:
    """Draw the picture and say how the run ended and what can be done with it."""
    picture = draw(run)
    Console().print(ending(run))
    print(f"run       {run.path}/ (config.json, metrics.csv, checkpoints/, TensorBoard events)")
    print(f"picture   {picture}")
    environment = f" --environment {run.config.task}" if ":" in run.config.task else ""
    print(f"evaluate  equipoise evaluate {run.path}{environment}")
    print(f"film      equipoise render {run.path}{environment}")
    own = run.config.algorithm.balance.aggregator
    aggregator = f" --aggregator {own}" if ":" in own else ""
    print(f"resume    equipoise resume {run.path}{environment}{aggregator}")
