"""Training a policy, and going on with a run that was stopped."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from equipoise.algorithms.algorithm import Algorithm
from equipoise.algorithms.own import load_algorithm
from equipoise.api import default_run_dir
from equipoise.cli.lists import algorithms
from equipoise.cli.options import AggregatorName, AlgorithmName, EnvironmentId, RunFolder
from equipoise.errors import UsageError
from equipoise.gradients import load
from equipoise.training import loop
from equipoise.training.config import Config
from equipoise.training.display import Display, ending
from equipoise.training.picture import draw
from equipoise.training.run import Run


@dataclass(frozen=True)
class Training:
    """Train an algorithm on a task."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    """Everything that decides the run."""
    run_dir: Path | None = None
    """New folder for the run; by default runs/TASK-ALGORITHM-seedSEED."""
    threads: int = 0
    """Physics threads, 0 for all cores. Results do not depend on it."""
    preset: str | None = None
    """Settings to begin from instead of the defaults: `omnisafe` for those of its published table, where an algorithm
    has them. Other options change them further."""


def train(arguments: list[str]) -> None:
    """Read `ALGORITHM TASK …`, in which the algorithm decides which options there are, and train."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: equipoise train ALGORITHM TASK [options]; `equipoise train ALGORITHM --help` explains them\n")
        algorithms()
        return
    name, *rest = arguments
    preset = _preset(rest)
    algorithm = load_algorithm(name, preset)
    config = Config(task="", algorithm=algorithm, algorithm_name=name)
    object.__setattr__(config, "task", tyro.MISSING)  # no task is no string: it has to be given
    default = Training(config, preset=preset)
    asked = tyro.cli(Training, default=default, args=_new_words(rest), prog=f"equipoise train {name}")
    config = asked.config
    balance = _balance(config.algorithm)
    if balance:
        load(balance)
    with Display(f"{name} on {config.task}", config) as display:
        folder = asked.run_dir or default_run_dir(config)
        run = loop.train(config, folder, threads=asked.threads, watch=display.show)
    _finish(run)


def resume(
    run: RunFolder,
    environment: EnvironmentId = None,
    algorithm: AlgorithmName = None,
    aggregator: AggregatorName = None,
    threads: int = 0,
) -> None:
    """Continue a run from its newest checkpoint, bit for bit as if it had never stopped.

    Args:
        run: Folder of the run.
        environment: For a run on an environment MODULE:ID, the same again: it allows the import.
        algorithm: For a run of an algorithm MODULE:NAME, the same again: it allows the import.
        aggregator: For a run with an aggregator MODULE:NAME, the same again: it allows the import.
        threads: Physics threads, 0 for all cores. Results do not depend on it.
    """
    if aggregator is not None:
        load(aggregator)
    own = None if algorithm is None else load_algorithm(algorithm)
    before = Run.load(run, own)
    config, state = before.config, before.state
    if state.steps >= config.planned_steps:
        print(f"{run} is complete: {state.steps} steps of {config.planned_steps}")
    with Display(f"{config.algorithm_name} on {config.task}", config, state.steps) as display:
        finished = loop.resume(run, environment=environment, algorithm=own, threads=threads, watch=display.show)
    _finish(finished)


def _preset(arguments: list[str]) -> str | None:
    """Return what `--preset NAME` says: it decides the defaults of all other options."""
    for i, word in enumerate(arguments):
        if word == "--preset" and i + 1 < len(arguments):
            return arguments[i + 1]
        if word.startswith("--preset="):
            return word.removeprefix("--preset=")
    return None


RENAMED = {
    "--slots": "--num-envs",
    "--trace": "--gae-lambda",
    "--cost-trace": "--cost-gae-lambda",
    "--critic.passes": "--critic.epochs",
    "--critic.batch": "--critic.minibatch-size",
    "--trust-region.stationary": "--step.min-sin2-phi",
    "--trust-region.harm": "--step.allowed-loss",
}
"""Options of version 0.1, and what they are called now."""


def _new_words(arguments: list[str]) -> list[str]:
    """Return the arguments; `UsageError` naming the new word for one of version 0.1."""
    for word in arguments:
        option = word.split("=")[0].replace("_", "-")
        new = RENAMED.get(option) or option.replace("--trust-region.", "--step.")
        if new != option:
            raise UsageError(f"{option} is called {new} now")
    return arguments


def _balance(algorithm: Algorithm) -> str:
    """Return the name of the aggregator that a rule balances with; empty if it has none."""
    balance = getattr(getattr(algorithm.rule, "switch", algorithm.rule), "balance", None)
    return "" if balance is None else balance.aggregator


def _finish(run: Run) -> None:
    """Draw the picture and say how the run ended and what can be done with it."""
    picture, config, path = draw(run), run.config, shlex.quote(str(run.path))
    Console().print(ending(run))
    print(f"run       {run.path}/ (config.json, metrics.csv, checkpoints/, TensorBoard events)")
    print(f"picture   {picture}")
    named = {"environment": config.task, "algorithm": config.algorithm_name, "aggregator": _balance(config.algorithm)}
    own = {option: f" --{option} {shlex.quote(value)}" if ":" in value else "" for option, value in named.items()}
    print(f"evaluate  equipoise evaluate {path}{own['environment']}{own['algorithm']}")
    print(f"film      equipoise render {path}{own['environment']}{own['algorithm']}")
    print(f"resume    equipoise resume {path}{''.join(own.values())}")
