"""The options of `equipoise train` by name, set in settings of any kind: those of a file, or of a grid of runs."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.errors import UsageError, unknown


@dataclass(frozen=True)
class Option:
    """Where an option is in a configuration, and of what type."""

    path: tuple[str, ...]
    """Names of the fields that lead to it."""
    kind: Any
    """Its type."""


def options_of(settings: Any, prefix: str = "", path: tuple[str, ...] = ()) -> dict[str, Option]:
    """Return every option of `settings` by its name on the command line, `-` written as `_`."""
    found: dict[str, Option] = {}
    plain = typing.get_type_hints(type(settings))
    annotated = typing.get_type_hints(type(settings), include_extras=True)
    for field in dataclasses.fields(settings):
        value, here = getattr(settings, field.name), (*path, field.name)
        said = [getattr(m, "name", None) for m in getattr(annotated[field.name], "__metadata__", ())]
        if dataclasses.is_dataclass(value):
            found |= options_of(value, prefix if "" in said else f"{prefix}{field.name}.", here)
        else:
            name = next(filter(None, said), field.name).replace("-", "_")
            found[prefix + name] = Option(here, plain[field.name])
    return found


def value_at(settings: Any, option: Option) -> Any:
    """Return the value that an option has in `settings`."""
    return functools.reduce(getattr, option.path, settings)


def set_at(settings: Any, name: str, option: Option, value: Any) -> Any:
    """Return `settings` with an option changed; `UsageError` if its `value`, from TOML or JSON, is of another type."""
    return _replaced(settings, option.path, _typed(name, value, option.kind))


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return options by their dotted name, however a file nests them; `-` is written as `_`."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = prefix + key.replace("-", "_")
        found |= flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


def is_tuple(kind: Any) -> bool:
    """Tell whether an option takes a list."""
    return typing.get_origin(kind) is tuple


def _replaced(settings: Any, path: tuple[str, ...], value: Any) -> Any:
    name, *rest = path
    inner = _replaced(getattr(settings, name), tuple(rest), value) if rest else value
    return dataclasses.replace(settings, **{name: inner})


WORDS = {Path: "a path", bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
"""What a value of each type is called."""


def _typed(name: str, value: Any, kind: Any) -> Any:
    """Return what TOML or JSON says as a value of type `kind`."""
    if isinstance(kind, types.UnionType):
        return None if value is None else _typed(name, value, typing.get_args(kind)[0])
    if is_tuple(kind):
        if not isinstance(value, list | tuple):
            raise UsageError(f"{name} is {value!r}; allowed: a list, as in [{value!r}]")
        return tuple(_typed(name, item, typing.get_args(kind)[0]) for item in value)
    if typing.get_origin(kind) is typing.Literal and value not in typing.get_args(kind):
        raise unknown(name, str(value), typing.get_args(kind))
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and type(value) is int:
        return float(value)
    if kind in WORDS and type(value) is not kind:
        raise UsageError(f"{name} is {value!r}; allowed: {WORDS[kind]}")
    return value
