"""The Python API: the same words as the command line."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import Any

from equipoise.algorithms.algorithm import Algorithm
from equipoise.algorithms.own import as_algorithm, load_algorithm
from equipoise.algorithms.registry import ALGORITHMS
from equipoise.algorithms.rule import Rule
from equipoise.errors import UsageError, unknown
from equipoise.integrations.tracking import tracked
from equipoise.settings import as_declared
from equipoise.training import loop
from equipoise.training.config import Config, Environment, as_words
from equipoise.training.display import Display
from equipoise.training.run import Run, read_config, steps_done
from equipoise.training.watcher import Watcher, together


def train(
    algorithm: str | Algorithm | Rule,
    task: Environment,
    *,
    run_dir: str | Path | None = None,
    threads: int = 0,
    device: str | None = None,
    workers: int = 0,
    watch: Watcher | None = None,
    track: Any = None,
    progress: bool | None = None,
    **options: Any,
) -> Run:
    """Train `algorithm` on `task` and return the run, which is finished unless `watch` ended it earlier.

    Args:
        algorithm: a name (`equipoise algorithms`), a rule, as in `equipoise.PCRPO(metric="natural")`, which moves by a
            trust region, or an `equipoise.Algorithm` put together from rule, step, lens and learner.
        task: a task of the library or one of your own, the id of a Gymnasium environment whose info has a cost, or a
            callable that makes one, or that makes a vector environment, of `num_envs` if it takes such an argument.
        run_dir: the new folder of the run; by default `runs/TASK-ALGORITHM-seedSEED`.
        threads: physics threads (0: all cores); results do not depend on it.
        device: where JAX computes the updates, as in `cpu`, `gpu` or `gpu:1`; by default where it would by itself.
        workers: processes that step an environment which is not of this library (0: this process alone); results do not
            depend on it.
        watch: called with every iteration's row of metrics, once its checkpoint is on the disk. If it returns False,
            training ends there, and `resume` goes on; anything else, None too, changes nothing.
        track: an experiment tracker that is told of every iteration, too: "wandb", "trackio", "mlflow" (each an extra,
            as in `pip install 'equipoise[wandb]'`), or a module of wandb's shape.
        progress: whether to show how it goes; by default where somebody looks, at a terminal or in a notebook, unless
            there is a `watch`.
        options: fields of `Config`: `total_steps`, `seed`, `limits`, … Arguments for an environment that Gymnasium
            makes are `env_args`, a dictionary. `start_from` is a `Run`, or the folder of one, whose policy training
            starts from.

    Raises:
        UsageError: anything that is not allowed, before anything is written.
    """
    apart = {"task", "algorithm", "algorithm_name", "extended_at"}
    known = {field.name for field in dataclasses.fields(Config)} - apart
    for name in options:
        if name not in known:
            raise unknown("option", name, known)
    if not callable(task) and not isinstance(task, str):
        raise UsageError(f"task is {task!r}; allowed: a name, or a callable that makes an environment")
    chosen = algorithm_of(algorithm)
    name = task if isinstance(task, str) else getattr(task, "__qualname__", type(task).__qualname__)
    hints = typing.get_type_hints(Config)
    if "env_args" in options:
        options["env_args"] = as_words(options["env_args"])
    if "start_from" in options:
        options["start_from"] = _folder_of(options["start_from"])
    options = {option: as_declared(hints[option], value, option) for option, value in options.items()}
    config = Config(task=name, algorithm=chosen, algorithm_name=name_of(algorithm), **options).plain()
    folder = Path(run_dir) if run_dir is not None else default_run_dir(config)
    environment = None if isinstance(task, str) else task
    threads, workers = as_declared(int, threads, "threads"), as_declared(int, workers, "workers")
    with tracked(track, folder) as tracking, Display(config, 0, _shown(progress, watch), folder.absolute()) as display:
        return loop.train(
            config,
            folder,
            environment=environment,
            threads=threads,
            device=device,
            workers=workers,
            watch=together(display.show, tracking, watch),
        )


def _shown(progress: bool | None, watch: Watcher | None) -> bool | None:
    """Return whether to show how a training goes; None if that depends on whether somebody looks."""
    return False if progress is None and watch is not None else progress


def _folder_of(run: Any) -> Any:
    """Return the folder of a run as a configuration holds it."""
    return str(run.path if isinstance(run, Run) else run) if isinstance(run, Run | Path) else run


def algorithm_of(algorithm: str | Algorithm | Rule) -> Algorithm:
    """Return the algorithm of a name, a rule on the default trust region, or the algorithm itself."""
    return load_algorithm(algorithm) if isinstance(algorithm, str) else as_algorithm(algorithm, "algorithm")


def name_of(algorithm: str | Algorithm | Rule) -> str:
    """Return the name of an algorithm: that of the library's own of the same parts, or else that of its rule."""
    if isinstance(algorithm, str):
        return algorithm
    parts = _kinds(algorithm_of(algorithm))
    named = (name for name, entry in ALGORITHMS.items() if _kinds(entry.algorithm) == parts)
    return next(named, parts[0].__name__.lower())


def _kinds(algorithm: Algorithm) -> tuple[type, type, type]:
    return type(algorithm.rule), type(algorithm.step), type(algorithm.lens)


def resume(
    run_dir: str | Path,
    *,
    total_steps: int | None = None,
    environment: Environment | None = None,
    algorithm: Algorithm | Rule | None = None,
    threads: int = 0,
    device: str | None = None,
    workers: int = 0,
    watch: Watcher | None = None,
    track: Any = None,
    progress: bool | None = None,
) -> Run:
    """Continue the run in `run_dir` bit for bit from its newest checkpoint, and return it.

    Args:
        run_dir: the folder of the run.
        total_steps: a later end for the run than the one that was planned. It is then bit for bit the run that it would
            have been with that end from the start, unless a setting follows the share of training done (a schedule of
            the slack, a decaying learning rate): a warning says which.
        environment: the user's own, to be given again where the task is a callable or a MODULE:ID.
        algorithm: the user's own, where the run has one.
        threads: physics threads (0: all cores); results do not depend on it.
        device: where JAX computes the updates, as in `cpu`, `gpu` or `gpu:1`; by default where it would by itself.
        workers: as for `train`.
        watch: as for `train`.
        track: as for `train`; a run that was tracked before goes on there as the same one.
        progress: as for `train`.

    Raises:
        UsageError: anything that is not allowed, an end before the one that was planned, and rows of metrics.csv that
            would be lost.
    """
    own = None if algorithm is None else algorithm_of(algorithm)
    folder = Path(run_dir)
    config, problem = read_config(folder, own)
    steps = steps_done(folder, problem)
    if total_steps is not None:
        total_steps = as_declared(int, total_steps, "total_steps")
        config = dataclasses.replace(config, total_steps=total_steps)
    shown, absolute = _shown(progress, watch), folder.absolute()
    with tracked(track, folder) as tracking, Display(config, steps, shown, absolute) as display:
        return loop.resume(
            folder,
            total_steps=total_steps,
            environment=environment,
            algorithm=own,
            threads=threads,
            device=device,
            workers=workers,
            watch=together(display.show, tracking, watch),
        )


def default_run_dir(config: Config) -> Path:
    """Return the folder a run gets when none is named: `runs/TASK-ALGORITHM-seedSEED`."""
    task, algorithm = (
        "".join(c if c.isalnum() or c in "-_." else "-" for c in name) for name in (config.task, config.algorithm_name)
    )
    return Path("runs") / f"{task}-{algorithm}-seed{config.seed}"
