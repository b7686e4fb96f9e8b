"""The door to a campaign's two tables: `updates.csv` and `episodes.csv` by columns, every cell checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from equipoise.errors import UsageError, described
from equipoise.palette import MODE_BACKGROUNDS
from equipoise.training.rows import open_table

Columns = dict[str, np.ndarray]
"""A table by columns: numbers as floats, not a number where a cell is empty; words as objects."""

LABELS = ("task", "algorithm", "limits_scale", "settings", "seed")
"""The columns that tell runs apart."""
CLOCK = {"steps_per_second": "time/steps_per_second"}
"""Columns of metrics.csv that depend on the clock, and what they are called here so that `time/` marks them all."""
NEEDED = {
    "updates": (("iteration", "steps", "reward", "reward_se", "mode"), ("cost", "cost_se", "cos")),
    "episodes": (("split", "reward"), ("cost",)),
}
"""The columns that each table has beside the labels, and those that it has of every cost."""
SPLITS = ("training", "stochastic", "deterministic")
"""The kinds of episodes: all of training, and the last policy with actions drawn, or with mean actions."""
WORDS: dict[str, Collection[str] | None] = {
    "task": None,
    "algorithm": None,
    "settings": None,
    "seed": None,
    "split": SPLITS,
    "mode": MODE_BACKGROUNDS,
    "outcome": None,
}
"""The columns that hold words, and the words that are allowed there."""
MOST_CHARACTERS = 500
"""Characters of a word."""
AT_ONCE = 20_000
"""Rows that are read before their cells become numbers, so that not all of a large table is text at once."""


def read_updates(folder: Path) -> Columns:
    """Read a campaign's `updates.csv`; `UsageError`, naming line and column, for what no campaign writes."""
    return _read(folder / "updates.csv")


def read_episodes(folder: Path) -> Columns:
    """Read a campaign's `episodes.csv`; `UsageError`, naming line and column, for what no campaign writes."""
    return _read(folder / "episodes.csv")


def costs_of(columns: Collection[str]) -> list[str]:
    """Return the names of the costs that a table has limits of."""
    return [column.removeprefix("limit/") for column in columns if column.startswith("limit/")]


def demand_columns(path: Path, names: Collection[str]) -> None:
    """Raise `UsageError` for the first column that the table in `path` needs and `names` lacks."""
    needed, of_a_cost = NEEDED[path.stem]
    for column in [*LABELS, *needed, *(f"{column}/{name}" for name in costs_of(names) for column in of_a_cost)]:
        if column not in names:
            raise UsageError(f"{path}, line 1: there is no column {column!r}; allowed: the columns of a campaign")


def check_word(name: str, text: str, place: str) -> bool:
    """Tell whether the column `name` holds words; `UsageError`, naming the place, if `text` is none of its words."""
    if name not in WORDS:
        return False
    allowed = WORDS[name]
    if allowed is not None and text not in allowed:
        said = ", ".join(allowed)
    elif not text.isprintable() or len(text) > MOST_CHARACTERS:
        said = f"at most {MOST_CHARACTERS} printable letters"
    else:
        return True
    raise UsageError(f"{place}: {name} is {described(text)}; allowed: {said}")


def _read(path: Path) -> Columns:
    names, lines = open_table(path)
    if not names:
        raise UsageError(
            f"{path} has no rows: no run of the campaign is finished, or its tables are not "
            "written yet (equipoise campaign FILE --budget 0s writes them)"
        )
    demand_columns(path, names)
    parts = list(_parts(names, lines))
    if not parts:
        raise UsageError(f"{path} has no rows: no run of the campaign is finished")
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _parts(names: Sequence[str], lines: Iterator[tuple[str, list[str]]]) -> Iterator[Columns]:
    while rows := list(islice(lines, AT_ONCE)):
        places = [place for place, _ in rows]
        cells = zip(*(cells for _, cells in rows), strict=True)
        yield {name: _column(name, texts, places) for name, texts in zip(names, cells, strict=True)}


def _column(name: str, texts: Sequence[str], places: Sequence[str]) -> np.ndarray:
    if name in WORDS:
        for text in set(texts):
            check_word(name, text, places[texts.index(text)])
        return np.array(texts, object)
    try:
        return np.array([text or "nan" for text in texts], float)
    except ValueError:
        place, text = next((place, text) for place, text in zip(places, texts, strict=True) if not _is_number(text))
        raise UsageError(f"{place}: {name} is {described(text)}; allowed: a number") from None


def _is_number(text: str) -> bool:
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True
