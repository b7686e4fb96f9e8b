"""Every algorithm made small and quick, and a loop that trains it on a probe."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np

from compiling import compiled_for_long
from equipoise.algorithms import ALGORITHMS, Learner, LearnerState, Proximal, Report, Slack, TrustRegion
from equipoise.algorithms.rules.dual_ascent import DualAscent
from equipoise.algorithms.rules.multiplier import Multiplier
from equipoise.algorithms.rules.pid import PID
from equipoise.policy import Actor
from equipoise.problem import Estimate
from equipoise.training.budget import observed, renew_budget
from equipoise.training.rollout import collect
from equipoise.training.update import update

STD = 0.3
LEARNER = Learner(
    hidden=(8,), log_std=float(np.log(STD)), log_std_floor=float(np.log(STD)), discount=1.0, cost_discount=1.0
)
REGION = TrustRegion(max_kl=0.03)
PROXIMAL = Proximal(learning_rate=3e-3, decay=False, epochs=5, minibatch_size=200, max_kl=0.05)

CHECKED = 3
"""Iterations of a training whose types and shapes are checked. What follows are the same calls on the same shapes, and
to check them again would be a third of the time."""

LONG = 20
"""Iterations of a training whose updates are worth to be optimised."""

RULES = {
    # A thin band: with the default one PCRPO rests inside the limit, by design.
    **{name: {"slack": Slack(low=-0.02)} for name in ("pcrpo", "ppo_pcrpo")},
    "poise": {"margin": 0.0},
    # The bandit's mean action crosses its whole range in a few updates: either the multiplier is as fast, or so slow
    # that its swings around the limit die out.
    "focops": {"temperature": 5.0, "dual": DualAscent(rate=2.0)},
    "ppo_pid": {"multiplier": PID(kp=1.0)},
    **{name: {"multiplier": Multiplier(learning_rate=0.05)} for name in ("trpo_lag", "rcpo", "pdo")},
    "ppo_lag": {"multiplier": Multiplier(learning_rate=0.1)},
}
"""Settings of rules with which an algorithm ends at the limit, where its own are made for something else."""

FREE = [name for name, entry in ALGORITHMS.items() if entry.rests == "unconstrained"]
AT_LIMIT = [name for name, entry in ALGORITHMS.items() if entry.rests == "limit" or name in RULES]
CONSTRAINED = [name for name in ALGORITHMS if name not in FREE]


def small(name, learner=LEARNER, **rule):
    """Return the algorithm `name` with a network and steps made for a probe."""
    algorithm = ALGORITHMS[name].algorithm
    if isinstance(algorithm.step, TrustRegion):
        step = dataclasses.replace(algorithm.step, max_kl=REGION.max_kl)
    else:
        clip, max_kl = algorithm.step.clip, min(algorithm.step.max_kl, PROXIMAL.max_kl)
        step = dataclasses.replace(PROXIMAL, clip=clip, max_kl=max_kl if np.isfinite(clip) else np.inf)
    rule = dataclasses.replace(algorithm.rule, **RULES.get(name, {}) | rule)
    made = dataclasses.replace(algorithm, rule=rule, step=step, learner=learner)
    made.check()  # what a user may not set says nothing about the library
    return made


class Trained(NamedTuple):
    """What became of a training on a probe."""

    state: LearnerState
    history: list[tuple[Estimate, Report]]

    def costs(self, n=10):
        """Mean episode costs of the last `n` iterations."""
        return np.mean([estimate.cost for estimate, _ in self.history[-n:]], axis=0)

    def reward(self, n=10):
        """Mean return of the last `n` iterations."""
        return np.mean([estimate.reward for estimate, _ in self.history[-n:]])

    def mean(self, column, n=10):
        """Mean of what the step or the rule logs as `column`, over the last `n` iterations."""
        return np.mean([{**report.step.own, **report.rule}[column] for _, report in self.history[-n:]], axis=0)


def start(algorithm, probe, limits, seed=0):
    """Return the simulator as the algorithm sees it, and the first state."""
    seen = observed(probe, algorithm.lens)
    return seen, algorithm.init(seen.problem, jnp.asarray(limits), jax.random.key(seed))


def one_batch(algorithm, probe, limits, steps=20, seed=0, state=None):
    """Roll the first policy out once: return the first state and what it collected."""
    simulator, first = start(algorithm, probe, limits, seed)
    state = first if state is None else state
    renew_budget(simulator, algorithm, state, tuple(limits))
    return state, collect(simulator, Actor(state.policy, state.observations), steps, (seed, 0)).batch


@contextmanager
def types_checked(checked: bool) -> Iterator[None]:
    """Check types and shapes of the library's functions as they are called, or do not."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", before or not checked)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def train(algorithm, probe, limits, iterations=50, steps=20, seed=0, state=None, begin=0):
    """Train on a probe; return the last state, and the estimates and reports of all iterations."""
    simulator, first = start(algorithm, probe, limits, seed)
    state = first if state is None else state
    history = []
    with compiled_for_long() if iterations - begin >= LONG else nullcontext():
        for i in range(begin, iterations):
            with types_checked(i < begin + CHECKED):
                renew_budget(simulator, algorithm, state, tuple(limits))
                batch = collect(simulator, Actor(state.policy, state.observations), steps, (seed, i)).batch
                fraction = jnp.asarray(i / iterations)
                state, report = update(algorithm, state, batch, jnp.asarray(limits), fraction, jax.random.key(i))
            history.append((batch.estimate, report))
    return Trained(state, history)
