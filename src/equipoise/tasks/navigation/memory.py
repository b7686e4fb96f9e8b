"""What a navigation task keeps of each environment."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Bool, Float, Int

Array = Any


class Memory(NamedTuple):
    """A world, and how far its episode has come."""

    places: Float[Array, "... objects 2"]
    """Where the layout has put each object (m), in the order of the task's `world.names`; free bodies go on from there,
    gremlins circle around it, and a goal is moved when it is reached."""
    yaws: Float[Array, "... objects"]
    """How each is turned (rad)."""
    button: Int[Array, ...]
    """Number of the button to press, where there are buttons."""
    timer: Int[Array, ...]
    """Steps until buttons are seen, and wrong ones charged, again."""
    time: Float[Array, ...]
    """Seconds since the episode's start."""
    met: Bool[Array, ...]
    """Whether the last step reached the goal, which has been moved since."""
    lost: Bool[Array, ...]
    """Whether no place for a new goal was found, which ends the episode."""
