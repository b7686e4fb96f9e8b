"""What an environment observes, as the vector that a policy sees: what its space says, flattened as Gymnasium does.

A layout is all that flattening has to know of a space, in lists, numbers and strings, so that a run's folder can hold
it. There is one for Box, Discrete, MultiBinary and MultiDiscrete, and for Dict and Tuple of such.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from equipoise.errors import UsageError

Layout = list
"""A nested list: a kind's name and what it needs."""


def layout_of(space: Any, name: str) -> Layout:
    """Describe the observation space of the environment `name`; `UsageError` for one that has no fixed length."""
    if isinstance(space, spaces.Box):
        return ["box", list(space.shape), np.dtype(space.dtype).str]
    if isinstance(space, spaces.Discrete):
        return ["discrete", int(space.n), int(space.start)]
    if isinstance(space, spaces.MultiBinary):
        return ["binary", [int(n) for n in np.atleast_1d(space.shape)]]
    if isinstance(space, spaces.MultiDiscrete):
        return ["choices", list(space.nvec.shape), space.nvec.ravel().tolist(), space.start.ravel().tolist()]
    if isinstance(space, spaces.Dict):
        return ["dict", [[str(key), layout_of(part, name)] for key, part in space.spaces.items()]]
    if isinstance(space, spaces.Tuple):
        return ["tuple", [layout_of(part, name) for part in space.spaces]]
    raise UsageError(
        f"{name} has an observation space of {type(space).__module__.split('.')[0]}'s {type(space).__name__}; allowed: "
        "gymnasium's Box, Discrete, MultiBinary, MultiDiscrete, and Dict or Tuple of these"
    )


def to_text(layout: Layout) -> str:
    """Write a layout as the text that a configuration holds."""
    return json.dumps(layout)


def from_text(text: str, size: int) -> Layout:
    """Read what `to_text` wrote; `UsageError` unless it is the layout of a vector of `size` numbers."""
    try:
        layout = json.loads(text)
        sound = length(layout) == size
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError):
        sound = False
    if not sound:
        raise UsageError(f"{text[:60]!r} is no description of an observation of {size} number(s)")
    return layout


def length(layout: Layout) -> int:
    """Return the length of the vector."""
    kind = layout[0]
    if kind in ("box", "binary"):
        return math.prod(layout[1])
    if kind == "discrete":
        return layout[1]
    if kind == "choices":
        return sum(layout[2])
    if kind == "dict":
        return sum(length(part) for _, part in layout[1])
    if kind == "tuple":
        return sum(map(length, layout[1]))
    raise ValueError(f"no layout: {kind}")


def flatten(
    layout: Layout, observation: Any, giver: str, at: str = "", envs: tuple[int, ...] = ()
) -> Float[np.ndarray, "*envs obs"]:
    """Flatten an observation; `UsageError` where it is not what its space says.

    Args:
        layout: what it has to be.
        observation: what the environment gives.
        giver: who gives it, for messages: "Rail.reset".
        at: where in the whole observation this part is, for messages.
        envs: the number of environments whose observations it holds, each of its arrays one more axis in front, as
            Gymnasium's vector environments have it; empty for one observation.
    """
    kind = layout[0]
    if kind == "dict":
        names = [key for key, _ in layout[1]]
        if not isinstance(observation, dict) or {str(key) for key in observation} != set(names):
            given = sorted(map(str, observation)) if isinstance(observation, dict) else _kind(observation)
            raise UsageError(f"{giver} gives an observation{at} of {given}; its space says {names}")
        keyed = {str(key): part for key, part in observation.items()}
        return _joined([flatten(part, keyed[key], giver, f"{at}[{key!r}]", envs) for key, part in layout[1]], envs)
    if kind == "tuple":
        if not isinstance(observation, tuple | list) or len(observation) != len(layout[1]):
            raise UsageError(
                f"{giver} gives an observation{at} of {_kind(observation)}; its space says a tuple of {len(layout[1])}"
            )
        parts = enumerate(zip(layout[1], observation, strict=True))
        return _joined([flatten(part, given, giver, f"{at}[{i}]", envs) for i, (part, given) in parts], envs)
    array = _array(observation, giver, at)
    shape = envs if kind == "discrete" else (*envs, *layout[1])
    if array.shape != shape and not (kind == "discrete" and array.size == math.prod(envs)):
        raise UsageError(f"{giver} gives an observation{at} of shape {array.shape}; its space says {shape}")
    if kind == "box":
        dtype = np.dtype(layout[2])
        if not np.can_cast(array.dtype, dtype, "same_kind"):
            raise UsageError(f"{giver} gives an observation{at} of {array.dtype}; its space says {dtype}")
        with np.errstate(over="ignore"):  # what does not fit becomes infinite, which is told of
            return array.astype(dtype).reshape(*envs, length(layout)).astype(np.float64)
    return _choices(layout, array, giver, at, envs)


def _choices(
    layout: Layout, array: np.ndarray, giver: str, at: str, envs: tuple[int, ...]
) -> Float[np.ndarray, "*envs obs"]:
    """Flatten whole numbers: bits as they are, others with a place for each of their values."""
    if array.dtype.kind not in "biu":
        raise UsageError(f"{giver} gives an observation{at} of {array.dtype}; its space says whole numbers")
    sizes, first = choices(layout)
    chosen = array.reshape(*envs, len(sizes)).astype(int) - np.asarray(first, int)
    outside = (chosen < 0) | (chosen >= np.asarray(sizes, int))
    if outside.any():
        wrong = tuple(np.argwhere(outside)[0])
        i = wrong[-1]
        raise UsageError(
            f"{giver} gives an observation{at} with {chosen[wrong] + first[i]}; its space says {first[i]} to "
            f"{first[i] + sizes[i] - 1}"
        )
    if layout[0] == "binary":
        return chosen.astype(np.float64)
    places = [chosen[..., i, None] == np.arange(size) for i, size in enumerate(sizes)]
    return _joined([place.astype(np.float64) for place in places], envs)


def choices(layout: Layout) -> tuple[list[int], list[int]]:
    """Return how many values each whole number of a layout has, and the first of them."""
    if layout[0] == "discrete":
        return [layout[1]], [layout[2]]
    if layout[0] == "binary":
        bits = math.prod(layout[1])
        return [2] * bits, [0] * bits
    if layout[0] == "choices":
        return layout[2], layout[3]
    raise ValueError(f"no choices: {layout[0]}")


def place(layout: Layout, index: int) -> str:
    """Say where in an observation the entry `index` of its vector comes from."""
    kind = layout[0]
    if kind in ("dict", "tuple"):
        parts = layout[1] if kind == "dict" else list(enumerate(layout[1]))
        for key, part in parts:
            if index < length(part):
                return f"[{key!r}]{place(part, index)}"
            index -= length(part)
    if kind == "box":
        return str([int(i) for i in np.unravel_index(index, layout[1])]) if layout[1] else ""
    return ""


def _array(observation: Any, giver: str, at: str) -> np.ndarray:
    try:
        array = np.asarray(observation)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise UsageError(f"{giver} gives an observation{at} of {_kind(observation)}; its space says numbers")
    return array


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _joined(parts: list[np.ndarray], envs: tuple[int, ...]) -> Float[np.ndarray, "*envs obs"]:
    return np.concatenate(parts, axis=-1) if parts else np.zeros((*envs, 0))
