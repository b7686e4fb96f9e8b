"""The options of `equipoise train` by name, set in a configuration."""

from __future__ import annotations

from typing import Any

from equipoise.errors import UsageError, unknown
from equipoise.training.config import Config
from equipoise.training.options import Option, is_tuple, options_of, set_at

APART = {
    "task": "tasks",
    "algorithm_name": "algorithms",
    "seed": "seeds",
    "total_steps": "total_steps, beside [settings]",
    "extended_at": "none: it is what `equipoise resume` remembers",
}
"""Fields of a configuration that a campaign's file has another word for."""


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
    changed: Config = set_at(config, name, find_option(config, name), value)
    return changed


def values_of(config: Config, name: str, value: Any) -> list[Any]:
    """Return the values that a campaign's file lists for an option: several where each is one by itself."""
    listed = isinstance(value, list)
    if listed and is_tuple(find_option(config, name).kind):
        listed = bool(value) and all(isinstance(item, list) for item in value)
    if listed and not value:
        raise UsageError(f"{name} is []; allowed: one value or more")
    return value if listed else [value]
