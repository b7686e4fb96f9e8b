"""Rollout: N environments × T steps of whole episodes, every iteration from resets (see ARCHITECTURE.md)."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray

from equipoise.errors import UsageError
from equipoise.physics import Simulator, Transition
from equipoise.policy import Actor
from equipoise.problem import Batch, Estimate, estimate
from equipoise.training.mixture import SideBySide

WORD = 2**32
"""What NumPy's and JAX's seeds are made of."""


def random_for(purpose: str, *key: int) -> np.random.Generator:
    """Return the source of noise for `purpose` under `key`: the same numbers whenever it is asked for."""
    # As a spawn key, so that keys of different lengths never give the same stream. What does not fit a word goes
    # elsewhere, as NumPy would take it for two parts of the key.
    low, high = [part % WORD for part in key], [part // WORD for part in key]
    entropy = [zlib.crc32(purpose.encode()), *(high if any(high) else [])]
    return np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=tuple(low)))


def random_key(seed: int) -> PRNGKeyArray:
    """Return JAX's key for a seed below 2^64; `jax.random.key` takes no more than the last 32 bits of it."""
    return jax.random.wrap_key_data(jnp.asarray([seed // WORD, seed % WORD], jnp.uint32), impl="threefry2x32")


class Rollout(NamedTuple):
    """What an iteration collected."""

    batch: Batch
    """The steps, and Ĵ estimated from the whole episodes among them."""
    returns: Float[np.ndarray, " n"]
    """Each whole episode's return."""
    costs: Float[np.ndarray, "n K"]
    """Each whole episode's costs."""
    broken: int
    """Episodes that would be among them, had their simulation not broken down."""
    diverged: int
    """All episodes whose simulation broke down."""
    physics_seconds: float
    """Time spent stepping the simulator, its observation, reward and cost included."""
    policy_seconds: float
    """The rest of the rollout's time: acting, resetting, storing."""


class Episodes(NamedTuple):
    """Undiscounted sums over whole episodes."""

    returns: Float[np.ndarray, " n"]
    costs: Float[np.ndarray, "n K"]
    broken: int
    """Episodes that would be among them, had their simulation not broken down."""
    estimate: Estimate


def collect(
    simulator: Simulator,
    actor: Actor | SideBySide,
    steps: int,
    key: tuple[int, ...],
    stochastic: bool = True,
    watch: Callable[[float], object] | None = None,
) -> Rollout:
    """Run `actor` for `steps` steps in every environment of `simulator`, all noise drawn under `key`.

    Every environment starts from a reset. One whose episode ends, by termination, by the horizon or by divergence,
    is reset at once; what is still running at the end is cut there. Where a simulator resets within a step
    (`Transition.idle`), that step counts in nothing. `watch` is called after every step with the share of them that is
    done.
    """
    started, physics_seconds = time.perf_counter(), 0.0
    problem, num_envs = simulator.problem, simulator.num_envs
    randoms = [random_for("reset", *key, env) for env in range(num_envs)]
    draws = actor.draws
    noise = draws.noise(random_for("action", *key), (steps, num_envs)) if stochastic else [0.0] * steps

    def empty(*shape: int, dtype: type | np.dtype = np.float32) -> np.ndarray:
        return np.zeros((steps, num_envs, *shape), dtype)

    seen, following = empty(problem.observation_size), empty(problem.observation_size)
    actions = empty(problem.action_size, dtype=draws.dtype)
    rewards, costs = empty(), empty(len(problem.cost_names))
    terminated, done, diverged, idle = (empty(dtype=bool) for _ in range(4))

    observation = simulator.reset(range(num_envs), randoms)
    age, reason = np.zeros(num_envs, int), ""
    for t in range(steps):
        action = actor.act(observation, noise[t])
        before = time.perf_counter()
        step = simulator.step(action)
        physics_seconds += time.perf_counter() - before
        if step.diverged.any():
            reason = reason or step.reason
            step = _blank_diverged(step, observation)
        seen[t], actions[t], following[t] = observation, action, step.observation
        rewards[t], costs[t] = step.reward, step.cost
        terminated[t], diverged[t] = step.terminated, step.diverged
        age += 1
        if step.idle is not None:
            idle[t], age[step.idle] = step.idle, 0
        over = step.terminated | step.truncated | step.diverged | (age >= problem.horizon)
        observation = step.observation
        done[t] = over | idle[t]
        if t < steps - 1 and over.any():
            ended = np.flatnonzero(over)
            observation = observation.copy()
            observation[ended] = simulator.reset(ended.tolist(), [randoms[env] for env in ended])
            age[ended] = 0
        if watch is not None:
            watch((t + 1) / steps)
    done[-1] = True
    episodes = whole_episodes(rewards, costs, done, diverged, problem.horizon, reason, idle)
    valid = ~(diverged | idle)
    batch = Batch(seen, actions, rewards, costs, following, terminated, done, valid, estimate=episodes.estimate)
    policy_seconds = time.perf_counter() - started - physics_seconds
    returns, costs_of_episodes, broken = episodes[:3]
    return Rollout(batch, returns, costs_of_episodes, broken, int(diverged.sum()), physics_seconds, policy_seconds)


def _blank_diverged(step: Transition, observation: Float[np.ndarray, "N obs"]) -> Transition:
    """Blank the rows of diverged environments: they hold no meaning, and numbers that may not fit a float32."""
    gone = step.diverged
    return step._replace(
        observation=np.where(gone[:, None], observation, step.observation),
        reward=np.where(gone, 0.0, step.reward),
        cost=np.where(gone[:, None], 0.0, step.cost),
        terminated=step.terminated & ~gone,
    )


def whole_episodes(
    rewards: Float[np.ndarray, "T N"],
    costs: Float[np.ndarray, "T N K"],
    done: Bool[np.ndarray, "T N"],
    diverged: Bool[np.ndarray, "T N"],
    horizon: int,
    reason: str = "",
    idle: Bool[np.ndarray, "T N"] | None = None,
) -> Episodes:
    """Sum reward and costs over exactly the episodes whose start left at least `horizon` steps.

    Where an environment is `idle`, that step is of no episode: it is done there, and in the step before.

    Taking all *finished* episodes instead is biased where tasks terminate: short episodes finish more often. For the
    same reason those that broke down are not left out of the estimate, for they may have done so where it is costly:
    each counts as the worst of the others, lowest return and highest cost of every kind, or its own if that is worse.
    """
    steps, num_envs = rewards.shape
    over = done.copy()
    over[-1] = True
    ends = np.flatnonzero(over.T)  # one environment after the other
    starts = np.concatenate([[0], ends[:-1] + 1])
    whole = (starts % steps + horizon <= steps) & done.T.ravel()[ends]
    broken = whole & diverged.T.ravel()[ends]
    whole &= ~broken
    if idle is not None:
        whole &= ~idle.T.ravel()[ends]
    if whole.sum() < 2:
        raise UsageError(
            f"{whole.sum()} whole episode(s) left to estimate the episode cost from, and {broken.sum()} broke down; at "
            f"least 2 are needed{reason and '; the first breakdown: '}{reason}"
        )
    payoffs = np.concatenate([rewards[..., None], costs], axis=2, dtype=np.float64).swapaxes(0, 1)
    sums = np.add.reduceat(payoffs.reshape(steps * num_envs, -1), starts)
    good, bad, lengths = sums[whole], sums[broken], (ends - starts + 1)[whole]
    if not len(bad):
        return Episodes(good[:, 0], good[:, 1:], 0, estimate(good[:, 0], good[:, 1:], lengths))
    returns = np.concatenate([good[:, 0], np.minimum(bad[:, 0], good[:, 0].min())])
    worst = np.concatenate([good[:, 1:], np.maximum(bad[:, 1:], good[:, 1:].max(0))])
    return Episodes(good[:, 0], good[:, 1:], len(bad), estimate(returns, worst, lengths))
