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
COLUMNS = ("reward", "cost", "violation", "inside", "swing", "balance", "eval_upper")
Group = tuple[str, str, float]
"""Task, algorithm, and limit as a share of the task's own."""


def load() -> dict[Group, list[dict[str, float]]]:
    """Read every finished run's last row."""
    groups: dict[Group, list[dict[str, float]]] = defaultdict(list)
    with (RESULTS / "margin.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["eval_upper"]:  # a run's last stage
                values = {name: float(row[name]) for name in ("seed", "limit", *COLUMNS)}
                groups[row["task"], row["algorithm"], float(row["share"])].append(values)
    return {group: sorted(rows, key=lambda row: row["seed"]) for group, rows in groups.items()}


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Return the mean over seeds and its standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


def column(rows: list[dict[str, float]], name: str) -> list[float]:
    """Return one number of every run."""
    return [row[name] for row in rows]


def main() -> None:
    """Print the table and draw the picture."""
    groups = load()
    print("| task | b | reward: PCRPO | CRPO | difference | cost: PCRPO | CRPO | violation: PCRPO | CRPO | certified |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for task in FOUR:
        for share in sorted({share for name, _, share in groups if name == task}):
            ours, theirs = (groups[task, algorithm, share] for algorithm in ("pcrpo", "crpo"))
            cells = [f"{ours[0]['limit']:.3g}"]
            cells += [f"{np.mean(column(rows, 'reward')):.0f}" for rows in (ours, theirs)]
            pairs = [(a["reward"], b["reward"]) for a, b in zip(ours, theirs, strict=True)]
            cells += ["{:+.0f} ± {:.0f}".format(*mean_and_error([a - b for a, b in pairs]))]
            cells += [f"{np.mean(column(rows, 'cost')):.3g}" for rows in (ours, theirs)]
            cells += [f"{np.mean(column(rows, 'violation')):.2f}" for rows in (ours, theirs)]
            certified = [sum(row["eval_upper"] <= row["limit"] for row in rows) for rows in (ours, theirs)]
            cells += [f"{certified[0]} and {certified[1]} of {len(ours)}"]
            print("|", task.removeprefix("Safety"), "|", " | ".join(cells).replace("-", "−"), "|")

    figure = Figure(figsize=(9, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, task in zip(figure.subplots(2, 2).flat, FOUR, strict=True):
        for (name, algorithm, _), rows in sorted(groups.items(), reverse=True):
            if name != task:
                continue
            limit = rows[0]["limit"]
            axis.axvline(limit, color="black", linestyle=":", linewidth=0.8)
            (x, dx), (y, dy) = (mean_and_error(column(rows, key)) for key in ("cost", "reward"))
            mark = "o" if algorithm == "pcrpo" else "s"
            axis.errorbar(x, y, dy, dx, color=COLOURS[algorithm], marker=mark, markersize=5, capsize=2, linewidth=1)
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
