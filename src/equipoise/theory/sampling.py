"""Sampled values: Monte-Carlo returns from a generative model, truncated at a horizon."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, PRNGKeyArray
from scipy import stats

from equipoise.problem import Array, Estimate
from equipoise.settings import require
from equipoise.theory.cmdp import CMDP, payoffs


class Sampling(NamedTuple):
    """How much is sampled at every iteration: Q̂ and Ĵ are independent of each other."""

    rollouts: int = 1
    """Rollouts from every state and action; their mean return is Q̂(s, a)."""
    episodes: int = 20
    """Episodes from the initial distribution; their mean return is Ĵ, with standard error sd/√n."""
    horizon: int = 30
    """Steps of each rollout and episode; what comes after (a share γ^horizon) is left out."""

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        require(self.rollouts >= 1, f"rollouts is {self.rollouts}; allowed: 1 or more")
        require(self.episodes >= 2, f"episodes is {self.episodes}; allowed: 2 or more, for a standard error")
        require(self.horizon >= 1, f"horizon is {self.horizon}; allowed: 1 or more")


def sample(
    cmdp: CMDP, policy: Float[Array, "S A"], sampling: Sampling, key: PRNGKeyArray
) -> tuple[Float[Array, "m S A"], Estimate]:
    """Return Q̂ of every objective (up is better) and Ĵ with its standard errors, from independent rollouts."""
    states, actions = policy.shape
    first_key, key = jax.random.split(key)
    pairs = jnp.tile(jnp.arange(states * actions), sampling.rollouts)
    starts = jax.random.categorical(
        first_key, jnp.log(cmdp.initial[:, None] * policy).ravel(), shape=(sampling.episodes,)
    )
    returns = rollout(cmdp, policy, jnp.concatenate([pairs, starts]), sampling.horizon, key)
    m = len(returns)
    quality = returns[:, : len(pairs)].reshape(m, sampling.rollouts, states, actions).mean(1)
    return quality, summarise(returns[:, len(pairs) :], sampling.horizon)


def rollout(
    cmdp: CMDP, policy: Float[Array, "S A"], pairs: Int[Array, " n"], horizon: int, key: PRNGKeyArray
) -> Float[Array, "m n"]:
    """Return the discounted sums of every objective's payoff over `horizon` steps from `pairs`, s·A + a."""
    states, actions = policy.shape
    payoff = payoffs(cmdp).reshape(-1, states * actions)
    following = jnp.cumsum(cmdp.transition, -1)[..., :-1].reshape(states * actions, states - 1)
    choice = jnp.cumsum(policy, -1)[:, :-1]

    def step(carry: tuple[Array, Array, Array], uniform: Array) -> tuple[tuple[Array, Array, Array], None]:
        pair, weight, total = carry
        total = total + weight * payoff[:, pair]
        state = (uniform[0, :, None] >= following[pair]).sum(-1)
        action = (uniform[1, :, None] >= choice[state]).sum(-1)
        return (state * actions + action, weight * cmdp.discount, total), None

    uniforms = jax.random.uniform(key, (horizon, 2, len(pairs)), jnp.float32)
    start = (pairs, jnp.ones(()), jnp.zeros((len(payoff), len(pairs))))
    return jax.lax.scan(step, start, uniforms)[0][2]


def summarise(returns: Float[Array, "m n"], horizon: int) -> Estimate:
    """Return Ĵ and its standard errors from `n` episodes' discounted sums."""
    n = returns.shape[1]
    mean, error = returns.mean(1), returns.std(1, ddof=1) / jnp.sqrt(n)
    return _estimate(mean, error, n, horizon, float(stats.t.ppf(0.95, n - 1)))


def exactly(objective: Float[Array, " m"]) -> Estimate:
    """Return the estimate that exact values are: J with standard error 0."""
    return _estimate(objective, jnp.zeros_like(objective), 1, 0, 0.0)


def _estimate(mean: Float[Array, " m"], error: Float[Array, " m"], n: int, length: int, t95: float) -> Estimate:
    return Estimate(
        reward=mean[0],
        reward_se=error[0],
        cost=-mean[1:],
        cost_se=error[1:],
        episodes=jnp.asarray(n, jnp.int32),
        length=jnp.asarray(length, float),
        t95=jnp.asarray(t95, float),
    )
