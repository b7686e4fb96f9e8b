"""POISE, this library's own: soft switching as one continuous law, with a memory and a prediction.

PCRPO's directions lie on one line d(λ) ∝ F⁻¹(g_r + λ g_c), g_c the gradient of minus the cost: λ = 0 is its reward
mode, λ → ∞ its safety mode, and of the balance's two projections one leaves the cost where it is and the other the
reward. A switch has to choose among the four, jumps between them, and forgets what the last one did. Here λ is chosen,
in every update, as the least that is predicted to bring the cost where it should be next:

    target   b' = (1 − margin)·b,   1 + room times as wide at first, and less so until a share `until`
    landing  twice the margin, come to in the first half of the last share of training; shorter and shorter steps in
             the second half
    goal     b' + (1 − approach)·[Ĵ − b']₊                  from above, not in one step
    ahead    Ĵ − trust·Δ(λ)                                 Δ(λ): by how much d(λ) lowers the cost, to first order
    miss     e ← (1 − correction)·e + correction·(Ĵ − the last ahead)               a disturbance observer
    memory   I ← [I + rate·(Ĵ − b')/b]₊
    cap      λ ≤ slack + [Ĵ − b']₊/b + winding·I
    λ        ← smoothing·λ + (1 − smoothing)·min {λ : ahead + e ≤ goal}

The prediction anticipates what feedback on Ĵ sees an update too late; the memory I, which is a multiplier's, lets λ be
large only after violations have lasted, so that noise and one bad batch do not make the policy forget the reward. λ is
the weight of the cost's advantages, of standard deviation 1, beside a weight of 1 of the reward's. While no limit binds
λ is 0, and a step is TRPO's to the last bit. Where reward and costs oppose each other the step is short, as PCRPO's
is: scaled back to full length, their difference would be mostly noise.

Where effort costs, as on SafetyHopper-v4, exploring less lowers a cost at once, and then nothing better is found: a
trust region is used up by log σ before the means have learnt anything. So POISE takes its steps with a noise share of
0.3 (`--step.noise-share`): in log σ a cost's gradient counts for less than a third of itself. The limit is met all the
same; where σ matters for a cost, training rests with more of it than would be best.

A policy's cost jumps with every step, and where training simply stops, the last one is as often above the limit as
inside. So it lands: further inside, and with steps whose radius goes to 0, as long as they weigh a cost.

With K limits, each has its memory and its λ; they are found one after the other, the others held, in twelve sweeps.
A limit of 0 has no relative violation: there it is the violation itself.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.direction import Direction, Region, weighted
from equipoise.algorithms.rule import BALANCE, REWARD, Plan, Rule, Seen, Taken, single
from equipoise.numerics.krylov import NaturalGradients
from equipoise.settings import require, require_ranges, settings

SWEEPS = 12
"""How often every multiplier is found anew, given the others."""

HALVINGS = 24
"""Of the interval in which a multiplier is looked for."""


class Observed(NamedTuple):
    """What the rule remembers."""

    updates: Float[Array, ""]
    """Updates seen."""
    multiplier: Float[Array, " K"]
    """λ."""
    integral: Float[Array, " K"]
    """I."""
    miss: Float[Array, " K"]
    """e, by how much costs came out higher than predicted, per episode."""
    ahead: Float[Array, " K"]
    """The costs that the last step was predicted to lead to, without e."""
    reward_per_cost: Float[Array, " K"]
    """What turns λ into reward per cost."""


@settings
class Poise(Rule):
    """A soft switch with memory and prediction: the least multiplier that is predicted to meet the limit."""

    only_on: ClassVar[str] = "TrustRegion"
    logs: ClassVar[dict[str, str]] = {
        "multiplier": "λ used in this update, reward per cost",
        "miss": "by how much costs come out higher than predicted, on average, per episode",
    }

    margin: float = 0.15
    """By which share of the limit the target lies inside. Training rests somewhat above its target."""
    room: float = 0.0
    """By which share of itself the target is wider at the start of training."""
    until: float = 0.4
    """Share of training after which the target has come down to where it stays."""
    landing: float = 0.2
    """The last share of training, in whose first half the margin doubles, and in whose second half steps that weigh a
    cost become shorter and shorter, so that the last policy is within the limit; 0 for no landing."""
    approach: float = 0.5
    """From above the target, the share of the way back that an update should go."""
    trust: float = 0.5
    """Share of a step's first-order change of the cost that is expected to come true."""
    correction: float = 0.3
    """Share of the newest miss in the exponential average of what predictions missed."""
    rate: float = 0.1
    """By which share of the relative violation the integral grows in an update."""
    slack: float = 0.5
    """The largest λ without violation and without memory of one."""
    winding: float = 1.5
    """What a unit of the integral adds to the largest λ."""
    smoothing: float = 0.5
    """Share of the old λ in the new one."""
    shorten: float = 1.0
    """How much shorter a step is as reward and costs cancel each other in it: its radius is δ·(‖Σ wᵢgᵢ‖²/Σ ‖wᵢgᵢ‖²) to
    this power. The higher, the less costs swing around the limit, and the more slowly a policy learns there; 0: always
    of full length."""

    @property
    def scheduled(self) -> tuple[str, ...]:
        """Names of the settings that make it depend on the share of training done: `room` and `landing`, above 0."""
        return ("room",) * (self.room > 0) + ("landing",) * (self.landing > 0)

    def check(self) -> None:
        """Raise `UsageError` naming the first setting that is not allowed."""
        finite = (0, 1e30)
        require_ranges(self, margin=(0, 1), until=(0, 1), landing=(0, 1), approach=(0, 1), trust=(0, 1))
        require_ranges(self, correction=(0, 1), shorten=(0, 1))
        require_ranges(self, room=finite, rate=finite, slack=finite, winding=finite, smoothing=(0, 1))
        require(self.smoothing < 1, "smoothing is 1; allowed: below 1")
        require(self.trust > 0, "trust is 0; allowed: above 0")

    def init(self, constraints: int) -> Observed:
        """Start with multipliers of 0, and nothing missed."""
        return Observed(jnp.zeros(()), *[jnp.zeros(constraints) for _ in Observed._fields[1:]])

    def target(self, seen: Seen) -> Float[Array, " K"]:
        """Return the costs per episode at which training is to rest, given the share of it that is done."""
        left = jnp.clip(1 - seen.fraction / jnp.maximum(self.until, 1e-6), 0.0, 1.0)
        lowered = jnp.clip(2 - 2 * self._aloft(seen), 0.0, 1.0)
        margin = jnp.minimum(self.margin * (1 + lowered), 1.0)
        return jnp.asarray(seen.limits, jnp.float32) * (1 - margin) * (1 + self.room * left)

    def _aloft(self, seen: Seen) -> Float[Array, ""]:
        """Return which share of the landing is still to come: 1 until it begins."""
        return jnp.clip((1 - seen.fraction) / jnp.maximum(self.landing, 1e-6), 0.0, 1.0)

    def goal(self, seen: Seen) -> Float[Array, " K"]:
        """Return where the costs per episode should be after this update."""
        cost, target = jnp.asarray(seen.estimate.cost, jnp.float32), self.target(seen)
        return target + (1 - self.approach) * jnp.maximum(cost - target, 0.0)

    def cap(self, memory: Observed, seen: Seen) -> Float[Array, " K"]:
        """Return the largest λ allowed in this update."""
        return self.slack + jnp.maximum(self._violation(seen), 0.0) + self.winding * memory.integral

    def _violation(self, seen: Seen) -> Float[Array, " K"]:
        """Return by how much the costs are above their targets, as shares of the limits."""
        cost = jnp.asarray(seen.estimate.cost, jnp.float32)
        return (cost - self.target(seen)) / jnp.where(seen.limits > 0, seen.limits, 1.0)

    def plan(self, memory: Observed, seen: Seen) -> tuple[Observed, Plan]:
        """Note what the last prediction missed, and how long the costs have been above their targets.

        The multipliers are chosen only where the gradients are known (`direct`).
        """
        cost = jnp.asarray(seen.estimate.cost, jnp.float32)
        missed = jnp.where(memory.updates > 0, cost - memory.ahead, 0.0)
        following = memory._replace(
            updates=memory.updates + 1,
            integral=jnp.maximum(memory.integral + self.rate * self._violation(seen), 0.0),
            miss=(1 - self.correction) * memory.miss + self.correction * missed,
            ahead=cost,
            reward_per_cost=seen.reward_per_cost,
        )
        return following, single(BALANCE, jnp.ones(1 + len(cost)))

    def direct(
        self, natural: NaturalGradients, wanted: Bool[Array, " m"], weights: Float[Array, " m"], seen: Seen, to: Region
    ) -> Direction:
        """Weigh the costs with the least multipliers that are predicted to lead to the goal, smoothed."""
        memory = seen.memory
        least = least_multipliers(natural.gram, self._fall(memory, seen, to), self.cap(memory, seen), self.shorten)
        multiplier = self.smoothing * memory.multiplier + (1 - self.smoothing) * least
        weights = jnp.concatenate([jnp.ones(1), multiplier])
        binding = (multiplier > 0).any()
        share = agreement(natural.gram, weights) ** self.shorten
        share = share * jnp.where(binding, jnp.clip(2 * self._aloft(seen), 0.0, 1.0), 1.0)
        found = weighted(natural, weights, to, share)
        return found._replace(mode=jnp.where(binding, BALANCE, REWARD))

    def _fall(self, memory: Observed, seen: Seen, to: Region) -> Float[Array, " K"]:
        """Return by how much every cost has to fall, in units of its surrogate in a trust region of radius 1."""
        unit = self.trust * seen.per_episode[1:] * jnp.sqrt(2 * to.max_kl)
        fall = memory.ahead + memory.miss - self.goal(seen)
        return jnp.where(unit > 0, fall / jnp.where(unit > 0, unit, 1.0), -jnp.inf)

    def after(self, memory: Observed, taken: Taken) -> Observed:
        """Remember the multipliers of the step taken, and what it should do to the costs."""
        reward = taken.weights[0]
        used = jnp.where(reward > 0, taken.weights[1:] / jnp.where(reward > 0, reward, 1.0), memory.multiplier)
        return memory._replace(multiplier=used, ahead=memory.ahead - self.trust * taken.gain[1:])

    def sound(self, memory: Observed) -> Bool[Array, ""]:
        """Tell whether multipliers and integrals are numbers of 0 or more."""
        kept = jnp.concatenate([memory.multiplier, memory.integral])
        return ((kept >= 0) & jnp.isfinite(kept)).all()

    def columns(self, memory: Observed) -> dict[str, Float[Array, "..."]]:
        """Return the multipliers and what predictions miss."""
        return {"multiplier": memory.multiplier * memory.reward_per_cost, "miss": memory.miss}


def agreement(gram: Float[Array, "m m"], weights: Float[Array, " m"]) -> Float[Array, ""]:
    """Return ‖Σ wᵢgᵢ‖² / Σ ‖wᵢgᵢ‖², at most 1: 1 for an objective alone, 0 where those that are weighed cancel out."""
    alone = (weights**2 * jnp.diagonal(gram)).sum()
    together = jnp.maximum(weights @ gram @ weights, 0.0)
    return jnp.where((weights > 0).sum() > 1, jnp.minimum(together / jnp.where(alone > 0, alone, 1.0), 1.0), 1.0)


def least_multipliers(
    gram: Float[Array, "m m"],
    fall: Float[Array, " K"],
    cap: Float[Array, " K"],
    shorten: Float[Array, ""] | float,
) -> Float[Array, " K"]:
    """Return the least λ ≤ `cap` for which the step (1, λ), of length 1 in the metric of `gram`, gains `fall`.

    Its radius is its parts' `agreement` to the power of `shorten`. An objective's gain never falls with its own weight,
    neither on a step of length 1, by the Cauchy–Schwarz inequality, nor on one that is shortened, so that halving an
    interval finds each λ_k given the others. Where even the cap is not enough, it is the cap.
    """

    def gain(multiplier: Float[Array, " K"], k: Array) -> Array:
        weights = jnp.concatenate([jnp.ones(1), multiplier])
        square = jnp.maximum(weights @ gram @ weights, 0.0)
        share = agreement(gram, weights) ** shorten
        return jnp.where(
            square > 0, (gram @ weights)[1 + k] * jnp.sqrt(share / jnp.where(square > 0, square, 1.0)), 0.0
        )

    def find(k: Array, multiplier: Float[Array, " K"]) -> Float[Array, " K"]:
        def halve(_: Array, interval: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = interval
            middle = (low + high) / 2
            enough = gain(multiplier.at[k].set(middle), k) >= fall[k]
            return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

        none = gain(multiplier.at[k].set(0.0), k) >= fall[k]
        high = jax.lax.fori_loop(0, HALVINGS, halve, (jnp.zeros_like(cap[k]), cap[k]))[1]
        return multiplier.at[k].set(jnp.where(none, 0.0, high))

    def sweep(i: Array, multiplier: Float[Array, " K"]) -> Float[Array, " K"]:
        return find(i % len(fall), multiplier)

    return jax.lax.fori_loop(0, SWEEPS * len(fall) if len(fall) > 1 else 1, sweep, jnp.zeros_like(cap))
