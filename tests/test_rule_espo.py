"""ESPO: PCRPO's plans, and iterations whose size follows the conflict."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import equipoise
from equipoise.algorithms import MODES, PCRPO, Algorithm, CriticFit, Learner, Seen, Slack, Taken
from equipoise.algorithms.rules.espo import ESPO
from equipoise.policy import Actor
from equipoise.problem import estimate
from equipoise.training import loop
from equipoise.training.checkpoint import kept_iterations
from equipoise.training.config import Config
from equipoise.training.rollout import collect
from equipoise.training.update import update
from probes import TwoLimits
from test_lenses import Cart, numbers, stop_after_two

LEARNER = Learner(hidden=(8,), critic=CriticFit(epochs=2))


def seen_at(costs, limits):
    """Whole episodes of these mean costs under these limits."""
    each = np.stack([np.asarray(costs) * 0.9, np.asarray(costs) * 1.1])
    found = estimate(np.array([1.0, 2.0]), each, np.array([10, 10]))
    return Seen(found, jnp.asarray(limits), jnp.asarray(0.3), jnp.ones(1 + len(limits)))


@pytest.mark.parametrize(
    "costs", [(1.0, 1.0, 1.0), (9.0, 1.0, 1.0), (9.0, 8.5, 1.0), (12.0, 9.0, 1.0), (12.0, 11.0, 9)]
)
def test_its_plan_is_pcrpos(costs):
    settings = {"slack": Slack(low=-0.25, high=0.05), "metric": "fisher", "reward_weight": 0.3}
    seen = seen_at(costs, (10.0, 10.0, 10.0))
    rule = ESPO(PCRPO(**settings))
    memory, plan = rule.plan(rule.init(3), seen)
    expected = PCRPO(**settings).plan((), seen)[1]
    for ours, theirs in zip(plan, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(memory.active, plan.wanted[0, 1:])
    assert rule.metric == "fisher" and rule.projects


@pytest.mark.parametrize(
    ("costs", "cos", "factor"),
    [
        ((9.0, 9.0), (-0.1, 0.5), 1.25),  # balance, and one of two active gradients opposes the reward's
        ((9.0, 9.0), (0.1, 0.5), 0.5),  # balance, and none does
        ((9.0, 1.0), (0.1, -0.5), 0.5),  # the one that does is of a slack constraint
        ((9.0, 1.0), (-0.1, 0.5), 1.25),
        ((1.0, 1.0), (-0.1, -0.5), 0.5),  # reward alone
        ((12.0, 9.0), (-0.1, -0.5), 0.5),  # safety alone
        ((9.0, 9.0), (np.nan, 0.0), 0.5),
    ],
)
def test_more_steps_follow_a_balance_in_conflict_and_fewer_anything_else(costs, cos, factor):
    rule = ESPO(PCRPO(slack=Slack(low=-0.2)), extra_in_conflict=0.25, extra_otherwise=-0.5)
    memory, plan = rule.plan(rule.init(2), seen_at(costs, (10.0, 10.0)))
    memory = rule.after(memory, Taken(plan.mode, jnp.asarray(cos), plan.weights[0], jnp.zeros(3)))
    assert rule.batch_factor(memory) == factor and rule.sound(memory)
    assert rule.batch_factor(rule.init(2)) == 1
    assert rule.columns(memory)["batch_factor"] == factor


def test_an_update_has_pcrpos_bits():
    probe, limits = TwoLimits(), jnp.asarray([6.0, 1.6])
    policies = []
    for rule in (PCRPO(), ESPO()):
        algorithm = Algorithm(rule, learner=LEARNER)
        state = algorithm.init(probe.problem, limits, jax.random.key(0))
        batch = collect(probe, Actor(state.policy, state.observations), 50, (0, 0)).batch
        state, report = update(algorithm, state, batch, limits, jnp.asarray(0.1), jax.random.key(1))
        policies.append([np.asarray(leaf).tobytes() for leaf in jax.tree.leaves((state.policy, state.critics))])
    assert policies[0] == policies[1]
    assert MODES[int(report.step.mode)] == "balance"  # the limit that binds is inside of its band


@pytest.mark.parametrize(
    "settings",
    [
        {"extra_in_conflict": -0.1},
        {"extra_otherwise": 0.1},
        {"extra_otherwise": -1.0},
        {"switch": PCRPO(reward_weight=2.0)},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(equipoise.UsageError, match="allowed"):
        ESPO(**settings).check()


OPTIONS = {"num_envs": 10, "steps_per_iteration": 100, "horizon": 5, "total_steps": 1000, "limits": (3.0,)}
RULE = ESPO(PCRPO(slack=Slack(low=-0.6)), extra_in_conflict=0.2, extra_otherwise=-0.5)


def trained(run_dir, rule=RULE, **options):
    return equipoise.train(Algorithm(rule, learner=LEARNER), Cart, run_dir=run_dir, **{**OPTIONS, **options})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run, and the fractions of training that its updates were told."""
    fractions, original = [], loop.update
    patch = pytest.MonkeyPatch()
    patch.setattr(
        loop, "update", lambda a, s, b, limits, f, k: (fractions.append(float(f)), original(a, s, b, limits, f, k))[1]
    )
    found = trained(tmp_path_factory.mktemp("espo") / "run")
    patch.undo()
    return found, fractions


@pytest.mark.slow
def test_the_loop_collects_what_the_rule_asks_for_and_counts_it(run):
    run, fractions = run
    taken = np.diff([0, *(row["steps"] for row in run.metrics)])
    asked = [1.0, *(row["batch_factor"] for row in run.metrics[:-1])]
    np.testing.assert_array_equal(taken, np.round(100 * np.array(asked)))
    assert set(taken[1:]) == {50, 120}  # both happen, and 10 environments × 10 steps come first
    assert taken[0] == 100
    assert [row["episodes"] for row in run.metrics] == (taken / 5).astype(int).tolist()
    steps = np.array([row["steps"] for row in run.metrics])
    np.testing.assert_allclose(fractions, np.concatenate([[0], steps[:-1]]) / 1000, rtol=1e-6)
    assert 1000 <= steps[-1] < 1000 + taken[-1] and run.state.steps == steps[-1]


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_with_the_size_that_was_asked_for(run, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", watch=stop_after_two)
    resumed = equipoise.resume(tmp_path / "cut", environment=Cart)
    assert numbers(resumed) == numbers(run[0])
    for a, b in zip(jax.tree.leaves(resumed.state), jax.tree.leaves(run[0].state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_checkpoints_kept_are_as_many_as_usual_and_at_most_twice(run):
    kept = kept_iterations(run[0].path)
    assert 8 <= len(kept) <= 21 and kept[-1] == run[0].state.iteration


def test_evaluation_takes_the_usual_number_of_environments(run):
    assert equipoise.evaluate(run[0], episodes=6, environment=Cart).stochastic.episodes == 6


def test_the_smallest_iteration_has_two_environments():
    algorithm = Algorithm(dataclasses.replace(RULE, extra_otherwise=-0.99), learner=LEARNER)
    config = Config("Cart", algorithm, **OPTIONS)
    made = []

    def make(sized):
        made.append(sized.num_envs)
        return equipoise.training.config.make_simulator(sized, 1, Cart)

    envs = loop.Environments(make, config)
    state = equipoise.training.run.first_state(config, envs.problem)
    assert envs.for_next(state).num_envs == 10
    memory = state.learner.rule._replace(factor=jnp.asarray(0.01))
    state = state._replace(learner=state.learner._replace(rule=memory))
    assert envs.for_next(state) is envs.for_next(state) and envs.for_next(state).num_envs == 2
    assert made == [10, 2]
