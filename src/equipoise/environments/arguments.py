"""Arguments that an environment of Gymnasium's is made with, written as NAME=VALUE."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from equipoise.errors import UsageError, printable

Argument = bool | int | float | str | None
"""What an argument can be."""

WORDS: dict[str, bool] = {"true": True, "false": False}
"""Further ways to write a truth value, those of TOML and JSON."""

ALLOWED = "a whole number, a number, True, False, None, or a text (in quotes if it looks like one of the others)"
"""What values are allowed."""


def read_arguments(words: Sequence[str]) -> dict[str, Argument]:
    """Return the arguments by name; `UsageError` for a word that is not NAME=VALUE, and for a name given twice."""
    found: dict[str, Argument] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (equals and name.isidentifier()):
            raise UsageError(f"env_args has {printable(word, 60)!r}; allowed: NAME=VALUE, as in friction=0.3")
        if name in found:
            raise UsageError(f"env_args has {name!r} twice; give it once")
        found[name] = _value(name, text)
    return found


def _value(name: str, text: str) -> Argument:
    """Return what Python's literal `text` stands for; the text itself where it is none."""
    if text in WORDS:
        return WORDS[text]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    if value is not None and not isinstance(value, bool | int | float | str):
        raise UsageError(f"env_args has {name}={printable(text, 60)}; allowed: {ALLOWED}")
    return value


def write_arguments(arguments: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return the words that `read_arguments` reads as `arguments`; `UsageError` for a value that is none of theirs."""
    words = []
    for name, value in arguments.items():
        plain = value.item() if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0 else value  # NumPy's
        if plain is not None and not isinstance(plain, bool | int | float | str):
            raise UsageError(f"env_args has {name}={printable(repr(value), 60)}; allowed: {ALLOWED}")
        words.append(f"{name}={plain!r}")
    return tuple(words)


def texts_in(words: Sequence[str]) -> list[str]:
    """Return those of the words that give an environment a text, which can name a file or a module."""
    return [word for word in words if any(isinstance(value, str) for value in read_arguments([word]).values())]


def demand_taken(env_id: str, make: Callable[..., Any], arguments: Mapping[str, Argument]) -> None:
    """Raise `UsageError`, naming those that it takes, if `make` does not take one of the arguments.

    How an environment draws itself is asked for by other options, and is no argument here.
    """
    names, any_other = _taken_by(make)
    for name in arguments:
        if name == "render_mode" or (name not in names and not any_other):
            raise UsageError(
                f"{env_id} takes no argument {name!r} here; it takes: {', '.join(sorted(names)) or 'none'}"
            )


def _taken_by(make: Callable[..., Any]) -> tuple[set[str], bool]:
    """Return the names that a function or a class takes, and whether it takes any other.

    A class that passes on what it does not know also takes what the next one takes.
    """
    classes = make.__mro__[:-1] if isinstance(make, type) else ()
    makers = [vars(kind)["__init__"] for kind in classes if "__init__" in vars(kind)] if classes else [make]
    names: set[str] = set()
    for maker in makers:
        parameters = inspect.signature(maker).parameters.values()
        fixed = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY)
        names |= {parameter.name for parameter in parameters if parameter.kind not in fixed}
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            return names - {"self", "render_mode"}, False
    return names - {"self", "render_mode"}, bool(makers)
