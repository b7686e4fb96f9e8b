"""The noise of cos φ: how much of a gradient is signal, and what the angle is without the noise.

A batch's gradient is ĝ = g + noise, and ⟨ĝ, ĝ⟩ is too long by the noise's own length. So the cosine of two noisy
gradients is biased, towards 0 where their noises are independent, towards the cosine of the noises where reward and
cost err together. Inner products between *different* environments have no such bias, as they are independent:

    ⟨gᵢ, gⱼ⟩  ≈  mean over s ≠ t of ⟨hₛᵢ, hₜⱼ⟩

It is what one gets from splitting them in halves, ⟨gᵢ of one, gⱼ of the other⟩, averaged over all splits. The
corrected cos φ is made of these (Spearman's correction for attenuation, American Journal of Psychology 1904, with
errors that may be correlated).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from equipoise.conflict.env_gradients import EnvGradients
from equipoise.gradients.metric import FIXED, Metric

METRICS: tuple[Metric, ...] = FIXED
"""The metrics that angles are measured in: those that do not move with the limits."""

RESAMPLES = 1000
"""Resamples of the bootstrap."""


class Angle(NamedTuple):
    """cos φ of the reward and one cost in one metric, and what is known of it."""

    naive: float
    """cos φ of the batch's gradients, as an update computes it."""
    scatter: float
    """Standard deviation of the naive cos φ from one batch of the run's own size to another."""
    corrected: float
    """cos φ without the noise's bias; can be beyond ±1 by its own error. NaN where it is undefined: an objective's
    gradient has no length that could be told from 0."""
    low: float
    """Lower end of the corrected cos φ's 95 % interval."""
    high: float
    """Upper end of the corrected cos φ's 95 % interval."""
    signal_reward: float
    """Share of the squared length of the batch's reward gradient that is no noise (its reliability)."""
    signal_cost: float
    """Share of the squared length of the batch's cost gradient that is no noise (its reliability)."""
    ratio: float
    """−⟨g_r, g_c⟩/⟨g_c, g_c⟩ without the noise's bias: in the Fisher metric the multiplier in normalised units."""


def env_products(envs: EnvGradients, metric: Metric) -> Float[np.ndarray, "N m N m"]:
    """Return the inner products of all environments' gradients in `metric`; `natural` and `step` differ in length."""
    shape = envs.gradients.shape
    gradients, directions = (x.reshape(shape[0] * shape[1], shape[2]) for x in envs)
    if metric == "euclidean":
        gram = gradients @ gradients.T
    elif metric == "fisher":
        gram = gradients @ directions.T
    else:
        gram = directions @ directions.T
    return (0.5 * (gram + gram.T)).reshape(shape[0], shape[1], shape[0], shape[1])


def batch_gram(
    products: Float[np.ndarray, "N m N m"], weights: Float[np.ndarray, "*b N"]
) -> Float[np.ndarray, "*b m m"]:
    """Return the Gram matrix of the gradients of batches that hold each environment `weights` times."""
    total = np.einsum("...s,sitj,...t->...ij", weights, products, weights, optimize=True)
    return total / weights.sum(-1)[..., None, None] ** 2


def corrected_gram(
    products: Float[np.ndarray, "N m N m"], weights: Float[np.ndarray, "*b N"]
) -> Float[np.ndarray, "*b m m"]:
    """Return the Gram matrix without the noise's bias: the mean over pairs of different environments.

    No environment meets its own copy. NaN for a batch that holds a single environment.
    """
    same = np.einsum("...s,sisj->...ij", weights**2, products)
    pairs = weights.sum(-1) ** 2 - (weights**2).sum(-1)
    total = batch_gram(products, weights) * weights.sum(-1)[..., None, None] ** 2
    return (total - same) / np.where(pairs > 0, pairs, np.nan)[..., None, None]


def cosine(gram: Float[np.ndarray, "*b m m"], cost: int) -> Float[np.ndarray, "*b"]:
    """Return cos φ of the reward and cost number `cost`; NaN where a length is not positive."""
    reward, other = gram[..., 0, 0], gram[..., 1 + cost, 1 + cost]
    defined = (reward > 0) & (other > 0)
    return np.asarray(gram[..., 0, 1 + cost] / np.sqrt(np.where(defined, reward * other, np.nan)))


def angle(products: Float[np.ndarray, "N m N m"], cost: int, batch: int, random: np.random.Generator) -> Angle:
    """Estimate cos φ of the reward and cost number `cost`, and its noise by resampling environments with replacement.

    `batch` is the number of environments in the run's iterations. The corrected value is undefined unless both lengths
    are positive in 97.5 % of the resamples.
    """
    envs = len(products)
    once = np.ones(envs)
    naive, corrected = batch_gram(products, once), corrected_gram(products, once)
    resampled = corrected_gram(products, _resamples(envs, envs, random))
    defined = (np.einsum("bii->bi", resampled)[:, [0, 1 + cost]] > 0).all(1)
    known = defined.mean() >= 0.975 and bool(np.isfinite(cosine(corrected, cost)))
    low, high = np.quantile(cosine(resampled[defined], cost), [0.025, 0.975]) if known else (np.nan, np.nan)
    signal = np.diagonal(corrected) / np.where(np.diagonal(naive) > 0, np.diagonal(naive), np.nan)
    return Angle(
        naive=float(cosine(naive, cost)),
        scatter=float(np.std(cosine(batch_gram(products, _resamples(envs, batch, random)), cost))),
        corrected=float(cosine(corrected, cost)) if known else np.nan,
        low=float(low),
        high=float(high),
        signal_reward=float(signal[0]),
        signal_cost=float(signal[1 + cost]),
        ratio=float(-corrected[0, 1 + cost] / corrected[1 + cost, 1 + cost]) if known else np.nan,
    )


def _resamples(envs: int, size: int, random: np.random.Generator) -> Float[np.ndarray, "b N"]:
    """Draw how often each of `num_envs` is in each of many resamples of `size` with replacement."""
    return random.multinomial(size, np.full(envs, 1 / envs), RESAMPLES).astype(float)
