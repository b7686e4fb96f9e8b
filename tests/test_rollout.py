"""Rollout: whole episodes, an unbiased Ĵ, flags that say what happened, and noise that depends on the key alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipoise.errors import UsageError
from equipoise.numerics.normaliser import Moments
from equipoise.physics import Simulator, Transition
from equipoise.policy import Actor, GaussianPolicy
from equipoise.problem import Batch, Problem
from equipoise.training.rollout import Rollout, collect, random_for, whole_episodes

OBSERVATION = ("env", "episode", "age", "noise")
ACTIONS = 2


class Probe:
    """A simulator whose every number is known: it observes (environment, episode in it, age, noise of reset).

    Reward is the first action; the costs are 1 a step and the episode's age. `length` draws how many steps an
    episode takes until it terminates; `truncated_at` is the age at which the environment itself cuts it;
    `breaks(environment, episode, age)` says when it diverges, with the worst numbers a simulator can report.
    """

    def __init__(
        self,
        num_envs: int,
        horizon: int,
        length: Callable[[np.random.Generator], int] = lambda random: 10**9,
        truncated_at: int = 10**9,
        breaks: Callable[[int, int, int], bool] = lambda env, episode, age: False,
        broken: float = np.nan,
    ) -> None:
        names = ("steps", "ages")
        self.problem = Problem("Probe", len(OBSERVATION), ACTIONS, horizon, names, limits=None)
        self.num_envs, self.length, self.truncated_at = num_envs, length, truncated_at
        self.breaks, self.broken = breaks, broken
        self.state = np.zeros((num_envs, len(OBSERVATION)))
        self.state[:, 0], self.state[:, 1] = range(num_envs), -1
        self.ends = np.zeros(num_envs, int)

    def reset(self, indices: Sequence[int], randoms: Sequence[np.random.Generator]) -> np.ndarray:
        for env, random in zip(indices, randoms, strict=True):
            self.state[env, 1:] = self.state[env, 1] + 1, 0, np.float32(random.normal())
            self.ends[env] = self.length(random)
        return self.state[list(indices)]

    def step(self, action: np.ndarray) -> Transition:
        self.state[:, 2] += 1
        age = self.state[:, 2]
        diverged = np.array([self.breaks(*map(int, row[:3])) for row in self.state])
        observation, reward = self.state.copy(), action[:, 0].astype(np.float64)
        cost = np.stack([np.ones(self.num_envs), age], axis=1)
        for array in (observation, reward, cost):
            array[diverged] = self.broken
        terminated = (age >= self.ends) & ~diverged
        return Transition(observation, reward, cost, terminated, age >= self.truncated_at, diverged)

    def close(self) -> None:
        pass


def actor(seed: int = 0) -> Actor:
    size = len(OBSERVATION)
    policy = GaussianPolicy.create(jax.random.key(seed), size, ACTIONS, (8,), log_std=-0.5)
    last = 0.1 * jax.random.normal(jax.random.key(seed), (ACTIONS, 8))
    policy = eqx.tree_at(lambda p: p.network.layers[-1].weight, policy, last)  # so that it looks at what it observes
    return Actor(policy, Moments(jnp.ones(()), jnp.zeros(size), jnp.ones(size)))


def rollout(probe: Probe, steps: int, key: tuple[int, ...] = (0, 0), stochastic: bool = True) -> Rollout:
    return collect(probe, actor(), steps, key, stochastic)


def geometric(chance: float) -> Callable[[np.random.Generator], int]:
    """The length of an episode that terminates in each step with probability `chance`."""
    return lambda random: int(random.geometric(chance))


def assert_same_bits(a: Batch, b: Batch) -> None:
    for name, x, y in zip(Batch._fields, a, b, strict=True):
        for one, other in zip(*((x, y) if name == "estimate" else ((x,), (y,))), strict=True):
            assert one.dtype == other.dtype and one.tobytes() == other.tobytes(), name


# Ĵ


def finished_lengths(batch: Batch, horizon: int) -> list[int]:
    """Lengths of all episodes that finished (terminated, or reached the horizon), whenever they began."""
    lengths = []
    for terminated, done in zip(batch.terminated.T, batch.done.T, strict=True):
        ends = np.flatnonzero(done)
        steps = np.diff(ends, prepend=-1)
        lengths += [n for n, end in zip(steps, ends, strict=True) if terminated[end] or n == horizon]
    return lengths


@pytest.mark.parametrize("episodes_an_env", [1, 2])
def test_episode_cost_is_estimated_without_the_bias_of_averaging_finished_episodes(episodes_an_env):
    chance, horizon, iterations = 0.04, 40, 12
    probe, act = Probe(400, horizon, geometric(chance)), actor()
    true = sum((1 - chance) ** t for t in range(horizon))
    estimates, finished, counts = [], [], []
    for i in range(iterations):
        batch = collect(probe, act, episodes_an_env * horizon, (1, i)).batch
        estimates.append(batch.estimate)
        counts.append(int(batch.estimate.episodes))
        finished += finished_lengths(batch, horizon)
    costs, weights = np.array([e.cost[0] for e in estimates]), np.array(counts) / sum(counts)
    error = np.sqrt(sum((w * e.cost_se[0]) ** 2 for w, e in zip(weights, estimates, strict=True)))
    assert abs(weights @ costs - true) < 5 * error < 1.0
    assert true - np.mean(finished) > 12 * error, "so the test would notice that bias"
    assert 0.3 < np.std(costs, ddof=1) / np.mean([e.cost_se[0] for e in estimates]) < 2.2, "SE is the spread of Ĵ"
    assert all(e.length == e.cost[0] for e in estimates)
    if episodes_an_env == 1:
        assert counts == [probe.num_envs] * iterations


def sums_by_hand(rewards, costs, done, diverged, horizon) -> tuple[list[tuple], list[tuple]]:
    """Walk through every environment step by step: (return, costs…, length) of whole and of broken episodes."""
    found = [], []
    steps, num_envs = rewards.shape
    for env in range(num_envs):
        start, total = 0, np.zeros(1 + costs.shape[2])
        for t in range(steps):
            total = total + np.array([rewards[t, env], *costs[t, env]])
            if done[t, env]:
                if steps - start >= horizon:
                    found[int(diverged[t, env])].append((*total, t + 1 - start))
                start, total = t + 1, np.zeros(1 + costs.shape[2])
    return found


@pytest.mark.parametrize("seed", range(10))
def test_whole_episodes_are_those_that_began_with_a_horizon_left(seed):
    random, horizon = np.random.default_rng(seed), 7
    rewards, costs = random.normal(size=(20, 4)), random.uniform(size=(20, 4, 2))
    done = random.random((20, 4)) < 0.2
    done[-1] = True
    diverged = done & (random.random((20, 4)) < 0.2)
    found, broken = map(np.array, sums_by_hand(rewards, costs, done, diverged, horizon))
    episodes = whole_episodes(rewards, costs, done, diverged, horizon)
    got = np.column_stack([episodes.returns, episodes.costs])
    np.testing.assert_allclose(got, found[:, :3], rtol=1e-12, atol=1e-12)
    counted = [*found[:, :3]]
    for own in broken.reshape(-1, 4)[:, :3]:  # what broke down is no better than the worst of the others
        counted.append([min(own[0], *found[:, 0]), *np.maximum(own[1:], found[:, 1:3].max(0))])
    estimate, n = episodes.estimate, len(counted)
    assert (estimate.episodes, episodes.broken) == (n, len(broken))
    assert estimate.length == pytest.approx(found[:, 3].mean())
    assert [estimate.reward, *estimate.cost] == pytest.approx(np.mean(counted, axis=0))
    errors = [estimate.reward_se, *estimate.cost_se]
    assert errors == pytest.approx(np.std(counted, axis=0, ddof=1) / np.sqrt(n))


def test_the_estimate_sums_each_episode_undiscounted():
    result = rollout(Probe(3, horizon=5, length=lambda random: 4), steps=5)
    assert result.costs.tolist() == [[4.0, 1.0 + 2 + 3 + 4]] * 3
    np.testing.assert_allclose(result.returns, result.batch.action[:4, :, 0].sum(0), rtol=1e-6)
    assert (result.batch.estimate.cost_se == 0).all() and result.batch.estimate.length == 4


@pytest.mark.parametrize(("num_envs", "steps"), [(1, 5), (3, 4), (2, 3)])
def test_fewer_than_two_whole_episodes_are_an_error(num_envs, steps):
    with pytest.raises(UsageError, match=r"[01] whole episode\(s\) left to estimate .* at least 2 are needed"):
        rollout(Probe(num_envs, horizon=5), steps)


def test_two_whole_episodes_suffice_and_diverged_ones_do_not_count_among_them():
    assert rollout(Probe(2, horizon=5), steps=5).batch.estimate.episodes == 2
    with pytest.raises(UsageError, match=r"1 whole episode\(s\) left .*, and 1 broke down; at least 2 are needed$"):
        rollout(Probe(2, horizon=5, breaks=lambda env, episode, age: env == 1), steps=5)


# What the batch says happened


def check_bookkeeping(batch: Batch, horizon: int) -> None:
    """Whatever ended the episodes, each row follows from the one before."""
    episode, age = batch.observation[..., 1], batch.observation[..., 2]
    over, going = batch.done[:-1], ~batch.done[:-1]
    np.testing.assert_array_equal(batch.observation[1:][going], batch.next_observation[:-1][going])
    assert (age[0] == 0).all() and (age[1:][over] == 0).all() and (age < horizon).all()
    assert (episode[1:] == episode[:-1] + over).all()
    led_to = batch.next_observation[batch.valid]
    came_from = batch.observation[batch.valid]
    np.testing.assert_array_equal(led_to[:, [0, 1, 3]], came_from[:, [0, 1, 3]])  # the same episode
    np.testing.assert_array_equal(led_to[:, 2], came_from[:, 2] + 1)
    np.testing.assert_array_equal(batch.reward[batch.valid], batch.action[batch.valid][:, 0])
    np.testing.assert_array_equal(batch.cost[batch.valid][:, 1], led_to[:, 2])
    assert batch.done[-1].all() and not (batch.terminated & ~batch.done).any()
    assert all(np.isfinite(x).all() for x in batch[:5])


def test_an_episode_that_terminates_is_done_and_terminated_before_its_reset():
    batch = rollout(Probe(3, horizon=10, length=lambda random: 4), steps=10).batch
    check_bookkeeping(batch, horizon=10)
    assert np.flatnonzero(batch.terminated[:, 0]).tolist() == [3, 7]
    assert np.flatnonzero(batch.done[:, 0]).tolist() == [3, 7, 9]
    assert batch.next_observation[3, :, 2].tolist() == [4, 4, 4] and batch.valid.all()


def test_an_episode_that_reaches_the_horizon_is_done_and_not_terminated():
    batch = rollout(Probe(2, horizon=4), steps=8).batch
    check_bookkeeping(batch, horizon=4)
    assert np.flatnonzero(batch.done[:, 0]).tolist() == [3, 7]
    assert not batch.terminated.any() and batch.estimate.episodes == 4


def test_an_episode_that_terminates_at_its_horizon_is_terminated():
    batch = rollout(Probe(2, horizon=4, length=lambda random: 4), steps=4).batch
    assert batch.terminated[-1].all() and batch.terminated.sum() == 2


def test_what_the_environment_truncates_is_done_and_not_terminated_and_counts():
    batch = rollout(Probe(2, horizon=6, truncated_at=3), steps=6).batch
    check_bookkeeping(batch, horizon=6)
    assert np.flatnonzero(batch.done[:, 1]).tolist() == [2, 5]
    assert not batch.terminated.any()
    assert batch.estimate.episodes == 2 and batch.estimate.cost[0] == 3


def test_what_is_cut_at_the_end_is_done_and_not_terminated_and_does_not_count():
    batch = rollout(Probe(4, horizon=5), steps=8).batch
    check_bookkeeping(batch, horizon=5)
    assert batch.done[-1].all() and not batch.terminated.any()
    assert batch.estimate.episodes == 4 and batch.estimate.cost[0] == 5
    assert (batch.next_observation[-1, :, 2] == 3).all()


@pytest.mark.parametrize("seed", range(3))
def test_bookkeeping_holds_when_everything_happens_at_once(seed):
    def breaks(env: int, episode: int, age: int) -> bool:
        return (7 * env + 5 * episode + age) % 11 == 0

    batch = rollout(Probe(6, 9, geometric(0.1), truncated_at=8, breaks=breaks), 27, (seed, 0)).batch
    check_bookkeeping(batch, horizon=9)
    assert (~batch.valid).any() and batch.terminated.any()


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1e300])
def test_a_diverged_episode_is_left_out_counted_and_followed_by_a_fresh_one(broken):
    def breaks(env: int, episode: int, age: int) -> bool:
        return (env, episode, age) in {(1, 0, 3), (2, 1, 5)}

    result = rollout(Probe(4, horizon=5, breaks=breaks, broken=broken), steps=10)
    batch = result.batch
    check_bookkeeping(batch, horizon=5)
    assert np.argwhere(~batch.valid).tolist() == [[2, 1], [9, 2]]
    assert result.diverged == 2 and batch.done[2, 1] and not batch.terminated.any()
    for t, env in ((2, 1), (9, 2)):
        assert batch.reward[t, env] == 0 and (batch.cost[t, env] == 0).all()
        np.testing.assert_array_equal(batch.next_observation[t, env], batch.observation[t, env])
    # environment 1: broken after 3 steps, then one whole episode from step 3 on; environment 2: one whole, one broken
    assert batch.estimate.episodes == 2 + (1 + 1) + (1 + 1) + 2 and result.broken == 2
    assert result.costs[:, 0].tolist() == [5.0] * 6


def test_breaking_down_where_it_is_costly_does_not_make_an_estimate_cheaper():
    class Costly(Probe):
        """Costs an environment's number in every step; the costliest break down."""

        def step(self, action):
            step = super().step(action)
            return step._replace(cost=np.repeat(self.state[:, :1], 2, axis=1))

    unbroken = rollout(Costly(10, horizon=5), steps=5).batch.estimate
    broken = rollout(Costly(10, horizon=5, breaks=lambda env, episode, age: env > 7 and age == 2), steps=5)
    survivors = broken.costs[:, 0].mean()
    assert survivors < 0.8 * unbroken.cost[0], "so the test would notice"
    assert broken.batch.estimate.cost[0] == (5 * np.arange(8)).sum() / 10 + 2 * 35 / 10
    assert unbroken.cost[0] > broken.batch.estimate.cost[0] > survivors + 3


def test_where_too_few_episodes_are_left_the_first_breakdown_is_named():
    class Telling(Probe):
        def step(self, action):
            return super().step(action)._replace(reason=f"age {self.state[0, 2]:g}")

    with pytest.raises(UsageError, match=r"0 whole .*, and 2 broke down; .*; the first breakdown: age 3$"):
        rollout(Telling(2, horizon=5, breaks=lambda env, episode, age: age >= 3), steps=5)


# Noise


def test_the_same_key_gives_the_same_bits():
    first, again = (rollout(Probe(3, 8, geometric(0.2)), 16, (4, 2)).batch for _ in range(2))
    assert_same_bits(first, again)


def test_what_the_simulator_did_before_leaves_no_trace():
    probe = Probe(3, 8, geometric(0.2))
    rollout(probe, 16, (9, 9))
    probe.state[:, 1] = -1
    assert_same_bits(rollout(probe, 16, (4, 2)).batch, rollout(Probe(3, 8, geometric(0.2)), 16, (4, 2)).batch)


@pytest.mark.parametrize("key", [(4, 3), (5, 2), (2, 4), (4, 2, 0)])
def test_another_key_gives_other_resets_and_other_actions(key):
    one, other = (rollout(Probe(3, 8), 16, k).batch for k in ((4, 2), key))
    assert not (one.observation[0, :, 3] == other.observation[0, :, 3]).any()
    assert not (one.action == other.action).any()


def test_every_slot_and_every_episode_starts_differently_whatever_the_number_of_slots():
    few, many = (rollout(Probe(num_envs, horizon=5), steps=15).batch for num_envs in (3, 5))
    starts = many.observation[::5, :, 3]
    assert len(np.unique(starts)) == starts.size
    np.testing.assert_array_equal(few.observation[::5, :, 3], starts[:, :3])


def test_without_noise_the_action_is_the_policys_mean():
    batch = rollout(Probe(3, 8, geometric(0.2)), 16, stochastic=False).batch
    np.testing.assert_allclose(batch.action, actor()(batch.observation), rtol=1e-6, atol=1e-7)


def test_with_noise_the_action_is_normal_around_the_mean_with_the_policys_deviation():
    act = actor()
    batch = collect(Probe(100, 40), act, 40, (0, 0)).batch
    noise = (batch.action - act(batch.observation)) / act.draws.std
    n = noise[..., 0].size
    assert abs(noise.mean((0, 1))).max() < 5 / np.sqrt(n)
    assert abs(noise.std((0, 1)) - 1).max() < 5 / np.sqrt(2 * n)
    pairs = [
        noise[1:, :, 0] * noise[:-1, :, 0],
        noise[:, 1:, 0] * noise[:, :-1, 0],
        noise[..., 0] * noise[..., 1],
    ]
    assert max(abs(pair.mean()) for pair in pairs) < 5 / np.sqrt(n), "over time, environments and entries"
    assert (act.draws.std != 1).all()


def test_random_for_is_a_function_of_purpose_and_key():
    keys = [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert len({random_for(purpose, *key).random() for purpose in ("reset", "action") for key in keys}) == 8
    assert random_for("reset", 1, 2).random() == random_for("reset", 1, 2).random()


def test_time_is_split_between_physics_and_policy():
    result = rollout(Probe(2, horizon=5), steps=5)
    assert result.physics_seconds > 0 and result.policy_seconds > 0


def test_the_probe_stands_behind_the_simulator_door():
    assert isinstance(Probe(1, 5), Simulator)
