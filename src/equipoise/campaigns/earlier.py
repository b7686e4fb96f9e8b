"""The runs of a campaign that only its tables still know, as their folders were left on another machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from equipoise.campaigns.columns import CLOCK, LABELS, NEEDED, check_word, demand_columns
from equipoise.campaigns.job import Job
from equipoise.errors import UsageError
from equipoise.training.rows import Row, number, open_table

FOLDER = "earlier"
"""Where the tables are put once runs of another machine have a folder of their own."""


class EarlierRuns:
    """The rows of finished runs in the tables of a campaign, read when they are first asked for."""

    def __init__(self, campaign: Path) -> None:
        there = not (campaign / "runs").exists()
        self.path = campaign if there else campaign / FOLDER
        """The folder of the tables: the campaign's own, as long as no run has been begun in it."""
        self._tables: dict[str, dict[tuple[str, ...], list[Row]]] = {}

    def rows(self, job: Job, table: str) -> list[Row]:
        """Return a run's rows of `updates` or `episodes`, as its own files have them; none if the table has none.

        Raises `UsageError`, naming the line, for what no campaign writes.
        """
        if table not in self._tables:
            self._tables[table] = {}
            for key, row in _read(self.path / f"{table}.csv"):
                self._tables[table].setdefault(key, []).append(row)
        return self._tables[table].get(tuple(str(label) for label in job.labels.values()), [])

    def finished(self, job: Job) -> bool:
        """Tell whether the tables have the whole run."""
        rows = self.rows(job, "updates")
        if not rows or rows[-1]["steps"] < job.total_steps:
            return False
        if [row["iteration"] for row in rows] != list(range(1, len(rows) + 1)):
            raise UsageError(f"{self.path / 'updates.csv'} lacks an iteration of {job.name}; allowed: all, in order")
        if not self.rows(job, "episodes"):
            raise UsageError(f"{self.path}: updates.csv has {job.name}, and episodes.csv does not; bring both or none")
        return True


def put_aside(campaign: Path) -> None:
    """Move the tables of a campaign without runs to where they are kept when those of its own runs are written."""
    if (campaign / "runs").exists():
        return
    for table in NEEDED:
        if (campaign / f"{table}.csv").exists():
            (campaign / FOLDER).mkdir(exist_ok=True)
            (campaign / f"{table}.csv").replace(campaign / FOLDER / f"{table}.csv")


def _read(path: Path) -> Iterator[tuple[tuple[str, ...], Row]]:
    """Yield the labels of every row of a table, and the cells that its run has filled.

    Whole numbers stay whole, unlike in `Columns`: written again, a row is the same to the last digit.
    """
    columns, lines = open_table(path)
    if not columns:
        return
    of_a_run = {name: column for column, name in CLOCK.items()}
    demand_columns(path, columns)
    for place, texts in lines:
        cells = dict(zip(columns, texts, strict=True))
        key = tuple(cells.pop(label) for label in LABELS)
        yield key, {of_a_run.get(column, column): _cell(column, text, place) for column, text in cells.items() if text}


def _cell(column: str, text: str, place: str) -> str | int | float:
    return text if check_word(column, text, place) else number(column, text, place)
