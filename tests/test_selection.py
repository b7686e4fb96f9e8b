"""Choosing a policy: confidence sequences, the race, averages and mixtures, and the folder of what was selected."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

import equipoise
from equipoise.algorithms import Algorithm, Learner
from equipoise.algorithms.lenses.simmer import Simmer
from equipoise.cli import main
from equipoise.errors import UsageError
from equipoise.films.play import play
from equipoise.numerics.normaliser import Moments, normalise
from equipoise.policy import Actor, GaussianPolicy
from equipoise.selection.candidates import average, entrants
from equipoise.selection.race import FEWEST, race, winner
from equipoise.statistics.sequences import mean_sequence_interval, standard_errors
from equipoise.testing import Bandit
from equipoise.training.budget import observed, renew_budgets
from equipoise.training.cast import cast
from equipoise.training.config import reopen_simulator
from equipoise.training.mixture import Mixture, SideBySide
from equipoise.training.run import Run

TASK = "rail:QuickRail-v0"
QUICK = {"total_steps": 320, "num_envs": 2, "steps_per_iteration": 40, "limits": (1.0,)}

# Confidence sequences


@pytest.mark.parametrize(("n", "error", "tightest"), [(12, 0.05, 20), (40, 0.0025, 100), (100, 0.05, 100)])
def test_the_bound_is_where_the_mixtures_likelihood_ratio_is_one_in_alpha(n, error, tightest):
    """Computed a second time: the density of noncentral t, integrated over effects from N(0, ρ²), beside Student's."""
    size = -2 * math.log(error)
    variance = (size + math.log(size + 1)) / tightest
    t = standard_errors(n, error, tightest)

    def weighted(effect):
        return stats.nct.pdf(t, n - 1, math.sqrt(n) * effect) * stats.norm.pdf(effect, scale=math.sqrt(variance))

    mixed, _ = integrate.quad(weighted, -8 * math.sqrt(variance), 8 * math.sqrt(variance), limit=200)
    assert mixed / stats.t.pdf(t, n - 1) == pytest.approx(1 / error, rel=1e-4)


def test_an_interval_is_in_the_values_own_units():
    values = np.random.default_rng(0).normal(size=30)
    one, other = (mean_sequence_interval(v, 0.05, 50) for v in (values, 1000 + 10 * values))
    assert [other.low, other.value, other.high] == pytest.approx(
        [1000 + 10 * x for x in (one.low, one.value, one.high)]
    )


def test_too_few_values_exclude_nothing_even_if_they_are_alike():
    interval = mean_sequence_interval(np.full(3, 2.0), 0.05, 50)
    assert (interval.low, interval.value, interval.high) == (-math.inf, 2.0, math.inf)


def missed(values, mean, half):
    """Share of the streams (rows) whose interval leaves the mean out at some n of 2, 3, …"""
    n = np.arange(2, values.shape[1] + 1)
    means = values.cumsum(1)[:, 1:] / n
    squares = (values**2).cumsum(1)[:, 1:] - n * means**2
    errors = np.sqrt(np.maximum(squares, 0) / (n - 1) / n)
    factors = np.array([half(int(k)) for k in n])
    finite = np.isfinite(factors)
    return (np.abs(means - mean)[:, finite] > factors[finite] * errors[:, finite]).any(1).mean()


def test_the_sequence_covers_at_all_times_at_once_where_repeated_intervals_do_not():
    """1 000 streams of 400 normal values, looked at after every one: 95 % intervals of Student's miss in a half."""
    values = np.random.default_rng(0).normal(3.0, 2.0, size=(1000, 400))
    assert missed(values, 3.0, lambda n: standard_errors(n, 0.05, 100)) < 0.05
    assert missed(values, 3.0, lambda n: stats.t.ppf(0.975, n - 1)) > 0.4


@pytest.mark.parametrize(("draw", "mean", "most"), [("exponential", 1.0, 0.06), ("poisson", 1.0, 0.06)])
def test_skewed_values_are_covered_from_a_first_look_at_forty(draw, mean, most):
    values = getattr(np.random.default_rng(0), draw)(size=(1000, 400))
    assert missed(values, mean, lambda n: standard_errors(n, 0.05, 100) if n >= FEWEST else math.inf) < most


# The race


def runners_up(means, limit_costs, seed=0, batch=20, broken=0, sd=5.0):
    """Normal episodes of policies with given mean rewards and (for each, a tuple of) mean costs."""

    def of(number):
        random = np.random.default_rng([seed, number])

        def episodes(most):
            n = min(batch, most)
            costs = np.stack([random.normal(mean, sd, n) for mean in limit_costs[number]], axis=1)
            return random.normal(means[number], sd, n), costs, broken

        return episodes

    return [of(number) for number in range(len(means))]


def test_the_best_that_is_inside_wins_and_the_others_end_early():
    batches = runners_up([0.0, 100.0, 50.0, 50.5], [(10,), (60,), (20,), (30,)])
    found = race(batches, (35.0,), 0.05 / 8, 200)
    assert winner(found) in (2, 3)
    assert [runner.verdict for runner in found[:2]] == ["worse", "outside"]
    assert found[1].episodes == 20 and found[0].episodes == FEWEST
    assert found[0].certified and not found[1].certified


def test_the_race_ends_when_one_is_left_that_is_inside():
    found = race(runners_up([0.0, 100.0], [(10,), (10,)]), (35.0,), 0.01, 2000)
    assert [runner.episodes for runner in found] == [FEWEST, FEWEST]


def test_every_limit_has_to_be_kept():
    found = race(runners_up([10.0, 0.0], [(10, 60), (10, 20)]), (35.0, 35.0), 0.01, 100)
    assert winner(found) == 1
    assert winner(race(runners_up([10.0], [(10, 34.9)]), (35.0, 35.0), 0.01, 100)) is None


def test_nothing_is_certified_where_an_episode_broke_down():
    found = race(runners_up([10.0], [(10,)], broken=1), (35.0,), 0.01, 100)
    assert winner(found) is None
    assert (found[0].verdict, found[0].episodes) == ("broken", 20)


def test_what_breaks_down_after_it_was_inside_is_certified_no_more():
    sound, breaking = runners_up([10.0, 10.1], [(10,), (10,)])
    breaks = iter([0, 0, 1])
    found = race([sound, lambda most: (*breaking(most)[:2], next(breaks))], (35.0,), 0.01, 100)
    assert found[1].inside and not found[1].certified
    assert (found[1].verdict, winner(found)) == ("broken", 0)


@pytest.mark.parametrize(("cost", "verdict"), [(0.0, "inside"), (9.0, "outside")])
def test_costs_that_are_all_alike_wait_for_all_episodes(cost, verdict):
    batches = [lambda most: (np.arange(20.0), np.full((20, 1), cost), 0)]
    (found,) = race(batches, (5.0,), 0.01, 100)
    assert (found.episodes, found.verdict) == (100, verdict)


def test_a_rare_large_cost_is_seen_though_the_first_episodes_are_alike():
    costs = iter([0.0] * 40 + [0.0] * 19 + [2000.0] + [0.0] * 40)
    batches = [lambda most: (np.arange(20.0), np.array([[next(costs)] for _ in range(20)]), 0)]
    (found,) = race(batches, (5.0,), 0.01, 100)
    assert not found.certified


@pytest.mark.slow
def test_looking_at_many_and_often_certifies_none_that_breaks_a_limit():
    """Five policies just over their limit, 100 times: corrected, one is certified in few; uncorrected in many."""
    corrected = uncorrected = 0
    for seed in range(100):
        batches = [runners_up([0.0] * 5, [(35.01,)] * 5, seed) for _ in range(2)]
        corrected += any(r.certified for r in race(batches[0], (35.0,), 0.05 / 10, 200))
        uncorrected += any(r.certified for r in race(batches[1], (35.0,), 0.5, 200))
    assert corrected <= 5
    assert uncorrected > 25


# Averages and mixtures


def linear(state, weight, bias, mean, variance):
    """A state whose policy is one affine layer behind a normaliser."""
    policy = state.learner.policy
    policy = eqx.tree_at(lambda p: p.network.layers[0], policy, type(policy.network.layers[0])(weight, bias))
    moments = Moments(jnp.asarray(10.0), mean, variance)
    return state._replace(learner=state.learner._replace(policy=policy, observations=moments))


@pytest.mark.slow
def test_the_average_of_linear_policies_acts_as_their_mean(finished):
    """Behind normalisers that differ: with one layer the mean of the parameters is the mean of the actions."""
    template = Run.load(finished).state
    policy = GaussianPolicy.create(jax.random.key(0), 2, 1, hidden=())
    template = template._replace(learner=template.learner._replace(policy=policy))
    random = np.random.default_rng(0)

    def drawn(*shape):
        return jnp.asarray(random.uniform(0.5, 1.5, shape), jnp.float32)

    states = [linear(template, drawn(1, 2), drawn(1), drawn(2), drawn(2)) for _ in range(3)]
    seen = jnp.asarray(random.normal(size=(5, 2)), jnp.float32)

    def acts(state):
        return state.learner.policy(normalise(seen, state.learner.observations))[0]

    mean = sum(acts(state) for state in states) / 3
    assert np.allclose(acts(average(states)), mean, atol=1e-5)
    assert not np.allclose(acts(states[0]), mean, atol=1e-2)


def actor(bias, std=0.0):
    policy = GaussianPolicy.create(jax.random.key(0), 2, 1, hidden=(), log_std=-20.0)
    policy = eqx.tree_at(lambda p: p.network.layers[0].bias, policy, jnp.asarray([bias]))
    return Actor(policy, Moments(jnp.asarray(1.0), jnp.zeros(2), jnp.zeros(2)))


def test_side_by_side_each_environment_has_its_policy():
    one, other = actor(1.0), actor(2.0)
    together = SideBySide([one, other, one])
    assert together.outputs(np.zeros((3, 2), np.float32)).ravel().tolist() == [1.0, 2.0, 1.0]
    assert together.draws.std.shape == (3, 1)


def test_a_mixture_draws_for_each_episode_evenly_and_answers_no_observation():
    mixture = Mixture([actor(1.0), actor(2.0)])
    random = np.random.default_rng(0)
    drawn = [mixture.for_episode(random) is mixture.actors[0] for _ in range(1000)]
    assert 0.45 < np.mean(drawn) < 0.55
    for use in (lambda: mixture(np.zeros(2)), lambda: mixture.sample(np.zeros(2), random)):
        with pytest.raises(UsageError, match="for_episode"):
            use()


def test_budgets_of_environments_are_those_of_the_policies_there():
    lens = Simmer()
    algorithm = Algorithm(equipoise.CRPO(), lens=lens, learner=Learner(hidden=(4,)))
    simulator = observed(Bandit(num_envs=2), lens)
    states = [algorithm.init(simulator.problem, jnp.asarray([1.0]), jax.random.key(0)) for _ in range(2)]
    moved = states[1]._replace(lens=jax.tree.map(lambda leaf: leaf * 0.5, states[1].lens))
    renew_budgets(simulator, algorithm, [states[0], moved], (1.0,))
    first, second = simulator.reset([0, 1], [np.random.default_rng(0)] * 2)[:, -1]
    expected = [float(lens.start(s.lens, jnp.asarray([1.0]))[0]) for s in (states[0], moved)]
    assert [first, second] == pytest.approx(expected)
    assert first != second


# A run's selection


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of eight iterations."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    equipoise.train("trpo", TASK, run_dir=folder, **QUICK)
    return folder


def with_limits(run, *limits):
    """Change the limits of a run."""
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"limits": list(limits)}))
    return run


def test_those_that_look_best_are_looked_at_and_the_newest_always(run):
    opened = Run.load(with_limits(run, 1000.0))
    found = entrants(opened, 3, 100, 0.01)
    rewards = {row["iteration"] - 1: row["reward"] for row in opened.metrics[1:]}
    best = sorted(rewards, key=rewards.get)[-2:]
    assert [entrant.iterations for entrant in found[:3]] == [(i,) for i in sorted([*best, 8])]
    kinds = [(entrant.kind, entrant.iterations) for entrant in found[3:]]
    assert kinds == [("average", tuple(range(1, 9))), ("mixture", tuple(range(1, 8)))]


def test_where_limits_bind_those_of_least_cost_are_looked_at(run):
    opened = Run.load(with_limits(run, 0.0))
    costs = {row["iteration"] - 1: row["cost/cost"] + row["cost_se/cost"] for row in opened.metrics[1:]}
    found = [entrant.iterations[0] for entrant in entrants(opened, 2, 100, 0.01)[:2]]
    assert 8 in found and costs[min(found)] <= np.median(list(costs.values()))


@pytest.mark.slow
def test_the_selected_policy_is_opened_evaluated_and_started_from(run, tmp_path, capsys):
    with_limits(run, 4.0)
    assert main(["select", str(run), "--iterates", "3", "--episodes", "60", "--environment", TASK]) == 0
    said = capsys.readouterr().out
    folder = run / "selected"
    opened = Run.load(folder)
    selection = equipoise.select(run, episodes=60, iterates=3, environment=TASK)  # the same again, in its place
    assert f"{selection.episodes:,} fresh episodes, {20 * selection.episodes:,} environment steps" in said
    assert selection.best.name in said and selection.best.certified
    assert all(cost.high <= 4.0 for cost in selection.best.costs)
    if not opened.mixture:
        observation = np.array([0.3, -0.1])
        kept = Run.load(run, iteration=opened.state.iteration)
        same = opened.policy(observation) == kept.policy(observation)
        assert same == (selection.best.kind == "policy")
    assert main(["evaluate", str(folder), "--episodes", "4", "--environment", TASK]) == 0
    assert (folder / "evaluation.json").exists()
    capsys.readouterr()
    for command in (["resume", str(folder)], ["conflict", str(folder), "--environment", TASK]):
        assert main(command) == 2
        assert capsys.readouterr().err.count("\n") == 1
    if not opened.mixture:
        options = QUICK | {"total_steps": 40}
        assert equipoise.train("trpo", TASK, run_dir=tmp_path / "new", start_from=folder, **options).metrics


@pytest.mark.slow
def test_a_selection_repeats_and_another_seed_has_other_episodes(run, tmp_path):
    with_limits(run, 4.0)
    options = {"episodes": 40, "iterates": 1, "environment": TASK}
    one, same, other = (
        equipoise.select(run, seed=seed, out=tmp_path / name, **options)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert one.candidates == same.candidates != other.candidates
    assert (tmp_path / "a" / "selection.json").read_bytes() == (tmp_path / "b" / "selection.json").read_bytes()


@pytest.mark.slow
def test_mean_actions_are_another_policy(run, tmp_path):
    with_limits(run, 1000.0)
    options = {"episodes": 40, "iterates": 1, "environment": TASK}
    drawn, mean = (equipoise.select(run, deterministic=d, out=tmp_path / str(d), **options) for d in (False, True))
    assert mean.deterministic and mean.candidates[0].reward != drawn.candidates[0].reward


@pytest.mark.slow
def test_where_none_is_certified_nothing_is_written(run, capsys):
    with_limits(run, 0.0)
    with pytest.raises(SystemExit) as stopped:
        main(["select", str(run), "--episodes", "40", "--iterates", "1", "--environment", TASK])
    assert stopped.value.code == 1
    assert "no policy is certified" in capsys.readouterr().out
    assert not (run / "selected").exists()
    selection = equipoise.select(run, episodes=40, iterates=1, environment=TASK)
    assert selection.chosen is None
    with pytest.raises(UsageError, match="none of 3 policies"):
        print(selection.best)


@pytest.fixture
def mixed(run):
    """The folder of a mixture of the run's policies 2, 5 and 7."""
    folder = run / "selected"
    selection = equipoise.select(with_limits(run, 1000.0), episodes=40, iterates=1, environment=TASK)
    number = next(i for i, c in enumerate(selection.candidates) if c.kind == "mixture")
    content = json.loads((folder / "selection.json").read_text()) | {"chosen": number}
    (folder / "selection.json").write_text(json.dumps(content))
    shutil.rmtree(folder / "policies")
    (folder / "policies").mkdir()
    for iteration in (2, 5, 7):
        name = f"{iteration:06d}.npz"
        shutil.copy(run / "policies" / name, folder / "policies" / name)
    return folder


def test_a_mixture_has_at_most_so_many_policies_and_never_silently_fewer(run, mixed, monkeypatch):
    monkeypatch.setattr("equipoise.training.run.MOST_MIXED", 2)
    with pytest.raises(UsageError, match=r"selected is a mixture of 3 policies; allowed: at most 2"):
        Run.load(mixed)
    monkeypatch.setattr("equipoise.selection.candidates.MOST_MIXED", 4)
    assert entrants(Run.load(run), 1, 100, 0.01)[-1].iterations == (1, 3, 5, 7)


@pytest.mark.slow
def test_a_mixture_is_evaluated_and_played_as_the_policies_it_draws(mixed, capsys):
    opened = Run.load(mixed)
    assert [state.iteration for state in opened.mixture] == [2, 5, 7]
    simulator = reopen_simulator(dataclasses.replace(opened.config, num_envs=50), opened.problem, 1, TASK)
    acting = cast(opened, simulator, np.random.default_rng(0))
    observation = np.array([0.3, -0.1], np.float32)
    alone = [Run.load(mixed.parent, iteration=i).policy.outputs(observation) for i in (2, 5, 7)]
    drawn = acting.outputs(np.tile(observation, (50, 1)))
    # By nearness, since a product of one row rounds otherwise than one of many.
    counts = [int(np.isclose(drawn, mean, atol=1e-6).all(1).sum()) for mean in alone]
    assert sum(counts) == 50 and min(counts) > 5
    simulator.close()
    evaluation = equipoise.evaluate(opened, episodes=10, environment=TASK)
    assert evaluation.stochastic.episodes == 10
    single = reopen_simulator(dataclasses.replace(opened.config, num_envs=1), opened.problem, 1, TASK)
    assert list(play(opened, single, 1, 0, True))[-1].end == "truncated"
    single.close()
    assert main(["train", "trpo", TASK, "--from", str(mixed), "--limits", "1"]) == 2
    assert "is a mixture of 3 policies" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:50], "no selection written by equipoise"),
        (lambda text: text.replace('"chosen": ', '"chosen": 9'), "chosen is 9"),
        (lambda text: text.replace('"confidence": 0.95', '"confidence": "x"'), "confidence is 'x'"),
    ],
)
def test_a_damaged_selection_is_refused_in_a_line(damage, said, mixed, capsys):
    path = mixed / "selection.json"
    path.write_text(damage(path.read_text()))
    assert main(["evaluate", str(mixed), "--environment", TASK]) == 2
    err = capsys.readouterr().err
    assert str(path) in err and said in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"episodes": 39}, "episodes is 39; allowed: 40 or more"),
        ({"iterates": 0}, "iterates is 0; allowed: 1 or more"),
        ({"confidence": 1.0}, "confidence is 1.0; allowed: from 0.5 to less than 1"),
        ({"seed": -1}, "seed is -1; allowed: 0 or more"),
        ({"out": "nowhere/deep"}, "there is no folder nowhere"),
        ({}, "allow that by naming it: --environment rail:QuickRail-v0"),
    ],
)
def test_what_is_not_allowed_is_said(options, said, finished):
    with pytest.raises(UsageError, match=said):
        equipoise.select(finished, **options)


def test_a_folder_of_something_else_is_left_alone(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(UsageError, match="no earlier selection"):
        equipoise.select(run, out=tmp_path / "mine", environment=TASK)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all of it"
