"""The table and the picture of docs/anchors/margin.csv: PCRPO and CRPO at the same margin.

    python benchmarks/margin.py

Prints docs/anchors.md's table, and draws docs/margin.png. `benchmarks/anchors.py margin` makes the runs.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from anchors import FOUR, RESULTS, SHORT
from equipoise.files import write_atomically
from equipoise.palette import BALANCE, COST

COLOURS = {"pcrpo": BALANCE, "crpo": COST}
MARKS = {"pcrpo": "o", "crpo": "s"}
COLUMNS = ("reward", "cost", "violation", "balance")
Group = tuple[str, str, float]
"""Task, algorithm, and limit as a share of the task's own."""


def load() -> dict[Group, list[dict[str, float]]]:
    """Read every finished run's last row."""
    groups: dict[Group, list[dict[str, float]]] = defaultdict(list)
    with (RESULTS / "margin.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if int(row["steps"]) == SHORT:
                values = {name: float(row[name]) for name in ("seed", "limit", *COLUMNS)}
                groups[row["task"], row["algorithm"], float(row["share"])].append(values)
    return {group: sorted(rows, key=lambda row: row["seed"]) for group, rows in groups.items()}


def column(rows: list[dict[str, float]], name: str) -> np.ndarray:
    """Return one number of every run, by seed."""
    return np.array([row[name] for row in rows])


def error(values: np.ndarray) -> float:
    """Return the standard error of the mean over seeds."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def print_table(groups: dict[Group, list[dict[str, float]]]) -> None:
    """Print both algorithms' means, and their difference with its standard error, at every limit of every task."""
    print("| task | b | reward | difference | cost | difference | violation | difference | balance |")
    print("|---|---|---|---|---|---|---|---|---|")
    for task, share in sorted({(task, share) for task, _, share in groups}, key=lambda at: (FOUR.index(at[0]), at[1])):
        both = [groups[task, algorithm, share] for algorithm in COLOURS]
        cells = [task.removeprefix("Safety"), f"{both[0][0]['limit']:g}"]
        for name, digits in (("reward", ".0f"), ("cost", ".1f"), ("violation", ".2f")):
            ours, theirs = (column(rows, name) for rows in both)
            cells.append(f"{ours.mean():{digits}} / {theirs.mean():{digits}}")
            cells.append(f"{(ours - theirs).mean():+{digits}} ± {error(ours - theirs):{digits}}")
        balance = f"{column(both[0], 'balance').mean():.0%}"
        numbers = " | ".join([*cells[1:], balance]).replace("-", "−").replace("%", " %")
        print("|", cells[0], "|", numbers, "|")


def draw(groups: dict[Group, list[dict[str, float]]]) -> None:
    """Draw reward against cost, means with standard errors, a panel a task."""
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = dict(zip(FOUR, figure.subplots(2, 2).flat, strict=True))
    for (task, algorithm, _), rows in sorted(groups.items(), reverse=True):
        cost, reward = column(rows, "cost"), column(rows, "reward")
        style = {"color": COLOURS[algorithm], "marker": MARKS[algorithm], "capsize": 2}
        panels[task].errorbar(cost.mean(), reward.mean(), error(reward), error(cost), **style)
        panels[task].axvline(rows[0]["limit"], color="black", linestyle=":", linewidth=0.8)
    for task, axis in panels.items():
        axis.set_title(task)
        axis.set_xlabel("cost per episode (dotted: the five limits)")
        axis.set_ylabel("reward per episode")
        axis.spines[["top", "right"]].set_visible(False)
    keys = [axis.plot([], [], color=COLOURS[name], marker=MARKS[name])[0] for name in COLOURS]
    names = ["PCRPO at the limit b, band 0.1·b", "CRPO at 0.9·b, where that band begins"]
    figure.legend(keys, names, loc="outside lower center", ncols=2, frameon=False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    write_atomically(RESULTS.parent / "margin.png", content.getvalue())


def main() -> None:
    """Print the table and draw the picture."""
    groups = load()
    print_table(groups)
    draw(groups)


if __name__ == "__main__":
    main()
