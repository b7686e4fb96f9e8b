"""A table that can be written as HTML and as LaTeX."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One cell of a table."""

    text: str
    """What is read."""
    key: float | int | str = ""
    """What rows are sorted by: a number, or by default the text."""


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    """Its heading."""
    numeric: bool = False
    """Whether it holds numbers, which are written to the right."""
    explained: str = ""
    """What it is, in a sentence."""


@dataclass(frozen=True)
class Table:
    """A table."""

    name: str
    """Name of its file, without the ending."""
    caption: str
    """What it is of."""
    columns: list[Column]
    """Its columns."""
    rows: list[list[Entry]]
    """Its rows, one entry a column."""
    choices: tuple[str, ...] = ()
    """Columns that have few values, by which rows can be chosen."""
