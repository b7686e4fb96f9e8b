"""The options of `equipoise train` by name, set in a configuration."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any

from equipoise.errors import UsageError, unknown
from equipoise.training.config import Config

APART = {
    "task": "tasks",
    "algorithm_name": "algorithms",
    "seed": "seeds",
    "total_steps": "total_steps, beside [settings]",
}
"""Fields of a configuration that a campaign's file has another word for."""


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
        if dataclasses.is_dataclass(value):
            nameless = any(getattr(m, "name", None) == "" for m in getattr(annotated[field.name], "__metadata__", ()))
            found |= options_of(value, prefix if nameless else f"{prefix}{field.name}.", here)
        else:
            found[prefix + field.name] = Option(here, plain[field.name])
    return found


def find_option(config: Config, name: str) -> Option:
    """Return the option `name`; `UsageError` naming the nearest if there is none."""
    if name in APART:
        raise UsageError(f"{name} is no setting of a campaign; give {APART[name]}")
    options = {known: option for known, option in options_of(config).items() if known not in APART}
    if name not in options:
        raise unknown(f"setting of {config.algorithm_name}", name, options)
    return options[name]


def set_option(config: Config, name: str, value: Any) -> Config:
    """Return `config` with an option changed; `UsageError` if its value is of another type."""
    option = find_option(config, name)
    changed: Config = _replaced(config, option.path, _typed(name, value, option.kind))
    return changed


def values_of(config: Config, name: str, value: Any) -> list[Any]:
    """Return the values that a campaign's file lists for an option: several where each is one by itself."""
    listed = isinstance(value, list)
    if listed and _is_tuple(find_option(config, name).kind):
        listed = bool(value) and all(isinstance(item, list) for item in value)
    if listed and not value:
        raise UsageError(f"{name} is []; allowed: one value or more")
    return value if listed else [value]


def _is_tuple(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple


def _replaced(settings: Any, path: tuple[str, ...], value: Any) -> Any:
    name, *rest = path
    inner = _replaced(getattr(settings, name), tuple(rest), value) if rest else value
    return dataclasses.replace(settings, **{name: inner})


WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
"""What a value of each type is called."""


def _typed(name: str, value: Any, kind: Any) -> Any:
    """Return what TOML or JSON says as a value of type `kind`."""
    if isinstance(kind, types.UnionType):
        return None if value is None else _typed(name, value, typing.get_args(kind)[0])
    if _is_tuple(kind):
        if not isinstance(value, list | tuple):
            raise UsageError(f"{name} is {value!r}; allowed: a list, as in [{value!r}]")
        return tuple(_typed(name, item, typing.get_args(kind)[0]) for item in value)
    if typing.get_origin(kind) is typing.Literal and value not in typing.get_args(kind):
        raise unknown(name, str(value), typing.get_args(kind))
    if kind is float and type(value) is int:
        return float(value)
    if kind in WORDS and type(value) is not kind:
        raise UsageError(f"{name} is {value!r}; allowed: {WORDS[kind]}")
    return value
