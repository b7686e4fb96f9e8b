"""The training loop: rollout, update, log, checkpoint. There is no other."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from equipoise.algorithms.algorithm import Algorithm, LearnerState
from equipoise.errors import DiskFullError, Notice, UsageError
from equipoise.files import is_full, write_atomically
from equipoise.physics import Simulator
from equipoise.policy import Actor
from equipoise.problem import Batch, Problem
from equipoise.training.budget import renew_budget
from equipoise.training.checkpoint import RunState, save_checkpoint, write_state
from equipoise.training.config import Config, Environment, make_simulator, reopen_simulator
from equipoise.training.device import computing_on
from equipoise.training.episodes import EpisodeLog
from equipoise.training.extend import extended
from equipoise.training.folder import START, command, demand_new, near, reserved
from equipoise.training.jax_doors import uses_jax
from equipoise.training.metrics import MetricsLog, Row, measure
from equipoise.training.policies import keep_policy
from equipoise.training.rollout import Rollout, collect, random_key
from equipoise.training.run import Run, is_complete, read_config, resumed_state, steps_done
from equipoise.training.selected import read_selection_file
from equipoise.training.start import start_of
from equipoise.training.update import update
from equipoise.training.watcher import Watcher, asks_to_stop

MOST_DECADES = 30
"""Powers of ten by which a reward and a cost may differ: single precision holds about 38."""


@uses_jax
def train(
    config: Config,
    run_dir: Path,
    *,
    environment: Environment | None = None,
    threads: int = 0,
    device: str | None = None,
    workers: int = 0,
    watch: Watcher | None = None,
) -> Run:
    """Train as `config` says into the new folder `run_dir`, and return the run.

    It is finished, or ends where `watch` returned False; `resume` goes on from there.

    `environment` is the user's own where the task is none of the library. `threads` is the number of physics threads
    (0: all cores), and `workers` that of processes which step an environment of the user's own (0: this one alone);
    results depend on neither. `device` is where JAX computes (`cpu`, `gpu:1`; by default where it would by itself).
    Raises `UsageError` for anything that is not allowed, before anything is written.
    """
    config = config.plain()
    demand_new(run_dir)
    run_dir = run_dir.absolute()  # whatever the working folder is by the end

    def make(sized: Config) -> Simulator:
        return make_simulator(sized, threads, environment, workers=workers)

    with computing_on(device), contextlib.closing(Environments(make, config)) as envs:
        config.check(envs.problem)
        with reserved(run_dir, new=True):
            _learn(config, envs, run_dir, start_of(config, envs.problem), watch)
    return Run.load(run_dir, config.algorithm)


@uses_jax
def resume(
    run_dir: Path,
    *,
    total_steps: int | None = None,
    environment: Environment | None = None,
    algorithm: Algorithm | None = None,
    threads: int = 0,
    device: str | None = None,
    workers: int = 0,
    watch: Watcher | None = None,
) -> Run:
    """Continue the run in `run_dir` from its newest checkpoint, bit for bit as if it had never stopped.

    Ends earlier where `watch` returns False. Raises `UsageError` where rows of metrics.csv would be lost because the
    checkpoint they led to is gone.

    `total_steps` gives the run a later end, which is written to its configuration. It goes on bit for bit as if it had
    been that long from the start, unless a setting follows the share of training done: a warning then says which.
    Raises `UsageError` for an earlier end than the one that is planned.

    `environment` has to be given again where the task is a callable or a MODULE:ID, and `algorithm` where the run has
    one of the user's own. A run that is complete needs no environment: it is returned as it is. `device` is as for
    `train`; on another kind of device than before, what follows differs in its last bits.
    """
    planned, problem = read_config(run_dir, algorithm)
    run_dir = run_dir.absolute()
    if read_selection_file(run_dir) is not None:
        raise UsageError(
            f"{run_dir} has a selected policy and no critics to go on with; start a training from it: "
            f"equipoise train ALGORITHM TASK --from {shlex.quote(str(near(run_dir)))}"
        )
    config = extended(planned, total_steps, steps_done(run_dir, problem))
    if is_complete(run_dir, config, problem):
        with reserved(run_dir, new=False):  # nobody else is at it, and what a killed process left goes
            pass
        return Run.load(run_dir, algorithm)

    def make(sized: Config) -> Simulator:
        return reopen_simulator(sized, problem, threads, environment, workers=workers)

    with (
        computing_on(device),
        contextlib.closing(Environments(make, config)) as envs,
        reserved(run_dir, new=False),
    ):
        config.check(envs.problem)
        state = resumed_state(run_dir, config, envs.problem)
        if config != planned:
            write_atomically(run_dir / "config.json", config.to_json(problem).encode())
        _learn(config, envs, run_dir, state, watch)
    return Run.load(run_dir, algorithm or config.algorithm)


class Environments:
    """The simulators of a run: the usual one, and another for each number of environments that a rule asks for."""

    def __init__(self, make: Callable[[Config], Simulator], config: Config) -> None:
        self._make, self._config = make, config
        self._simulators = {config.num_envs: make(config)}

    @property
    def problem(self) -> Problem:
        """The problem that all of them are of."""
        return self._simulators[self._config.num_envs].problem

    def for_next(self, state: RunState) -> Simulator:
        """Return the simulator for the iteration after `state`: the usual number of environments times the factor."""
        factor = self._config.algorithm.rule.batch_factor(state.learner.rule)
        num_envs = self._config.num_envs if factor is None else max(2, round(float(factor) * self._config.num_envs))
        if num_envs not in self._simulators:
            self._simulators[num_envs] = self._make(dataclasses.replace(self._config, num_envs=num_envs))
        return self._simulators[num_envs]

    def close(self) -> None:
        """Release what they hold."""
        for simulator in self._simulators.values():
            simulator.close()


def _learn(config: Config, envs: Environments, run_dir: Path, state: RunState, watch: Watcher | None) -> None:
    """Iterate until the configured number of steps, or until `watch` returns False.

    Whatever happens, what is on the disk can be resumed.
    """
    logs: Logs | None = None
    start = state
    try:
        while state.steps < config.planned_steps:
            state, row, rollout = iterate(config, envs.for_next(state), state)
            logs = logs or _open(config, envs.problem, run_dir, start)
            logs.episodes.append(state.iteration, rollout)
            logs.metrics.append(row)
            keep_policy(run_dir, state, config.iterations, config.keep_policies)
            save_checkpoint(run_dir, state, config.iterations)
            if watch is not None and asks_to_stop(watch(row)):
                break
    except OSError as error:
        if not is_full(error):
            raise
        started = (run_dir / "config.json").exists()
        way_out = f"make room and go on: {command('resume', run_dir)}" if started else "make room"
        raise DiskFullError(f"the disk is full, at iteration {state.iteration}; {way_out}") from None
    finally:
        if logs is not None:
            logs.metrics.close()


class Logs(NamedTuple):
    """What is written of every iteration, beside its checkpoint."""

    metrics: MetricsLog
    """A row for each iteration."""
    episodes: EpisodeLog
    """A row for each episode."""


def _open(config: Config, problem: Problem, run_dir: Path, start: RunState) -> Logs:
    """Open the logs, and write the configuration on the first iteration: a run that fails before leaves nothing.

    Beside it goes what was taken from another run to `start` with, so that this one needs the other no more.
    """
    if not (run_dir / "config.json").exists():
        if config.start_from:
            write_state(run_dir / START, start)
        write_atomically(run_dir / "config.json", config.to_json(problem).encode())
    done = start.iteration
    return Logs(MetricsLog(run_dir, done), EpisodeLog(run_dir, done, problem.cost_names))


def iterate(config: Config, simulator: Simulator, state: RunState) -> tuple[RunState, Row, Rollout]:
    """Do one iteration: roll the policy out, update it, and describe what happened; return also the rollout."""
    started = time.perf_counter()
    limits = config.resolve_limits(simulator.problem)
    learner, done = state.learner, state.iteration
    renew_budget(simulator, config.algorithm, learner, limits)
    actor = Actor(learner.policy, learner.observations)
    rollout = collect(simulator, actor, config.steps_per_env, key=(config.seed, done))
    if done == 0:
        _compare_units(rollout.batch, simulator.problem)
    before_update = time.perf_counter()
    learner, report = update(
        config.algorithm,
        learner,
        rollout.batch,
        jnp.asarray(limits),
        jnp.asarray(state.steps / config.planned_steps),
        jax.random.fold_in(random_key(config.seed), done + 1),
    )
    finished = time.perf_counter()
    check_finite(learner, done + 1)

    seen, taken = rollout.batch.estimate, config.steps_per_env * simulator.num_envs
    excess = np.maximum(seen.cost - limits, 0.0)
    violation = state.violation + excess / np.where(np.asarray(limits) > 0, limits, 1.0)
    row = {
        "iteration": done + 1,
        "steps": state.steps + taken,
        **measure(rollout, report, simulator.problem.cost_names, limits, state.last_estimate, violation / (done + 1)),
        "steps_per_second": taken / (finished - started),
        "time/physics": rollout.physics_seconds,
        "time/policy": rollout.policy_seconds,
        "time/update": finished - before_update,
    }
    estimate = np.array([seen.reward, *seen.cost])
    return RunState(learner, done + 1, state.steps + taken, violation, estimate), row, rollout


def _compare_units(batch: Batch, problem: Problem) -> None:
    """Say it where rewards and costs differ so much that single precision cannot hold the price of one in the other."""
    reward = float(np.abs(batch.reward).max())
    for name, cost in zip(problem.cost_names, np.abs(batch.cost).max((0, 1)).astype(float), strict=True):
        if reward and cost and abs(np.log10(reward / cost)) > MOST_DECADES:
            warnings.warn(
                f"{problem.id} pays up to {reward:.1g} a step and charges up to {cost:.1g} of {name!r}: single "
                "precision does not hold what one is worth in the other, and multipliers can fail; choose nearer units",
                Notice,
                stacklevel=2,
            )


def check_finite(learner: LearnerState, iteration: int) -> None:
    """Raise `UsageError` if anything learned is not finite: it is never saved, for nothing could be learned from it."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(learner):
        if not np.isfinite(np.asarray(leaf)).all():
            raise UsageError(
                f"iteration {iteration} leads to numbers that are not finite ({jax.tree_util.keystr(path)[1:]}); "
                "nothing of it is saved (payoffs too large for single precision, or a step that is too long)"
            )
