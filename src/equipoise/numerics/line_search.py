"""Backtracking: shorten a step until it is good enough (Nocedal & Wright, Numerical Optimization, §3.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Searched(NamedTuple):
    """What a line search ended with."""

    good: Bool[Array, ""]
    """Whether a step was good enough."""
    share: Float[Array, ""]
    """The last share tried of the whole step."""
    distance: Float[Array, ""]
    """How far that leads."""
    backtracks: Int[Array, ""]
    """How often the step was shortened."""


def backtrack(
    judge: Callable[[Float[Array, ""]], tuple[Bool[Array, ""], Float[Array, ""]]],
    search: Bool[Array, ""],
    factor: Float[Array, ""] | float,
    backtracks: int,
) -> Searched:
    """Try the shares 1, f, f², … of a step, f = `factor`, until `judge` calls one good or `backtracks` did not help.

    `judge` maps a share to (good, distance). Without `search` nothing is tried, and nothing is good.
    """

    def shorten(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        tries, _, _ = carry
        good, distance = judge(factor**tries)
        return tries + 1, good, distance

    def searching(carry: tuple[Array, Array, Array]) -> Array:
        tries, good, _ = carry
        return ~good & search & (tries <= backtracks)

    start = (jnp.zeros((), jnp.int32), jnp.zeros((), bool), jnp.zeros(()))
    tries, good, distance = jax.lax.while_loop(searching, shorten, start)
    return Searched(good, factor ** (tries - 1), distance, tries - 1)
