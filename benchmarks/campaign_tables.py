"""The tables of committed campaigns, for the pages of docs/results/.

A campaign is committed as docs/results/data/campaigns/NAME, with the files of its folder that its report is made of:
`campaign.json`, `updates.csv` and `episodes.csv`. Its page is docs/results/NAME.md; `benchmarks/tables.py` begins it if
it is not there, and writes its tables, which are those of `equipoise report`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from equipoise.report.cells import Cells
from equipoise.report.numbers import number
from equipoise.report.ranking import Ranking
from equipoise.report.results import read_results
from equipoise.report.tables import tables
from equipoise.report.words import findings, overall

HEADINGS = {
    "summary": "In words",
    "results": "Rewards, costs and certificates",
    "interquartile-means": "Normalised reward over all conditions",
    "probability-of-improvement": "Probability that the row's algorithm has more reward than the column's",
    "fronts": "Fronts over several limits",
    "training": "During training",
    "runs": "Every run",
}
"""The heading of each table in a campaign's page, in the order in which they stand there."""


def committed(data: Path) -> list[Path]:
    """Return the folders of the committed campaigns."""
    return sorted(path.parent for path in data.glob("campaigns/*/campaign.json"))


@cache
def campaign_tables(folder: Path) -> dict[str, list[list[str]]]:
    """Return the cells of every table of a campaign by the name that pages call it by, their headings first."""
    cells = Cells(read_results(folder))
    ranking = Ranking(cells)
    made = {"summary": _summary(cells, ranking)}
    for table in tables(cells, ranking):
        made[table.name] = [[c.name for c in table.columns], *([entry.text for entry in row] for row in table.rows)]
    return {f"{folder.name}/{name}": [[_plain(cell) for cell in row] for row in rows] for name, rows in made.items()}


def at_a_glance(folder: Path) -> list[list[str]]:
    """Return every algorithm's reward on every task, in bold where each run is certified, and how many runs are."""
    cells = Cells(read_results(folder))
    conditions, table = cells.results.conditions, []
    for method in cells.results.methods:
        row, certified, runs = [], 0, 0
        for condition in conditions:
            cell = cells.get(condition, method)
            if cell is None:
                row.append("")
                continue
            here, kept = len(cells.results.of(condition, method)), min(cost.certified_runs for cost in cell.costs)
            reward = number(cell.reward.value)
            row.append(f"**{reward}**" if kept == here else reward)
            certified, runs = certified + kept, runs + here
        if runs:
            table.append([_plain(method), *row, f"{certified} of {runs}"])
    return [["algorithm", *(condition.label.removeprefix("Safety") for condition in conditions), "certified"], *table]


def _links(folder: Path) -> str:
    """Link a campaign's files one by one: the site has no page for a folder."""
    return ", ".join(
        f"[{name}](data/campaigns/{folder.name}/{name})" for name in ("campaign.json", "updates.csv", "episodes.csv")
    )


def new_page(folder: Path) -> str:
    """Return the page that a campaign begins with: a heading, and places for its tables."""
    there = campaign_tables(folder)
    parts = [
        f"# {folder.name}",
        f"What the numbers are: [the report](../campaigns.md#the-report). Data: {_links(folder)}.",
    ]
    for name, heading in HEADINGS.items():
        if f"{folder.name}/{name}" in there:
            parts += [f"## {heading}", f"<!-- table: {folder.name}/{name} -->\n<!-- end of table -->"]
    return "\n\n".join(parts) + "\n"


def _summary(cells: Cells, ranking: Ranking) -> list[list[str]]:
    """Return the report's summary as a table: what holds for all, and what for each task and limits."""
    whole = [["all", sentence] for sentence in overall(cells, ranking)]
    each = [[found.place, " ".join([found.headline, *found.details])] for found in findings(cells)]
    return [["where", "what came out"], *whole, *each]


def _plain(text: str) -> str:
    """Return a cell's text without what Markdown would act on."""
    for letter in "\\|<*_`":
        text = text.replace(letter, f"\\{letter}")
    return text
