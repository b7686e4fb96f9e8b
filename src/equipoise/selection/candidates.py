"""Which policies of a run are worth looking at: some of its iterates, their average, and their mixture.

The policy of iteration i is the one that acted in iteration i + 1, so that row i + 1 of metrics.csv estimates its
reward and costs. That decides which iterates are looked at, and nothing else: the episodes that certify one are fresh,
and their confidence is corrected for those that are looked at only.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from equipoise.errors import UsageError
from equipoise.selection.race import TIGHTEST
from equipoise.statistics.sequences import standard_errors
from equipoise.training.checkpoint import RunState, kept_iterations, load_checkpoint
from equipoise.training.metrics import Row
from equipoise.training.policies import MOST_MIXED, acting_part, kept_policies, load_policy
from equipoise.training.run import Run, state_shapes
from equipoise.training.selected import Kind

AVERAGED = 10
"""How many of the last policies are averaged."""


class Entrant(NamedTuple):
    """A policy that takes part."""

    name: str
    """What it is called in tables."""
    kind: Kind
    """What it is."""
    iterations: tuple[int, ...]
    """Iterations whose policies it is made of."""
    run: Run
    """The run, with it as its policy."""


def entrants(run: Run, iterates: int, episodes: int, error: float) -> list[Entrant]:
    """Return the most promising `iterates` of `run`, the average of its last policies, and the mixture of its iterates.

    `episodes` is how many each will have at most, and `error` how often an interval may be wrong: an iterate is
    promising if it would be certified, should training's estimate be right.
    """
    states = _policies_of(run)
    if not states:
        raise UsageError(f"{run.path} has no policies to choose from")
    rows = {row["iteration"] - 1: row for row in run.metrics}
    margin = standard_errors(episodes, error, TIGHTEST) / math.sqrt(episodes)
    ranked = sorted(states, key=lambda i: _rank(i, rows, run, margin))
    found = [
        Entrant(f"iteration {i}", "policy", (i,), _with(run, states[i])) for i in sorted(ranked[: max(1, iterates)])
    ]
    last = sorted(states)[-AVERAGED:]
    if len(last) > 1:
        name = f"average of {len(last)}, iterations {last[0]} to {last[-1]}"
        found.append(Entrant(name, "average", tuple(last), _with(run, average([states[i] for i in last]))))
    mixed = [i for i in sorted(states) if i in rows and rows[i]["mode"] != "safety"]
    mixed = mixed[:: math.ceil(len(mixed) / MOST_MIXED) or 1]
    if len(mixed) > 1:
        name = f"mixture of {len(mixed)}, iterations {mixed[0]} to {mixed[-1]}"
        found.append(Entrant(name, "mixture", tuple(mixed), _with(run, *(states[i] for i in mixed))))
    return found


def _policies_of(run: Run) -> dict[int, RunState]:
    """Read every policy that was kept of a run, in a file of its own or in a checkpoint."""
    template = state_shapes(run.config, run.problem)
    found = {i: load_policy(run.path, template, i) for i in kept_policies(run.path)}
    checkpoints = [i for i in kept_iterations(run.path) if i not in found]
    return found | {i: acting_part(load_checkpoint(run.path, template, i)) for i in checkpoints}


def _rank(iteration: int, rows: dict[int, Row], run: Run, margin: float) -> tuple[int, float]:
    """Return how an iterate is sorted: the newest, the promising by reward, the others by how far they are from it."""
    row = rows.get(iteration)
    if row is None:
        return 0, float(-iteration)
    excess = max(
        (row[f"cost/{name}"] + margin * row[f"cost_se/{name}"] * math.sqrt(row["episodes"]) - limit) / (limit or 1.0)
        for name, limit in zip(run.problem.cost_names, run.limits, strict=True)
    )
    return (1, -row["reward"]) if excess <= 0 else (2, excess)


def _with(run: Run, *states: RunState) -> Run:
    """Return the run with other policies: one, or a mixture of several."""
    return dataclasses.replace(run, state=states[-1], mixture=states if len(states) > 1 else ())


def average(states: Sequence[RunState]) -> RunState:
    """Return the state whose policy has the mean of the parameters of all, as in Polyak averaging.

    Each network is first put behind the last one's normaliser, where it does what it did behind its own; the rest is as
    in the last.
    """
    newest = states[-1]
    behind = newest.learner.observations
    policies = [
        eqx.tree_at(
            lambda policy: policy.network,
            state.learner.policy,
            state.learner.policy.network.renormalised(state.learner.observations, behind),
        )
        for state in states
    ]
    policy = jax.tree.map(lambda *leaves: jnp.mean(jnp.stack(leaves), axis=0), *policies)
    return newest._replace(learner=newest.learner._replace(policy=policy))
