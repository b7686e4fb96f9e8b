"""The one exception a user's mistake raises."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """Something the caller asked for cannot be done; the message says what, and what can be done instead.

    The command line prints the message on one line and exits with code 2.
    """


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Build the error for an unknown `name`: it suggests the nearest of `known`, or lists them all."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return UsageError(f"unknown {kind} {name!r}; {hint}")
