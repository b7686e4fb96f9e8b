"""A run on disk: its configuration, its metrics, and its trained policy."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from equipoise.algorithms.algorithm import Algorithm
from equipoise.errors import UsageError
from equipoise.policy import Actor
from equipoise.problem import Problem
from equipoise.training.checkpoint import RunState, load_checkpoint
from equipoise.training.config import Config
from equipoise.training.metrics import Row, read_metrics


def read_config(path: Path, own: Algorithm | None = None) -> tuple[Config, Problem]:
    """Read the configuration and the problem of the run in `path`; `UsageError` if it is no run.

    `own` is the user's own algorithm, if the run has one.
    """
    file = path / "config.json"
    if not file.is_file():
        raise UsageError(f"{path} is no run of equipoise: it has no config.json")
    return Config.from_json(file.read_text(encoding="utf-8"), file, own)


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
    def load(cls, path: str | Path, own: Algorithm | None = None) -> Run:
        """Open the run in `path`; `UsageError` if it is none, or what is there cannot be read.

        `own` is the user's own algorithm, if the run has one: no module is imported because a file names it.
        """
        path = Path(path)
        config, problem = read_config(path, own)
        state = load_checkpoint(path, first_state(config, problem))
        return cls(path, config, problem, read_metrics(path / "metrics.csv"), state)

    @functools.cached_property
    def policy(self) -> Actor:
        """The newest policy: `run.policy(observation)` is its mean action, `run.policy.sample` draws an action."""
        learner, lens, names = self.state.learner, self.config.algorithm.lens, self.problem.cost_names
        if not lens.observes_budget:
            return Actor(learner.policy, learner.observations)
        first = ", ".join(f"{share:.4g}" for share in np.asarray(lens.start(learner.lens, jnp.asarray(self.limits))))
        return Actor(
            learner.policy,
            learner.observations,
            f"the task's {self.problem.observation_size - len(names)}, and then what is left of the budget of each "
            f"cost ({', '.join(names)}) as a share of its limit: {first} at the start of an episode, and after each "
            "step what the lens's `left` returns",
        )

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
    limits = jnp.asarray(config.resolve_limits(problem))
    learner = config.algorithm.init(problem, limits, jax.random.key(config.seed))
    return RunState(learner, 0, 0, np.zeros(constraints), np.full(1 + constraints, np.nan))
