"""No constraint handling: the reward alone, the costs only watched.

On the trust-region step it is TRPO (Schulman et al., ICML 2015, arXiv 1502.05477) and, without the line search, natural
policy gradient (Kakade, NIPS 2001); on the proximal step PPO (Schulman et al., 2017, arXiv 1707.06347) and, unclipped
and in one epoch, the policy gradient (Williams 1992).
"""

from __future__ import annotations

import jax.numpy as jnp

from equipoise.algorithms.rule import REWARD, Memory, Plan, Rule, Seen, single
from equipoise.settings import settings


@settings
class Unconstrained(Rule):
    """The reward alone; limits are reported, never acted on."""

    def plan(self, memory: Memory, seen: Seen) -> tuple[Memory, Plan]:
        """Always improve the reward."""
        return memory, single(REWARD, (jnp.arange(1 + len(seen.limits)) == 0).astype(jnp.float32))
