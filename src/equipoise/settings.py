"""Settings: frozen dataclasses that JAX knows, so that a new number does not recompile an update."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeVar, dataclass_transform

import jax

from equipoise.errors import UsageError

T = TypeVar("T")


def static(*, default: Any) -> Any:
    """Declare a field that JAX treats as fixed: a new value recompiles what is computed from it."""
    return dataclasses.field(default=default, metadata={"static": True})


@dataclass_transform(frozen_default=True, field_specifiers=(static, dataclasses.field))
def settings(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass and a JAX pytree: its fields are traced, except those declared with `static`.

    So a new limit, slack or discount does not recompile an update, and a new number of iterations does.
    """
    made = dataclasses.dataclass(frozen=True)(cls)
    fields = dataclasses.fields(made)  # type: ignore[arg-type]
    fixed = [f.name for f in fields if f.metadata.get("static")]
    traced = [f.name for f in fields if not f.metadata.get("static")]

    def flatten(value: T) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        leaves = [(jax.tree_util.GetAttrKey(name), getattr(value, name)) for name in traced]
        return leaves, tuple(getattr(value, name) for name in fixed)

    def unflatten(static: tuple[Any, ...], leaves: Iterable[Any]) -> T:
        # Not through __init__, as `jax.tree_util.register_dataclass` does: inside an update floats are tracers, which
        # checkers of types at run time refuse.
        value = object.__new__(made)
        for name, leaf in zip((*traced, *fixed), (*leaves, *static), strict=True):
            object.__setattr__(value, name, leaf)
        return value

    jax.tree_util.register_pytree_with_keys(made, flatten, unflatten)
    return made


def require(holds: bool, otherwise: str) -> None:
    """Raise `UsageError` with the message `otherwise` unless the condition holds."""
    if not holds:
        raise UsageError(otherwise)


def require_ranges(settings: object, **ranges: tuple[float | int, float | int]) -> None:
    """Raise `UsageError` for the first field of `settings` outside of its closed range (low, high), or NaN."""
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        allowed = f"{low:g} or more" if high == float("inf") else f"from {low:g} to {high:g}"
        require(low <= value <= high, f"{name} is {value}; allowed: {allowed}")


def require_positive(settings: object, *names: str) -> None:
    """Raise `UsageError` for the first field of `settings` that is not more than 0, or NaN."""
    for name in names:
        value = getattr(settings, name)
        require(value > 0, f"{name} is {value}; allowed: more than 0")
