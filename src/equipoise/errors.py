"""The one exception a user's mistake raises, and how words of unknown origin are shown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

NEAR, NEAR_OF_EQUAL_LENGTH = 0.78, 0.66
"""Similarities (difflib's ratio) from which on a name is taken for a slip of another, the second for names that differ
in length by no more than a letter. Below them, a suggestion leads astray more often than it helps."""


class UsageError(ValueError):
    """Something the caller asked for cannot be done; the message says what, and what can be done instead.

    The command line prints the message on one line and exits with code 2.
    """


class DiskFullError(UsageError):
    """There is no room on the disk, or in the user's share of it; what is there can be gone on with."""


class Notice(UserWarning):
    """Something was done in another way than a user expects, or left out; the command line says it on one line."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Build the error for an unknown `name`: it suggests the one of `known` that is near, or lists them all."""
    known = sorted(known)
    as_long = [other for other in known if abs(len(other) - len(name)) <= 1]
    near = difflib.get_close_matches(name, known, n=1, cutoff=NEAR) or difflib.get_close_matches(
        name, as_long, n=1, cutoff=NEAR_OF_EQUAL_LENGTH
    )
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return UsageError(f"unknown {kind} {name!r}; {hint}")


def printable(text: str, most: int = 2000) -> str:
    """Return `text` on one line of at most `most` characters, with escapes for all that a terminal would act on."""
    text = text if len(text) <= most else text[:most] + " …"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def described(value: object) -> str:
    """Say in a few words what a value is that came from a file or from a user's code."""
    if isinstance(value, str | int | float | None):
        try:
            return printable(repr(value), 60)
        except ValueError:  # Python refuses to write out integers of thousands of digits
            return "a number of thousands of digits"
    return {"list": "a list", "dict": "a table"}.get(type(value).__name__, f"a {type(value).__name__}")
