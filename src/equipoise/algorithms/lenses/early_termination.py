"""Early termination (Sun et al., arXiv 2107.04200): the learner sees an episode end when its cost passes the limit.

The early-terminated task is the task itself up to the step at which the sum of an episode's costs passes the limit,

    t* = min{t : c_0 + … + c_t > b},

which is terminal: nothing follows, and its value is 0. A policy without constraints earns the rest of an episode's
reward in it only by staying within the limit. But an end late in an episode loses little, a discount γ hides all that
is lost after the next 1/(1 − γ) steps or so, and no observation says how near the end is, as costs are not in it. So
the mean cost can be above the limit for long, and comes down to it slowly. A cost that falls due only in an episode's
last step is not avoided at all, nor is any in episodes of one step.

With K constraints, the first limit that is passed ends the episode. A limit of 0 is passed by the first cost. While no
episode passes a limit, every number is that of the algorithm without this lens.

Here the episode runs on in the simulator, for the mean episode cost Ĵ is the task's own; the learner is shown nothing
of the steps after t*. They cost simulated steps, then: where episodes of H steps pass their limit after t*, a share of
t*/H is left to learn from. At a cost of four times the limit that is a quarter of the steps, and there always is the
first step of each episode. If costs are far above the limit, take more steps per iteration.

Deviations:
- The paper resets the environment at t*, so that all steps are learned from; here the steps after t* are left out.
- The step t* keeps its reward; OmniSafe sets it to 0.
- The paper's termination reward is 0 here, as in OmniSafe. Where rewards are negative, an early end is worth having,
  and this lens is of no use.
- A limit is passed by more than rounding: the sum has to be above b·(1 + 1e-6).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from equipoise.algorithms.lenses.lens import Lens
from equipoise.problem import Batch
from equipoise.settings import settings

ROUNDING = 1e-6
"""Share of the limit by which single precision may miss it."""


@settings
class EarlyTermination(Lens):
    """Early termination: an episode ends for the learner at the step that passes a limit."""

    def reshape(self, batch: Batch, limits: Float[Array, " K"]) -> Batch:
        """End episodes where they pass a limit, and leave out what follows."""
        ends, after = passing(batch.cost, batch.done, jnp.asarray(limits))
        return batch._replace(terminated=batch.terminated | ends, done=batch.done | ends, valid=batch.valid & ~after)


def passing(
    cost: Float[Array, "T N K"], done: Bool[Array, "T N"], limits: Float[Array, " K"]
) -> tuple[Bool[Array, "T N"], Bool[Array, "T N"]]:
    """Mark the step in which an episode's cost passes a limit, and the steps of the episode after it."""

    def step(
        carry: tuple[Float[Array, "N K"], Bool[Array, " N"]], seen: tuple[Float[Array, "N K"], Bool[Array, " N"]]
    ) -> tuple[tuple[Float[Array, "N K"], Bool[Array, " N"]], tuple[Bool[Array, " N"], Bool[Array, " N"]]]:
        total, passed = carry
        paid, last = seen
        total = total + paid
        now = (total > limits * (1 + ROUNDING)).any(-1)
        following = jnp.where(last[:, None], 0.0, total), now & ~last
        return following, (now & ~passed, passed)

    start = jnp.zeros_like(cost[0]), jnp.zeros_like(done[0])
    return jax.lax.scan(step, start, (cost, done))[1]
