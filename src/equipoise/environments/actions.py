"""What an environment takes of a policy's actions: numbers in the shape and the kind of a Box, or choices as it counts.

A layout is that of the action space, as `observations.layout_of` describes it. Discrete is one choice, MultiDiscrete
one for each of its entries, MultiBinary one of two values for each of its bits; a policy numbers values from 0.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Num

from equipoise.environments.observations import Layout, choices, layout_of, length, to_text
from equipoise.errors import UsageError
from equipoise.problem import MOST_VALUES, NO_BOUND, middle_and_unit

DISCRETE = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
"""Spaces of actions that are choices."""

NUMBERS = tuple(np.dtype(kind).str for kind in "bhilqBHILQefd")
"""What the numbers of a Box can be, as NumPy writes it."""

MOST_CHARACTERS = 1000
"""Length of a layout's text that a run's folder can hold."""


class Actions:
    """What environments of an action space are given: a policy's vectors, those of a Box clipped to it.

    Raises `UsageError` for a space, that of the environment `name`, of which no policy can be.
    """

    def __init__(self, space: Any, name: str) -> None:
        check_actions(space, name)
        self._layout = layout_of(space, name)
        boxed = isinstance(space, spaces.Box)
        self.choices: tuple[int, ...] = () if boxed else tuple(choices(self._layout)[0])
        """How many values each choice has; empty where actions are no choices."""
        self._low, self._high = (
            np.asarray(bound, float).ravel() for bound in ((space.low, space.high) if boxed else ((), ()))
        )

    def of(self, vectors: Num[np.ndarray, "N act"]) -> np.ndarray:
        """Return the actions of N environments, as one array."""
        return own_action(self._layout, vectors if self.choices else np.clip(vectors, self._low, self._high))

    def each(self, vectors: Num[np.ndarray, "N act"]) -> list[Any]:
        """Return the actions of N environments, one by one: a choice as a number, anything else as an array."""
        actions = self.of(vectors)
        return list(actions) if self._layout[0] == "discrete" else [np.asarray(action) for action in actions]

    def described(self) -> dict[str, Any]:
        """Return the fields of a problem that describe its actions."""
        if self.choices:
            size = len(self.choices)
            return {"action_size": size, "action_choices": self.choices, "action": to_text(self._layout)}
        middle, unit = middle_and_unit(self._low, self._high)
        vector = len(self._layout[1]) == 1 and np.dtype(self._layout[2]).kind == "f"
        return {
            "action_size": len(self._low),
            "action_middle": middle,
            "action_unit": unit,
            "action_low": tuple(np.maximum(self._low, -NO_BOUND).tolist()),
            "action_high": tuple(np.minimum(self._high, NO_BOUND).tolist()),
            "action": "" if vector else to_text(self._layout),
        }


def check_actions(space: Any, name: str) -> None:
    """Raise `UsageError` unless a policy can be of the action space of the environment `name`."""
    if isinstance(space, DISCRETE):
        layout = layout_of(space, name)
        sizes, _ = choices(layout)
        if not 1 <= sum(sizes) <= MOST_VALUES or len(to_text(layout)) > MOST_CHARACTERS:
            raise UsageError(
                f"{name} has {len(sizes)} choice(s) of {sum(sizes)} values in all as its actions; allowed: 1 to about "
                f"100 choices, and at most {MOST_VALUES} values"
            )
    elif not isinstance(space, spaces.Box) or space.dtype.kind not in "iuf" or not np.prod(space.shape):
        raise UsageError(
            f"{name} has the action space {space}; allowed: a Box of numbers, Discrete, MultiDiscrete or MultiBinary"
        )


def own_action(layout: Layout, action: Num[np.ndarray, "*envs act"]) -> Any:
    """Return what the environment takes for a policy's action, or for many of them.

    Numbers come in the shape of their Box, rounded where it is one of whole numbers; choices, of which the policy
    counts the values from 0, as NumPy's whole numbers as the space counts them.
    """
    shape = () if layout[0] == "discrete" else tuple(layout[1])
    if layout[0] == "box":
        kind = np.dtype(layout[2])
        numbers = action if kind.kind == "f" else np.rint(action)
        return numbers.astype(kind).reshape((*action.shape[:-1], *shape))
    whole = np.int8 if layout[0] == "binary" else np.int64
    counted = action + np.asarray(choices(layout)[1])
    return counted.astype(whole).reshape((*action.shape[:-1], *shape))[()]


def layout_from(text: str, size: int, sizes: tuple[int, ...] = ()) -> Layout:
    """Read what a problem's `action` holds; `UsageError` unless it is the layout of an action of `size` entries.

    `sizes` are the values of each entry where actions are choices.
    """
    try:
        layout = json.loads(text)
        shape = [] if layout[0] == "discrete" else layout[1]
        sound = _whole(shape) and math.prod(shape) == size  # before anything of that size is made
        if sound and sizes:
            found, first = choices(layout)
            sound = tuple(found) == sizes and _whole(first) and len(first) == size
        elif sound:
            sound = layout[0] == "box" and layout[2:] in ([kind] for kind in NUMBERS) and length(layout) == size
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError):
        sound = False
    if not sound:
        what = f"a choice of {' × '.join(map(str, sizes))} values" if sizes else f"an action of {size} number(s)"
        raise UsageError(f"{text[:60]!r} is no description of {what}")
    return layout


def _whole(numbers: list[Any]) -> bool:
    return all(type(number) is int and abs(number) < 2**62 for number in numbers)
