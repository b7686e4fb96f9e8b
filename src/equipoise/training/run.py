"""A run on disk: its configuration, its metrics, and its trained policy."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from equipoise.algorithms import make_algorithm
from equipoise.errors import UsageError
from equipoise.policy import Actor
from equipoise.problem import Problem
from equipoise.training.checkpoint import RunState, load_checkpoint
from equipoise.training.config import Config
from equipoise.training.metrics import Row, read_metrics


def read_config(path: Path) -> tuple[Config, Problem]:
    """Read the configuration and the problem of the run in `path`; `UsageError` if it is no run."""
    file = path / "config.json"
    if not file.is_file():
        raise UsageError(f"{path} is no run of equipoise: it has no config.json")
    return Config.from_json(file.read_text(encoding="utf-8"), file)


@dataclass(frozen=True)
class Run:
    """A run's folder, opened."""

    path: Path
    """The folder."""
    config: Config
    """What it was asked to do."""
    problem: Problem
    """The problem it was trained on."""
    metrics: list[Row]
    """One row an iteration."""
    state: RunState
    """The newest checkpoint."""

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Open the run in `path`; `UsageError` if it is none, or what is there cannot be read."""
        path = Path(path)
        config, problem = read_config(path)
        state = load_checkpoint(path, first_state(config, problem))
        return cls(path, config, problem, read_metrics(path / "metrics.csv"), state)

    @functools.cached_property
    def policy(self) -> Actor:
        """The newest policy: `run.policy(observation)` is its mean action, `run.policy.sample` draws an action."""
        return Actor(self.state.learner.policy, self.state.learner.observations)

    @property
    def limits(self) -> tuple[float, ...]:
        """The limits b_k on the mean episode costs."""
        return self.config.resolve_limits(self.problem)


def use_compilation_cache() -> None:
    """Keep compiled updates in the user's cache folder, unless JAX was told of another place."""
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "equipoise" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def first_state(config: Config, problem: Problem) -> RunState:
    """Return what a run starts from: decided by its configuration alone."""
    use_compilation_cache()  # before the first thing that JAX compiles
    constraints = len(problem.cost_names)
    learner = make_algorithm(config.algorithm).init(problem, jax.random.key(config.seed))
    return RunState(learner, 0, np.zeros(constraints), np.full(1 + constraints, np.nan))
