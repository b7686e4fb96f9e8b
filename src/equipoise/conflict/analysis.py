"""The conflict of a run: what its metrics say, and what fresh episodes at its checkpoints add."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from equipoise.algorithms.rule import MODES, Seen
from equipoise.algorithms.rules.crpo import CRPO
from equipoise.algorithms.rules.espo import ESPO
from equipoise.algorithms.rules.pcrpo import PCRPO
from equipoise.algorithms.steps.trust_region import TrustRegion
from equipoise.conflict.env_gradients import EnvGradients, Observed, as_planned, env_gradients, see
from equipoise.conflict.heldout import HeldOut, held_out
from equipoise.conflict.history import History, history
from equipoise.conflict.landscape import Landscape, landscape, plane_of, steps_in
from equipoise.conflict.layers import layer_shares
from equipoise.conflict.noise import METRICS, Angle, angle, env_products
from equipoise.errors import UsageError, unknown
from equipoise.gradients.aggregators import find
from equipoise.gradients.metric import Metric
from equipoise.physics import Simulator
from equipoise.policy import Actor
from equipoise.problem import Estimate
from equipoise.training.budget import renew_budget
from equipoise.training.checkpoint import RunState, find_iteration, kept_iterations, load_checkpoint
from equipoise.training.config import Environment, balance_of, reopen_simulator
from equipoise.training.jax_doors import uses_jax
from equipoise.training.rollout import collect, random_for
from equipoise.training.run import Run, state_shapes
from equipoise.training.update import reshaped

COMPARED = 8
"""How long a checkpoint takes, compared with a point of the map: beside the rollout there are its gradients."""


class AtCheckpoint(NamedTuple):
    """The conflict at one of the checkpoints along a run."""

    iteration: int
    """Iterations done."""
    estimate: Estimate
    """Ĵ, of the fresh episodes."""
    angles: dict[Metric, Angle]
    """cos φ in every metric."""
    multiplier: float
    """The implied multiplier without the noise's bias, reward per cost."""

    def __repr__(self) -> str:
        return f"<AtCheckpoint of iteration {self.iteration}: cos φ {self.angles['fisher'].corrected:+.2f} (Fisher)>"


class Around(NamedTuple):
    """A closer look at one checkpoint."""

    iteration: int
    """Iterations done."""
    estimate: Estimate
    """Ĵ, of the fresh episodes."""
    layers: dict[Metric, dict[str, float]]
    """Each layer's part of the corrected cos φ."""
    held_out: dict[str, HeldOut]
    """The balance step of each metric, by its name, and the steps for `reward` and `safety` alone; per episode."""
    landscape: Landscape
    """Mean return and cost on a map around the checkpoint."""
    plans: dict[str, str]
    """The mode that crpo and pcrpo would be in at this checkpoint."""

    def __repr__(self) -> str:
        return f"<Around iteration {self.iteration}: layers, held-out steps, map, plans>"


@dataclass(frozen=True)
class Conflict:
    """How reward and one cost conflict in a run."""

    run: Run
    """The run."""
    cost: str
    """The cost's name."""
    limit: float
    """b_k."""
    history: History
    """Every iteration, from metrics.csv."""
    checkpoints: list[AtCheckpoint]
    """Every checkpoint kept, oldest first."""
    around: Around
    """A closer look at one of the checkpoints."""

    def __repr__(self) -> str:
        return (
            f"<Conflict of reward and {self.cost} (limit {self.limit:.4g}) in {self.run.problem.id}: "
            f"{len(self.checkpoints)} checkpoints, closer at iteration {self.around.iteration}>"
        )

    @property
    def number(self) -> int:
        """The cost's place among the costs."""
        return self.run.problem.cost_names.index(self.cost)


@uses_jax
def analyse(
    run: Run,
    iteration: int | None = None,
    episodes: int = 40,
    seed: int = 0,
    grid: int = 7,
    cost: str | None = None,
    environment: Environment | None = None,
    threads: int = 0,
    watch: Callable[[float, str], object] = lambda share, doing: None,
) -> Conflict:
    """Analyse the conflict of the reward and `cost` (the first if not given) in `run`; see `analyse_conflict`.

    `watch` is called now and then with the share of the work that is done, and what is done now.
    """
    names, kept = run.problem.cost_names, kept_iterations(run.path)
    cost = names[0] if cost is None else cost
    if cost not in names:
        raise unknown("cost", cost, names)
    if not kept or not run.metrics:
        raise UsageError(f"{run.path} has no checkpoint: there is no policy whose gradients could be taken")
    iteration = find_iteration(run.path, kept, run.state.iteration if iteration is None else iteration)
    if episodes < 4:
        raise UsageError(f"episodes is {episodes}; allowed: 4 or more")
    if grid < 3 or grid % 2 == 0:
        raise UsageError(f"grid is {grid}; allowed: an odd number, 3 or more")
    if seed < 0:
        raise UsageError(f"seed is {seed}; allowed: 0 or more")
    if balance := balance_of(run.config.algorithm):
        find(balance)  # one of the user's own has to be named; better told now than after all the rollouts
    number = names.index(cost)
    sized = dataclasses.replace(run.config, num_envs=episodes)
    simulator = reopen_simulator(sized, run.problem, threads, environment)
    try:
        along: list[AtCheckpoint] = []
        checkpoints = COMPARED * len(kept)
        parts = checkpoints + grid * grid
        for i in sorted(kept, key=lambda i: i != iteration):  # the chosen first, so that a mistake is told at once
            watch(COMPARED * len(along) / parts, f"checkpoint of iteration {i}, of {kept[-1]}")
            seen = _look(run, simulator, i, seed)
            envs = env_gradients(seen, trust_region_of(run).damping)
            along.append(_at(run, i, seen, envs, number, seed))
            if i == iteration:
                _demand_an_angle(seen, cost, number, i)
                chosen = seen, envs

        def watch_map(done: int) -> None:
            watch((checkpoints + done) / parts, f"map of {grid} × {grid} policies around iteration {iteration}")

        watch_map(0)
        around = _around(run, simulator, iteration, *chosen, number, seed, grid, watch_map)
    finally:
        simulator.close()
    return Conflict(
        run, cost, run.limits[number], history(run, cost), sorted(along, key=lambda at: at.iteration), around
    )


def _key(run: Run, iteration: int, seed: int, purpose: int) -> tuple[int, ...]:
    """Keys of training have two numbers and those of an evaluation five: the noise here is neither's."""
    return run.config.seed, iteration, seed, purpose


def _look(run: Run, simulator: Simulator, iteration: int, seed: int) -> Observed:
    """Roll out the policy of a checkpoint, and prepare the rollout as its update would."""
    state = _at_iteration(run, iteration).learner
    renew_budget(simulator, run.config.algorithm, state, run.limits)
    actor = Actor(state.policy, state.observations)
    rollout = collect(simulator, actor, run.problem.horizon, _key(run, iteration, seed, 0))
    batch = reshaped(run.config.algorithm.lens, rollout.batch, jnp.asarray(run.limits))
    return see(state, batch, run.config.algorithm.learner)


def _at_iteration(run: Run, iteration: int) -> RunState:
    return load_checkpoint(run.path, state_shapes(run.config, run.problem), iteration)


def _at(run: Run, iteration: int, seen: Observed, envs: EnvGradients, cost: int, seed: int) -> AtCheckpoint:
    # An environment of training holds as many episodes as fit into its steps; an environment here holds one.
    batch = run.config.steps_per_iteration // run.problem.horizon
    angles = {
        metric: angle(env_products(envs, metric), cost, batch, random_for("resample", *_key(run, iteration, seed, 2)))
        for metric in METRICS
    }
    multiplier = angles["fisher"].ratio * seen.unit[0] / seen.unit[1 + cost] if seen.unit[1 + cost] > 0 else np.nan
    return AtCheckpoint(iteration, seen.estimate, angles, float(multiplier))


def _demand_an_angle(seen: Observed, cost: str, number: int, iteration: int) -> None:
    """Raise `UsageError` where reward or cost are 0 in every step, so that there is no gradient."""
    for name, unit in (("reward", seen.unit[0]), (cost, seen.unit[1 + number])):
        if not unit > 0:
            raise UsageError(
                f"{name} is 0 in every step of the {int(seen.estimate.episodes)} episodes at iteration {iteration}: it "
                "has no gradient, and there is no angle; take another iteration, or more episodes"
            )


def _around(
    run: Run,
    simulator: Simulator,
    iteration: int,
    seen: Observed,
    envs: EnvGradients,
    cost: int,
    seed: int,
    grid: int,
    watch: Callable[[int], object],
) -> Around:
    """Look closely at one checkpoint."""
    own, region = run.config.algorithm.rule, trust_region_of(run)
    crpo = own if isinstance(own, CRPO) else CRPO()
    pcrpo = own.switch if isinstance(own, ESPO) else own if isinstance(own, PCRPO) else PCRPO()
    share = min(_at_iteration(run, iteration).steps / run.config.planned_steps, 1.0)
    planned = as_planned(seen, np.asarray(run.limits), share, run.config.algorithm.learner)
    renew_budget(simulator, run.config.algorithm, seen.state, run.limits)
    plane = plane_of(seen, region, cost)
    steps = steps_in(plane, seen, pcrpo, pcrpo.reward_weight, region, planned, cost)
    return Around(
        iteration=iteration,
        estimate=seen.estimate,
        layers={metric: layer_shares(envs, seen.state.policy, metric, cost) for metric in METRICS},
        held_out=_held_out(pcrpo, region, planned, envs, cost, _key(run, iteration, seed, 3)),
        landscape=landscape(simulator, plane, seen, steps, cost, grid, _key(run, iteration, seed, 1), watch),
        plans={
            name: MODES[int(rule.plan(rule.init(len(run.limits)), planned)[1].mode)]
            for name, rule in (("crpo", crpo), ("pcrpo", pcrpo))
        },
    )


def _held_out(
    pcrpo: PCRPO, region: TrustRegion, planned: Seen, envs: EnvGradients, cost: int, key: tuple[int, ...]
) -> dict[str, HeldOut]:
    """Compute the steps from the same random halves of the environments, and say what they do to an episode."""
    rules: dict[str, tuple[PCRPO, float]] = {
        metric: (dataclasses.replace(pcrpo, metric=metric), pcrpo.reward_weight) for metric in METRICS
    }
    fisher = dataclasses.replace(pcrpo, metric="fisher")
    rules |= {"reward": (fisher, 1.0), "safety": (fisher, 0.0)}
    unit = np.asarray(planned.per_episode, float)
    outcomes = {}
    for name, (rule, weight) in rules.items():
        preference = np.zeros(len(unit))
        preference[[0, 1 + cost]] = weight, 1.0 - weight
        found = held_out(envs, preference > 0, preference, rule, region, planned, random_for("halves", *key))
        outcomes[name] = HeldOut(found.promised * unit, found.kept * unit, found.harmed)
    return outcomes


def trust_region_of(run: Run) -> TrustRegion:
    """Return the trust region that a run's updates take, or the default one where they take another kind of step."""
    step = run.config.algorithm.step
    return step if isinstance(step, TrustRegion) else TrustRegion()
