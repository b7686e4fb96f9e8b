"""Settings: frozen dataclasses that JAX knows, so that a new number does not recompile an update."""

from __future__ import annotations

import dataclasses
import numbers
import types
import typing
from collections.abc import Iterable
from typing import Any, TypeVar, dataclass_transform

import jax
import numpy as np

from equipoise.errors import UsageError, unknown

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


def plain(settings: T, prefix: str = "") -> T:
    """Return `settings` with every value as its type declares it: Python's own numbers, strings and tuples.

    So NumPy's and JAX's numbers are as good as Python's, and lists as tuples. Raises `UsageError` naming the first
    field whose value is of another kind.
    """
    hints = typing.get_type_hints(type(settings))
    fields = dataclasses.fields(settings)  # type: ignore[arg-type]
    values = {f.name: getattr(settings, f.name) for f in fields if f.init}
    return dataclasses.replace(settings, **{n: as_declared(hints[n], v, prefix + n) for n, v in values.items()})  # type: ignore[type-var]


NUMBERS: dict[type, tuple[type, str]] = {
    bool: (bool, "True or False"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
}
"""For each type of number what is taken for one, and what it is called."""


UNNAMED = ("algorithm", "rule", "learner")
"""Parts whose settings have no prefix, as on the command line."""


def as_declared(kind: Any, value: Any, name: str) -> Any:
    """Return the `value` of the setting `name` as its type `kind` declares it; `UsageError` if it is none of that."""
    if isinstance(value, type):
        raise UsageError(f"{name} is the class {value.__name__}; allowed: one of its kind, as in {value.__name__}()")
    if dataclasses.is_dataclass(value):
        return plain(value, "" if name in UNNAMED else f"{name}.")
    if isinstance(kind, types.UnionType):
        choices = typing.get_args(kind)
        return None if value is None and types.NoneType in choices else as_declared(choices[0], value, name)
    if typing.get_origin(kind) is typing.Literal:
        if value not in typing.get_args(kind):
            raise unknown(name, str(value), typing.get_args(kind))
        return str(value) if isinstance(value, str) else value
    if typing.get_origin(kind) is tuple:
        return _as_tuple(typing.get_args(kind)[0], value, name)
    if hasattr(value, "dtype") and np.size(value) == 1 and not isinstance(value, str):
        value = np.asarray(value).item()
    if kind in NUMBERS:
        needed, words = NUMBERS[kind]
        if not isinstance(value, needed) or (isinstance(value, bool) and kind is not bool):
            raise UsageError(f"{name} is {value!r}; allowed: {words}")
        return kind(value)
    if kind is str:
        if not isinstance(value, str):
            raise UsageError(f"{name} is {value!r}; allowed: a name")
        return str(value)
    return value


def _as_tuple(kind: Any, value: Any, name: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable) or np.ndim(value) == 0:  # type: ignore[arg-type]
        raise UsageError(f"{name} is {value!r}; allowed: one for each, as in ({value!r},)")
    return tuple(as_declared(kind, item, f"{name}[{i}]") for i, item in enumerate(value))
