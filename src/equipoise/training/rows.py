"""The door to a run's `metrics.csv`: nothing else reads it, and every cell of it is checked here."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from equipoise.errors import UsageError, described
from equipoise.files import read_file
from equipoise.palette import MODE_BACKGROUNDS

Row = dict[str, Any]
"""A row of metrics by column name: numbers, and the mode's and the outcome's names."""

MOST_BYTES = 2**26
"""Size of a `metrics.csv`."""
MOST_COLUMNS = 1000
"""Columns of a `metrics.csv`."""
MOST_CHARACTERS = 60
"""Characters of a cell."""

NEEDED = ("iteration", "steps", "reward", "reward_se", "mode", "outcome")
"""Columns that every run has, beside those of its costs."""
OF_A_COST = ("cost", "cost_se", "limit", "cos")
"""Columns that every run has for each of its costs, as COLUMN/NAME."""


def read_metrics(path: Path, cost_names: Sequence[str] = ()) -> list[Row]:
    """Read the whole rows of a `metrics.csv`; none if it is not there. A torn last line is left out.

    Raises `UsageError`, naming the line, for anything that a run with these costs does not write.
    """
    if not path.exists() and not path.is_symlink():
        return []
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
    lines = csv.reader(io.StringIO(text), strict=True)
    rows: list[Row] = []
    try:
        columns = next(lines, None)
        if columns is None:
            return []
        _check_columns(columns, cost_names, path)
        for cells in lines:  # one by one: of a large foreign table, the first line that is wrong is enough
            place = f"{path}, line {len(rows) + 2}"
            row = _row(columns, cells, place)
            _check_order(len(rows) + 1, row, rows[-1]["steps"] if rows else 0, place)
            rows.append(row)
    except csv.Error as error:
        raise UsageError(f"{path}, line {lines.line_num}: no CSV, {error}; allowed: CSV in UTF-8") from None
    return rows


def _check_columns(columns: list[str], cost_names: Sequence[str], path: Path) -> None:
    """Raise `UsageError` unless the first line names each needed column, and none twice."""
    if len(columns) > MOST_COLUMNS:
        raise UsageError(f"{path}, line 1: {len(columns)} columns; allowed: at most {MOST_COLUMNS}")
    needed = [*NEEDED, *(f"{column}/{name}" for name in cost_names for column in OF_A_COST)]
    for name in needed:
        if name not in columns:
            raise UsageError(f"{path}, line 1: there is no column {name!r}; allowed: the columns that training writes")
    for name in columns:
        if columns.count(name) > 1 or not name.isprintable():
            raise UsageError(f"{path}, line 1: the column {described(name)}; allowed: each once, in printable letters")


def _row(columns: list[str], cells: list[str], place: str) -> Row:
    if len(cells) != len(columns):
        raise UsageError(f"{place}: {len(cells)} cells; allowed: {len(columns)}, one a column")
    return {column: _cell(column, cell, place) for column, cell in zip(columns, cells, strict=True)}


def _cell(column: str, text: str, place: str) -> Any:
    """Return what a cell says."""
    if column == "mode" and text not in MODE_BACKGROUNDS:
        raise UsageError(f"{place}: mode is {described(text)}; allowed: {', '.join(MODE_BACKGROUNDS)}")
    if column == "outcome" and not (text.isprintable() and 0 < len(text) <= MOST_CHARACTERS):
        raise UsageError(f"{place}: outcome is {described(text)}; allowed: 1 to {MOST_CHARACTERS} printable letters")
    if column in ("mode", "outcome"):
        return text
    for kind in (int, float) if len(text) <= MOST_CHARACTERS else ():
        try:
            return kind(text)
        except ValueError:
            continue
    raise UsageError(f"{place}: {column} is {described(text)}; allowed: a number")


def _check_order(number: int, row: Row, steps_before: int, place: str) -> None:
    """Raise `UsageError` unless a row is of iteration `number`, with more steps than the one before."""
    if row["iteration"] != number or not isinstance(row["iteration"], int):
        raise UsageError(f"{place}: iteration is {row['iteration']}; allowed: {number}, as no row is left out")
    if not isinstance(row["steps"], int) or not steps_before < row["steps"] < 2**63:
        raise UsageError(f"{place}: steps is {row['steps']}; allowed: a whole number above {steps_before}")
