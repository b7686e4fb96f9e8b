"""What an environment takes of a Gaussian policy: its vector of numbers, in the shape and the kind of a Box."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from equipoise.environments.observations import Layout, from_text, layout_of, to_text
from equipoise.errors import UsageError


def check_box(space: Any, name: str) -> None:
    """Raise `UsageError` unless `space`, that of the environment `name`, holds numbers that a Gaussian can be of."""
    if not isinstance(space, spaces.Box) or space.dtype.kind not in "iuf" or not np.prod(space.shape):
        raise UsageError(f"{name} has the action space {space}; allowed: a Box")


def text_of(space: spaces.Box) -> str:
    """Return the text that a run's folder holds of an action space; empty where an action is a vector of fractions."""
    return "" if len(space.shape) == 1 and space.dtype.kind == "f" else to_text(layout_of(space, ""))


def layout_from(text: str, size: int) -> Layout:
    """Read what `text_of` wrote; `UsageError` unless it is the layout of an action of `size` numbers."""
    layout = from_text(text, size)
    if layout[0] != "box" or layout[2:] not in ([kind] for kind in ALLOWED):
        raise UsageError(f"{text[:60]!r} is no description of an action of {size} number(s)")
    return layout


ALLOWED = tuple(np.dtype(kind).str for kind in "bhilqBHILQefd")
"""What an action's numbers can be, as NumPy writes it."""


def unflatten(layout: Layout, vector: Float[np.ndarray, "*envs act"]) -> np.ndarray:
    """Return the action that a vector stands for, or many: in the shape of its space, whole numbers rounded."""
    shape, dtype = layout[1], np.dtype(layout[2])
    numbers = vector if dtype.kind == "f" else np.rint(vector)
    return numbers.astype(dtype).reshape((*vector.shape[:-1], *shape))
