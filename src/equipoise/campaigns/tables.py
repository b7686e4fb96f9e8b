"""The two tidy tables of a campaign: every update, and every episode, of its finished runs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from equipoise.campaigns.columns import CLOCK
from equipoise.campaigns.folder import CampaignFolder
from equipoise.campaigns.job import Job
from equipoise.files import write_atomically
from equipoise.training.episodes import encode
from equipoise.training.rows import Row, read_episodes, read_evaluation


def write_tables(folder: CampaignFolder) -> list[Path]:
    """Write `updates` and `episodes` as .csv, and as .parquet where pyarrow is installed; return the files.

    Rows are sorted by what tells the runs apart, so that equal campaigns give equal tables, columns `time/…` aside.
    """
    standings = [(job, folder.standing(job)) for job in folder.jobs]
    finished = [(job, standing.rows) for job, standing in standings if standing.status == "finished"]
    finished.sort(key=lambda run: tuple(run[0].labels.values()))
    written = []
    for name, of_run in (("updates", updates), ("episodes", episodes)):
        rows = [{**job.labels, **row} for job, metrics in finished for row in of_run(folder, job, metrics)]
        columns = list(dict.fromkeys(column for row in rows for column in row))
        written.append(folder.path / f"{name}.csv")
        write_atomically(written[-1], encode(rows, header=bool(rows), columns=columns))
        if has_pyarrow() and rows:
            written.append(folder.path / f"{name}.parquet")
            write_atomically(written[-1], _parquet(rows, columns))
    return written


def updates(folder: CampaignFolder, job: Job, metrics: list[Row]) -> Iterator[Row]:
    """Yield every iteration of a run: the columns of metrics.csv."""
    for row in metrics:
        yield {CLOCK.get(column, column): value for column, value in row.items()}


def episodes(folder: CampaignFolder, job: Job, metrics: list[Row]) -> Iterator[Row]:
    """Yield every episode of a run on three splits: all of training, and the last policy, stochastic and deterministic.

    `iteration` says whose policy acted: in training it is the iteration that the episode belongs to.
    """
    path = folder.run_dir(job)
    if not path.exists():
        yield from folder.earlier.rows(job, "episodes")
        return
    last = metrics[-1]
    limits = {column: value for column, value in last.items() if column.startswith("limit/")}
    names = [column.removeprefix("limit/") for column in limits]
    for row in read_episodes(path / "episodes.csv", names):
        yield {"split": "training", **row, **limits}
    for row in read_evaluation(path / "evaluation.csv", names):
        split = row.pop("policy")
        yield {"split": split, "iteration": last["iteration"], **row, **limits}


def has_pyarrow() -> bool:
    """Return whether .parquet files can be written."""
    return importlib.util.find_spec("pyarrow") is not None


def _parquet(rows: list[Row], columns: list[str]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({column: _column([row.get(column) for row in rows]) for column in columns})
    content = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, content)
    return bytes(content.getvalue())


def _column(values: list) -> list:
    """Return a column's values as one type: numbers with and without a fraction are of one kind, a gap is None."""
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    if str in kinds:
        return [None if value is None else str(value) for value in values]
    return values
