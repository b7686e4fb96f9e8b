"""Discrete actions, from the space to the folder of a run: every algorithm, exact optima, and the user's road."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from gymnasium.vector import SyncVectorEnv
from scipy import special

import equipoise
from equipoise.algorithms import ALGORITHMS, TrustRegion
from equipoise.conflict.env_gradients import env_gradients, see
from equipoise.conflict.layers import layer_shares
from equipoise.conflict.noise import angle, env_products
from equipoise.environments.actions import Actions, layout_from, own_action
from equipoise.environments.foreign import ForeignEnvironments
from equipoise.environments.vectorised import VectorisedEnvironments
from equipoise.errors import UsageError
from equipoise.numerics.normaliser import Moments
from equipoise.policy import Actor, CategoricalPolicy
from equipoise.training.config import Config
from equipoise.training.mixture import SideBySide
from equipoise.training.rollout import random_for
from equipoise.training.update import update
from learning import LEARNER, one_batch, small, train
from probes import Arms, Bandit
from switch import Switch

# Every algorithm


@pytest.mark.one_in(10)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_learns_from_discrete_actions(name):
    """Two iterations; the divergence that each reports is that of the probabilities it acts with."""
    trained = train(small(name), Arms(6), (0.75,), iterations=2, steps=4)
    assert isinstance(trained.state.policy, CategoricalPolicy)
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(trained.state))
    before, batch = one_batch(small(name), Arms(6), (0.75,), steps=4)
    after = train(small(name), Arms(6), (0.75,), iterations=1, steps=4)
    types = [[(x.shape, x.dtype, x.weak_type) for x in jax.tree.leaves(s)] for s in (before, after.state)]
    assert types[0] == types[1], "else the second update is compiled anew"
    actors = [Actor(state.policy, state.observations) for state in (before, after.state)]
    old, new = (special.log_softmax(actor.outputs(np.asarray(batch.observation)), axis=-1) for actor in actors)
    report = after.history[0][1]
    assert float(report.step.kl) == pytest.approx((np.exp(old) * (old - new)).sum(-1).mean(), rel=0.05, abs=1e-6)
    assert report.step.kl > 0
    assert report.policy["entropy"] == pytest.approx(-(np.exp(new) * new).sum(-1).mean(), rel=1e-4)


# Known answers


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cpo", "focops"])
def test_the_constrained_optimum_and_its_multiplier_are_found(name):
    """At b = 0.75: value 1 always in the second situation and half of the time in the first, 1.75 earned, λ = 1."""
    trained = train(small(name), Arms(), (0.75,), iterations=80)
    assert trained.costs(20)[0] == pytest.approx(0.75, abs=0.04)
    assert trained.reward(20) == pytest.approx(1.75, abs=0.05)
    column = "multiplier" if name == "focops" else "implied_multiplier"
    assert trained.mean(column, 20)[0] == pytest.approx(1.0, abs=0.1)
    actor = Actor(trained.state.policy, trained.state.observations)
    chance = special.softmax(actor.outputs(np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 1.0]])), axis=-1)
    np.testing.assert_allclose(chance, [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]], atol=0.12)


@pytest.mark.slow
def test_without_a_limit_the_value_that_pays_most_is_found():
    trained = train(small("trpo"), Arms(), (0.75,), iterations=30)
    assert trained.reward(5) == pytest.approx(2.5, abs=0.02)
    assert trained.costs(5)[0] == pytest.approx(3.0, abs=0.05)


def covariances() -> np.ndarray:
    """Covariances of reward and minus cost over the values, as likely as each other, mean over both situations."""
    both = [np.cov(np.stack([reward, -Arms.COSTS]), ddof=0) for reward in Arms.REWARDS]
    return np.mean(both, axis=0)


def test_gradients_of_the_first_policy_meet_the_exact_ones():
    """In the Fisher metric of tables ⟨g_i, g_j⟩ is the covariance of what the values pay, in the mean over states."""
    exact = covariances()
    cos, implied = exact[0, 1] / np.sqrt(exact[0, 0] * exact[1, 1]), -exact[0, 1] / exact[1, 1]
    assert (cos, implied) == (pytest.approx(-0.794, abs=1e-3), pytest.approx(0.75))
    algorithm = dataclasses.replace(small("crpo"), step=TrustRegion(damping=1e-3, fisher_every=1))
    state, batch = one_batch(algorithm, Arms(), (0.75,), steps=200)
    _, report = update(algorithm, state, batch, jnp.asarray([0.75]), jnp.asarray(0.0), jax.random.key(0))
    assert float(report.step.own["cos_fisher"][0]) == pytest.approx(cos, abs=0.03)
    assert float(report.step.own["implied_multiplier"][0]) == pytest.approx(implied, abs=0.03)
    envs = env_gradients(see(state, batch, LEARNER), 1e-3)
    found = angle(env_products(envs, "fisher"), 0, 20, np.random.default_rng(0))
    assert found.corrected == pytest.approx(cos, abs=0.03)
    shares = layer_shares(envs, state.policy, "fisher", 0)
    assert list(shares) == ["hidden 1", "output"]
    assert sum(shares.values()) == pytest.approx(found.corrected, abs=1e-5)


# Spaces of actions

SPACES = {
    "discrete": (Discrete(3), [[0], [2]], [0, 2]),
    "discrete from 5": (Discrete(3, start=5), [[0], [2]], [5, 7]),
    "discrete from -2": (Discrete(2, start=-2), [[0], [1]], [-2, -1]),
    "choices": (MultiDiscrete([3, 2], start=[1, -4]), [[0, 1], [2, 0]], [[1, -3], [3, -4]]),
    "a table": (MultiDiscrete([[2, 3], [4, 5]]), [[1, 2, 3, 4], [0] * 4], [[[1, 2], [3, 4]], [[0, 0], [0, 0]]]),
    "bits": (MultiBinary(3), [[0, 1, 1], [1, 0, 0]], [[0, 1, 1], [1, 0, 0]]),
    "a table of bits": (MultiBinary((2, 1)), [[0, 1], [1, 1]], [[[0], [1]], [[1], [1]]]),
}


@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize("kind", SPACES)
def test_an_environment_is_given_its_own_numbers(kind, vector):
    space, chosen, own = SPACES[kind]
    given = []

    class Listening(Switch):
        action_space = space

        def step(self, action):
            assert self.action_space.contains(action)
            given.append(np.asarray(action).tolist())
            return np.zeros(2), 0.0, False, False, {"cost": 0.0}

    if vector:
        simulator = VectorisedEnvironments(SyncVectorEnv([Listening] * 2), 2, "Listening", horizon=5)
    else:
        simulator = ForeignEnvironments(Listening, 2, "Listening", horizon=5)
    simulator.reset([0, 1], [np.random.default_rng(0)] * 2)
    simulator.step(np.asarray(chosen, np.int32))
    assert given == own
    problem = simulator.problem
    assert (problem.action_size, len(problem.action_choices)) == (len(chosen[0]),) * 2
    assert np.prod(problem.action_choices) == len({str(space.sample()) for _ in range(3000)}), "every one of them"
    layout = layout_from(problem.action, problem.action_size, problem.action_choices)
    assert np.asarray(own_action(layout, np.asarray(chosen))).tolist() == own
    assert space.contains(own_action(layout, np.asarray(chosen[0])))


def test_discrete_actions_come_as_numbers_that_python_counts_with():
    action = own_action(["discrete", 3, 5], np.array([1], np.int32))
    assert {6: "forward"}[action] == "forward" and isinstance(action, np.int64)


@pytest.mark.parametrize("space", [Discrete(10**6), MultiDiscrete([2] * 400)])
def test_too_many_values_are_refused_in_one_line(space):
    with pytest.raises(UsageError, match=r"^Many has \d+ choice\(s\) of \d+ values in all as its actions; allowed: "):
        Actions(space, "Many")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '["discrete", 4, 0]',
        '["discrete", 3, "5"]',
        '["discrete", 3, 1e300]',
        '["box", [3], "<f4"]',
        '["binary", [1000000000, 1000000000]]',
        '["choices", [1], [3], []]',
        '["choices", [-1], [3], [0]]',
        "[" * 900,
    ],
)
def test_a_layout_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match=r"is no description of a choice of 3 values$"):
        layout_from(text, 1, (3,))


# The user's road

OPTIONS = {"num_envs": 4, "steps_per_iteration": 40, "total_steps": 160, "limits": (2.0,), "horizon": 5}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Four iterations of PCRPO on the switch."""
    return equipoise.train(small("pcrpo"), Switch, run_dir=tmp_path_factory.mktemp("runs") / "switch", **OPTIONS)


@pytest.mark.slow
def test_a_run_logs_the_entropy_in_place_of_a_deviation(run):
    assert {"entropy", "kl", "cos/cost", "implied_multiplier/cost"} <= set(run.metrics[0])
    assert "log_std" not in run.metrics[0]
    assert 0 < run.metrics[-1]["entropy"] < np.log(3)
    assert run.problem.action_choices == (3,)
    assert "a choice of 3" in repr(run.problem) and "a choice of 3" in repr(run.policy)


@pytest.mark.slow
def test_its_policy_gives_the_environments_own_actions(run):
    space, observation = Switch.action_space, np.array([0.3, 1.0])
    assert space.contains(run.policy(observation))
    draws = [run.policy.sample(observation, np.random.default_rng(i)) for i in range(200)]
    assert all(map(space.contains, draws)) and set(map(int, draws)) == {5, 6, 7}
    many = run.policy(np.stack([observation] * 4))
    assert many.shape == (4,) and (many == run.policy(observation)).all()


def test_a_loaded_run_acts_as_the_one_that_was_trained(run):
    loaded, observation = equipoise.Run.load(run.path), np.array([[0.3, 1.0], [-2.0, 4.0]])
    np.testing.assert_array_equal(loaded.policy.outputs(observation), run.policy.outputs(observation))
    assert loaded.problem == run.problem


def test_an_evaluation_is_what_the_environment_itself_says(run):
    """Of the deterministic policy, episode by episode: `env.step(run.policy(observation))`."""
    found, returns = equipoise.evaluate(run, episodes=6, environment=Switch), []
    for number, env in [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]:  # two rounds of four environments
        switch, random = Switch(), random_for("reset", run.config.seed, 4, 0, 0, number, env)
        observation, _ = switch.reset(seed=int(random.integers(2**31)))
        returns.append(0.0)
        for _ in range(5):
            observation, reward, *_ = switch.step(run.policy(observation))
            returns[-1] += reward
    assert found.deterministic.reward.value == pytest.approx(np.mean(returns))
    assert found.stochastic.reward.low < found.stochastic.reward.high


def test_it_resumes_bit_for_bit(run, tmp_path):
    cut = equipoise.train(
        small("pcrpo"), Switch, run_dir=tmp_path / "cut", watch=lambda row: row["iteration"] < 2, **OPTIONS
    )
    assert cut.state.iteration == 2
    resumed = equipoise.resume(tmp_path / "cut", environment=Switch)
    assert resumed.state.iteration == 4
    runs = equipoise.Run.load(run.path), resumed
    whole, again = ([np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(r.state)] for r in runs)
    assert whole == again


@pytest.mark.slow
def test_in_processes_it_is_the_same_run_bit_for_bit(run, tmp_path):
    shared = equipoise.train(small("pcrpo"), Switch, run_dir=tmp_path / "shared", workers=2, **OPTIONS)
    looped = equipoise.Run.load(run.path)
    alone, beside = ([np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(r.state)] for r in (looped, shared))
    assert alone == beside
    found = [equipoise.evaluate(r, 6, environment=Switch, workers=n) for r, n in ((run, 0), (shared, 2))]
    assert found[0] == found[1]


def switches(num_envs):
    return SyncVectorEnv([Switch] * num_envs)


def test_a_vector_environment_of_discrete_actions_trains(tmp_path):
    trained = equipoise.train(small("trpo"), switches, run_dir=tmp_path / "vector", **OPTIONS | {"total_steps": 400})
    assert trained.problem.action_choices == (3,)
    rewards = [row["reward"] for row in trained.metrics]
    assert rewards[-1] > rewards[0] + 0.5, "it learns to take what pays"
    assert Switch.action_space.contains(trained.policy(np.zeros(2)))


def sure_of(value):
    """A policy that takes one of three values, whatever it observes."""
    policy = CategoricalPolicy.create(jax.random.key(0), 2, (3,), hidden=())
    bias = jnp.zeros(3).at[value].set(100.0)
    policy = eqx.tree_at(lambda p: p.network.layers[0].bias, policy, bias)
    return Actor(policy, Moments(jnp.asarray(1.0), jnp.zeros(2), jnp.zeros(2)))


def test_side_by_side_each_environment_has_its_policy():
    one, other = sure_of(0), sure_of(2)
    together, seen = SideBySide([one, other, one]), np.zeros((3, 2), np.float32)
    noise = together.draws.noise(np.random.default_rng(0), (3,))
    for action in (together.act(seen), together.act(seen, noise)):
        assert action.tolist() == [[0], [2], [0]] and action.dtype == together.draws.dtype


def test_its_policies_are_chosen_from_and_trained_further(run, tmp_path):
    """The average and the mixture take part; a new training begins with the very policy."""
    selection = equipoise.select(run.path, episodes=40, iterates=1, environment=Switch, out=tmp_path / "selected")
    assert {"policy", "average", "mixture"} == {candidate.kind for candidate in selection.candidates}
    further = equipoise.train(
        small("pcrpo"), Switch, run_dir=tmp_path / "on", start_from=run.path, watch=lambda row: False, **OPTIONS
    )
    assert further.metrics[0]["reward"] > run.metrics[0]["reward"]

    class Wider(Switch):
        action_space = Discrete(4, start=5)

    with pytest.raises(UsageError, match=r"with choices of sizes 3; .*Wider has 4$"):
        equipoise.train(small("pcrpo"), Wider, run_dir=tmp_path / "wider", start_from=run.path, **OPTIONS)


@pytest.mark.slow
def test_its_conflict_is_analysed_and_its_film_taken(run, tmp_path):
    conflict = equipoise.analyse_conflict(run, episodes=6, grid=3, environment=Switch)
    assert np.isfinite(conflict.checkpoints[-1].angles["fisher"].naive)
    assert "log σ" not in conflict.around.layers["fisher"]
    path = equipoise.film(run, tmp_path / "film.mp4", environment=Switch)
    assert path.stat().st_size > 1000


def test_a_film_that_lacks_what_it_is_drawn_with_says_so_in_one_line(run, tmp_path, monkeypatch):
    class Undrawn(Switch):
        def render(self):
            raise gymnasium.error.DependencyNotInstalled("pygame is not installed\nread on")

    with pytest.raises(UsageError, match=r"^Switch cannot be drawn: pygame is not installed$"):
        equipoise.film(run, tmp_path / "film.mp4", environment=Undrawn)
    assert not (tmp_path / "film.mp4").exists()
    monkeypatch.setattr("equipoise.films.watch.require_display", lambda: None)

    class Window(Undrawn):
        render_mode = "human"

        def step(self, action):
            return self.render()

    with pytest.raises(UsageError, match=r"^Switch cannot be drawn: pygame is not installed$"):
        equipoise.watch(run, environment=Window)


def test_other_actions_than_those_it_was_trained_with_are_refused(run):
    class Moved(Switch):
        action_space = Discrete(3, start=0)

    said = r"has action \[\"discrete\", 3, 0\], and this run was trained with \[\"discrete\", 3, 5\]"
    with pytest.raises(UsageError, match=said):
        equipoise.evaluate(run, episodes=4, environment=Moved)


def damaged(run, tmp_path, **changes):
    folder = tmp_path / "damaged"
    shutil.copytree(run.path, folder)
    content = json.loads((folder / "config.json").read_text())
    content["problem"] |= changes
    (folder / "config.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"action_choices": [3, 3]}, "problem.action_choices has 2 entries; allowed: one an action"),
        ({"action_choices": [0]}, "problem.action_choices[0] is 0; allowed: from 1 to 100000"),
        ({"action_choices": []}, "is no description of an action of 1 number(s)"),
        ({"action": '["discrete", 4, 0]'}, "is no description of a choice of 3 values"),
        ({"action": '["discrete", 3]'}, "is no description of a choice of 3 values"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(run, tmp_path, changes, said):
    with pytest.raises(UsageError, match=re.escape(said)) as error:
        equipoise.Run.load(damaged(run, tmp_path, **changes)).policy  # noqa: B018
    assert "\n" not in str(error.value)


def test_a_configuration_from_before_discrete_actions_is_read():
    problem, config = Bandit().problem, Config("probe", small("crpo"), limits=(1.0,), steps_per_iteration=2000)
    content = json.loads(config.to_json(problem))
    assert content["problem"].pop("action_choices") == [] and content["problem"].pop("action") == ""
    assert Config.from_json(json.dumps(content), Path("config.json")) == (config, problem)
    del content["problem"]["action_size"]
    with pytest.raises(UsageError, match=r"problem.action_size is missing"):
        Config.from_json(json.dumps(content), Path("config.json"))


@pytest.mark.slow
def test_several_choices_are_learned(tmp_path):
    class Lock(gymnasium.Env):
        """Pays for each of three numbers that is right; the last, if it is not 0, costs."""

        observation_space = Box(-1, 1, (1,))
        action_space = MultiDiscrete([2, 3, 2], start=[1, 0, 0])

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.zeros(1, np.float32), {}

        def step(self, action):
            right = (np.asarray(action) == (2, 1, 1)).sum()
            return np.zeros(1, np.float32), float(right), True, False, {"cost": float(action[2])}

    options = {"limits": (0.2,), "horizon": 1, "num_envs": 10, "steps_per_iteration": 300, "total_steps": 6000}
    trained = equipoise.train(small("cpo"), Lock, run_dir=tmp_path / "lock", **options)
    assert trained.policy(np.zeros(1)).tolist() == [2, 1, 0]
    found = equipoise.evaluate(trained, episodes=400, environment=Lock).stochastic
    assert found.costs[0].mean.value == pytest.approx(0.2, abs=0.1)
    assert found.reward.value == pytest.approx(2.2, abs=0.15)
