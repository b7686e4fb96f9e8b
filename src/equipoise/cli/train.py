"""Training a policy, and going on with a run that was stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from equipoise.algorithms.own import load_algorithm
from equipoise.api import default_run_dir
from equipoise.cli.lists import algorithms
from equipoise.cli.options import NUMBERS, AggregatorName, AlgorithmName, EnvironmentId, RunFolder, TrackerName
from equipoise.cli.output import Says
from equipoise.cli.seeds import train_seeds
from equipoise.errors import UsageError
from equipoise.gradients import load
from equipoise.integrations.tracking import tracked
from equipoise.training import loop
from equipoise.training.config import Config, balance_of, name_to_repeat
from equipoise.training.display import Display, ending
from equipoise.training.folder import command, near
from equipoise.training.picture import draw
from equipoise.training.run import Run, is_complete, read_config, steps_done
from equipoise.training.settings_file import read_settings, settings_text, with_settings
from equipoise.training.watcher import together


@dataclass(frozen=True)
class Training:
    """Train an algorithm on a task."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    """Everything that decides the run."""
    run_dir: Path | None = None
    """New folder for the run; by default runs/TASK-ALGORITHM-seedSEED."""
    threads: int = 0
    """Physics threads, 0 for all cores. Results do not depend on it."""
    device: str | None = None
    """Where JAX computes the updates, as in cpu, gpu or gpu:1; by default where it would by itself. Results on another
    kind of device differ in their last digits."""
    workers: int = 0
    """For an environment that is not of this library: processes that step it, 0 for this process alone. Results do not
    depend on it."""
    config_file: Annotated[Path | None, tyro.conf.arg(name="config", metavar="FILE.toml")] = None
    """TOML file of settings, by their names here, to begin from; ALGORITHM and TASK too may be in there. What the
    command line says wins."""
    print_config: bool = False
    """Print all settings as such a file instead of training."""
    preset: str | None = None
    """Settings to begin from instead of the defaults: `omnisafe` for those of its published table, where an algorithm
    has them. Other options change them further."""
    seeds: tuple[int, ...] = ()
    """Several seeds instead of `seed`: a run of each, side by side, evaluated, and in one folder, by default
    runs/TASK-ALGORITHM-seeds. The same command goes on after an interruption, and more seeds may be named then."""
    track: TrackerName = None
    """Tell an experiment tracker of every iteration, too; `resume` with the same option goes on there."""
    quiet: bool = False
    """Say nothing but mistakes."""
    json: bool = False
    """Say every iteration, and in the end a summary, as one JSON object a line on stdout; with `quiet` the summary
    alone."""


NO_SETTINGS = ("algorithm_name", "extended_at", "config", "print_config")
"""What `Training` holds beside the settings that a file of them may have."""
NOT_PRINTED = (*NO_SETTINGS, "preset", "run_dir", "threads", "device", "workers", "seeds", "track", "quiet", "json")
"""What decides nothing of a run, or is in the other settings already."""


def train(arguments: list[str]) -> None:
    """Read `ALGORITHM TASK …`, in which the algorithm decides which options there are, and train."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: equipoise train ALGORITHM TASK [options]; `equipoise train ALGORITHM --help` explains them\n")
        algorithms()
        return
    name, default, rest = _begin(arguments)
    asked = tyro.cli(Training, default=default, args=_new_words(rest), prog=f"equipoise train {name}", registry=NUMBERS)
    config = asked.config.plain()
    if asked.print_config:
        print(f'algorithm = "{name}"\n{settings_text(dataclasses.replace(asked, config=config), NOT_PRINTED)}', end="")
        return
    balance = balance_of(config.algorithm)
    if balance:
        load(balance)
    says = Says(asked.quiet, asked.json, asked.track)
    if asked.seeds:
        shares = {"threads": asked.threads, "device": asked.device, "workers": asked.workers}
        train_seeds(config, asked.preset, asked.seeds, asked.run_dir, shares, says)
        return
    folder = (asked.run_dir or default_run_dir(config)).absolute()
    with (
        _stoppable(folder, config, says),
        tracked(asked.track, folder) as tracking,
        Display(config, shown=says.shown) as display,
    ):
        watch = together(display.show, says.iteration, tracking)
        run = loop.train(
            config, near(folder), threads=asked.threads, device=asked.device, workers=asked.workers, watch=watch
        )
    _finish(run, says)


def _begin(arguments: list[str]) -> tuple[str, Training, list[str]]:
    """Return the algorithm's name, the settings that options change, and the other words of the command line.

    The settings are those of the file of `--config` where it has them, else the preset's, else the algorithm's own.
    """
    own = () if arguments[0].startswith("-") else arguments[:1]
    rest = arguments[len(own) :]
    file = _said(rest, "--config")
    values = {} if file is None else read_settings(Path(file))
    name = own[0] if own else values.get("algorithm")
    preset = _said(rest, "--preset") or values.get("preset")
    if not isinstance(name, str) or not isinstance(preset, str | None):
        raise UsageError("no algorithm; name one first, as in `equipoise train pcrpo TASK`, or in the file of --config")
    default = Training(Config("", load_algorithm(name, preset), name), preset=preset)
    values.pop("algorithm", None)
    default = with_settings(default, values, Path(file or ""), NO_SETTINGS)
    if not default.config.task:
        object.__setattr__(default.config, "task", tyro.MISSING)  # no task is no string: it has to be given
    return name, default, rest


def resume(
    run: RunFolder,
    total_steps: int | None = None,
    environment: EnvironmentId = None,
    algorithm: AlgorithmName = None,
    aggregator: AggregatorName = None,
    threads: int = 0,
    device: str | None = None,
    workers: int = 0,
    track: TrackerName = None,
    quiet: bool = False,
    json: bool = False,
) -> None:
    """Continue a run from its newest checkpoint, bit for bit as if it had never stopped.

    Args:
        run: Folder of the run.
        total_steps: A later end for the run. It goes on as if it had been that long from the start, unless a setting
            follows the share of training done, which is then said.
        environment: For a run on an environment MODULE:ID, the same again: it allows the import.
        algorithm: For a run of an algorithm MODULE:NAME, the same again: it allows the import.
        aggregator: For a run with an aggregator MODULE:NAME, the same again: it allows the import.
        threads: Physics threads, 0 for all cores. Results do not depend on it.
        device: Where JAX computes the updates, as for `train`.
        workers: Processes that step an environment that is not of this library, 0 for this process alone. Results do
            not depend on it.
        track: Tell an experiment tracker of every iteration, too, where it knows the run already as the same run.
        quiet: Say nothing but mistakes.
        json: Say every iteration and in the end a summary as one JSON object a line; with `quiet` the summary alone.
    """
    if aggregator is not None:
        load(aggregator)
    own = None if algorithm is None else load_algorithm(algorithm)
    config, problem = read_config(run, own)
    if total_steps is not None:
        config = dataclasses.replace(config, total_steps=total_steps)
    complete, steps = is_complete(run, config, problem), steps_done(run, problem)
    says = Says(quiet, json, track)
    with (
        _stoppable(run.absolute(), config, says),
        tracked(track, run) as tracking,
        Display(config, steps, shown=says.shown) as display,
    ):
        watch = together(display.show, says.iteration, tracking)
        finished = loop.resume(
            run,
            total_steps=total_steps,
            environment=environment,
            algorithm=own,
            threads=threads,
            device=device,
            workers=workers,
            watch=watch,
        )
    if complete and says.shown:
        print(f"{run} was complete, nothing is left to be done: {steps} steps of {config.planned_steps}")
    _finish(finished, says, again=not complete)


@contextlib.contextmanager
def _stoppable(folder: Path, config: Config, says: Says) -> Iterator[None]:
    """Where training is stopped meanwhile, say what is there of it and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if not (folder / "config.json").exists():
            raise KeyboardInterrupt("stopped in the first iteration: nothing is kept, and no folder is left") from None
        raise KeyboardInterrupt(
            f"stopped; this goes on from the last iteration: {command('resume', folder)}{named_again(config, *ALL)}"
            f"{says.track_again}"
        ) from None


ALL = ("environment", "algorithm", "aggregator")
"""Options that allow the import of a module of the user's own."""


def named_again(config: Config, *options: str) -> str:
    """Return the `options` with which a command allows the imports that a run needs."""
    own = [name if ":" in name else None for name in (config.algorithm_name, balance_of(config.algorithm))]
    named = zip(ALL, (name_to_repeat(config), *own), strict=True)
    return "".join(f" --{option} {shlex.quote(name)}" for option, name in named if option in options and name)


def _said(arguments: list[str], option: str) -> str | None:
    """Return what `option` says, which decides the defaults of all others; None if it is not there."""
    for i, word in enumerate(arguments):
        if word == option and i + 1 < len(arguments):
            return arguments[i + 1]
        if word.startswith(f"{option}="):
            return word.removeprefix(f"{option}=")
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


def _finish(run: Run, says: Says, again: bool = True) -> None:
    """Draw the picture and say how the run ended and what can be done with it, `again` the command that resumes it."""
    picture, config, path = draw(run), run.config, run.path
    says.summary(run)
    if not says.shown:
        return
    Console().print(ending(run))
    print(f"run       {near(path)}/ (config.json, metrics.csv, checkpoints/, TensorBoard events)")
    print(f"picture   {near(picture)}")
    seen = named_again(config, "environment", "algorithm")
    print(f"evaluate  {command('evaluate', path)}{seen}")
    print(f"film      {command('render', path)}{seen}")
    print(f"export    {command('export', path)}{named_again(config, 'algorithm')}")
    if again:
        print(f"resume    {command('resume', path)}{named_again(config, *ALL)}{says.track_again}")
