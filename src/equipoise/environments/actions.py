"""What an environment takes of a policy that chooses: whole numbers from 0, as its space of discrete actions says.

A layout is the space's, as `observations.layout_of` describes it. Discrete is one choice, MultiDiscrete one for each of
its entries, MultiBinary one of two values for each of its bits.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Int

from equipoise.environments.observations import Layout, choices, layout_of, to_text
from equipoise.errors import UsageError
from equipoise.problem import MOST_VALUES

DISCRETE = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
"""Spaces of actions that are choices."""

MOST_CHARACTERS = 1000
"""Length of a layout's text that a run's folder can hold."""


def layout_of_actions(space: Any, name: str) -> Layout | None:
    """Describe the action space of the environment `name`; None where its actions are no choices."""
    if not isinstance(space, DISCRETE):
        return None
    layout = layout_of(space, name)
    sizes, _ = choices(layout)
    if not 1 <= sum(sizes) <= MOST_VALUES or len(to_text(layout)) > MOST_CHARACTERS:
        raise UsageError(
            f"{name} has {len(sizes)} choice(s) of {sum(sizes)} values in all as its actions; allowed: 1 to about 100 "
            f"choices, and at most {MOST_VALUES} values"
        )
    return layout


def own_action(layout: Layout, chosen: Int[np.ndarray, "*n act"]) -> Any:
    """Return what the environment takes for whole numbers from 0, one for each choice: a number, or an array.

    With leading axes it is an array of them.
    """
    shape = () if layout[0] == "discrete" else tuple(layout[1])
    first = np.asarray(choices(layout)[1])
    kind = np.int8 if layout[0] == "binary" else np.int64
    return (chosen + first).astype(kind).reshape((*chosen.shape[:-1], *shape))[()]


def layout_from_text(text: str, sizes: tuple[int, ...]) -> Layout:
    """Read what `observations.to_text` wrote; `UsageError` unless it is the layout of choices of `sizes` values."""
    try:
        layout = json.loads(text)
        shape = [] if layout[0] == "discrete" else layout[1]
        sound = _whole(shape) and math.prod(shape) == len(sizes)  # before anything of that size is made
        found, first = choices(layout) if sound else ([], [])
        sound = sound and tuple(found) == sizes and _whole(first) and len(first) == len(sizes)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError):
        sound = False
    if not sound:
        raise UsageError(f"{text[:60]!r} is no description of a choice of {' × '.join(map(str, sizes))} values")
    return layout


def _whole(numbers: list[Any]) -> bool:
    return all(type(number) is int and abs(number) < 2**62 for number in numbers)
