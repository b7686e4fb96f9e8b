"""A map of J_r and J_k around a checkpoint, in the plane of their natural gradients, with the algorithms' steps in it.

In the Fisher metric the plane is drawn true to angle and length: the trust region is the unit circle, the reward's step
goes to the right, and the angle between it and the cost's step is φ. Returns are those of whole episodes, undiscounted,
from the same starts and with the same action noise at every point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from equipoise.algorithms.prepare import Samples
from equipoise.algorithms.rule import MODES, Plan, Rule, Seen
from equipoise.algorithms.steps.report import OUTCOMES, Improved
from equipoise.algorithms.steps.trust_region import TrustRegion, objective_gradients
from equipoise.conflict.env_gradients import Observed
from equipoise.numerics.krylov import NaturalGradients
from equipoise.physics import Simulator
from equipoise.policy import Actor, Policy
from equipoise.training.rollout import collect

REACH = 2.0
"""How far the map goes to each side, in radii of the trust region."""


class Plane(NamedTuple):
    """The plane through a policy that its reward gradient and one cost's gradient span."""

    centre: Float[np.ndarray, " d"]
    """The policy's parameters."""
    axes: Float[np.ndarray, "2 d"]
    """Two directions, orthogonal in the Fisher metric, each as long as the trust region's radius: along the reward's
    natural gradient, and along what the cost's has beside it."""
    duals: Float[np.ndarray, "2 d"]
    """Two vectors whose inner products with a step are the step's coordinates in the plane."""

    def coordinates(self, parameters: Float[np.ndarray, " d"]) -> Float[np.ndarray, "2"]:
        """Return where `parameters` lie in the plane; those of a step out of it, where it is nearest in the metric."""
        return self.duals @ (parameters - self.centre)

    def at(self, x: float, y: float) -> Float[np.ndarray, " d"]:
        """Return the parameters at a point of the plane."""
        return self.centre + x * self.axes[0] + y * self.axes[1]


class Step(NamedTuple):
    """A policy step, drawn into the plane."""

    x: float
    """Where the step ends along the first axis."""
    y: float
    """Where the step ends along the second axis."""
    outcome: str
    """What became of the step, as in metrics.csv."""


class Landscape(NamedTuple):
    """Mean return and cost of an episode over the plane, and steps in it."""

    x: Float[np.ndarray, " G"]
    """Coordinates of the grid's columns, in radii of the trust region."""
    y: Float[np.ndarray, " G"]
    """Coordinates of the grid's rows, in radii of the trust region."""
    reward: Float[np.ndarray, "G G"]
    """Ĵ_r, by row and column."""
    reward_se: Float[np.ndarray, "G G"]
    """SE_r, the standard error of Ĵ_r. Much of it is common to all points, as they share their noise."""
    cost: Float[np.ndarray, "G G"]
    """Ĵ_k, by row and column."""
    cost_se: Float[np.ndarray, "G G"]
    """SE_k, the standard error of Ĵ_k."""
    steps: dict[str, Step]
    """Where an update in each mode would lead."""

    def __repr__(self) -> str:
        return f"<Landscape of {len(self.x)} × {len(self.y)} policies>"


def plane_of(observed: Observed, region: TrustRegion, cost: int) -> Plane:
    """Return the plane of the reward's gradient and that of cost number `cost`, as the update computes them."""
    pair = [0, 1 + cost]
    natural = [np.asarray(x, float)[pair] for x in _solved(observed.state.policy, observed.samples, region)]
    gradients, directions, gram = natural[0], natural[1], natural[2][:, pair]
    # Gram–Schmidt: the rows of `change` take (u_r, u_k) to vectors that are orthonormal under A.
    overlap = gram[0, 1] / gram[0, 0]
    beside = gram[1, 1] - overlap * gram[0, 1]
    change = np.array([[1.0, 0.0], [-overlap, 1.0]]) / np.sqrt([[gram[0, 0]], [max(beside, 0.0)]])
    if not beside > 1e-6 * gram[1, 1]:  # parallel: there is no second direction
        change[1] = 0.0
    radius = np.sqrt(2 * region.max_kl)
    centre = np.asarray(ravel_pytree(observed.state.policy)[0], float)
    return Plane(centre, radius * change @ directions, change @ gradients / radius)


@jax.jit
def _solved(policy: Policy, samples: Samples, region: TrustRegion) -> NaturalGradients:
    return region.natural_gradients(policy, samples, objective_gradients(policy, samples))


def steps_in(
    plane: Plane, observed: Observed, rule: Rule, share: float, region: TrustRegion, seen: Seen, cost: int
) -> dict[str, Step]:
    """Take an update's policy step from the same rollout in every mode, were the cost number `cost` the only one.

    Reward and safety are what crpo switches between, balance is what `rule` does inside its band, the reward's weight
    being `share`.
    """
    preferences = {"reward": (1.0, 0.0), "balance": (share, 1.0 - share), "safety": (0.0, 1.0)}
    steps = {}
    for mode, pair in preferences.items():
        preference = np.zeros((1, len(observed.unit)))
        preference[0, [0, 1 + cost]] = pair
        plan = Plan(
            jnp.asarray(MODES.index(mode), jnp.int32), jnp.asarray(preference > 0), jnp.asarray(preference, jnp.float32)
        )
        moved = _improve(region, observed.state.policy, observed.samples, plan, seen, rule)
        x, y = plane.coordinates(np.asarray(ravel_pytree(moved.policy)[0], float))
        steps[mode] = Step(float(x), float(y), OUTCOMES[int(moved.report.outcome)])
    return steps


@jax.jit
def _improve(region: TrustRegion, policy: Policy, samples: Samples, plan: Plan, seen: Seen, rule: Rule) -> Improved:
    return region.improve(policy, (), samples, plan, seen, rule, jax.random.key(0))


def landscape(
    simulator: Simulator,
    plane: Plane,
    observed: Observed,
    steps: dict[str, Step],
    cost: int,
    grid: int,
    key: tuple[int, ...],
    watch: Callable[[int], object] = lambda done: None,
) -> Landscape:
    """Roll out the policy at `grid` × `grid` points of the plane, all under the same `key` of noise.

    `watch` is called with the number of points that are done.
    """
    at = np.linspace(-REACH, REACH, grid)
    rebuild = ravel_pytree(observed.state.policy)[1]
    means = np.zeros((4, grid, grid))
    for row, column in np.ndindex(grid, grid):
        policy = rebuild(jnp.asarray(plane.at(float(at[column]), float(at[row])), jnp.float32)).on_floor()
        actor = Actor(policy, observed.state.observations)
        found = collect(simulator, actor, simulator.problem.horizon, key).batch.estimate
        means[:, row, column] = found.reward, found.reward_se, found.cost[cost], found.cost_se[cost]
        watch(row * grid + column + 1)
    reward, reward_se, found_cost, cost_se = means
    return Landscape(at, at, reward, reward_se, found_cost, cost_se, steps)


class Surface(NamedTuple):
    """A quadratic fitted to a map by least squares: less noisy than its points."""

    coefficients: Float[np.ndarray, "6"]
    """Coefficients of 1, x, y, x², xy and y²."""
    slope_se: Float[np.ndarray, "2"]
    """Standard errors of the slopes in x and y at the centre, from the residuals."""

    def __call__(self, x: Float[np.ndarray, "*b"], y: Float[np.ndarray, "*b"]) -> Float[np.ndarray, "*b"]:
        """Evaluate the surface."""
        return np.asarray(_terms(x, y) @ self.coefficients)


def fit(x: Float[np.ndarray, " G"], y: Float[np.ndarray, " G"], values: Float[np.ndarray, "G G"]) -> Surface:
    """Fit a surface to `values` by row and column."""
    terms = _terms(*np.meshgrid(x, y)).reshape(-1, 6)
    coefficients = np.linalg.lstsq(terms, values.ravel(), rcond=None)[0]
    residual = values.ravel() - terms @ coefficients
    variance = residual @ residual / max(1, len(residual) - 6)
    return Surface(coefficients, np.sqrt(variance * np.diagonal(np.linalg.pinv(terms.T @ terms)))[1:3])


def cos_on(land: Landscape) -> tuple[float, float]:
    """Return cos φ of the undiscounted return and cost on the map, from their slopes at its centre, and its error.

    It knows nothing of discounts, critics and advantages, and sees no more of the gradients than lies in the plane.
    """
    reward, cost = (fit(land.x, land.y, mean) for mean in (land.reward, -land.cost))
    slopes = [surface.coefficients[1:3] for surface in (reward, cost)]
    turns = [
        np.hypot(slope[0] * surface.slope_se[1], slope[1] * surface.slope_se[0]) / (slope @ slope)
        for slope, surface in zip(slopes, (reward, cost), strict=True)
    ]
    cos = slopes[0] @ slopes[1] / np.linalg.norm(slopes[0]) / np.linalg.norm(slopes[1])
    return float(cos), float(np.sqrt(max(0.0, 1 - cos**2)) * np.hypot(*turns))


def _terms(x: Float[np.ndarray, "*b"], y: Float[np.ndarray, "*b"]) -> Float[np.ndarray, "*b 6"]:
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
