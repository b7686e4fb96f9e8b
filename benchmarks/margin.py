"""The table and the picture of docs/anchors/margin.csv: PCRPO and CRPO at the same margin.

    python benchmarks/margin.py

Prints docs/anchors.md's table, and draws docs/margin.png. `benchmarks/anchors.py margin` makes the runs.
"""

from __future__ import annotations

import csv
from collections import defaultdict

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from anchors import FOUR, RESULTS

COLOURS = {"pcrpo": "#7b4fa3", "crpo": "#b5481a"}
COLUMNS = ("reward", "cost", "violation", "balance")
STEPS = 500_000
Group = tuple[str, str, float]
"""Task, algorithm, and limit as a share of the task's own."""


def load() -> dict[Group, list[dict[str, float]]]:
    """Read every finished run's last row."""
    groups: dict[Group, list[dict[str, float]]] = defaultdict(list)
    with (RESULTS / "margin.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if int(row["steps"]) == STEPS:
                values = {name: float(row[name]) for name in ("seed", "limit", *COLUMNS)}
                groups[row["task"], row["algorithm"], float(row["share"])].append(values)
    return {group: sorted(rows, key=lambda row: row["seed"]) for group, rows in groups.items()}


def column(rows: list[dict[str, float]], name: str) -> np.ndarray:
    """Return one number of every run, by seed."""
    return np.array([row[name] for row in rows])


def error(values: np.ndarray) -> float:
    """Return the standard error of the mean over seeds."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def main() -> None:
    """Print the table and draw the picture."""
    groups = load()
    print("| task | b | reward | difference | cost | difference | violation | difference | balance |")
    print("|---|---|---|---|---|---|---|---|---|")
    for task in FOUR:
        for share in sorted({share for name, _, share in groups if name == task}):
            both = [groups[task, algorithm, share] for algorithm in ("pcrpo", "crpo")]
            cells = [f"{both[0][0]['limit']:g}"]
            for name, digits in (("reward", ".0f"), ("cost", ".1f"), ("violation", ".2f")):
                ours, theirs = (column(rows, name) for rows in both)
                cells.append(f"{ours.mean():{digits}} / {theirs.mean():{digits}}")
                cells.append(f"{(ours - theirs).mean():+{digits}} ± {error(ours - theirs):{digits}}")
            cells.append(f"{column(both[0], 'balance').mean():.0%}")
            print("|", task.removeprefix("Safety"), "|", " | ".join(cells).replace("-", "−").replace("%", " %"), "|")

    figure = Figure(figsize=(9, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, task in zip(figure.subplots(2, 2).flat, FOUR, strict=True):
        for (name, algorithm, _), rows in sorted(groups.items(), reverse=True):
            if name != task:
                continue
            limit = rows[0]["limit"]
            axis.axvline(limit, color="black", linestyle=":", linewidth=0.8)
            cost, reward = column(rows, "cost"), column(rows, "reward")
            mark = "o" if algorithm == "pcrpo" else "s"
            axis.errorbar(
                cost.mean(), reward.mean(), error(reward), error(cost), color=COLOURS[algorithm], marker=mark, capsize=2
            )
        axis.set_title(task)
        axis.set_xlabel("cost per episode (dotted: the five limits)")
        axis.set_ylabel("reward per episode")
        axis.spines[["top", "right"]].set_visible(False)
    marks = [axis.plot([], [], color=COLOURS[a], marker=m)[0] for a, m in (("pcrpo", "o"), ("crpo", "s"))]
    names = ["PCRPO at the limit b", "CRPO at 0.9·b, where PCRPO's band begins"]
    figure.legend(marks, names, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(RESULTS.parent / "margin.png", dpi=120)


if __name__ == "__main__":
    main()
