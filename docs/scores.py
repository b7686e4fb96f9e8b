"""What was measured of an algorithm, for its page: of every committed campaign, and of the first look."""

from __future__ import annotations

import csv
import functools
from pathlib import Path

import numpy as np
from markup import table

from equipoise.campaigns.folder import CampaignFolder
from equipoise.report.cells import Cell, Cells, mean_violation
from equipoise.report.results import method_name, read_results
from equipoise.statistics import Interval

RESULTS = Path(__file__).parent / "results"
FIRST_LOOK = RESULTS / "data" / "first_look.csv"
CAMPAIGNS = RESULTS / "data" / "campaigns"

CAMPAIGN = "task, algorithm, steps, seeds, reward, cost, mean cost, limit, certified, violation, minutes".split(", ")
"""The headings of a campaign's table."""

LOOK = "task, steps, seeds, reward, cost, limit, violation, minutes".split(", ")
"""The headings of the first look's table."""


def score(name: str) -> str:
    """Write the tables of what was measured of the algorithm `name`."""
    found = [text for folder in sorted(CAMPAIGNS.glob("*/")) if (text := of_campaign(folder, name))]
    if first := of_first_look(name):
        found.append(first)
    return "\n\n".join(found) or "Not measured yet."


def of_campaign(folder: Path, name: str) -> str:
    """Write what a committed campaign measured of the algorithm, with any settings; empty if nothing."""
    cells, bases, steps = campaign(folder)
    rows = []
    for condition in cells.results.conditions:
        for method in cells.results.methods:
            cell = cells.get(condition, method)
            if cell is not None and bases[method] == name:
                rows += campaign_rows(cells, cell, steps)
    if not rows:
        return ""
    seeds = sorted({row[3] for row in rows})
    few = "; one seed is a look" if "1" in seeds else ""
    said = f"[{cells.results.name}](../results/{folder.name}.md), the last policy as it was trained: means over seeds"
    return f"{said} with 95 % intervals{few}.\n\n{table(CAMPAIGN, rows)}"


@functools.cache
def campaign(folder: Path) -> tuple[Cells, dict[str, str], int]:
    """Return a campaign's results, the algorithm that each of its methods is, and its runs' steps."""
    jobs = CampaignFolder.load(folder).jobs
    bases = {method_name(job.algorithm, job.varied): job.base for job in jobs}
    return Cells(read_results(folder)), bases, jobs[0].total_steps


def campaign_rows(cells: Cells, cell: Cell, steps: int) -> list[list[str]]:
    """Return a row for every cost of what an algorithm reached on a condition."""
    runs = cells.results.of(cell.condition, cell.method)
    minutes = float(np.mean([run.minutes for run in runs]))
    rows = []
    for cost in cell.costs:
        rows.append(
            [
                cell.condition.label,
                cell.method,
                spaced(steps),
                str(len(runs)),
                interval(cell.reward, 0),
                cost.name,
                interval(cost.mean, 1),
                f"{cost.limit:g}",
                f"{cost.certified_runs} of {len(runs)}",
                interval(mean_violation(runs, cost.name), 2),
                f"{minutes:.1f}",
            ]
        )
    return rows


def of_first_look(name: str) -> str:
    """Write what the first look measured of the algorithm; empty if nothing."""
    with FIRST_LOOK.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["algorithm"] == name]
    cells = []
    for task in sorted({row["task"] for row in rows}):
        steps = max(int(row["steps"]) for row in rows if row["task"] == task)
        seeds = [row for row in rows if (row["task"], int(row["steps"])) == (task, steps)]
        columns = ("reward", "cost", "violation", "minutes")
        reward, cost, violation, minutes = (float(np.mean([float(row[c]) for row in seeds])) for c in columns)
        ends = [number(reward, 0), number(cost, 1), seeds[0]["limit"], number(violation, 2), f"{minutes:.1f}"]
        cells.append([task, spaced(steps), str(len(seeds)), *ends])
    if not cells:
        return ""
    said = "The [first look](../results/first-look.md), during training; one seed."
    return f"{said}\n\n{table(LOOK, cells)}"


def number(value: float, digits: int) -> str:
    """Write a number."""
    return f"{value:.{digits}f}".replace("-", "−")


def interval(found: Interval, digits: int) -> str:
    """Write a mean, and its interval if it has one."""
    text = number(found.value, digits)
    if not (np.isfinite(found.low) and np.isfinite(found.high)):
        return text
    return f"{text} [{number(found.low, digits)}, {number(found.high, digits)}]"


def spaced(steps: int) -> str:
    """Write a number of steps in groups of three."""
    return f"{steps:,}".replace(",", " ")
