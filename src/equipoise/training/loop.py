"""The training loop: rollout, update, log, checkpoint. There is no other."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from equipoise.algorithms import Algorithm, make_algorithm
from equipoise.errors import UsageError
from equipoise.files import write_atomically
from equipoise.physics import Simulator
from equipoise.policy import Actor
from equipoise.problem import Problem
from equipoise.training.checkpoint import RunState, load_checkpoint, save_checkpoint
from equipoise.training.config import Config, Environment, make_simulator, reopen_simulator
from equipoise.training.metrics import MetricsLog, Row, measure
from equipoise.training.rollout import collect
from equipoise.training.run import Run, first_state, read_config

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
    simulator = make_simulator(config, threads, environment)
    config.check(simulator.problem)
    return _learn(config, simulator, run_dir, first_state(config, simulator.problem), watch)


def resume(
    run_dir: Path, *, environment: Environment | None = None, threads: int = 0, watch: Watcher | None = None
) -> Run:
    """Continue the run in `run_dir` from its newest checkpoint, bit for bit as if it had never stopped.

    `environment` has to be given again where the task is a callable or a MODULE:ID.
    """
    config, _ = read_config(run_dir)
    simulator = reopen_simulator(config, threads, environment)
    config.check(simulator.problem)
    state = load_checkpoint(run_dir, first_state(config, simulator.problem))
    return _learn(config, simulator, run_dir, state, watch)


def _learn(config: Config, simulator: Simulator, run_dir: Path, state: RunState, watch: Watcher | None) -> Run:
    """Iterate until the configured number of steps; whatever happens, what is on the disk can be resumed."""
    algorithm = make_algorithm(config.algorithm)
    log: MetricsLog | None = None
    try:
        while state.iteration < config.iterations:
            state, row = iterate(config, simulator, algorithm, state)
            log = log or _open(config, simulator.problem, run_dir, state.iteration - 1)
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
        simulator.close()
    return Run.load(run_dir)


def _open(config: Config, problem: Problem, run_dir: Path, iteration: int) -> MetricsLog:
    """Open the run's folder, and create it on its first iteration: a run that fails before leaves nothing."""
    if not (run_dir / "config.json").exists():
        run_dir.mkdir(parents=True, exist_ok=True)
        write_atomically(run_dir / "config.json", config.to_json(problem).encode())
    return MetricsLog(run_dir, iteration)


def iterate(config: Config, simulator: Simulator, algorithm: Algorithm, state: RunState) -> tuple[RunState, Row]:
    """Do one iteration: roll the policy out, update it, and describe what happened."""
    started = time.perf_counter()
    limits = config.resolve_limits(simulator.problem)
    learner, done = state.learner, state.iteration
    actor = Actor(learner.policy, learner.observations)
    steps = config.steps_per_iteration // config.num_envs
    rollout = collect(simulator, actor, steps, key=(config.seed, done))
    before_update = time.perf_counter()
    learner, report = algorithm.update(
        learner,
        rollout.batch,
        jnp.asarray(limits),
        jnp.asarray(done / config.iterations),
        jax.random.fold_in(jax.random.key(config.seed), done + 1),
    )
    finished = time.perf_counter()

    seen = rollout.batch.estimate
    excess = np.maximum(seen.cost - limits, 0.0)
    violation = state.violation + excess / np.where(np.asarray(limits) > 0, limits, 1.0)
    row = {
        "iteration": done + 1,
        "steps": (done + 1) * config.steps_per_iteration,
        **measure(rollout, report, simulator.problem.cost_names, limits, state.last_estimate, violation / (done + 1)),
        "steps_per_second": config.steps_per_iteration / (finished - started),
        "time/physics": rollout.physics_seconds,
        "time/policy": rollout.policy_seconds,
        "time/update": finished - before_update,
    }
    return RunState(learner, done + 1, violation, np.array([seen.reward, *seen.cost])), row
