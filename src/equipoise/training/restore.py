"""Values from JSON, each checked for its kind and size before anything is made of it."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any

from equipoise.errors import UsageError, described

MOST_DIGITS = 2**63
"""Whole numbers in files are smaller than this, to both sides."""
MOST_ITEMS = 1000
"""Items of a list."""
MOST_CHARACTERS = 1000
"""Characters of a text."""


def build(kind: Any, content: Any, place: str = "") -> Any:
    """Build a value of type `kind` from what JSON made of it, every field required and none unknown.

    `place` says where in the file it stands. Raises `UsageError` with the place, what was found and what is allowed.
    """
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, content, place)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        _demand(isinstance(content, list) and len(content) <= MOST_ITEMS, content, place, "a list")
        if inner[-1] is not Ellipsis:
            _demand(len(content) == len(inner), content, place, f"a list of {len(inner)}")
        kinds = inner if inner[-1] is not Ellipsis else inner[:1] * len(content)
        return tuple(build(k, item, f"{place}[{i}]") for i, (k, item) in enumerate(zip(kinds, content, strict=True)))
    if origin is typing.Literal:
        _demand(isinstance(content, str) and content in inner, content, place, f"one of {', '.join(map(str, inner))}")
        return content
    if isinstance(kind, types.UnionType) or origin is typing.Union:
        return _one_of(inner, content, place)
    return _plain(kind, content, place)


def _plain(kind: Any, content: Any, place: str) -> Any:
    """Build a text, a number or a truth value; of another type, the content itself."""
    if kind is str:
        whole = isinstance(content, str) and len(content) <= MOST_CHARACTERS and content.isprintable()
        _demand(whole, content, place, f"a text of at most {MOST_CHARACTERS} printable characters")
    elif kind is bool:
        _demand(isinstance(content, bool), content, place, "true or false")
    elif kind is int:
        whole = isinstance(content, int) and not isinstance(content, bool) and abs(content) < MOST_DIGITS
        _demand(whole, content, place, "a whole number, of at most 18 digits")
    elif kind is float:
        number = isinstance(content, int | float) and not isinstance(content, bool)
        _demand(number and (isinstance(content, float) or abs(content) < MOST_DIGITS), content, place, "a number")
        return float(content)
    return content


def _dataclass(kind: Any, content: Any, place: str) -> Any:
    _demand(isinstance(content, dict), content, place, "a table")
    hints = typing.get_type_hints(kind)
    names = {field.name for field in dataclasses.fields(kind)}
    inside = f"{place}." if place else ""
    for name in sorted(names - set(content)):
        raise UsageError(f"{inside}{name} is missing")
    for name in sorted(set(content) - names):
        raise UsageError(f"{inside}{name} is there; allowed: {', '.join(sorted(names))}")
    return kind(**{name: build(hints[name], value, f"{inside}{name}") for name, value in content.items()})


def _one_of(kinds: tuple[Any, ...], content: Any, place: str) -> Any:
    """Build a value of the first of several types that it can be of."""
    if content is None and type(None) in kinds:
        return None
    *others, last = [kind for kind in kinds if kind is not type(None)]
    for kind in others:
        try:
            return build(kind, content, place)
        except UsageError:
            continue
    return build(last, content, place)


def _demand(holds: bool, content: Any, place: str, allowed: str) -> None:
    if not holds:
        raise UsageError(f"{place or 'the whole'} is {described(content)}; allowed: {allowed}")


def demand_range(value: float | int, place: str, low: float | int, high: float | int) -> None:
    """Raise `UsageError` unless `value` lies between `low` and `high`."""
    if not (math.isfinite(value) and low <= value <= high):
        raise UsageError(f"{place} is {value}; allowed: from {low:g} to {high:g}")
