"""The command line: train, resume, evaluate, plot, film, and lists of tasks and algorithms."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.table import Table

from equipoise.errors import UsageError, unknown

if TYPE_CHECKING:
    from equipoise.algorithms.algorithm import Algorithm
    from equipoise.films.play import Episode
    from equipoise.training.evaluate import Interval
    from equipoise.training.run import Run

USAGE = """\
equipoise: safe reinforcement learning by gradient manipulation

  equipoise train ALGORITHM TASK [--total-steps N] [--seed S] [--run-dir DIR] …
  equipoise resume RUN        go on with a run that was stopped, bit for bit
  equipoise evaluate RUN      reward and cost with intervals, and the certificate
  equipoise plot RUN          draw the run's picture again
  equipoise conflict RUN      how reward and cost conflict: picture, table, noise of cos φ
  equipoise render RUN        film the policy, with reward and cost in the picture
  equipoise watch RUN         watch the policy live in MuJoCo's viewer
  equipoise tasks [ID]        list the tasks, or say everything about one
  equipoise algorithms        list the algorithms
  equipoise theory            the convergence result, on problems that are solved exactly

`equipoise COMMAND --help` explains every option; `equipoise train ALGORITHM --help` those of an algorithm.
"""

RunFolder = Annotated[Path, tyro.conf.Positional]
"""The folder of a run, given by position."""

EnvironmentId = Annotated[str | None, tyro.conf.arg(metavar="MODULE:ID")]
"""A user's own environment, named again to allow the import of its module."""


AggregatorName = Annotated[str | None, tyro.conf.arg(metavar="MODULE:NAME")]
"""A user's own aggregator, named again to allow the import of its module."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 2 for a user's mistake, told in one line."""
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.append(str(Path.cwd()))  # so that MODULE:ID finds a module in the working folder, but after all others
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        if command in ("-h", "--help"):
            print(USAGE, end="")
        elif command == "--version":
            from equipoise.training.config import VERSION

            print(f"equipoise {VERSION}")
        elif command == "train":
            _train(rest)
        elif command in COMMANDS:
            tyro.cli(COMMANDS[command], args=rest, prog=f"equipoise {command}")
        else:
            raise unknown("command", command, ["train", *COMMANDS])
    except UsageError as error:
        print(f"equipoise: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        hint = "; `equipoise resume RUN` goes on from the last iteration" if command in ("train", "resume") else ""
        print(f"\nequipoise: stopped{hint}", file=sys.stderr)
        return 130
    return 0


def _train(arguments: list[str]) -> None:
    """Read `ALGORITHM TASK …` and train."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: equipoise train ALGORITHM TASK [options]; `equipoise train ALGORITHM --help` explains them\n")
        algorithms()
        return
    from equipoise.algorithms import find_algorithm
    from equipoise.api import default_run_dir
    from equipoise.training import loop
    from equipoise.training.config import Config
    from equipoise.training.display import Display

    name, *rest = arguments
    algorithm = find_algorithm(name).algorithm

    default = Config(task=tyro.MISSING, algorithm=algorithm, algorithm_name=name)

    def train(
        config: Annotated[Config, tyro.conf.arg(name="")] = default, run_dir: Path | None = None, threads: int = 0
    ) -> None:
        """Train an algorithm on a task.

        Args:
            config: everything that decides the run.
            run_dir: New folder for the run; by default runs/TASK-ALGORITHM-seedSEED.
            threads: Physics threads, 0 for all cores. Results do not depend on it.
        """
        load_aggregator(config.algorithm)
        with Display(f"{name} on {config.task}", config.iterations) as display:
            run = loop.train(config, run_dir or default_run_dir(config), threads=threads, watch=display.show)
        _finish(run)

    tyro.cli(train, args=rest, prog=f"equipoise train {name}")


def load_aggregator(algorithm: Algorithm) -> None:
    """Import the module of an aggregator MODULE:NAME that the command line asks for."""
    from equipoise.gradients import load

    balance = getattr(algorithm.rule, "balance", None)
    if balance is not None:
        load(balance.aggregator)


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
    from equipoise.gradients import load
    from equipoise.training import loop
    from equipoise.training.display import Display
    from equipoise.training.run import Run

    if aggregator is not None:
        load(aggregator)
    before = Run.load(run)
    config, done = before.config, before.state.iteration
    if done >= config.iterations:
        print(f"{run} is complete: {done} iterations of {config.iterations}")
    with Display(f"{config.algorithm_name} on {config.task}", config.iterations, done) as display:
        finished = loop.resume(run, environment=environment, threads=threads, watch=display.show)
    _finish(finished)


def evaluate(
    run: RunFolder,
    episodes: int = 100,
    seed: int = 0,
    environment: EnvironmentId = None,
    threads: int = 0,
) -> None:
    """Evaluate a run's newest policy: reward and episode cost with 95 % intervals, and the certificate.

    Args:
        run: Folder of the run.
        episodes: Fresh episodes for each of the stochastic and the deterministic policy.
        seed: Decides the episodes.
        environment: For a run on an environment MODULE:ID, the same again: it allows the import.
        threads: Physics threads, 0 for all cores. Results do not depend on it.
    """
    from equipoise.training.evaluate import evaluate as evaluate_run
    from equipoise.training.run import Run

    opened = Run.load(run)
    result = evaluate_run(opened, episodes, seed, environment, threads)
    table = Table(title=f"{opened.problem.id}, {episodes} episodes each, 95 % intervals")
    table.add_column("")
    table.add_column("stochastic policy", justify="right")
    table.add_column("deterministic policy", justify="right")
    both = (result.stochastic, result.deterministic)
    table.add_row("reward", *[_interval(policy.reward) for policy in both])
    for i, name in enumerate(opened.problem.cost_names):
        costs = [policy.costs[i] for policy in both]
        table.add_section()
        table.add_row(f"{name} (limit {costs[0].limit:.4g})", *[_interval(cost.mean) for cost in costs])
        table.add_row("upper 95 % bound", *[f"{cost.upper:.4g}" for cost in costs])
        table.add_row("certificate", *[_verdict(cost.certified) for cost in costs])
        table.add_row("episodes inside", *[_interval(cost.inside, percent=True) for cost in costs])
    Console().print(table)
    print(f"written: {run / 'evaluation.json'}")


def conflict(
    run: RunFolder,
    iteration: int | None = None,
    episodes: int = 40,
    seed: int = 0,
    grid: int = 7,
    cost: str | None = None,
    environment: EnvironmentId = None,
    aggregator: AggregatorName = None,
    threads: int = 0,
) -> None:
    """Analyse how reward and cost conflict in a run, and draw it: cos φ without its noise, and a map of both.

    Args:
        run: Folder of the run.
        iteration: Checkpoint to look at closely; by default the newest.
        episodes: Fresh episodes at every checkpoint, and at every point of the map.
        seed: Decides the episodes.
        grid: Points of the map in each direction, an odd number.
        cost: Cost to analyse, where there are several; by default the first.
        environment: For a run on an environment MODULE:ID, the same again: it allows the import.
        aggregator: For a run with an aggregator MODULE:NAME, the same again: it allows the import.
        threads: Physics threads, 0 for all cores. Results do not depend on it.
    """
    from equipoise.conflict.report import analyse_conflict, show
    from equipoise.gradients import load
    from equipoise.training.run import Run

    if aggregator is not None:
        load(aggregator)
    show(analyse_conflict(Run.load(run), iteration, episodes, seed, grid, cost, environment, threads))
    print(f"written: {run / 'conflict.csv'}, {run / 'conflict.png'}")


def plot(run: RunFolder) -> None:
    """Draw a run's picture.

    Args:
        run: Folder of the run.
    """
    from equipoise.training.picture import draw
    from equipoise.training.run import Run

    print(f"written: {draw(Run.load(run))}")


def render(
    run: RunFolder,
    out: Path | None = None,
    episodes: int = 1,
    seed: int = 0,
    deterministic: bool = False,
    size: tuple[int, int] = (640, 480),
    environment: EnvironmentId = None,
) -> None:
    """Film a run's newest policy in real time, with reward so far and cost so far against its limit in the picture.

    Args:
        run: Folder of the run.
        out: The film, an mp4 file; by default film.mp4 in the run's folder.
        episodes: Episodes to film, one after the other.
        seed: Decides the episodes.
        deterministic: Take mean actions, instead of drawing them from the policy as in training.
        size: Width and height of the picture; your own environment has its own size.
        environment: For a run on an environment MODULE:ID, the same again: it allows the import.
    """
    from rich.progress import Progress

    from equipoise.films.film import film
    from equipoise.training.run import Run

    opened = Run.load(run)
    with Progress(transient=True, disable=not sys.stdout.isatty()) as progress:
        bar = progress.add_task("filming", total=episodes)

        def show(episode: Episode) -> None:
            share = 1.0 if episode.end else episode.steps / opened.problem.horizon
            progress.update(bar, completed=episode.number - 1 + share)

        path = film(opened, out, episodes, seed, deterministic, size, environment, show)
    print(f"written: {path}")


def watch(run: RunFolder, seed: int = 0, deterministic: bool = False, environment: EnvironmentId = None) -> None:
    """Watch a run's newest policy live in MuJoCo's viewer, until its window is closed.

    Args:
        run: Folder of the run.
        seed: Decides the episodes.
        deterministic: Take mean actions, instead of drawing them from the policy as in training.
        environment: For a run on an environment MODULE:ID, the same again: it allows the import.
    """
    from equipoise.films.watch import watch as watch_run
    from equipoise.training.run import Run

    watch_run(Run.load(run), seed, deterministic, environment)


def tasks(task: Annotated[str | None, tyro.conf.Positional] = None, still: Path | None = None) -> None:
    """List the tasks with their limits; or say everything about one of them: formulas, sizes, limits, and a picture.

    Args:
        task: Id of the task to describe; without one, all are listed.
        still: PNG file to draw the task's start to.
    """
    from equipoise import catalogue
    from equipoise.tasks import find_task

    catalogue.show(None if task is None else find_task(task), still)


def theory(out: Path = Path("theory"), full: bool = False, problems: int = 100, seed: int = 0) -> None:
    """Reproduce the convergence result on finite CMDPs that are solved exactly; exit code 1 if a criterion fails.

    Args:
        out: Folder to write theory.csv, theory.json and theory.png to; made if it does not exist.
        full: Also T = 31 623 and 100 000.
        problems: Number of random CMDPs, 10 or more.
        seed: Decides the problems and the noise.
    """
    from equipoise.theory.experiment import theory as reproduce

    reproduce(out, full, problems, seed)


def algorithms() -> None:
    """List the algorithms."""
    from equipoise.algorithms import FAMILIES

    table = Table("algorithm", "what it does", "paper")
    for family, entries in FAMILIES.items():
        table.add_section()
        table.add_row(f"[bold]{family}[/]", "", "")
        for name, entry in entries.items():
            said = (type(entry.algorithm.rule).__doc__ or "").splitlines()[0]
            table.add_row(name, said, f"{entry.paper} ({entry.year})")
    Console().print(table)


COMMANDS: dict[str, Callable[..., None]] = {
    "resume": resume,
    "evaluate": evaluate,
    "plot": plot,
    "conflict": conflict,
    "render": render,
    "watch": watch,
    "tasks": tasks,
    "algorithms": algorithms,
    "theory": theory,
}
"""Commands other than `train`, whose options depend on the algorithm."""


def _finish(run: Run) -> None:
    """Draw the picture and say how the run ended and what can be done with it."""
    from equipoise.training.display import ending
    from equipoise.training.picture import draw

    picture = draw(run)
    Console().print(ending(run))
    print(f"run       {run.path}/ (config.json, metrics.csv, checkpoints/, TensorBoard events)")
    print(f"picture   {picture}")
    environment = f" --environment {run.config.task}" if ":" in run.config.task else ""
    print(f"evaluate  equipoise evaluate {run.path}{environment}")
    print(f"film      equipoise render {run.path}{environment}")
    balance = getattr(run.config.algorithm.rule, "balance", None)
    own = "" if balance is None else balance.aggregator
    aggregator = f" --aggregator {own}" if ":" in own else ""
    print(f"resume    equipoise resume {run.path}{environment}{aggregator}")


def _interval(interval: Interval, percent: bool = False) -> str:
    if percent:
        return f"{100 * interval.value:.0f} % [{100 * interval.low:.0f}, {100 * interval.high:.0f}]"
    return f"{interval.value:.4g} [{interval.low:.4g}, {interval.high:.4g}]"


def _verdict(certified: bool) -> str:
    return "[green]within the limit[/]" if certified else "[red]not within the limit[/]"
