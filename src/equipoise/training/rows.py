"""The door to a run's tables, .csv files: nothing else reads them, and every cell is checked here."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from equipoise.errors import UsageError, described
from equipoise.files import read_file
from equipoise.palette import MODE_BACKGROUNDS

Row = dict[str, Any]
"""A row of a table by column name: numbers, and a few words such as the mode's and the outcome's names."""

MOST_BYTES = 2**28
"""Size of a table."""
MOST_COLUMNS = 1000
"""Columns of a table."""
MOST_CHARACTERS = 60
"""Characters of a cell."""

NEEDED = ("iteration", "steps", "reward", "reward_se", "mode", "outcome")
"""Columns that every run has, beside those of its costs."""
WORDS_OF_METRICS: dict[str, Collection[str] | None] = {"mode": MODE_BACKGROUNDS, "outcome": None}
"""Columns of a `metrics.csv` that hold words, and the words that are allowed."""
OF_A_COST = ("cost", "cost_se", "limit", "cos")
"""Columns that every run has for each of its costs, as COLUMN/NAME."""


def read_metrics(path: Path, cost_names: Sequence[str] = ()) -> list[Row]:
    """Read the whole rows of a `metrics.csv`; none if it is not there. A torn last line is left out.

    Raises `UsageError`, naming the line, for anything that a run with these costs does not write.
    """
    needed = [*NEEDED, *(f"{column}/{name}" for name in cost_names for column in OF_A_COST)]

    def check_order(row: Row, before: Row | None, place: str) -> None:
        number = 1 if before is None else before["iteration"] + 1
        if row["iteration"] != number or not isinstance(row["iteration"], int):
            raise UsageError(f"{place}: iteration is {row['iteration']}; allowed: {number}, as no row is left out")
        steps = 0 if before is None else before["steps"]
        if not isinstance(row["steps"], int) or not steps < row["steps"] < 2**63:
            raise UsageError(f"{place}: steps is {row['steps']}; allowed: a whole number above {steps}")

    return _read(path, WORDS_OF_METRICS, lambda columns: _demand_columns(columns, needed, path), check_order)


def read_episodes(path: Path, cost_names: Sequence[str]) -> list[Row]:
    """Read the whole rows of an `episodes.csv`, as `read_metrics` does."""

    def check_order(row: Row, before: Row | None, place: str) -> None:
        least = 1 if before is None else before["iteration"]
        if not isinstance(row["iteration"], int) or row["iteration"] < least:
            raise UsageError(f"{place}: iteration is {row['iteration']}; allowed: a whole number from {least} on")

    return _read(path, {}, lambda columns: _demand_exactly(columns, "iteration", cost_names, path), check_order)


def read_evaluation(path: Path, cost_names: Sequence[str]) -> list[Row]:
    """Read the whole rows of an `evaluation.csv`, as `read_metrics` does."""
    words = {"policy": ("stochastic", "deterministic")}
    return _read(path, words, lambda columns: _demand_exactly(columns, "policy", cost_names, path))


def columns_of_episodes(first: str, cost_names: Sequence[str]) -> list[str]:
    """Return the columns of a table of episodes: `first`, the return and the costs."""
    return [first, "reward", *(f"cost/{name}" for name in cost_names)]


def _read(
    path: Path,
    words: Mapping[str, Collection[str] | None],
    check_columns: Callable[[list[str]], None],
    check_order: Callable[[Row, Row | None, str], None] = lambda row, before, place: None,
) -> list[Row]:
    """Read the whole rows of a table.

    `words` names the columns that hold words, and those that are allowed there; `check_order` is called with each row,
    the one before it, and its place.
    """
    columns, lines = open_table(path)
    if not columns:
        return []
    check_columns(columns)
    rows: list[Row] = []
    for place, cells in lines:  # one by one: of a large foreign table, the first line that is wrong is enough
        row = _row(columns, cells, words, place)
        check_order(row, rows[-1] if rows else None, place)
        rows.append(row)
    return rows


def open_table(path: Path) -> tuple[list[str], Iterator[tuple[str, list[str]]]]:
    """Open a table; return the names of its columns, and its whole rows: where each stands, and its cells as text.

    There are no columns where there is no table. Raises `UsageError`, also while rows are taken, for what is no CSV.
    """
    if not path.exists() and not path.is_symlink():
        return [], iter(())
    content = read_file(path, MOST_BYTES)
    whole = content[: content.rfind(b"\n") + 1]
    try:
        text = whole.decode("utf-8")
    except UnicodeDecodeError as error:
        line = whole[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}, line {line}: byte {error.start} is not UTF-8; allowed: CSV in UTF-8") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UsageError(f"{path}, line {line}: a NUL; allowed: CSV in UTF-8")
    lines = _lines(text, path)
    columns = next(lines, [])
    _check_names(columns, path)
    return columns, _whole_rows(lines, len(columns), path)


def _lines(text: str, path: Path) -> Iterator[list[str]]:
    lines = csv.reader(io.StringIO(text), strict=True)
    try:
        yield from lines
    except csv.Error as error:
        raise UsageError(f"{path}, line {lines.line_num}: no CSV, {error}; allowed: CSV in UTF-8") from None


def _whole_rows(lines: Iterator[list[str]], columns: int, path: Path) -> Iterator[tuple[str, list[str]]]:
    for number, cells in enumerate(lines, 2):
        place = f"{path}, line {number}"
        if len(cells) != columns:
            raise UsageError(f"{place}: {len(cells)} cells; allowed: {columns}, one a column")
        yield place, cells


def _check_names(columns: list[str], path: Path) -> None:
    """Raise `UsageError` unless the first line names a bounded number of columns, and none twice."""
    if len(columns) > MOST_COLUMNS:
        raise UsageError(f"{path}, line 1: {len(columns)} columns; allowed: at most {MOST_COLUMNS}")
    for name in columns:
        if columns.count(name) > 1 or not name.isprintable():
            raise UsageError(f"{path}, line 1: the column {described(name)}; allowed: each once, in printable letters")


def _demand_columns(columns: list[str], needed: Sequence[str], path: Path) -> None:
    for name in needed:
        if name not in columns:
            raise UsageError(f"{path}, line 1: there is no column {name!r}; allowed: the columns that training writes")


def _demand_exactly(columns: list[str], first: str, cost_names: Sequence[str], path: Path) -> None:
    allowed = columns_of_episodes(first, cost_names)
    if columns != allowed:
        raise UsageError(f"{path}, line 1: {described(','.join(columns))}; allowed: {','.join(allowed)}")


def _row(columns: list[str], cells: list[str], words: Mapping[str, Collection[str] | None], place: str) -> Row:
    return {
        column: _word(column, cell, words[column], place) if column in words else number(column, cell, place)
        for column, cell in zip(columns, cells, strict=True)
    }


def _word(column: str, text: str, allowed: Collection[str] | None, place: str) -> str:
    if allowed is not None and text not in allowed:
        raise UsageError(f"{place}: {column} is {described(text)}; allowed: {', '.join(allowed)}")
    if not (text.isprintable() and 0 < len(text) <= MOST_CHARACTERS):
        raise UsageError(f"{place}: {column} is {described(text)}; allowed: 1 to {MOST_CHARACTERS} printable letters")
    return text


def number(column: str, text: str, place: str) -> int | float:
    """Return the number in a cell; `UsageError`, naming the place, if there is none."""
    for kind in (int, float) if len(text) <= MOST_CHARACTERS else ():
        try:
            return kind(text)
        except ValueError:
            continue
    raise UsageError(f"{place}: {column} is {described(text)}; allowed: a number")
