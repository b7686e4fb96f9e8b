"""A run on disk: its configuration, its metrics, and its trained policy."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from equipoise.algorithms.algorithm import Algorithm, LearnerState
from equipoise.environments.actions import layout_from, own_action
from equipoise.environments.observations import flatten, from_text
from equipoise.errors import Notice, UsageError
from equipoise.policy import Actor
from equipoise.problem import Problem
from equipoise.training.checkpoint import (
    RunState,
    find_iteration,
    kept_iterations,
    load_checkpoint,
    read_state,
)
from equipoise.training.config import Config
from equipoise.training.config_file import read_config_file
from equipoise.training.folder import START
from equipoise.training.jax_doors import uses_jax
from equipoise.training.mixture import Mixture
from equipoise.training.policies import MOST_MIXED, kept_policies, load_policy
from equipoise.training.record import Record
from equipoise.training.rollout import random_key
from equipoise.training.rows import read_metrics
from equipoise.training.selected import read_selection_file


def read_config(path: Path, own: Algorithm | None = None) -> tuple[Config, Problem]:
    """Read the configuration and the problem of the run in `path`; `UsageError` if it is no run.

    `own` is the user's own algorithm, if the run has one. Settings are checked as for a new run, except those of a rule
    with an aggregator of the user's own, which may not be imported yet: an update's rule is checked when it resumes.
    """
    file = read_config_file(path)
    config, problem = Config.from_file(file, own)
    try:
        config.check(problem, own_aggregator=True)
        unflattener(problem)
    except UsageError as error:
        raise file.refusal(error) from None
    return config, problem


def steps_done(path: Path, problem: Problem) -> int:
    """Return the environment steps of the run in `path` that its metrics.csv has."""
    rows = read_metrics(path / "metrics.csv", problem.cost_names)
    return int(rows[-1]["steps"]) if rows else 0


def _states_of(path: Path, template: RunState, iteration: int | None) -> tuple[RunState, ...]:
    """Read what acts in the run in `path`: one state, or those of a mixture that was selected, oldest first."""
    selected, policies = read_selection_file(path) is not None, kept_policies(path)
    if selected and policies and iteration is None:
        if len(policies) > MOST_MIXED:
            raise UsageError(f"{path} is a mixture of {len(policies)} policies; allowed: at most {MOST_MIXED}")
        return tuple(load_policy(path, template, number) for number in policies)
    checkpoints = kept_iterations(path)
    if iteration is None or iteration in checkpoints:
        return (load_checkpoint(path, template, iteration),)
    return (load_policy(path, template, find_iteration(path, sorted({*checkpoints, *policies}), iteration)),)


def flattener(problem: Problem) -> Callable[[Any], np.ndarray] | None:
    """Return what makes vectors of the problem's observations; None where they are vectors of any kind.

    Many observations that are arrays can be given at once, with a leading axis.
    """
    if not problem.observation:
        return None
    layout = from_text(problem.observation, problem.observation_size)

    def flat(observation: Any) -> np.ndarray:
        shape = np.shape(observation) if layout[0] == "box" else ()
        if len(shape) > len(layout[1]):
            return np.stack([flat(one) for one in observation])
        return flatten(layout, observation, "the caller")

    return flat


def unflattener(problem: Problem) -> Callable[[np.ndarray], Any] | None:
    """Return what makes the environment's own of a policy's actions; None where it takes those."""
    if not problem.action:
        return None
    return functools.partial(own_action, layout_from(problem.action, problem.action_size, problem.action_choices))


@dataclass(frozen=True)
class Run(Record):
    """A run's folder, opened."""

    config: Config
    """What it was asked to do."""
    state: RunState
    """The checkpoint that it was opened at, the newest unless another was asked for."""
    mixture: tuple[RunState, ...] = ()
    """For a mixture of policies, those that an episode draws one of; `state` is then the newest of them."""

    def __repr__(self) -> str:
        return super().__repr__()  # for a dataclass would have one made that writes out every array

    def _stands(self) -> str:
        rows = len(self.metrics)
        opened = f"opened at iteration {self.state.iteration}, " if self.state.iteration != rows else ""
        return opened + super()._stands()

    @classmethod
    @uses_jax
    def load(cls, path: str | Path, own: Algorithm | None = None, iteration: int | None = None) -> Run:
        """Open the run in `path`, at its newest checkpoint or at that of an earlier `iteration`.

        Where only the policy of that iteration was kept, the state has nothing else in it; so it is with a policy that
        was selected (`equipoise.select`). `own` is the user's own algorithm, if the run has one: no module is imported
        because a file names it. The policy is the checkpoint's; the metrics are those of the whole run. Raises
        `UsageError` if `path` is no run, nothing was learned, or what is there cannot be read, and where only other
        checkpoints are there, naming them and the nearest.
        """
        path = Path(path)
        config, problem = read_config(path, own)
        rows = read_metrics(path / "metrics.csv", problem.cost_names)
        states = _states_of(path, state_shapes(config, problem), iteration)
        mixture = states if len(states) > 1 else ()
        return cls(path.absolute(), problem, config.algorithm_name, config.seed, rows, config, states[-1], mixture)

    @functools.cached_property
    @uses_jax
    def policy(self) -> Actor | Mixture:
        """The checkpoint's policy: `run.policy(observation)` is its mean action, `run.policy.sample` draws an action.

        Of discrete actions, the first is the most likely one. It takes what the environment observes and acts as it did
        in training, where the environment clipped actions. Of a mixture, `run.policy.for_episode(random)` is such a
        policy for an episode.
        """
        return Mixture([self._actor(state) for state in self.mixture]) if self.mixture else self._actor(self.state)

    def _actor(self, state: RunState) -> Actor:
        learner, lens, problem = state.learner, self.config.algorithm.lens, self.problem
        bounds = problem.action_low, problem.action_high, unflattener(problem)
        if not lens.observes_budget:
            return Actor(learner.policy, learner.observations, "", flattener(problem), *bounds)
        names = problem.cost_names
        first = ", ".join(f"{share:.4g}" for share in np.asarray(lens.start(learner.lens, jnp.asarray(self.limits))))
        expects = (
            f"the task's {problem.observation_size - len(names)}, and then what is left of the budget of each "
            f"cost ({', '.join(names)}) as a share of its limit: {first} at the start of an episode, and after each "
            "step what the lens's `left` returns"
        )
        return Actor(learner.policy, learner.observations, expects, None, *bounds)

    @property
    def limits(self) -> tuple[float, ...]:
        """The limits b_k on the mean episode costs."""
        return self.config.resolve_limits(self.problem)


def use_compilation_cache() -> None:
    """Keep compiled updates in the user's cache folder, unless JAX was told of another place."""
    if jax.config.jax_compilation_cache_dir is None and (folder := _cache_folder()):  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@functools.cache
def _cache_folder() -> Path | None:
    """Return where compiled updates are kept; where there is no place for them, say so once and return None."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        warnings.warn(
            "this user has no home folder: compiled updates are not kept, and compiled anew by every process; "
            "set XDG_CACHE_HOME, or JAX_COMPILATION_CACHE_DIR, to a folder for them",
            Notice,
            stacklevel=2,
        )
        return None
    return home / "equipoise" / "xla"


def first_state(config: Config, problem: Problem) -> RunState:
    """Return what a run starts from: decided by its configuration alone."""
    use_compilation_cache()  # before the first thing that JAX compiles
    return _state_of(_init(config, problem)(random_key(config.seed)), problem)


def state_shapes(config: Config, problem: Problem) -> RunState:
    """Return the shapes and types of the state of a run: for a template, since nothing is computed or allocated."""
    return _state_of(jax.eval_shape(_init(config, problem), jax.random.key(0)), problem)


def _init(config: Config, problem: Problem) -> Callable[[PRNGKeyArray], LearnerState]:
    limits = jnp.asarray(config.resolve_limits(problem))
    return lambda key: config.algorithm.init(problem, limits, key)


def _state_of(learner: LearnerState, problem: Problem) -> RunState:
    constraints = len(problem.cost_names)
    return RunState(learner, 0, 0, np.zeros(constraints), np.full(1 + constraints, np.nan))


def _start_again(run: Path, config: Config, problem: Problem) -> RunState:
    """Return what the run in `run` started from, of which it has its own copy if that came from another run."""
    if not config.start_from:
        return first_state(config, problem)
    use_compilation_cache()
    try:
        return read_state(run / START, state_shapes(config, problem))
    except FileNotFoundError:
        raise UsageError(
            f"{run / START} is gone, which this run started from; put it back, or train into another folder"
        ) from None


def is_complete(run: Path, config: Config, problem: Problem) -> bool:
    """Return whether nothing is left to be done of the run in `run`: its last row and its checkpoint are there."""
    rows, kept = read_metrics(run / "metrics.csv", problem.cost_names), kept_iterations(run)
    return bool(rows and kept) and rows[-1]["steps"] >= config.planned_steps and rows[-1]["iteration"] == kept[-1]


def resumed_state(run: Path, config: Config, problem: Problem) -> RunState:
    """Return the state that the run in `run` goes on from: its newest checkpoint, or its start if it has no more.

    Raises `UsageError` where going on would lose rows of metrics.csv that are not made again.
    """
    rows, kept = len(read_metrics(run / "metrics.csv", problem.cost_names)), kept_iterations(run)
    newest = kept[-1] if kept else 0
    if not kept and rows <= 1:  # one row: a run that was killed before its first checkpoint
        return _start_again(run, config, problem)
    if not kept:
        raise UsageError(
            f"{run} has {rows} rows in metrics.csv but no checkpoint: what it learned is not there, and going on would "
            "begin anew; put its checkpoints back, or train into another folder"
        )
    if rows < newest:
        raise UsageError(
            f"{run} has {rows} rows in metrics.csv but a checkpoint of iteration {newest}: rows are missing; put "
            f"metrics.csv back, or remove the checkpoints after iteration {rows}"
        )
    use_compilation_cache()
    return load_checkpoint(run, state_shapes(config, problem))
