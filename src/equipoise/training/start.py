"""Where training starts: from networks that are drawn, or from those of another run."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import Array

from equipoise.algorithms.algorithm import Algorithm
from equipoise.algorithms.critics import Critics
from equipoise.errors import UsageError
from equipoise.problem import Problem
from equipoise.training.checkpoint import RunState
from equipoise.training.config import Config
from equipoise.training.policies import is_acting_part
from equipoise.training.run import Run, first_state


def start_of(config: Config, problem: Problem) -> RunState:
    """Return what a new run starts from: networks drawn from its seed, or those of the run `config.start_from`.

    Of that run come the policy with its deviations, the observation normaliser, and of every cost of the same name, and
    of the reward, the critic. New are the memories of rule, step and lens (multipliers, optimisers, budgets), the
    critics of other costs, and the counts of steps and iterations.

    Raises:
        UsageError: there is no such run, or its observations, actions or layers are not those of this one.
    """
    fresh = first_state(config, problem)
    if not config.start_from:
        return fresh
    origin = _open(Path(config.start_from), config.algorithm)
    _demand_fit(origin, config, problem)
    given, own = origin.state.learner, fresh.learner
    policy = jax.tree.unflatten(jax.tree.structure(own.policy), jax.tree.leaves(given.policy))  # its floor is our own
    critics = own.critics
    if not is_acting_part(origin.state):
        critics = with_known(own.critics, given.critics, origin.problem.cost_names, problem.cost_names)
    learner = own._replace(policy=policy.on_floor(), critics=critics, observations=given.observations)
    return fresh._replace(learner=learner)


def _open(path: Path, algorithm: Algorithm) -> Run:
    run = Run.load(path, algorithm)
    if run.mixture:
        raise UsageError(f"{path} is a mixture of {len(run.mixture)} policies; start from a run, or from one policy")
    return run


def _demand_fit(origin: Run, config: Config, problem: Problem) -> None:
    """Raise `UsageError` for the first thing of which a policy would be of another shape or mean something else."""
    hidden, theirs = config.algorithm.learner.hidden, origin.config.algorithm.learner.hidden
    if hidden != theirs:
        raise UsageError(
            f"start_from is {origin.path}, whose hidden layers have {_words(theirs)} units; here they have "
            f"{_words(hidden)}: give --hidden {' '.join(map(str, theirs))}"
        )
    for name, words in FITTING.items():
        was, now = getattr(origin.problem, name), getattr(problem, name)
        if was != now:
            raise UsageError(
                f"start_from is {origin.path}, a run on {origin.problem.id} with {words} {_words(was)}; "
                f"{problem.id} has {_words(now)}"
            )


FITTING = {
    "observation_size": "observations of size",
    "observation": "observations laid out as",
    "action_size": "actions of size",
    "action_choices": "choices of sizes",
    "action_middle": "actions around",
    "action_unit": "actions in units of",
}
"""What has to be the same of two problems for a policy of one to act in the other, and what it is called."""


def _words(value: object) -> str:
    text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return (text if len(text) <= 60 else text[:60] + " …") or "none"


def with_known(own: Critics, given: Critics, known: tuple[str, ...], names: tuple[str, ...]) -> Critics:
    """Return critics of the reward and of `names`, those of the reward and of the costs that are `known` as given."""
    pairs = [(0, 0)] + [(1 + i, 1 + known.index(name)) for i, name in enumerate(names) if name in known]
    here, there = (jnp.asarray(places) for places in zip(*pairs, strict=True))

    def moved(mine: Array, theirs: Array) -> Array:
        return mine.at[here].set(theirs[there])

    networks = jax.tree.map(moved, own.networks, given.networks)
    return own._replace(
        networks=networks, mean=moved(own.mean, given.mean), deviation=moved(own.deviation, given.deviation)
    )
