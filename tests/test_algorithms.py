"""What every algorithm has to keep, over the registry: the contract, its parent's bits, and resuming."""

from __future__ import annotations

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import equipoise
from equipoise.algorithms import ALGORITHMS, MODES, Algorithm, Learner, Proximal, Rule, TrustRegion, single
from equipoise.errors import UsageError
from equipoise.settings import settings
from equipoise.testing import CHECKS, contract
from equipoise.training.update import update
from learning import one_batch, small
from probes import Bandit


@pytest.mark.one_in(10)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_keeps_the_contract(name, check):
    check(ALGORITHMS[name].algorithm)


@pytest.mark.parametrize("rule", sorted({type(entry.algorithm.rule) for entry in ALGORITHMS.values()}, key=str))
def test_a_rule_is_refused_on_a_step_that_would_not_do_what_it_is_for(rule):
    """A rule whose own `direct` or `loss` the step would never call is another algorithm there, in silence."""
    hooks = {TrustRegion: ("direct", "distance"), Proximal: ("loss", "idle")}
    there = {type(entry.algorithm.step) for entry in ALGORITHMS.values() if type(entry.algorithm.rule) is rule}
    for step, other in ((TrustRegion(), Proximal()), (Proximal(), TrustRegion())):
        own = any(getattr(rule, hook) is not getattr(Rule, hook) for hook in hooks[type(step)])
        if own and type(other) not in there:
            Algorithm(rule(), step).check()
            with pytest.raises(UsageError, match=f"step is {type(other).__name__}; allowed with {rule.__name__}: "):
                Algorithm(rule(), other).check()
    for step in there:
        Algorithm(rule(), step()).check()


@pytest.mark.one_in(5)
@pytest.mark.parametrize("name", [name for name, entry in ALGORITHMS.items() if entry.parent])
def test_limits_that_never_bind_give_the_parent_bit_for_bit(name):
    child, parent = (small(n) for n in (name, ALGORITHMS[name].parent))
    child = dataclasses.replace(child, step=parent.step) if type(child.step) is type(parent.step) else child
    state, batch = one_batch(parent, Bandit(), (1e9,))
    policies = []
    for algorithm in (child, parent):
        own = algorithm.init(Bandit().problem, jnp.asarray([1e9]), jax.random.key(0))
        assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), own.policy, state.policy))
        for i in range(2):
            own, report = update(algorithm, own, batch, jnp.asarray([1e9]), jnp.asarray(0.1 * i), jax.random.key(i))
            assert MODES[int(report.step.mode)] == "reward"
        policies.append([np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(own.policy)])
    assert policies[0] == policies[1]


# Through the training loop


class GymBandit(gymnasium.Env):
    """The bandit as an environment of Gymnasium's: reward −(a − 2)², cost a², an episode of one step."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,))
    action_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.array([1.0, 0.0, 0.0], np.float32), {}

    def step(self, action):
        a = float(action[0])
        return np.array([1.0, 1.0, a], np.float32), -((a - 2) ** 2), True, False, {"cost": a**2}


OPTIONS = {"steps_per_iteration": 400, "total_steps": 1600, "limits": (1.0,), "horizon": 1}


class Stop(KeyboardInterrupt):
    """Raised by a watcher to end a run early."""


def stop_after_two(row):
    if row["iteration"] == 2:
        raise Stop


def numbers(run):
    return [{name: repr(value) for name, value in row.items() if "time/" not in name} for row in run.metrics]


@pytest.mark.one_in(10)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_resumes_bit_for_bit_memory_included(name, tmp_path):
    algorithm = small(name)
    whole = equipoise.train(algorithm, GymBandit, run_dir=tmp_path / "whole", **OPTIONS)
    with pytest.raises(Stop):
        equipoise.train(algorithm, GymBandit, run_dir=tmp_path / "cut", watch=stop_after_two, **OPTIONS)
    resumed = equipoise.resume(tmp_path / "cut", environment=GymBandit)
    for row in (*whole.metrics, *resumed.metrics):
        row.pop("steps_per_second")
    assert numbers(resumed) == numbers(whole)
    states = [[np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(run.state)] for run in (whole, resumed)]
    assert states[0] == states[1]
    assert resumed.config.algorithm == algorithm
    logged = set(algorithm.rule.logs) | set(algorithm.step.logs) - {"heldout_change"}
    assert {column.split("/")[0] for column in whole.metrics[0]} >= logged


# The checks can fail


@settings
class Broken(Rule):
    """A rule that is wrong in one way."""

    def plan(self, memory, seen):
        return memory, single(1, jnp.ones(1 + len(seen.limits)))


@settings
class Forgetful(Broken):
    def plan(self, memory, seen):
        return seen.excess, super().plan(memory, seen)[1]


@settings
class Negative(Broken):
    def plan(self, memory, seen):
        return memory, single(1, jnp.where(jnp.arange(1 + len(seen.limits)) == 0, 1.0, -1.0))


@settings
class Silent(Broken):
    def columns(self, memory):
        return {"secret": jnp.zeros(())}


@settings
class Unsound(Broken):
    def sound(self, memory):
        return jnp.zeros((), bool)


@settings
class WrongMode(Broken):
    def plan(self, memory, seen):
        return memory, single(0, jnp.ones(1 + len(seen.limits)))


@settings
class Weak(Broken):
    """Begins with a number that JAX takes for a constant of no type of its own."""

    def init(self, constraints):
        return jnp.full(constraints, 1.0)

    def plan(self, memory, seen):
        return jnp.asarray(memory, jnp.float32), Broken.plan(self, (), seen)[1]


@settings
class Unruly(Broken):
    """Depends on how far away a limit is that never binds."""

    def plan(self, memory, seen):
        weights = jnp.concatenate([jnp.ones(1), 1 / (1 + 1e-9 * seen.limits)])
        return memory, single(1, weights)


@pytest.mark.one_in(5)
@pytest.mark.parametrize(
    ("rule", "check", "said"),
    [
        (Forgetful(), contract.check_plans, "plan returns a memory of"),
        (Negative(), contract.check_plans, "allowed: finite, 0 or more"),
        (WrongMode(), contract.check_plans, "mode 0 for a first candidate"),
        (Unsound(), contract.check_plans, "the memory is not sound"),
        (Silent(), contract.check_columns, "but logs describes"),
        (Weak(), contract.check_update_repeats, r"init makes .rule ~?float32\[1\] weak"),
        (Unruly(), contract.check_limits_that_never_bind, "a limit that never binds moves the policy"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Rule) else "",
)
def test_a_broken_rule_is_found_out(rule, check, said):
    with pytest.raises(AssertionError, match=said):
        check(Algorithm(rule, TrustRegion(), learner=Learner()))
