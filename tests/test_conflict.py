"""Conflict around a policy on a bandit, where every angle is known, and the command on a real run."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from types import SimpleNamespace

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import equipoise
from equipoise.algorithms import MODES, PCRPO, Algorithm, Learner, Seen, Slack, TrustRegion
from equipoise.cli import main
from equipoise.conflict import report
from equipoise.conflict.analysis import AtCheckpoint, Conflict
from equipoise.conflict.env_gradients import EnvGradients, as_planned, env_gradients, see
from equipoise.conflict.heldout import held_out
from equipoise.conflict.landscape import Landscape, cos_on, fit, landscape, plane_of, steps_in
from equipoise.conflict.layers import layer_shares, layer_slices
from equipoise.conflict.noise import METRICS, angle, env_products
from equipoise.policy import Actor
from equipoise.problem import estimate
from equipoise.training.rollout import collect
from equipoise.training.update import update
from probes import Bandit, TwoLimits

MEAN, STD, DAMPING = 1.0, 1.0, 1e-3
RULE, REGION = PCRPO(slack=Slack(low=-0.5)), TrustRegion(max_kl=0.005)
ALGORITHM = Algorithm(
    RULE, REGION, learner=Learner(hidden=(8,), log_std=float(np.log(STD)), discount=1.0, cost_discount=1.0)
)


def at_mean(probe, mean=MEAN):
    """The first learner for a probe, its policy's mean moved to `mean`."""
    state = ALGORITHM.init(probe.problem, jnp.ones(len(probe.problem.cost_names)), jax.random.key(0))
    bias = lambda p: p.network.layers[-1].bias  # noqa: E731
    return state._replace(policy=eqx.tree_at(bias, state.policy, jnp.full(1, mean)))


def seen_on(probe, state, steps=200, key=(1,)):
    rollout = collect(probe, Actor(state.policy, state.observations), steps, key)
    return rollout.batch, see(state, rollout.batch, ALGORITHM.learner)


@pytest.fixture(scope="module")
def bandit():
    """40 environments of 200 one-step episodes each, at mean 1 and σ = 1."""
    probe = Bandit(num_envs=40)
    state = at_mean(probe)
    batch, seen = seen_on(probe, state)
    return probe, state, batch, seen


def exact_cos(metric, state):
    """cos φ in the bandit, where J_r = −(μ − 2)² − σ² and −J_c = −μ² − σ², of all parameters that move μ, and ln σ."""
    reward = np.array([2 * (2 - MEAN), -2 * STD**2])
    safety = np.array([-2 * MEAN, -2 * STD**2])
    slope = ravel_pytree(jax.grad(lambda net: net(jnp.zeros((1, 3)))[0, 0])(state.policy.network))[0]
    moves = float(jnp.linalg.norm(slope))
    # A unit of μ costs 1/|∇μ| of parameters; the Fisher matrix is |∇μ|²/σ² along ∇μ, and 2 in ln σ.
    scale = {
        "euclidean": np.array([moves, 1.0]),
        "natural": np.array([STD**2 / moves, 0.5]),
        "step": np.array([STD**2 / moves, 0.5]),
        "fisher": np.array([STD, 1 / np.sqrt(2)]),
    }[metric]
    reward, safety = scale * reward, scale * safety
    return reward @ safety / np.linalg.norm(reward) / np.linalg.norm(safety)


@pytest.mark.parametrize("metric", METRICS)
def test_the_interval_covers_the_known_angle(metric, bandit):
    _, state, _, seen = bandit
    found = angle(env_products(env_gradients(seen, DAMPING), metric), 0, 20, np.random.default_rng(0))
    half = (found.high - found.low) / 2
    # Five standard errors, where a 95 % interval has two to each side.
    assert abs(exact_cos(metric, state) - (found.low + half)) < 2.5 * half
    assert half < 0.1


@pytest.mark.slow
def test_the_environments_sum_to_the_update(bandit):
    """The batch's cos φ is that of the update, and the implied multiplier that of the bandit."""
    _, state, batch, seen = bandit
    envs = env_gradients(seen, REGION.damping)
    found = angle(env_products(envs, "fisher"), 0, 20, np.random.default_rng(0))
    _, told = update(ALGORITHM, state, batch, jnp.array([9.0]), jnp.array(0.0), jax.random.key(0))
    assert found.naive == pytest.approx(float(told.step.own["cos_fisher"][0]), abs=0.01)
    implied = float(told.step.own["implied_multiplier"][0])
    assert found.ratio * seen.unit[0] / seen.unit[1] == pytest.approx(implied, rel=0.1)


@pytest.mark.parametrize("metric", METRICS)
def test_layers_sum_to_the_whole(metric, bandit):
    _, state, _, seen = bandit
    envs = env_gradients(seen, DAMPING)
    shares = layer_shares(envs, state.policy, metric, 0)
    assert list(shares) == ["hidden 1", "output", "log σ"]
    whole = angle(env_products(envs, metric), 0, 20, np.random.default_rng(0)).corrected
    assert sum(shares.values()) == pytest.approx(whole, abs=1e-6)


def test_layers_are_the_policys_own(bandit):
    _, state, *_ = bandit
    flat, rebuild = ravel_pytree(state.policy)
    for name, part in layer_slices(state.policy).items():
        policy = rebuild(flat.at[part].set(7.0))
        layers = {"hidden 1": policy.network.layers[0], "output": policy.network.layers[1], "log σ": policy.raw_log_std}
        for other, layer in layers.items():
            assert all(bool((leaf == 7.0).all()) == (other == name) for leaf in jax.tree.leaves(layer))


# Held-out harm


def opposed_envs(noise, seed=0, num_envs=12, size=30):
    """Environments of two gradients that nearly oppose each other where the Fisher matrix is ill-conditioned."""
    random = np.random.default_rng(seed)
    spectrum = np.geomspace(1e-2, 10, size)
    reward = random.standard_normal(size)
    truth = np.stack([reward, -reward + 0.5 * random.standard_normal(size)])
    gradients = truth + noise * random.standard_normal((num_envs, 2, size))
    return EnvGradients(gradients, gradients / spectrum)


def harm(envs, metric, seed=0):
    random = np.random.default_rng(seed)
    both, seen = np.array([True, True]), Seen(None, None, None, jnp.ones(2))
    return held_out(envs, both, np.array([0.5, 0.5]), PCRPO(metric=metric), TrustRegion(), seen, random)


@pytest.mark.slow
def test_without_noise_only_the_fisher_metric_harms_none():
    least = {metric: min(harm(opposed_envs(0.0, seed), metric).kept.min() for seed in range(12)) for metric in METRICS}
    assert least["fisher"] >= -1e-6
    assert least["natural"] < 0 and least["step"] < 0 and least["euclidean"] < 0


def test_without_noise_all_that_is_promised_is_kept():
    found = harm(opposed_envs(0.0), "fisher")
    assert np.allclose(found.promised, found.kept, rtol=1e-3)


def test_noise_makes_promises_that_are_not_kept():
    found = harm(opposed_envs(2.0), "fisher")
    assert (found.promised > 0).all()
    assert (found.kept < found.promised).all()
    assert found.harmed.max() > 0


# The map


def steps_of(plane, seen):
    planned = as_planned(seen, np.array([9.0]), 0.0, ALGORITHM.learner)
    return steps_in(plane, seen, RULE, RULE.reward_weight, REGION, planned, 0)


@pytest.mark.slow
def test_steps_are_those_of_the_update(bandit):
    """For one constraint they lie in the plane, and the plane leads to the same policies as the update does."""
    _, state, batch, seen = bandit
    plane = plane_of(seen, REGION, 0)
    steps = steps_of(plane, seen)
    cost = float(batch.estimate.cost[0])
    for mode, limit in {"reward": 10 * cost, "balance": 1.1 * cost, "safety": 0.5 * cost}.items():
        after, told = update(ALGORITHM, state, batch, jnp.array([limit]), jnp.array(0.0), jax.random.key(0))
        assert MODES[int(told.step.mode)] == mode
        there = np.asarray(ravel_pytree(after.policy)[0])
        assert np.linalg.norm(there - plane.centre) > 1e-3
        assert np.allclose(plane.at(steps[mode].x, steps[mode].y), there, atol=1e-5)


def test_the_plane_is_true_to_angle_and_length(bandit):
    _, _, _, seen = bandit
    steps = steps_of(plane_of(seen, REGION, 0), seen)
    reward, safety = (np.array([steps[mode].x, steps[mode].y]) for mode in ("reward", "safety"))
    assert reward[1] == pytest.approx(0, abs=1e-4) and 0 < reward[0] <= 1.0001
    naive = angle(env_products(env_gradients(seen, 0.1), "fisher"), 0, 20, np.random.default_rng(0)).naive
    cos = reward @ safety / np.linalg.norm(reward) / np.linalg.norm(safety)
    assert cos == pytest.approx(naive, abs=0.02)


def test_the_maps_centre_is_the_policy_itself(bandit):
    probe, state, _, seen = bandit
    plane = plane_of(seen, REGION, 0)
    land = landscape(probe, plane, seen, {}, 0, 3, key=(5, 5))
    there = collect(probe, Actor(state.policy, state.observations), probe.problem.horizon, (5, 5)).batch.estimate
    assert land.reward[1, 1] == there.reward and land.cost[1, 1] == there.cost[0]
    # With the same noise everywhere even one-step episodes show that the reward rises along its own step.
    assert land.reward[1, 2] > land.reward[1, 1] > land.reward[1, 0]


@pytest.mark.slow
def test_of_several_costs_the_plane_is_that_of_the_chosen_one():
    probe = TwoLimits(num_envs=20)
    _, seen = seen_on(probe, at_mean(probe, 0.0), steps=50)
    region = REGION
    safer = env_gradients(seen, region.damping).directions.mean(0)[1:]
    (x0, y0), (x1, y1) = (plane_of(seen, region, k).duals @ safer[k] for k in (0, 1))
    # At mean 0 the reward a agrees with the cost (a − 1)², and opposes (a + 1)².
    assert x0 > 0 > x1
    assert y0 > 0 < y1


def test_the_maps_own_angle_is_that_of_its_slopes():
    x = np.linspace(-2, 2, 5)
    across, up = np.meshgrid(x, x)
    land = Landscape(x, x, 3 * across, across, -across + up, across, {})  # up is better: −∇J_k = (1, −1)
    assert cos_on(land) == pytest.approx((1 / np.sqrt(2), 0.0), abs=1e-6)
    noisy = land._replace(cost=land.cost + np.random.default_rng(0).standard_normal(up.shape))
    value, error = cos_on(noisy)
    assert 0.02 < error < 0.2 and abs(value - 1 / np.sqrt(2)) < 5 * error


def test_a_quadratic_surface_is_found_again():
    x = np.linspace(-2, 2, 5)
    across, up = np.meshgrid(x, x)
    surface = fit(x, x, 1 + 2 * across - 3 * up + 0.5 * across * up + up**2)
    assert surface.coefficients == pytest.approx([1, 2, -3, 0, 0.5, 1], abs=1e-9)
    assert float(surface(np.array(1.0), np.array(2.0))) == pytest.approx(1 + 2 - 6 + 1 + 4)


# The command


class Rail(gymnasium.Env):
    """Ten steps on a rail: moving pays, and costs where it is far from the start."""

    observation_space = gymnasium.spaces.Box(-9, 9, (2,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))
    price = 1.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._at, self._age = self.np_random.uniform(-0.1, 0.1), 0
        return np.array([self._at, 0.0], np.float32), {}

    def step(self, action):
        self._at, self._age = self._at + float(action[0]), self._age + 1
        seen = np.array([self._at, self._age / 10], np.float32)
        return seen, float(action[0]), False, self._age == 10, {"cost": self.price * self._at**2}


class Free(Rail):
    """The same at no cost."""

    price = 0.0


OPTIONS = {"total_steps": 80, "steps_per_iteration": 40, "num_envs": 4, "limits": (1.0,), "horizon": 10}
QUICK = ["--episodes", "4", "--grid", "3"]


@pytest.fixture(scope="module", autouse=True)
def registered():
    gymnasium.register("ConflictRail-v0", Rail, max_episode_steps=10)
    yield
    del gymnasium.registry["ConflictRail-v0"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two iterations, with a checkpoint of each."""
    return equipoise.train("pcrpo", "ConflictRail-v0", run_dir=tmp_path_factory.mktemp("runs") / "run", **OPTIONS).path


@pytest.fixture
def copy(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def rows_of(run, what):
    with (run / "conflict.csv").open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["what"] == what]


@pytest.mark.slow
def test_the_command_writes_and_says_everything(copy, monkeypatch, capsys):
    written = []
    atomically = report.write_atomically
    monkeypatch.setattr(report, "write_atomically", lambda path, c: (written.append(path.name), atomically(path, c)))
    assert main(["conflict", str(copy), *QUICK]) == 0
    said = capsys.readouterr().out
    assert "Does cos φ go to −1" in said and "balance, fisher" in said
    assert written == ["conflict.csv", "conflict.png"]
    assert (copy / "conflict.png").read_bytes().startswith(b"\x89PNG")
    run = equipoise.Run.load(copy)
    assert [float(row["value"]) for row in rows_of(copy, "training/cos")] == [r["cos_fisher/cost"] for r in run.metrics]
    assert [int(row["iteration"]) for row in rows_of(copy, "cos") if row["metric"] == "fisher"] == [1, 2]
    assert len(rows_of(copy, "map/reward")) == len(rows_of(copy, "map/cost")) == 9
    layers = [float(row["value"]) for row in rows_of(copy, "cos/layer") if row["metric"] == "fisher"]
    assert len(layers) == 4
    assert {row["mode"] for row in rows_of(copy, "map/step")} == set(MODES)
    assert all(0 <= float(row["value"]) <= 1 for row in rows_of(copy, "heldout/harmed"))


def complaint(capsys, *arguments):
    capsys.readouterr()
    assert main(list(arguments)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--iteration", "7"], "has no checkpoint of iteration 7; there: 1, 2"),
        (["--episodes", "3"], "episodes is 3; allowed: 4 or more"),
        (["--grid", "4"], "grid is 4; allowed: an odd number, 3 or more"),
        (["--cost", "coost"], "unknown cost 'coost'; did you mean 'cost'?"),
        (["--environment", "my_env:Rail-v0"], "this run is of ConflictRail-v0, not of my_env:Rail-v0"),
    ],
)
def test_mistakes_are_told_in_one_line_and_leave_nothing(options, expected, copy, capsys):
    assert expected in complaint(capsys, "conflict", str(copy), *options)
    assert not (copy / "conflict.csv").exists()


def test_a_run_without_checkpoints_is_told_of(copy, capsys):
    shutil.rmtree(copy / "checkpoints")
    assert "has no checkpoint" in complaint(capsys, "conflict", str(copy))


def test_a_cost_that_never_occurs_and_an_environment_of_ones_own(tmp_path, capsys):
    run = equipoise.train("pcrpo", Free, run_dir=tmp_path / "run", **OPTIONS)
    assert "give it again" in complaint(capsys, "conflict", str(run.path))
    with pytest.raises(equipoise.UsageError, match="cost is 0 in every step of the 4 episodes at iteration 2"):
        equipoise.analyse_conflict(run, episodes=4, grid=3, environment=Free)


# The answer


def told(*points):
    """As much of an analysis as the answer reads: checkpoints with a cost, a corrected cos φ and its half width."""
    found = []
    blank = angle(np.ones((4, 2, 4, 2)), 0, 4, np.random.default_rng(0))
    for i, (cost, cos, half) in enumerate(points):
        seen = estimate(np.zeros(4), np.full((4, 1), cost), np.ones(4, int))
        one = blank._replace(corrected=cos, low=cos - half, high=cos + half)
        found.append(AtCheckpoint(i + 1, seen, {"fisher": one}, 1.0))
    conflict = object.__new__(Conflict)
    run = SimpleNamespace(problem=SimpleNamespace(cost_names=("cost",)))
    for name, value in {"run": run, "cost": "cost", "limit": 10.0, "checkpoints": found}.items():
        object.__setattr__(conflict, name, value)
    return conflict


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(30.0, -0.9, 0.05), (13.5, -0.9, 0.05)], "This run cannot tell: none of its 2 checkpoints is near the limit"),
        ([(30.0, 0.5, 0.1), (10.5, -0.97, 0.05)], "Yes, within the noise. Near the limit at 1 of 2 checkpoints"),
        ([(10.0, -0.4, 0.1)], "In part: 40% of the way from orthogonal to opposed"),
        ([(10.0, 0.9, 0.1), *[(9.5, cos, 0.1) for cos in (-0.5, -0.6, -0.7)]], "is -0.60 [-0.66, -0.54] without"),
        ([(10.0, -0.5, 0.1), (10.0, np.nan, 0.1)], "(iteration 1)"),
        ([(10.0, -0.1, 0.2)], "No: no conflict can be told from noise"),
        ([(10.0, -0.6, 0.5)], "Undecided: too noisy to tell"),
        ([(10.0, np.nan, 0.2)], "Undecided."),
    ],
)
def test_the_answer_follows_from_the_last_checkpoints_near_the_limit(points, expected):
    assert expected in report.answer(told(*points))
