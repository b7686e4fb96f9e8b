"""Lenses: budgets in the observation and episodes that end early, held against scalar loops and real environments."""

from __future__ import annotations

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box

import equipoise
from equipoise.algorithms import ALGORITHMS, Algorithm, CriticFit, Learner, Proximal, TrustRegion, Unconstrained
from equipoise.algorithms.lenses import EarlyTermination, Saute, Simmer
from equipoise.algorithms.lenses.saute import spend
from equipoise.algorithms.prepare import prepare
from equipoise.conflict.analysis import analyse
from equipoise.films.film import film
from equipoise.numerics.normaliser import Moments
from equipoise.physics import Transition
from equipoise.policy import Actor
from equipoise.training.budget import BudgetObserver, bare, observed, renew_budget
from equipoise.training.checkpoint import load_checkpoint
from equipoise.training.rollout import collect
from equipoise.training.run import first_state
from equipoise.training.update import update
from probes import Probe

LEARNER = Learner(hidden=(8,), critic=CriticFit(epochs=2))
REGION = TrustRegion(cg_iterations=3)  # which compiles sooner than ten
LENSED = [name for name in ALGORITHMS if name.rpartition("_")[2] in ("saute", "simmer", "early")]


class Costly(Probe):
    """Costs are sums of eighths that depend on action and age, so that floats hold them exactly; reward 1 + a."""

    ends = False

    def __init__(self, num_envs=6, horizon=8, costs=2):
        super().__init__(num_envs, horizon, costs)

    def pay(self, action, age, memory):
        first = np.floor(8 * np.abs(action)) / 8
        others = [np.where((age + k) % 3 == 0, 0.25 * k, 0.0) + first for k in range(1, len(self.problem.cost_names))]
        return 1 + action, np.stack([first, *others], axis=1)


class Ending:
    """A simulator around another that really ends an episode when its cost passes a limit."""

    def __init__(self, inner, limits):
        self.inner, self.limits = inner, np.asarray(limits)
        self.problem, self.num_envs = inner.problem, inner.num_envs
        self.total = np.zeros((inner.num_envs, len(self.limits)))

    def reset(self, indices, randoms):
        self.total[list(indices)] = 0.0
        return self.inner.reset(indices, randoms)

    def step(self, action):
        step = self.inner.step(action)
        self.total += step.cost
        return step._replace(terminated=step.terminated | (self.total > self.limits).any(1))

    def close(self):
        pass


class Spender(Probe):
    """Ten steps, each with reward 1 + w and cost w, w = sigmoid(a): the more it costs, the more is earned."""

    def __init__(self, num_envs=20):
        super().__init__(num_envs, horizon=10)

    def pay(self, action, age, memory):
        w = 1 / (1 + np.exp(-np.clip(action, -30, 30)))
        return 1 + w, w[:, None]


def algorithm_of(lens, step=REGION, **settings):
    return Algorithm(Unconstrained(), step, lens, dataclasses.replace(LEARNER, **settings))


def rolled_out(algorithm, probe, limits, steps, seed=0):
    """The probe as the algorithm's policy sees it, its first state, and a rollout."""
    simulator = observed(probe, algorithm.lens)
    state = algorithm.init(simulator.problem, jnp.asarray(limits), jax.random.key(seed))
    renew_budget(simulator, algorithm, state, limits)
    return simulator, state, collect(simulator, Actor(state.policy, state.observations), steps, (seed, 0)).batch


def reshaped(lens, batch, limits):
    return lens.reshape(jax.tree.map(jnp.asarray, batch), jnp.asarray(limits))


def spans(done):
    """(environment, first step, step after the last) of every episode."""
    for env in range(done.shape[1]):
        start = 0
        for end in np.flatnonzero(done[:, env]):
            yield env, start, end + 1
            start = end + 1


# Budgets


@pytest.mark.parametrize("discount", [1.0, 0.995])
@pytest.mark.parametrize("first", [1.0, 0.375])
def test_budgets_are_those_of_a_scalar_loop(discount, first):
    limits, horizon = (2.0, 4.0), 8
    lens = Simmer(first=first, budget_discount=discount) if first < 1 else Saute(budget_discount=discount)
    _, _, batch = rolled_out(algorithm_of(lens), Costly(), limits, 24)
    budget = np.asarray(limits)
    if discount < 1:
        budget = budget * sum(discount**t for t in range(horizon)) / horizon
    used_up = 0
    for env, start, end in spans(batch.done):
        left = [first, first]
        for t in range(start, end):
            np.testing.assert_allclose(batch.observation[t, env, -2:], left, rtol=1e-6, atol=1e-7)
            left = [max(0.0, (left[k] - batch.cost[t, env, k] / budget[k]) / discount) for k in range(2)]
            np.testing.assert_allclose(batch.next_observation[t, env, -2:], left, rtol=1e-6, atol=1e-7)
            used_up += min(left) == 0
    assert 0 < used_up < batch.reward.size


def test_a_cost_that_adds_up_to_the_limit_leaves_nothing():
    left = np.ones((1, 1))
    for _ in range(10):  # ten tenths are not 1 in floating point
        assert left[0, 0] > 0
        left = spend(left, np.full((1, 1), 0.1), np.array([1.0]), 1.0, 10)
    assert left[0, 0] == 0


def test_a_limit_of_zero_is_used_up_by_any_cost_and_by_nothing_else():
    left, limits = np.ones((3, 2)), np.array([0.0, 1.0])
    left = spend(left, np.array([[0.0, 0.0], [1e-30, 0.0], [0.0, 0.25]]), limits, 1.0, 10)
    np.testing.assert_array_equal(left, [[1, 1], [0, 1], [1, 0.75]])
    left = spend(left, np.zeros((3, 2)), limits, 0.99, 10)
    assert np.isfinite(left).all() and left[1, 0] == 0 and left[0, 0] == pytest.approx(1 / 0.99)


def test_a_diverged_step_costs_nothing():
    class Breaking(Costly):
        def step(self, action):
            step = super().step(action)
            return step._replace(diverged=np.arange(self.num_envs) == 0, cost=step.cost + np.nan)

    lens = Saute()
    simulator = observed(Breaking(), lens)
    simulator.limits, simulator.start = np.array([1.0, 1.0]), np.ones(2)
    simulator.reset(range(6), [np.random.default_rng(0)] * 6)
    assert isinstance(simulator.step(np.ones((6, 1))), Transition)
    assert simulator._left[0].tolist() == [1, 1]


def test_an_episode_cannot_start_before_its_budget_is_known():
    simulator = observed(Costly(), Saute())
    assert isinstance(simulator, BudgetObserver) and isinstance(bare(simulator), Costly)
    with pytest.raises(RuntimeError, match="renew_budget"):
        simulator.reset(range(6), [np.random.default_rng(0)] * 6)


# The reward without a budget


@pytest.mark.parametrize("limits", [(2.0, 4.0), (0.0, 4.0), (1e6, 1e6)])
def test_the_reward_is_lost_from_where_a_budget_is_used_up_and_nothing_else_changes(limits):
    lens = Saute(unsafe_reward=-7.0, unsafe_unit="reward")
    _, _, batch = rolled_out(algorithm_of(lens), Costly(), limits, 24)
    seen = reshaped(lens, batch, limits)
    expected = batch.reward.copy()
    for env, start, end in spans(batch.done):
        total = np.cumsum(batch.cost[start:end, env], 0)
        gone = ((total >= limits) & (total > 0)).any(1)
        expected[start:end, env][gone] = -7.0
    np.testing.assert_array_equal(seen.reward, expected)
    assert limits == (1e6, 1e6) or 0 < (expected == -7.0).sum() < expected.size
    untouched = (leaf for name, leaf in seen._asdict().items() if name != "reward")
    same = (leaf for name, leaf in batch._asdict().items() if name != "reward")
    for a, b in zip(jax.tree.leaves(list(untouched)), jax.tree.leaves(list(same)), strict=True):
        np.testing.assert_array_equal(a, np.asarray(b, a.dtype))


def test_the_relative_unsafe_reward_is_in_the_unit_of_the_rewards():
    lens, limits = Saute(), (2.0, 4.0)
    _, _, batch = rolled_out(algorithm_of(lens), Costly(), limits, 24)
    seen = reshaped(lens, batch, limits).reward
    lost = (batch.next_observation[..., -2:] <= 0).any(-1)
    expected = batch.reward.mean() - 2 * np.sqrt((batch.reward**2).mean())
    np.testing.assert_allclose(np.asarray(seen)[lost], expected, rtol=1e-5)
    assert expected < batch.reward.mean() - batch.reward.std()
    larger = reshaped(lens, batch._replace(reward=1024 * batch.reward), limits).reward
    np.testing.assert_array_equal(larger, 1024 * seen)


@pytest.mark.slow
def test_the_unit_of_reward_and_costs_does_not_matter_to_a_run():
    def trained(reward, cost):
        class Scaled(Costly):
            def pay(self, action, age, memory):
                paid, costs = super().pay(action, age, memory)
                return reward * paid, cost * costs

        algorithm, limits = algorithm_of(Saute()), (2.0 * cost, 4.0 * cost)
        _, state, batch = rolled_out(algorithm, Scaled(), limits, 24)
        limits, fraction = jnp.asarray(limits), jnp.asarray(0.0)
        return update(algorithm, state, batch, limits, fraction, jax.random.key(1))[0].policy

    for a, b in zip(jax.tree.leaves(trained(1.0, 1.0)), jax.tree.leaves(trained(1000.0, 0.01)), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)


# Early termination


@pytest.mark.slow
def test_the_learner_sees_the_episodes_of_an_environment_that_really_ends_them():
    limits, horizon = (2.0, 4.0), 8
    algorithm = algorithm_of(EarlyTermination())
    _, state, batch = rolled_out(algorithm, Costly(num_envs=12), limits, horizon)
    real = collect(Ending(Costly(num_envs=12), limits), Actor(state.policy, state.observations), horizon, (0, 0)).batch
    critics = state.critics._replace(deviation=jnp.ones(3), mean=jnp.arange(3.0))
    size = len(state.observations.mean)
    before = Moments(jnp.ones(()), jnp.zeros(size), jnp.ones(size))  # the first of all would come from the batch itself
    seen = prepare(LEARNER, critics, before, reshaped(algorithm.lens, batch, limits))
    there = prepare(LEARNER, critics, before, jax.tree.map(jnp.asarray, real))
    ours, theirs = (np.asarray(each.targets).reshape(horizon, 12, 3) for each in (seen, there))
    early = 0
    for env in range(12):
        end = int(np.flatnonzero(real.done[:, env])[0])
        early += end < horizon - 1
        np.testing.assert_array_equal(ours[: end + 1, env], theirs[: end + 1, env])
        valid = np.asarray(seen.samples.valid[:, env])
        assert valid[: end + 1].all() and not valid[end + 1 :].any()
    assert 0 < early < 12


def test_a_new_episode_begins_with_nothing_spent_and_any_limit_ends_it():
    cost = np.zeros((6, 2, 2), np.float32)
    cost[:, 0, 0], cost[:, 1, 1] = 1.0, [3, 0, 0, 2, 2, 2]
    done = np.zeros((6, 2), bool)
    done[2] = done[5] = True
    batch = rolled_out(algorithm_of(EarlyTermination()), Costly(num_envs=2), (9.0, 9.0), 8)[2]
    batch = jax.tree.map(lambda x: x[:6] if np.ndim(x) else x, batch._replace(estimate=batch.estimate))
    batch = batch._replace(cost=cost, done=done, terminated=np.zeros_like(done), valid=np.ones_like(done))
    seen = reshaped(EarlyTermination(), batch._replace(estimate=batch.estimate), (1.0, 2.0))
    np.testing.assert_array_equal(seen.terminated.T, [[0, 1, 0, 0, 1, 0], [1, 0, 0, 0, 1, 0]])
    np.testing.assert_array_equal(seen.valid.T, [[1, 1, 0, 1, 1, 0], [1, 0, 0, 1, 1, 0]])
    np.testing.assert_array_equal(seen.done.T, [[0, 1, 1, 0, 1, 1], [1, 0, 1, 0, 1, 1]])
    np.testing.assert_array_equal(seen.cost, cost)


@pytest.mark.parametrize("step", [REGION, Proximal(epochs=2)], ids=["trpo", "ppo"])
def test_without_an_episode_past_its_limit_every_bit_is_the_parents(step):
    early, parent = algorithm_of(EarlyTermination(), step), algorithm_of(equipoise.algorithms.Plain(), step)
    probe = Costly(costs=1)
    _, state, batch = rolled_out(early, probe, (1e6,), 24)
    highest = max(batch.cost[a:b, env].sum() for env, a, b in spans(batch.done))  # met, not passed

    def leaves(algorithm, limit):
        arguments = jnp.asarray([limit], jnp.float32), jnp.asarray(0.0), jax.random.key(1)
        return [np.asarray(x).tobytes() for x in jax.tree.leaves(update(algorithm, state, batch, *arguments)[0])]

    assert leaves(early, highest) == leaves(parent, highest)
    assert leaves(early, 0.9 * highest) != leaves(parent, 0.9 * highest)


@pytest.mark.parametrize("step", [REGION, Proximal(epochs=2)], ids=["trpo", "ppo"])
def test_where_the_first_step_passes_a_limit_of_zero_the_rest_is_finite(step):
    class Always(Costly):
        def pay(self, action, age, memory):
            reward, cost = super().pay(action, age, memory)
            return reward, cost + 1

    algorithm = algorithm_of(EarlyTermination(), step)
    _, state, batch = rolled_out(algorithm, Always(), (0.0, 0.0), 24)
    assert reshaped(algorithm.lens, batch, (0.0, 0.0)).valid.sum() == 6 * 3  # three episodes in each of 6 environments
    arguments = jnp.zeros(2), jnp.asarray(0.0), jax.random.key(1)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(update(algorithm, state, batch, *arguments)))


# Simmer's controller


def test_simmers_controller_by_hand():
    lens, limits = Simmer(), jnp.asarray([20.0])
    memory = lens.after(lens.init(limits), jnp.asarray([1.0]), limits)
    # e = 0.5·(20 − 1)/20 = 0.475, Σe = 0.475, Δ = 0.05·0.475 + 0.005·0.475
    np.testing.assert_allclose(jnp.stack(memory).ravel(), [0.276125, 0.475, 0.475], rtol=1e-5)
    memory = lens.after(memory, jnp.asarray([50.0]), limits)
    # (20 − 50)/20 is below −1: e = 0.2375 + 0.5·(−1) = −0.2625, Σe = 0.2125, Δ = −0.013125 + 0.0010625
    np.testing.assert_allclose(jnp.stack(memory).ravel(), [0.2640625, -0.2625, 0.2125], rtol=1e-5)


def test_simmers_controller_is_that_of_a_scalar_loop():
    lens = Simmer(kp=0.3, ki=0.05, kd=0.1, smoothing=0.3, largest_move=0.1)
    limits = np.array([10.0, 0.0, 400.0])
    costs = np.random.default_rng(0).exponential(limits * 0.4 + 0.2, (60, 3))
    memory = lens.init(jnp.asarray(limits))
    share, error, integral = np.full(3, 0.25), np.zeros(3), np.zeros(3)
    bounds = set()
    for cost in costs:
        memory = lens.after(memory, jnp.asarray(cost), jnp.asarray(limits))
        for k in range(3):
            now = 0.3 * error[k] + 0.7 * max(-1.0, (limits[k] - cost[k]) / (limits[k] or 1.0))
            total = integral[k] + now
            move = 0.3 * now + 0.05 * total + 0.1 * (now - error[k])
            wished = share[k] + min(0.1, max(-0.1, move))
            held = (now > 0 and (wished >= 1 or move >= 0.1)) or (now < 0 and (wished <= 0.05 or move <= -0.1))
            share[k], error[k] = min(1.0, max(0.05, wished)), now
            integral[k] = integral[k] if held else total
            bounds |= {share[k]} & {1.0, 0.05}
        np.testing.assert_allclose(memory.share, share, atol=1e-4)
        np.testing.assert_allclose(memory.integral, integral, atol=1e-3)
    assert bounds == {1.0, 0.05}


def test_a_policy_within_the_limit_is_given_all_of_it_and_one_outside_the_lowest():
    lens, limits = Simmer(), jnp.asarray([10.0, 10.0])
    memory = lens.init(limits)
    for _ in range(60):
        memory = lens.after(memory, jnp.stack([0.5 * memory.share[0] * 10, jnp.asarray(90.0)]), limits)
    np.testing.assert_allclose(memory.share, [1.0, 0.05])
    for _ in range(6):  # what was summed up at the bounds does not hold the budget there
        memory = lens.after(memory, jnp.asarray([30.0, 0.0]), limits)
    assert memory.share[0] < 0.9 and memory.share[1] > 0.1


def test_a_policy_a_little_above_its_budget_does_not_lose_it_while_the_limit_is_kept():
    lens, limits = Simmer(), jnp.asarray([10.0])
    memory = lens.init(limits)
    for _ in range(200):
        memory = lens.after(memory, 1.05 * memory.share * limits, limits)
    np.testing.assert_allclose(memory.share, 1 / 1.05, atol=0.03)


@pytest.mark.parametrize(
    "lens",
    [
        Saute(unsafe_reward=float("inf")),
        Saute(budget_discount=0.5),
        Simmer(first=0.0),
        Simmer(lowest=0.5),
        Simmer(smoothing=1.0),
        Simmer(kp=-1.0),
        Saute(unsafe_reward=float("nan")),
    ],
)
def test_settings_out_of_range_are_refused(lens):
    with pytest.raises(equipoise.UsageError, match="allowed"):
        lens.check()


# Learning


def learned_cost(lens, limit, iterations=30):
    """Mean episode cost of the last iterations on the spender, whose best policy without limits costs 10."""
    algorithm = algorithm_of(lens, discount=1.0, log_std=-0.5, critic=CriticFit(epochs=5, learning_rate=3e-3))
    simulator = observed(Spender(), lens)
    limits = jnp.asarray([limit])
    state = algorithm.init(simulator.problem, limits, jax.random.key(0))
    costs = []
    for i in range(iterations):
        renew_budget(simulator, algorithm, state, (limit,))
        batch = collect(simulator, Actor(state.policy, state.observations), 50, (0, i)).batch
        costs.append(float(batch.estimate.cost[0]))
        state, _ = update(algorithm, state, batch, limits, jnp.asarray(i / iterations), jax.random.key(i))
    return np.mean(costs[-5:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lens", "iterations"),
    # The first policy is outside the limit, so Simmer takes its budget away first, and gives it back from there.
    [(Saute(), 30), (Simmer(), 120), (EarlyTermination(), 30)],
    ids=["saute", "simmer", "early"],
)
def test_a_limit_that_binds_lowers_the_cost(lens, iterations):
    assert learned_cost(equipoise.algorithms.Plain(), 3.0) > 8
    assert 0.5 < learned_cost(lens, 3.0, iterations) < 3.3


# Runs


class Cart(gymnasium.Env):
    """A point pushed along a line; it costs to be away from the middle, and to push."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}  # noqa: RUF012
    render_mode = "rgb_array"
    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = 0.3 * self.np_random.normal(), 0
        return np.array([self.place, self.steps], np.float64), {}

    def step(self, action):
        self.place, self.steps = self.place + float(action[0]), self.steps + 1
        info = {"cost": abs(self.place), "energy": float(np.square(action).sum())}
        return np.array([self.place, self.steps], np.float64), 1 + float(action[0]), False, self.steps == 5, info

    def render(self):
        return np.zeros((64, 64, 3), np.uint8)


OPTIONS = {"num_envs": 4, "steps_per_iteration": 40, "horizon": 5, "total_steps": 160}


def small(name):
    algorithm = ALGORITHMS[name].algorithm
    step = REGION if isinstance(algorithm.step, TrustRegion) else algorithm.step
    return dataclasses.replace(algorithm, learner=LEARNER, step=step)


def stop_after_two(row):
    if row["iteration"] == 2:
        raise KeyboardInterrupt


def numbers(run):
    return [{k: repr(v) for k, v in row.items() if not k.startswith(("time/", "steps_per"))} for row in run.metrics]


@pytest.mark.one_in(5)
@pytest.mark.parametrize(("name", "costs"), [*((name, 2) for name in LENSED), ("trpo_simmer", 1)])
def test_a_lensed_run_goes_through_everything(name, costs, tmp_path):
    names = ("cost", "energy")[:costs]
    options = {**OPTIONS, "cost_names": names, "limits": (2.0, 0.0)[: len(names)]}
    whole = equipoise.train(small(name), Cart, run_dir=tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        equipoise.train(small(name), Cart, run_dir=tmp_path / "cut", watch=stop_after_two, **options)
    resumed = equipoise.resume(tmp_path / "cut", environment=Cart)
    assert whole.config.algorithm_name == resumed.config.algorithm_name == name
    assert numbers(resumed) == numbers(whole)
    for a, b in zip(jax.tree.leaves(resumed.state.learner), jax.tree.leaves(whole.state.learner), strict=True):
        np.testing.assert_array_equal(a, b)
    evaluation = equipoise.evaluate(resumed, episodes=4, environment=Cart)
    assert [cost.name for cost in evaluation.stochastic.costs] == list(names)

    size = 2 + len(names) * small(name).lens.observes_budget
    assert whole.problem.observation_size == size
    assert whole.policy(np.zeros(size)).shape == (1,)
    if size > 2:
        with pytest.raises(equipoise.UsageError, match=rf"2 number.*{size}: the task's 2.*{', '.join(names)}"):
            whole.policy(np.zeros(2))


@pytest.mark.slow
def test_conflict_and_films_see_what_the_policy_saw(tmp_path, monkeypatch):
    options = {**OPTIONS, "cost_names": ("cost", "energy"), "limits": (20.0, 30.0)}
    run = equipoise.train(small("trpo_simmer"), Cart, run_dir=tmp_path / "run", **options)
    starts, reset = [], BudgetObserver.reset
    monkeypatch.setattr(BudgetObserver, "reset", lambda self, *a: starts.append(self.start.tolist()) or reset(self, *a))
    found = analyse(run, 2, episodes=4, grid=3, cost="energy", environment=Cart)
    assert [at.iteration for at in found.checkpoints] == [1, 2, 3, 4]
    shares = [[row["budget_share/cost"], row["budget_share/energy"]] for row in run.metrics]
    # Each checkpoint has its own budget, the chosen one first; and so has every point of the map around that.
    np.testing.assert_allclose(starts, [shares[i] for i in (1, 0, 2, 3, *[1] * 9)])
    assert np.isfinite(found.around.landscape.cost).all()
    assert film(run, environment=Cart).stat().st_size > 0
    np.testing.assert_allclose(starts[-1], shares[-1])


def test_a_checkpoint_holds_simmers_controller(tmp_path):
    options = {**OPTIONS, "cost_names": ("cost", "energy"), "limits": (20.0, 30.0)}
    run = equipoise.train(small("trpo_simmer"), Cart, run_dir=tmp_path / "run", **options)
    shares = [row["budget_share/energy"] for row in run.metrics]
    assert len(set(shares)) == len(shares)
    for i, share in enumerate(shares, 1):
        memory = load_checkpoint(run.path, first_state(run.config, run.problem), i).learner.lens
        assert float(memory.share[1]) == pytest.approx(share)
    simulator = equipoise.training.config.make_simulator(run.config, 1, Cart)
    renew_budget(simulator, run.config.algorithm, run.state.learner, run.limits)
    start = simulator.reset(range(4), [np.random.default_rng(i) for i in range(4)])
    np.testing.assert_allclose(start[:, -1], shares[-1])


@pytest.mark.parametrize("limits", [(1.0, 2.0), (-1.0,)])  # wrong types: tests/test_cli.py, without a type checker
def test_limits_that_are_not_allowed_are_told_of(limits, tmp_path):
    with pytest.raises(equipoise.UsageError):
        equipoise.train(small("trpo_saute"), Cart, run_dir=tmp_path / "run", limits=limits, **OPTIONS)
