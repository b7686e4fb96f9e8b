"""Run a rule on finite CMDPs: many problems (and seeds) at once, in float64, keeping sums instead of histories."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Key, PRNGKeyArray

from equipoise.algorithms.rule import Memory, Rule
from equipoise.problem import Array
from equipoise.theory.cmdp import CMDP, evaluate, softmax
from equipoise.theory.natural import implied_multipliers, natural_gradients
from equipoise.theory.sampling import Sampling, exactly, sample
from equipoise.theory.tabular import Move, View, move, remember

LATE = 0.9
"""The share of a run after which its sums of the late iterates begin."""


class Sums(NamedTuple):
    """Sums over the iterates so far. J is always exact, whatever the rule saw."""

    weights: Float[Array, " m"]
    """Σ w."""
    objective: Float[Array, " m"]
    """Σ w_r J."""
    duty: Float[Array, ""]
    """Σ_t Σ_k w_k (b_k − J_k): what the time spent on costs can hide of the reward's gap; see `bounds`."""
    square: Float[Array, ""]
    """Σ_t (Σ_i w_i)²; T if the weights of every step sum to 1."""
    modes: Int[Array, " 3"]
    """Iterations in each of `rule.MODES`."""
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

    @property
    def output(self) -> Float[Array, "..."]:
        """Σ w_r, the weight of the iterates as outputs."""
        return self.weights[..., 0]


class State(NamedTuple):
    """All that a run carries from one iteration to the next."""

    parameters: Float[Array, "S A"]
    """θ; starts at 0, the uniform policy."""
    memory: Memory
    """What the rule remembers: its multipliers, say."""
    sums: Sums
    """What is measured."""


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
    prices: Float[Array, " K"]
    """Σ w_k / Σ w_r, the multipliers that the weights of all steps average to. NaN if none improved the reward."""
    sums: Sums
    """The sums over all iterates."""
    policy: Float[Array, "S A"]
    """The last iterate."""
    memory: Memory
    """What the rule remembers in the end."""


class Trace(NamedTuple):
    """Every iterate of a run, along a first axis of length T."""

    objective: Float[Array, "T m"]
    """J."""
    policy: Float[Array, "T S A"]
    """π(a|s)."""
    weights: Float[Array, "T m"]
    """w of the step."""
    columns: dict[str, Float[Array, "T ..."]]
    """What the rule logs of its memory when it has planned the step, as in training."""


def run(
    cmdps: CMDP,
    rule: Rule,
    step: Float[np.ndarray, " N"],
    iterations: int,
    sampling: Sampling | None = None,
    seed: int = 0,
) -> Result:
    """Run `rule` for `iterations` steps of size α = `step` on every one of N stacked problems.

    Where a rule chooses its direction in a trust region, α is its radius δ. The leaves of `rule` carry the problems
    along their first axis too (see `stacked`). With `sampling` the rule sees sampled values; repeat a problem in the
    stack to run it on several seeds.
    """
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(seed), len(step))
        result = _run(cmdps, rule, jnp.asarray(step), keys, jnp.asarray(iterations), sampling)
        return jax.tree.map(np.asarray, result)


def trace(cmdp: CMDP, rule: Rule, step: float, iterations: int) -> Trace:
    """Run `rule` with exact values on one problem, and return every iterate."""
    with jax.enable_x64(True):
        problem, rule = (jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), x) for x in (cmdp, rule))
        return jax.tree.map(np.asarray, _trace(problem, rule, jnp.asarray(step, jnp.float64), iterations))


def stacked(rules: Sequence[Rule]) -> Rule:
    """Stack rules of one kind, one a problem, for `run`."""
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf, np.float64) for leaf in leaves]), *rules)


@partial(jax.jit, static_argnames="iterations")
def _trace(cmdp: CMDP, rule: Rule, step: Float[Array, ""], iterations: int) -> Trace:
    def once(state: State, t: Array) -> tuple[State, Trace]:
        view = _look(cmdp, state, t / iterations, None, None)
        memory, taken = move(rule, state.memory, state.parameters, view, step)
        seen = Trace(view.exact.objective, view.policy, taken.weights, rule.columns(memory))
        return advance(state, view, memory, taken, step), seen

    found: Trace = jax.lax.scan(once, initial(cmdp, rule), jnp.arange(iterations))[1]
    return found


@partial(jax.jit, static_argnames="sampling")
def _run(
    cmdps: CMDP,
    rules: Rule,
    step: Float[Array, " N"],
    keys: Key[Array, " N"],
    iterations: Int[Array, ""],
    sampling: Sampling | None,
) -> Result:
    def alone(cmdp: CMDP, rule: Rule, step: Array, key: PRNGKeyArray) -> Result:
        def once(t: Array, state: State) -> State:
            view = _look(cmdp, state, t / iterations, sampling, jax.random.fold_in(key, t))
            return advance(state, view, *move(rule, state.memory, state.parameters, view, step), step)

        return finish(cmdp, jax.lax.fori_loop(0, iterations, once, initial(cmdp, rule)))

    return jax.vmap(alone)(cmdps, rules, step, keys)


def initial(cmdp: CMDP, rule: Rule) -> State:
    """Return the start of a run: the uniform policy, the rule's first memory, nothing measured."""
    m = 1 + len(cmdp.limits)
    nothing, each = jnp.zeros(()), jnp.zeros(m)
    sums = Sums(each, each, nothing, nothing, jnp.zeros(3, jnp.int32), nothing, nothing, each, each, each[1:])
    return State(jnp.zeros(cmdp.reward.shape), remember(rule, m - 1), sums)


def _look(cmdp: CMDP, state: State, fraction: Array, sampling: Sampling | None, key: PRNGKeyArray | None) -> View:
    policy = softmax(state.parameters)
    exact = evaluate(cmdp, policy)
    if sampling is None or key is None:
        return View(cmdp, policy, exact, exact.quality, exactly(exact.objective), fraction)
    quality, estimate = sample(cmdp, policy, sampling, key)
    return View(cmdp, policy, exact, quality, estimate, fraction)


def advance(state: State, view: View, memory: Memory, move: Move, step: Float[Array, ""]) -> State:
    """Take the move θ ← θ + α/(1 − γ) · direction (Xu, Liang & Lan 2021, eq. 7), and measure the iterate it left."""
    sums, objective, limits = state.sums, view.exact.objective, view.cmdp.limits
    over = -objective[1:] - limits
    late = jnp.where(view.fraction >= LATE, 1.0, 0.0)
    return State(
        parameters=state.parameters + step / (1 - view.cmdp.discount) * move.direction,
        memory=memory,
        sums=Sums(
            weights=sums.weights + move.weights,
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
    output = jnp.where(sums.output > 0, sums.output, jnp.nan)
    return Result(
        average=sums.objective / output,
        last=exact.objective,
        late=late,
        swing=jnp.sqrt(jnp.maximum(sums.late_square / sums.late - late**2, 0)),
        multipliers=implied_multipliers(natural.gram),
        prices=sums.weights[1:] / output,
        sums=sums,
        policy=policy,
        memory=state.memory,
    )
