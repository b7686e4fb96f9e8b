"""What every algorithm has to keep, as checks that its author can run; the library runs them over its registry.

Each check takes an `Algorithm` and raises `AssertionError` with a message that says what is wrong.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from equipoise.algorithms.algorithm import Algorithm, LearnerState, Report, join
from equipoise.algorithms.learner import Learner
from equipoise.algorithms.own import as_algorithm, load_algorithm
from equipoise.algorithms.rule import BALANCE, REWARD, SAFETY, Plan, Rule, Seen
from equipoise.policy import Actor
from equipoise.problem import Batch, Estimate
from equipoise.testing.probes import Bandit
from equipoise.training.budget import observed, renew_budget
from equipoise.training.config import Config
from equipoise.training.jax_doors import uses_jax
from equipoise.training.rollout import collect
from equipoise.training.update import update

LEARNER = Learner(hidden=(8,), log_std=-1.0, log_std_floor=-1.2, discount=1.0, cost_discount=1.0)
"""A network that is quick to compile, for probes."""

STEPS = 20
"""Steps of every environment of a probe that an update sees."""

ALIKE = 1e-3
"""Relative difference up to which two ways to compute an update in single precision count as alike."""


@uses_jax
def check_algorithm(algorithm: str | Rule | type[Rule] | Algorithm) -> None:
    """Check an algorithm of one's own as the library's are checked.

    Args:
        algorithm: a rule (class or instance), an `Algorithm`, or a name: NAME or MODULE:NAME.

    Raises:
        AssertionError: the first thing that is wrong, in words.
        UsageError: it is no algorithm, or its settings are not allowed.
    """
    made = load_algorithm(algorithm) if isinstance(algorithm, str) else as_algorithm(algorithm, "algorithm")
    for check in CHECKS:
        check(made)


def check_settings(algorithm: Algorithm) -> None:
    """The settings are allowed, and a configuration file gives them back."""
    algorithm.check()
    probe = Bandit()
    config = Config(task="probe", algorithm=algorithm, limits=(1.0,), total_steps=2000, steps_per_iteration=2000)
    restored, _ = Config.from_json(config.to_json(probe.problem), Path("config.json"), own=algorithm)
    assert restored == config, f"config.json gives back {restored.algorithm}, which is not {algorithm}"


def check_plans(algorithm: Algorithm) -> None:
    """Plans are well formed for any estimate, and the memory keeps its structure and its invariants."""
    rule, random = algorithm.rule, np.random.default_rng(0)
    for constraints in (1, 3):
        memory, plan_of = rule.init(constraints), jax.jit(rule.plan)
        structure = [(jnp.shape(x), jnp.asarray(x).dtype) for x in jax.tree.leaves(memory)]
        for _ in range(20):
            limits = np.full(constraints, 10.0)
            seen = _seen(random.uniform(0, 20, constraints), limits, random.random(), random.uniform(0, 3, constraints))
            memory, plan = plan_of(memory, seen)
            found = [(x.shape, x.dtype) for x in jax.tree.leaves(memory)]
            assert found == structure, f"plan returns a memory of {found}; init made one of {structure}"
            assert bool(rule.sound(memory)), f"the memory is not sound after Ĵ = {seen.estimate.cost}: {memory}"
            _check_plan(plan, 1 + constraints)


def _check_plan(plan: Plan, m: int) -> None:
    wanted, weights = np.asarray(plan.wanted), np.asarray(plan.weights)
    assert wanted.shape == weights.shape and wanted.shape[1] == m, f"a plan of shape {wanted.shape} for {m} objectives"
    assert np.isfinite(weights).all() and (weights >= 0).all(), f"weights {weights}; allowed: finite, 0 or more"
    assert (weights[~wanted] == 0).all(), "an objective that is not wanted has a weight"
    assert wanted[0].any(), "the first candidate wants nothing"
    said = f"mode {int(plan.mode)} for a first candidate that wants {wanted[0]} with weights {weights[0]}"
    assert (int(plan.mode) == SAFETY) == (not wanted[0, 0]), said
    assert int(plan.mode) != BALANCE or wanted[0, 1:].any(), said
    assert int(plan.mode) != REWARD or not weights[0, 1:].any(), said


def check_columns(algorithm: Algorithm) -> None:
    """What the rule logs is described, and finite numbers: one in all, or one per constraint."""
    rule = algorithm.rule
    for constraints in (1, 3):
        columns = rule.columns(rule.init(constraints))
        assert set(columns) == set(rule.logs), f"columns {sorted(columns)}, but logs describes {sorted(rule.logs)}"
        for name, value in columns.items():
            assert jnp.shape(value) in ((), (constraints,)), f"column {name} has shape {jnp.shape(value)}"
            assert np.isfinite(value).all(), f"column {name} begins with {value}"


def check_update_repeats(algorithm: Algorithm) -> None:
    """An update repeats to the bit, leaves finite numbers of the types that it found, and can be written to a file."""
    state, batch = _first(algorithm)
    fresh = small(algorithm).init(observed(Bandit(), algorithm.lens).problem, jnp.ones(1), jax.random.key(0))
    _check_types(fresh, state)
    once, again = (_updated(algorithm, state, batch, 1.0) for _ in range(2))
    for a, b in zip(_bytes(once), _bytes(again), strict=True):
        assert a == b, "two updates from the same state and batch differ"
    for path, leaf in jax.tree_util.tree_leaves_with_path(once):
        assert np.isfinite(np.asarray(leaf, float)).all(), f"{jax.tree_util.keystr(path)} is not finite after an update"
    file = io.BytesIO()
    np.savez(file, *[np.asarray(leaf) for leaf in jax.tree.leaves(once[0])])
    file.seek(0)
    with np.load(file, allow_pickle=False) as read:
        leaves = [jnp.asarray(read[f"arr_{i}"]) for i in range(len(read.files))]
    back = jax.tree.unflatten(jax.tree.structure(once[0]), leaves)
    second, resumed = (_updated(algorithm, s, batch, 1.0, key=2) for s in (once[0], back))
    assert _bytes(second) == _bytes(resumed), "a state that was written and read again goes on in another way"


def _check_types(first: LearnerState, later: LearnerState) -> None:
    """Weak types count, too: where `init` leaves one, the second update is compiled anew."""
    pairs = zip(jax.tree_util.tree_leaves_with_path(first), jax.tree.leaves(later), strict=True)
    for (path, one), other in pairs:
        here, there = (str(jax.typeof(x)) + " weak" * getattr(x, "weak_type", False) for x in (one, other))
        assert here == there, f"init makes {jax.tree_util.keystr(path)} {here}, and an update makes it {there}"


def check_update_is_pure(algorithm: Algorithm) -> None:
    """`jax.jit(jax.vmap(update))` over limits does what updates one after the other do.

    The critics' fit is left out: it is the same for all algorithms, and sees no limit.
    """
    state, batch = _first(algorithm)
    limits = jnp.asarray([[0.2], [2.0], [500.0]])
    made = small(algorithm)

    def alone(state: LearnerState, batch: Batch, limit: Array) -> tuple[LearnerState, Report]:
        prepared, key = made.prepare(state, batch, limit), jax.random.key(1)
        moved = made.improve(state, prepared, batch.estimate, limit, jnp.asarray(0.5), key)
        return join(moved, state.critics, prepared)

    together = jax.jit(jax.vmap(alone, (None, None, 0)))(state, jax.tree.map(jnp.asarray, batch), limits)
    for i, limit in enumerate(limits):
        one = _updated(algorithm, state, batch, float(limit[0]))
        row = jax.tree.map(lambda leaf, i=i: leaf[i], together)
        apart, moved = _distance(row[0].policy, one[0].policy), _distance(one[0].policy, state.policy)
        assert apart <= ALIKE * max(moved, 1e-3), f"under a limit of {limit[0]} vmap leads {apart:.2g} elsewhere"
        assert _alike(row[0].rule, one[0].rule), "the rule's memory differs under vmap"


def check_environments_are_alike(algorithm: Algorithm) -> None:
    """Permuting the environments changes nothing else, for a step that takes all samples at once."""
    if hasattr(algorithm.step, "minibatch_size"):
        return  # minibatches are drawn by place, so that another order is another draw
    state, batch = _first(algorithm)
    order = np.random.default_rng(0).permutation(batch.reward.shape[1])
    permuted = batch._replace(**{name: getattr(batch, name)[:, order] for name in Batch._fields if name != "estimate"})
    one, other = (_updated(algorithm, state, b, 1.0)[0] for b in (batch, permuted))
    apart, moved = _distance(one.policy, other.policy), _distance(one.policy, state.policy)
    assert apart <= 1e-2 * max(moved, 1e-3), f"the order of the environments moves the policy by {apart:.2g}"


def check_schedule_is_declared(algorithm: Algorithm) -> None:
    """What no setting in `scheduled` lets depend on the share of training done does not depend on it."""
    if algorithm.scheduled:
        return
    state, batch = _first(algorithm)
    early, late = (_updated(algorithm, state, batch, 1.0, fraction=share)[0] for share in (0.01, 0.99))
    said = "an update depends on Seen.fraction; name the settings that make it so in the property `scheduled`"
    assert _bytes(early) == _bytes(late), said


def check_limits_that_never_bind(algorithm: Algorithm) -> None:
    """It does not matter how far away limits are that never bind."""
    state, batch = _first(algorithm, limit=1e9)
    near, far = (_updated(algorithm, state, batch, limit)[0] for limit in (1e9, 1e10))
    apart, moved = _distance(near.policy, far.policy), _distance(near.policy, state.policy)
    assert apart <= ALIKE * max(moved, 1e-3), f"a limit that never binds moves the policy by {apart:.2g}"


CHECKS: tuple[Callable[[Algorithm], None], ...] = (
    check_settings,
    check_plans,
    check_columns,
    check_update_repeats,
    check_update_is_pure,
    check_environments_are_alike,
    check_schedule_is_declared,
    check_limits_that_never_bind,
)
"""All checks, in the order in which `check_algorithm` runs them."""


def _seen(cost: np.ndarray, limits: np.ndarray, fraction: float, se: np.ndarray) -> Seen:
    estimate = Estimate(
        reward=np.asarray(100.0),
        reward_se=np.asarray(5.0),
        cost=cost,
        cost_se=se,
        episodes=np.asarray(16, np.int32),
        length=np.asarray(1000.0),
        t95=np.asarray(1.75),
    )
    return Seen(estimate, jnp.asarray(limits, jnp.float32), jnp.asarray(fraction), jnp.full(1 + len(limits), 2.0))


def small(algorithm: Algorithm) -> Algorithm:
    """Return the algorithm with a network made for a probe."""
    return dataclasses.replace(algorithm, learner=LEARNER)


def _first(algorithm: Algorithm, limit: float = 1.0) -> tuple[LearnerState, Batch]:
    """Return a first state on the bandit, after one update, and a rollout of it."""
    algorithm = small(algorithm)
    simulator = observed(Bandit(), algorithm.lens)
    state = algorithm.init(simulator.problem, jnp.asarray([limit]), jax.random.key(0))
    for i in range(2):
        renew_budget(simulator, algorithm, state, (limit,))
        batch = collect(simulator, Actor(state.policy, state.observations), STEPS, (0, i)).batch
        if i == 0:
            state, _ = _updated(algorithm, state, batch, limit)
    return state, batch


def _updated(
    algorithm: Algorithm, state: LearnerState, batch: Batch, limit: float, key: int = 1, fraction: float = 0.5
) -> tuple[LearnerState, Report]:
    return update(small(algorithm), state, batch, jnp.asarray([limit]), jnp.asarray(fraction), jax.random.key(key))


def _bytes(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def _distance(one: Any, other: Any) -> float:
    """Return the largest difference between two policies' parameters."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


def _alike(one: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.allclose(a, b, rtol=ALIKE, atol=1e-5) for a, b in pairs)
