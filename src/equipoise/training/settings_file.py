"""A file of settings for `equipoise train --config`: TOML, with the names of the command line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from equipoise.errors import UsageError, unknown
from equipoise.files import read_file
from equipoise.training.options import flat, options_of, set_at, value_at

T = TypeVar("T")

MOST_BYTES = 2**20
"""Size of a file of settings."""


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings in the TOML file `path` by their names on the command line, `-` written as `_`.

    Tables and dotted names are the same: `[slack]` with `low = -0.1`, or `slack.low = -0.1`. Raises `UsageError` for a
    file that cannot be read or is no TOML.
    """
    try:
        return flat(tomllib.loads(read_file(path, MOST_BYTES).decode("utf-8")))
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} is no TOML: {error}") from None


def with_settings(settings: T, values: Mapping[str, Any], path: Path, apart: tuple[str, ...] = ()) -> T:
    """Return `settings` changed as the file `path` says; names `apart` are none of them.

    Raises `UsageError` naming the file, for the first name that is unknown and the first value of another type.
    """
    options = {name: option for name, option in options_of(settings).items() if name not in apart}
    try:
        for name, value in values.items():
            if name not in options:
                raise unknown("setting", name, options)
            settings = set_at(settings, name, options[name], value)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return settings


def settings_text(settings: Any, apart: tuple[str, ...] = ()) -> str:
    """Write every option of `settings` but those `apart` as TOML, a line each; those that are None are left out."""
    found = {name: value_at(settings, option) for name, option in options_of(settings).items()}
    lines = [f"{name} = {toml(value)}" for name, value in found.items() if value is not None and name not in apart]
    return "\n".join(lines) + "\n"


def toml(value: Any) -> str:
    """Write a number, a truth value, a text, or a list or tuple of them, as TOML has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
