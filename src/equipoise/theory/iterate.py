"""Run a method on finite CMDPs: many problems (and seeds) at once, in float64, keeping sums instead of histories."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Key, PRNGKeyArray

from equipoise.problem import Array
from equipoise.theory.cmdp import CMDP, evaluate, softmax
from equipoise.theory.methods import Method, Move, View
from equipoise.theory.natural import implied_multipliers, natural_gradients
from equipoise.theory.sampling import Sampling, exactly, sample

LATE = 0.9
"""The share of a run after which its sums of the late iterates begin."""


class Sums(NamedTuple):
    """Sums over the iterates so far. J is always exact, whatever the method saw."""

    output: Float[Array, ""]
    """Σ w_r, the weight of the iterates as outputs."""
    objective: Float[Array, " m"]
    """Σ w_r J."""
    duty: Float[Array, ""]
    """Σ_t Σ_k w_k (b_k − J_k): what the time spent on costs can hide of the reward's gap; see `bounds`."""
    square: Float[Array, ""]
    """Σ_t (Σ_i w_i)², T for methods whose weights sum to 1."""
    modes: Int[Array, " 3"]
    """Iterations in each of `trust_region.MODES`."""
    excess: Float[Array, ""]
    """Σ_t max_k (J_k − b_k)⁺, the violation on the way."""
    late: Float[Array, ""]
    """Number of late iterates."""
    late_objective: Float[Array, " m"]
    """Σ J over the late iterates."""
    late_square: Float[Array, " m"]
    """Σ J² over the late iterates."""
    late_error: Float[Array, " K"]
    """Σ of the standard errors of Ĵ_k over the late iterates."""


class State(NamedTuple):
    """All that a run carries from one iteration to the next."""

    parameters: Float[Array, "S A"]
    """θ; starts at 0, the uniform policy."""
    dual: Float[Array, " K"]
    """The method's own multipliers, starting at 0."""
    sums: Sums
    """The sums over the iterates so far."""


class Result(NamedTuple):
    """What became of a run, in NumPy arrays with the problems along a first axis (left out of the shapes here)."""

    average: Float[Array, " m"]
    """J of the averaged iterate: drawn with probability ∝ w_r. NaN if no iterate improved the reward."""
    last: Float[Array, " m"]
    """J of the last iterate."""
    late: Float[Array, " m"]
    """Mean J over the last tenth of the run."""
    swing: Float[Array, " m"]
    """Standard deviation of J over the last tenth: what oscillates."""
    multipliers: Float[Array, " K"]
    """The multipliers that the last iterate's gradients imply."""
    sums: Sums
    """The sums over all iterates."""
    policy: Float[Array, "S A"]
    """The last iterate."""


def run(
    cmdps: CMDP,
    method: Method,
    step: Float[np.ndarray, " N"],
    iterations: int,
    sampling: Sampling | None = None,
    seed: int = 0,
) -> Result:
    """Run `method` for `iterations` steps of size α = `step` on every one of N stacked problems.

    The leaves of `method` carry the problems along their first axis too (see `stacked`). With `sampling` the method
    sees sampled values; repeat a problem in the stack to run it on several seeds.
    """
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(seed), len(step))
        result = _run(cmdps, method, jnp.asarray(step), keys, jnp.asarray(iterations), sampling)
        return jax.tree.map(np.asarray, result)


def trace(
    cmdp: CMDP, method: Method, step: float, iterations: int
) -> tuple[Float[np.ndarray, "T m"], Float[np.ndarray, "T S A"]]:
    """Run `method` with exact values on one problem; return J and the policy of every iterate."""
    with jax.enable_x64(True):
        problem, method = (jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), x) for x in (cmdp, method))
        objective, policy = _trace(problem, method, jnp.asarray(step, jnp.float64), iterations)
        return np.asarray(objective), np.asarray(policy)


def stacked(methods: list[Method]) -> Method:
    """Stack methods of one kind, one per problem, for `run`."""
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf, np.float64) for leaf in leaves]), *methods)


@partial(jax.jit, static_argnames="iterations")
def _trace(cmdp: CMDP, method: Method, step: Float[Array, ""], iterations: int) -> tuple[Array, Array]:
    def once(state: State, t: Array) -> tuple[State, tuple[Array, Array]]:
        view = _look(cmdp, state, t / iterations, None, None)
        seen = view.exact.objective, view.policy
        return advance(state, view, method.move(view, state.dual), step), seen

    found: tuple[Array, Array] = jax.lax.scan(once, initial(cmdp), jnp.arange(iterations))[1]
    return found


@partial(jax.jit, static_argnames="sampling")
def _run(
    cmdps: CMDP,
    methods: Method,
    step: Float[Array, " N"],
    keys: Key[Array, " N"],
    iterations: Int[Array, ""],
    sampling: Sampling | None,
) -> Result:
    def alone(cmdp: CMDP, method: Method, step: Array, key: PRNGKeyArray) -> Result:
        def once(t: Array, state: State) -> State:
            view = _look(cmdp, state, t / iterations, sampling, jax.random.fold_in(key, t))
            return advance(state, view, method.move(view, state.dual), step)

        return finish(cmdp, jax.lax.fori_loop(0, iterations, once, initial(cmdp)))

    return jax.vmap(alone)(cmdps, methods, step, keys)


def initial(cmdp: CMDP) -> State:
    """Return the start of a run: the uniform policy, multipliers 0, nothing remembered."""
    m = 1 + len(cmdp.limits)
    nothing, each = jnp.zeros(()), jnp.zeros(m)
    sums = Sums(nothing, each, nothing, nothing, jnp.zeros(3, jnp.int32), nothing, nothing, each, each, each[1:])
    return State(jnp.zeros(cmdp.reward.shape), jnp.zeros(m - 1), sums)


def _look(cmdp: CMDP, state: State, progress: Array, sampling: Sampling | None, key: PRNGKeyArray | None) -> View:
    policy = softmax(state.parameters)
    exact = evaluate(cmdp, policy)
    if sampling is None or key is None:
        return View(cmdp, policy, exact, exact.quality, exactly(exact.objective), progress)
    quality, estimate = sample(cmdp, policy, sampling, key)
    return View(cmdp, policy, exact, quality, estimate, progress)


def advance(state: State, view: View, move: Move, step: Float[Array, ""]) -> State:
    """Take the move θ ← θ + α/(1 − γ) · direction (Xu, Liang & Lan 2021, eq. 7), and remember the iterate it left."""
    sums, objective, limits = state.sums, view.exact.objective, view.cmdp.limits
    over = -objective[1:] - limits
    late = jnp.where(view.progress >= LATE, 1.0, 0.0)
    return State(
        parameters=state.parameters + step / (1 - view.cmdp.discount) * move.direction,
        dual=move.dual,
        sums=Sums(
            output=sums.output + move.weights[0],
            objective=sums.objective + move.weights[0] * objective,
            duty=sums.duty - move.weights[1:] @ over,
            square=sums.square + move.weights.sum() ** 2,
            modes=sums.modes.at[move.mode].add(1),
            excess=sums.excess + jnp.maximum(over.max(), 0),
            late=sums.late + late,
            late_objective=sums.late_objective + late * objective,
            late_square=sums.late_square + late * objective**2,
            late_error=sums.late_error + late * view.estimate.cost_se,
        ),
    )


def finish(cmdp: CMDP, state: State) -> Result:
    """Summarise a run that is over."""
    policy, sums = softmax(state.parameters), state.sums
    exact = evaluate(cmdp, policy)
    natural = natural_gradients(policy, exact.advantage, exact.occupancy, cmdp.discount)
    late = sums.late_objective / sums.late
    return Result(
        average=jnp.where(sums.output > 0, sums.objective / jnp.where(sums.output > 0, sums.output, 1.0), jnp.nan),
        last=exact.objective,
        late=late,
        swing=jnp.sqrt(jnp.maximum(sums.late_square / sums.late - late**2, 0)),
        multipliers=implied_multipliers(natural.gram),
        sums=sums,
        policy=policy,
    )
