"""Experiment trackers: Weights & Biases and what has its shape (Trackio), and MLflow, all behind one interface."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import secrets
import time
from typing import Any, Protocol, runtime_checkable

from equipoise.errors import UsageError, unknown

PROJECT = "equipoise"
"""Project, or experiment, of the tracker, where its own environment variable names no other."""


@runtime_checkable
class Tracker(Protocol):
    """Where a run's configuration and the rows of its metrics go."""

    name: str
    """What the user calls it."""

    def log_in(self) -> None:
        """See that it can be used, before anything is trained."""

    def begin(self, run: str, known: str | None, config: dict[str, Any]) -> str:
        """Begin to track the run of that name, or go on with the tracked one `known`; return the tracker's id of it."""

    def log(self, numbers: dict[str, int | float], step: int) -> None:
        """Take the numbers of an iteration."""

    def end(self, finished: bool) -> None:
        """End it: the training finished, or was stopped or failed."""


class WandbShaped:
    """A module with `init`, whose runs have `log` and `finish`: wandb, trackio, and others like them.

    Args:
        module: the module.
        name: what the user calls it.
    """

    def __init__(self, module: Any, name: str) -> None:
        self.name, self._module = name, module

    def log_in(self) -> None:
        """Log in where the module knows that; it may ask for a key, at a terminal."""
        if hasattr(self._module, "login"):
            self._module.login()

    def begin(self, run: str, known: str | None, config: dict[str, Any]) -> str:
        """Begin a run in the project of the environment variable NAME_PROJECT (WANDB_PROJECT, …).

        A module that knows no ids knows a run by its name, which then ends with the id.
        """
        own = known or secrets.token_hex(4)
        project = os.environ.get(f"{self.name.upper()}_PROJECT", PROJECT)
        taken = inspect.signature(self._module.init).parameters
        named = {"name": run, "id": own} if "id" in taken else {"name": f"{run}-{own}"}
        resume = "allow" if known else "never"
        self._run = self._module.init(project=project, config=config, resume=resume, **named)
        return own

    def log(self, numbers: dict[str, int | float], step: int) -> None:
        """Log the numbers of an iteration."""
        self._run.log(numbers, step=step)

    def end(self, finished: bool) -> None:
        """Finish the run; where the module takes exit codes, with 1 unless the training finished."""
        takes = "exit_code" in inspect.signature(self._run.finish).parameters
        self._run.finish(**({"exit_code": 0 if finished else 1} if takes else {}))


class MLflow:
    """MLflow's tracking server, or its local database: what MLFLOW_TRACKING_URI says, or else mlflow.db in here.

    It is used through its client, which leaves alone any run that the caller's own code has active.
    """

    name = "mlflow"
    MOST_PARAMS = 100
    """Parameters that MLflow takes at once."""
    MOST_CHARACTERS = 500
    """Characters of a parameter that every version of MLflow takes."""

    def __init__(self, module: Any) -> None:
        self._entities, self._client = importlib.import_module("mlflow.entities"), module.MlflowClient()

    def log_in(self) -> None:
        """Do nothing: MLflow's credentials are in the environment."""

    def begin(self, run: str, known: str | None, config: dict[str, Any]) -> str:
        """Begin a run in the experiment of MLFLOW_EXPERIMENT_NAME."""
        if known is not None:
            self._run = known
            self._client.update_run(known, status="RUNNING")
            return known
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(experiment)
        place = found.experiment_id if found is not None else self._client.create_experiment(experiment)
        self._run = str(self._client.create_run(place, run_name=run).info.run_id)
        params = [
            self._entities.Param(_allowed(key), str(value)[: self.MOST_CHARACTERS]) for key, value in config.items()
        ]
        for start in range(0, len(params), self.MOST_PARAMS):
            self._client.log_batch(self._run, params=params[start : start + self.MOST_PARAMS])
        return self._run

    def log(self, numbers: dict[str, int | float], step: int) -> None:
        """Log the numbers of an iteration."""
        now = int(time.time() * 1000)
        metrics = [self._entities.Metric(_allowed(name), float(value), now, step) for name, value in numbers.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def end(self, finished: bool) -> None:
        """Say that the run has finished, or was killed."""
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")


def _allowed(name: str) -> str:
    """Return a name in the letters that MLflow allows."""
    return re.sub(r"[^\w\-./ ]", "_", name)


TRACKERS = ("wandb", "trackio", "mlflow")
"""Trackers by name, which is also that of the module and of the extra that installs it."""


def find_tracker(track: Any) -> Tracker:
    """Return the tracker of that name, or that of a module of wandb's shape; log in.

    Raises `UsageError` for an unknown name, for one that is not installed, and where logging in fails.
    """
    if isinstance(track, str) and track not in TRACKERS:
        raise unknown("tracker", track, TRACKERS)
    if not isinstance(track, str) and not callable(getattr(track, "init", None)):
        raise UsageError(f"track is {track!r}; allowed: {', '.join(TRACKERS)}, or a module with wandb's init")
    try:
        module = importlib.import_module(track) if isinstance(track, str) else track
    except ImportError:
        raise UsageError(f"{track} is not installed: pip install 'equipoise[{track}]'") from None
    tracker: Tracker = MLflow(module) if track == "mlflow" else WandbShaped(module, module.__name__.rpartition(".")[2])
    try:
        tracker.log_in()
    except Exception as error:
        raise UsageError(f"{tracker.name} cannot be used: {error}") from None
    return tracker
