"""Runs are reproducible bit for bit, whatever interrupts them; one compilation serves a grid of limits."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import gymnasium
import numpy as np
import pytest

import equipoise
from equipoise.algorithms import Algorithm, Learner, Slack
from equipoise.algorithms.algorithm import join
from equipoise.physics.models import load_model
from equipoise.tasks import TASKS
from equipoise.training.metrics import read_metrics
from equipoise.training.update import (
    compiled_fit,
    compiled_improve,
    compiled_prepare,
    compiled_reshape,
    update,
)
from registries import SAMPLE

SMALL = {"num_envs": 2, "steps_per_iteration": 2000}
TIMINGS = {"steps_per_second", "time/physics", "time/policy", "time/update"}
COLUMNS = (
    "iteration steps reward reward_se cost/cost cost_se/cost limit/cost episodes mode cos/cost predicted_change/reward "
    "predicted_change/cost change/reward change/cost kl outcome log_std explained/cost violation/cost "
    "steps_per_second time/physics time/policy time/update"
).split()


def columns_of(costs):
    """COLUMNS with the costs' names."""
    return {name.replace("/cost", f"/{cost}") for name in COLUMNS for cost in costs}


def numbers(run_dir):
    """All metrics but the timings, as text, so that NaN equals NaN and every bit counts."""
    rows = read_metrics(run_dir / "metrics.csv")
    return [{name: repr(value) for name, value in row.items() if name not in TIMINGS} for row in rows]


def sizes(task):
    kind = TASKS[task]
    return kind.observation_size, load_model(kind).nu, len(kind.cost_names)


# Every task with one of three algorithms: those of the same sizes with the same one, since an update compiles for
# seconds. tests/test_algorithms.py trains every algorithm through the same loop, on a problem that is small.
SIZES = sorted({sizes(task) for task in SAMPLE})
SOME = ("pcrpo", "trpo_lag", "ppo_lag")
PAIRS = sorted((SOME[SIZES.index(sizes(task)) % len(SOME)], task) for task in SAMPLE)


@pytest.mark.one_in(10)
@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_every_task_trains_and_logs_every_column(name, task, tmp_path):
    run = equipoise.train(name, task, run_dir=tmp_path / "run", total_steps=4000, **SMALL)
    assert [row["iteration"] for row in run.metrics] == [1, 2]
    assert columns_of(run.problem.cost_names) <= set(run.metrics[0])
    assert run.policy(np.zeros(run.problem.observation_size)).shape == (run.problem.action_size,)
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))


@pytest.mark.slow
def test_same_seed_same_bits_whatever_the_number_of_threads(tmp_path):
    options = {"total_steps": 6000, "seed": 3, **SMALL}
    equipoise.train("pcrpo", "SafetyHopper-v4", run_dir=tmp_path / "a", threads=1, **options)
    equipoise.train("pcrpo", "SafetyHopper-v4", run_dir=tmp_path / "b", threads=2, **options)
    assert numbers(tmp_path / "a") == numbers(tmp_path / "b")
    options["seed"] = 4
    equipoise.train("pcrpo", "SafetyHopper-v4", run_dir=tmp_path / "c", **options)
    assert numbers(tmp_path / "a") != numbers(tmp_path / "c")


class Stop(KeyboardInterrupt):
    """Raised by a watcher to end a run early."""


def stop_after(iterations):
    def watch(row):
        if row["iteration"] == iterations:
            raise Stop

    return watch


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", ["pcrpo", "ppo_lag"])
def test_resume_continues_bit_for_bit(name, tmp_path):
    options = {"total_steps": 8000, **SMALL}
    equipoise.train(name, "SafetyHopper-v4", run_dir=tmp_path / "whole", **options)
    with pytest.raises(Stop):
        equipoise.train(name, "SafetyHopper-v4", run_dir=tmp_path / "cut", watch=stop_after(2), **options)
    resumed = equipoise.resume(tmp_path / "cut")
    assert numbers(tmp_path / "cut") == numbers(tmp_path / "whole")
    whole = equipoise.Run.load(tmp_path / "whole")
    observation = np.linspace(-1, 1, whole.problem.observation_size)
    assert np.array_equal(resumed.policy(observation), whole.policy(observation))


@pytest.mark.slow
def test_rows_after_the_checkpoint_and_a_torn_line_are_forgotten(tmp_path):
    options = {"total_steps": 6000, **SMALL}
    equipoise.train("crpo", "SafetyHopper-v4", run_dir=tmp_path / "whole", **options)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    (tmp_path / "cut" / "checkpoints" / "000003.npz").unlink()
    with (tmp_path / "cut" / "metrics.csv").open("a") as file:
        file.write("4,8000,torn")
    equipoise.resume(tmp_path / "cut")
    assert numbers(tmp_path / "cut") == numbers(tmp_path / "whole")


@pytest.mark.slow
def test_resume_after_kill_at_random_moments_changes_nothing(tmp_path):
    command = [sys.executable, "-m", "equipoise"]
    options = ["--total-steps", "60000", "--num-envs", "2", "--steps-per-iteration", "2000"]

    def start(*arguments):
        return subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL)

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert start("train", "pcrpo", "SafetyHopper-v4", "--run-dir", str(whole), *options).wait() == 0
    chance = random.Random(os.getpid())
    process = start("train", "pcrpo", "SafetyHopper-v4", "--run-dir", str(cut), *options)
    kills = 0
    while kills < 3:
        while not (cut / "config.json").exists():
            time.sleep(0.001)
        before = len(read_metrics(cut / "metrics.csv"))
        while process.poll() is None and len(read_metrics(cut / "metrics.csv")) < min(before + 3, 25):
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.2))  # any moment: rollout, update, writing a row or a checkpoint
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        process = start("resume", str(cut))
    assert process.wait() == 0
    assert numbers(cut) == numbers(whole)
    assert not list(cut.rglob(".*"))


@pytest.mark.slow
def test_one_compilation_serves_a_grid_of_limits_slacks_and_discounts(tmp_path):
    options = {"total_steps": 2000, **SMALL}
    compiled = [compiled_prepare, compiled_fit, compiled_improve]
    equipoise.train("pcrpo", "SafetyHopper-v4", run_dir=tmp_path / "first", **options)
    before = [function._cache_size() for function in compiled]
    for limit in (10.0, 500.0):
        for high in (0.0, 0.05):
            rule = equipoise.PCRPO(slack=Slack(high=high), reward_weight=0.3 + high)
            algorithm = Algorithm(rule, learner=Learner(discount=0.9 + high))
            run_dir = tmp_path / f"{limit}-{high}"
            equipoise.train(algorithm, "SafetyHopper-v4", run_dir=run_dir, limits=(limit,), **options)
    assert [function._cache_size() for function in compiled] == before


@pytest.mark.slow
def test_the_update_repeats_to_the_bit():
    """XLA's CPU code can differ between calls with several threads (jax-ml/jax #39741); ours must not."""
    import jax
    import jax.numpy as jnp

    from equipoise.policy import Actor
    from equipoise.training.config import Config, make_simulator
    from equipoise.training.rollout import collect

    algorithm = Algorithm(equipoise.PCRPO())
    simulator = make_simulator(Config("SafetyHopper-v4", algorithm, num_envs=4))
    state = algorithm.init(simulator.problem, jnp.asarray([200.0]), jax.random.key(0))
    batch = collect(simulator, Actor(state.policy, state.observations), 1000, (0, 0)).batch

    arguments = (state, batch, jnp.asarray([200.0]), jnp.asarray(0.5), jax.random.key(1))

    def once():
        return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(update(algorithm, *arguments))]

    first = once()
    assert all(once() == first for _ in range(10))
    # The same pieces one after the other, without threads.
    batch = compiled_reshape(algorithm.lens, batch, arguments[2])
    prepared = compiled_prepare(algorithm.learner, state.critics, state.observations, batch)
    flat = prepared.samples.flat()
    moved = compiled_improve(algorithm, state, prepared, batch.estimate, *arguments[2:])
    critic = algorithm.learner.critic
    critics = compiled_fit(state.critics, flat.observation, prepared.targets, flat.valid, critic, arguments[-1])
    alone = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(join(moved, critics, prepared))]
    assert alone == first


class Pendulum(gymnasium.Wrapper):
    """Gymnasium's own pendulum with its torque charged under two keys."""

    def step(self, action):
        *result, info = super().step(action)
        return *result, {**info, "torque": float(abs(action[0])), "speed": float(abs(self.unwrapped.state[1]))}


def pendulum():
    return Pendulum(gymnasium.make("Pendulum-v1"))


def test_a_users_own_environment_trains_through_the_same_loop(tmp_path):
    run = equipoise.train(
        "pcrpo",
        pendulum,
        run_dir=tmp_path / "run",
        total_steps=3200,
        num_envs=4,
        steps_per_iteration=1600,
        cost_names=("torque", "speed"),
        limits=(100.0, 300.0),
    )
    assert {"cost/torque", "cost/speed", "cos/torque", "implied_multiplier/speed"} <= set(run.metrics[-1])
    evaluation = equipoise.evaluate(run, episodes=4, environment=pendulum)
    assert [cost.name for cost in evaluation.stochastic.costs] == ["torque", "speed"]


@pytest.mark.slow
def test_an_environment_without_a_cost_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(equipoise.UsageError, match="no 'cost' in its info"):
        equipoise.train(
            "trpo",
            "Pendulum-v1",
            run_dir=tmp_path / "run",
            total_steps=400,
            num_envs=2,
            steps_per_iteration=400,
            limits=(1.0,),
        )
    assert not (tmp_path / "run").exists()
