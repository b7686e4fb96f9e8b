"""The policy step: natural gradients of all objectives, a combination of them, and a KL line search.

Every objective is written so that up is better: objective 0 is the reward, objective k is minus cost k.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from equipoise.algorithms.settings import TrustRegion
from equipoise.gradients.aggregation import aggregated_combination
from equipoise.gradients.aggregators import Aggregator
from equipoise.gradients.aggregators.pcrpo import PCRPO as PROJECTION
from equipoise.gradients.metric import Metric, cosines, geometry
from equipoise.gradients.projection import combine
from equipoise.numerics import gaussian
from equipoise.numerics.fisher import fisher_products
from equipoise.numerics.krylov import NaturalGradients, Products, natural_gradients
from equipoise.policy import GaussianPolicy

MODES = ("reward", "balance", "safety")
"""What an update is for, in the order of `Wish.mode`."""

OUTCOMES = ("accepted", "stationary", "rejected", "stationary, then fallback", "rejected, then fallback")
"""What became of an update, in the order of `StepReport.outcome`."""


class Wish(NamedTuple):
    """What a constraint handler asks of an update: candidates to try in turn until one is accepted."""

    mode: Int[Array, ""]
    """Index into `MODES`."""
    wanted: Bool[Array, "C m"]
    """For each candidate, the objectives to combine; a candidate that wants none is passed over."""
    preference: Float[Array, "C m"]
    """For each candidate, the objectives' weights x_i ≥ 0."""


class Samples(NamedTuple):
    """An iteration's steps as the policy step sees them; T time steps of N environments."""

    observation: Float[Array, "T N obs"]
    """Normalised observations."""
    action: Float[Array, "T N act"]
    """Actions taken."""
    advantage: Float[Array, "T N m"]
    """Normalised advantages of every objective, up is better; 0 where not valid."""
    valid: Bool[Array, "T N"]
    """Steps that count."""


class StepReport(NamedTuple):
    """What the policy step saw and did."""

    mode: Int[Array, ""]
    """Index into `MODES`."""
    outcome: Int[Array, ""]
    """Index into `OUTCOMES`."""
    cos: Float[Array, " K"]
    """cos φ of the reward's and each cost's gradient in the algorithm's metric; they conflict below 0."""
    cos_fisher: Float[Array, " K"]
    """The same in the Fisher metric."""
    ratio: Float[Array, " K"]
    """−A_rk/A_kk: for each constraint the multiplier at which reward and cost would balance, in normalised units."""
    gain: Float[Array, " m"]
    """First-order change of each surrogate along the step taken."""
    gain_heldout: Float[Array, " m"]
    """The same for the step that half of the environments would take, measured on the gradients of the other half."""
    kl: Float[Array, ""]
    """Mean KL divergence from the old policy to the new."""
    backtracks: Int[Array, ""]
    """How often the accepted step was shortened."""


def improve(
    policy: GaussianPolicy,
    samples: Samples,
    wish: Wish,
    config: TrustRegion,
    metric: Metric,
    aggregator: Aggregator = PROJECTION,
) -> tuple[GaussianPolicy, StepReport]:
    """Take the first acceptable step among the candidates of `wish`; the policy stays as it is if there is none.

    `aggregator` combines the candidates that want the reward and constraints; PCRPO's projection all others.
    """
    start, rebuild = ravel_pytree(policy)
    halves = [jax.tree.map(lambda x, s=s: x[:, s::2], samples) for s in (0, 1)]
    sums = [_gradient_sums(rebuild, start, half) for half in halves]
    counts = [half.valid.sum() for half in halves]
    gradients = (sums[0] + sums[1]) / (counts[0] + counts[1])
    natural = _natural_gradients(policy, samples, gradients, config)

    direct = partial(_direction, config=config, metric=metric, aggregator=aggregator)
    step = _search(rebuild, start, samples, natural, wish, config, direct)
    heldout = _heldout_gain(policy, halves[0], sums[0] / counts[0], sums[1] / counts[1], wish, step, config, direct)
    cos_fisher = cosines(natural.gram)[0, 1:]
    cost_length = jnp.diagonal(natural.gram)[1:]
    return rebuild(step.parameters).on_floor(), StepReport(
        mode=wish.mode,
        outcome=step.outcome,
        cos=cosines(geometry(natural, metric).gram)[0, 1:],
        cos_fisher=cos_fisher,
        ratio=jnp.where(cost_length > 0, -natural.gram[0, 1:] / jnp.where(cost_length > 0, cost_length, 1), 0),
        gain=natural.gram @ step.coefficients,
        gain_heldout=heldout,
        kl=step.kl,
        backtracks=step.backtracks,
    )


Rebuild = Callable[[Float[Array, " d"]], GaussianPolicy]
"""A policy from its parameters as one vector."""


def _flat(x: Array) -> Array:
    return x.reshape(-1, *x.shape[2:])


def _gradient_sums(rebuild: Rebuild, parameters: Float[Array, " d"], samples: Samples) -> Float[Array, "m d"]:
    """Return Σ Âᵢ ∇ log π(a|s) over the samples for every objective i."""
    observation, action, advantage = map(_flat, samples[:3])

    def log_densities(parameters: Float[Array, " d"]) -> Float[Array, " n"]:
        return gaussian.log_density(action, *rebuild(parameters)(observation))

    pull = jax.vjp(log_densities, parameters)[1]
    return jax.vmap(lambda weights: pull(weights)[0])(advantage.T)


def _fisher(policy: GaussianPolicy, samples: Samples, every: int) -> Products:
    """Return the products with the Fisher matrix over the valid samples of every so many time steps.

    Neighbours in time have nearly the same observation, and these products are the dearest part of a policy step (TRPO
    takes a tenth of the samples: Schulman et al., ICML 2015, appendix C).
    """
    observation, valid = (_flat(x[::every]) for x in (samples.observation, samples.valid))
    parameters, rebuild = ravel_pytree(policy)
    return fisher_products(lambda p: rebuild(p)(observation), parameters, valid / jnp.maximum(valid.sum(), 1))


def _natural_gradients(
    policy: GaussianPolicy, samples: Samples, gradients: Float[Array, "m d"], config: TrustRegion
) -> NaturalGradients:
    """Solve for the objectives' natural gradients, F taken over `samples` as `config` says."""
    fisher = _fisher(policy, samples, config.fisher_every)
    return natural_gradients(fisher, gradients, config.damping, config.cg_iterations)


class _Direction(NamedTuple):
    """A candidate's step of full length."""

    coefficients: Float[Array, " m"]
    """cᵢ of the step Σ cᵢuᵢ."""
    vanishes: Bool[Array, ""]
    """The objectives have no common direction of ascent."""


Direct = Callable[[NaturalGradients, Bool[Array, " m"], Float[Array, " m"]], _Direction]
"""(natural gradients, wanted, preference) ↦ a candidate's step of full length."""


def _direction(
    natural: NaturalGradients,
    wanted: Bool[Array, " m"],
    preference: Float[Array, " m"],
    config: TrustRegion,
    metric: Metric,
    aggregator: Aggregator = PROJECTION,
) -> _Direction:
    """Combine the wanted objectives in `metric`, and scale to the radius δ·sin²φ by dᵀ(F + λI)d = cᵀAc = 2·radius.

    Rescaling a vanishing direction to full length would amplify noise exactly at the optimum, hence sin²φ.
    """
    gram, scale = geometry(natural, metric)
    balancing = wanted[0] & wanted[1:].any()
    balance = partial(aggregated_combination, aggregator)
    combination = jax.lax.cond(balancing, balance, combine, gram, preference, wanted)
    weights = combination.weights * scale
    square = weights @ natural.gram @ weights
    vanishes = ~((square > 0) & (combination.sin2_phi >= config.min_sin2_phi))
    length = jnp.sqrt(2 * config.max_kl * combination.sin2_phi / jnp.where(vanishes, 1.0, square))
    return _Direction(jnp.where(vanishes, 0.0, length * weights), vanishes)


class _Step(NamedTuple):
    parameters: Float[Array, " d"]
    coefficients: Float[Array, " m"]
    candidate: Int[Array, ""]
    outcome: Int[Array, ""]
    kl: Float[Array, ""]
    backtracks: Int[Array, ""]


def _search(
    rebuild: Rebuild,
    start: Float[Array, " d"],
    samples: Samples,
    natural: NaturalGradients,
    wish: Wish,
    config: TrustRegion,
    direct: Direct,
) -> _Step:
    """Try the candidates in turn, each with a backtracking line search, until one is accepted."""
    observation, action, advantage, valid = map(_flat, samples)
    weight = valid / valid.sum()
    mean, log_std = rebuild(start)(observation)
    log_density = gaussian.log_density(action, mean, log_std)
    env_means = samples.advantage.sum(0) / jnp.maximum(samples.valid.sum(0), 1)[:, None]
    allowed_loss = config.allowed_loss * env_means.std(0, ddof=1) / jnp.sqrt(env_means.shape[0])

    def measure(parameters: Float[Array, " d"]) -> tuple[Float[Array, ""], Float[Array, " m"]]:
        """Return the mean KL divergence and every surrogate's change at `parameters`."""
        new_mean, new_log_std = rebuild(parameters)(observation)
        change = gaussian.log_density(action, new_mean, new_log_std) - log_density
        kl = weight @ gaussian.divergence(mean, log_std, new_mean, new_log_std)
        return kl, (weight * jnp.expm1(change)) @ advantage

    def attempt(candidate: Int[Array, ""]) -> tuple[Array, ...]:
        wanted, preference = wish.wanted[candidate], wish.preference[candidate]
        direction = direct(natural, wanted, preference)
        step = direction.coefficients @ natural.directions

        def shorten(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            tries, _, _ = carry
            kl, change = measure(start + config.backtrack**tries * step)
            good = (kl <= config.max_kl) & (direction.coefficients @ change > 0)
            good &= (~wanted | (change >= -allowed_loss)).all()
            return tries + 1, good, kl

        def searching(carry: tuple[Array, Array, Array]) -> Array:
            tries, good, _ = carry
            return ~good & ~direction.vanishes & (tries <= config.backtracks)

        tries, good, kl = jax.lax.while_loop(
            searching, shorten, (jnp.zeros((), jnp.int32), jnp.zeros((), bool), jnp.zeros(()))
        )
        shortened = config.backtrack ** (tries - 1)
        return good, direction.vanishes, shortened * direction.coefficients, kl, tries - 1

    def try_next(carry: tuple[Int[Array, ""], Array, _Step]) -> tuple[Int[Array, ""], Array, _Step]:
        candidate, _, step = carry
        good, vanishes, coefficients, kl, backtracks = attempt(candidate)
        failure = jnp.where(candidate == 0, jnp.where(vanishes, 1, 2), step.outcome)
        success = jnp.where(candidate == 0, 0, step.outcome + 2)
        taken = _Step(
            parameters=start + coefficients @ natural.directions,
            coefficients=coefficients,
            candidate=candidate,
            outcome=success.astype(jnp.int32),
            kl=kl,
            backtracks=backtracks,
        )
        failed = step._replace(outcome=failure.astype(jnp.int32))
        return candidate + 1, good, jax.tree.map(lambda a, b: jnp.where(good, a, b), taken, failed)

    def unfinished(carry: tuple[Int[Array, ""], Array, _Step]) -> Array:
        candidate, done, _ = carry
        return ~done & (candidate < len(wish.wanted))

    zero = jnp.zeros((), jnp.int32)
    nothing = _Step(start, jnp.zeros(len(natural.gradients)), zero, zero, jnp.zeros(()), zero)
    return jax.lax.while_loop(unfinished, try_next, (zero, jnp.zeros((), bool), nothing))[2]


def _heldout_gain(
    policy: GaussianPolicy,
    half: Samples,
    gradients: Float[Array, "m d"],
    other_gradients: Float[Array, "m d"],
    wish: Wish,
    step: _Step,
    config: TrustRegion,
    direct: Direct,
) -> Float[Array, " m"]:
    """Return dᵀgᵢ, d computed from one half of the environments and gᵢ from the other half.

    On the data it was computed from, a step harms no objective by construction; whether it would harm one elsewhere
    only other data can say.
    """
    natural = _natural_gradients(policy, half, gradients, config)
    wanted, preference = wish.wanted[step.candidate], wish.preference[step.candidate]
    direction = direct(natural, wanted, preference)
    gain = other_gradients @ (direction.coefficients @ natural.directions)
    return jnp.where(step.coefficients.any(), gain, 0.0)
