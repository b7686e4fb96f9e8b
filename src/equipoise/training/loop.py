"""The training loop: rollout, update, log, checkpoint. There is no other."""

from __future__ import annotations

import dataclasses
import errno
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from equipoise.algorithms.algorithm import Algorithm
from equipoise.errors import UsageError
from equipoise.files import write_atomically
from equipoise.physics import Simulator
from equipoise.policy import Actor
from equipoise.problem import Problem
from equipoise.training.budget import renew_budget
from equipoise.training.checkpoint import RunState, load_checkpoint, save_checkpoint
from equipoise.training.config import Config, Environment, make_simulator, reopen_simulator
from equipoise.training.episodes import EpisodeLog
from equipoise.training.metrics import MetricsLog, Row, measure
from equipoise.training.rollout import Rollout, collect
from equipoise.training.run import Run, first_state, read_config
from equipoise.training.update import update

Watcher = Callable[[Row], None]
"""Called with every iteration's row of metrics."""


def train(
    config: Config,
    run_dir: Path,
    *,
    environment: Environment | None = None,
    threads: int = 0,
    watch: Watcher | None = None,
) -> Run:
    """Train as `config` says into the new folder `run_dir`, and return the finished run.

    `environment` is the user's own where the task is none of the library. `threads` is the number of physics threads
    (0: all cores); results do not depend on it. Raises `UsageError` for anything in `config` that is not allowed,
    before anything is written.
    """
    if run_dir.exists():
        raise UsageError(
            f"{run_dir} exists; give another --run-dir, or go on with that run: equipoise resume {run_dir}"
        )
    envs = Environments(lambda sized: make_simulator(sized, threads, environment), config)
    config.check(envs.problem)
    return _learn(config, envs, run_dir, first_state(config, envs.problem), watch)


def resume(
    run_dir: Path,
    *,
    environment: Environment | None = None,
    algorithm: Algorithm | None = None,
    threads: int = 0,
    watch: Watcher | None = None,
) -> Run:
    """Continue the run in `run_dir` from its newest checkpoint, bit for bit as if it had never stopped.

    `environment` has to be given again where the task is a callable or a MODULE:ID, and `algorithm` where the run has
    one of the user's own.
    """
    config, _ = read_config(run_dir, algorithm)
    envs = Environments(lambda sized: reopen_simulator(sized, threads, environment), config)
    config.check(envs.problem)
    state = load_checkpoint(run_dir, first_state(config, envs.problem))
    return _learn(config, envs, run_dir, state, watch, algorithm)


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


def _learn(
    config: Config,
    envs: Environments,
    run_dir: Path,
    state: RunState,
    watch: Watcher | None,
    own: Algorithm | None = None,
) -> Run:
    """Iterate until the configured number of steps; whatever happens, what is on the disk can be resumed."""
    log: MetricsLog | None = None
    try:
        while state.steps < config.planned_steps:
            state, row, rollout = iterate(config, envs.for_next(state), state)
            if log is None:
                log = _open(config, envs.problem, run_dir, state.iteration - 1)
                episodes = EpisodeLog(run_dir, state.iteration - 1, envs.problem.cost_names)
            episodes.append(state.iteration, rollout)
            log.append(row)
            save_checkpoint(run_dir, state, config.iterations)
            if watch is not None:
                watch(row)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        way_out = f"make room and go on: equipoise resume {run_dir}" if run_dir.exists() else "make room"
        raise UsageError(f"the disk is full, at iteration {state.iteration}; {way_out}") from None
    finally:
        if log is not None:
            log.close()
        envs.close()
    return Run.load(run_dir, own or config.algorithm)


def _open(config: Config, problem: Problem, run_dir: Path, iteration: int) -> MetricsLog:
    """Open the run's folder, and create it on its first iteration: a run that fails before leaves nothing."""
    if not (run_dir / "config.json").exists():
        run_dir.mkdir(parents=True, exist_ok=True)
        write_atomically(run_dir / "config.json", config.to_json(problem).encode())
    return MetricsLog(run_dir, iteration)


def iterate(config: Config, simulator: Simulator, state: RunState) -> tuple[RunState, Row, Rollout]:
    """Do one iteration: roll the policy out, update it, and describe what happened; return also the rollout."""
    started = time.perf_counter()
    limits = config.resolve_limits(simulator.problem)
    learner, done = state.learner, state.iteration
    renew_budget(simulator, config.algorithm, learner, limits)
    actor = Actor(learner.policy, learner.observations)
    rollout = collect(simulator, actor, config.steps_per_env, key=(config.seed, done))
    before_update = time.perf_counter()
    learner, report = update(
        config.algorithm,
        learner,
        rollout.batch,
        jnp.asarray(limits),
        jnp.asarray(state.steps / config.planned_steps),
        jax.random.fold_in(jax.random.key(config.seed), done + 1),
    )
    finished = time.perf_counter()

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
