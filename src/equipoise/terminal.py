"""The terminal, or whatever stands in its place."""

from __future__ import annotations

from rich.console import Console

WIDE = 160
"""Columns of a table that is written to a file or a pipe."""


def open_console() -> Console:
    """Return the terminal, or what its output is piped to, where a table needs no folding."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)
