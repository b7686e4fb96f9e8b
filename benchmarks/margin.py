"""The picture of the margin study, docs/decisions/margin.png: PCRPO and CRPO at the same margin.

    python benchmarks/margin.py

`python benchmarks/studies.py margin` makes the runs, and `python benchmarks/tables.py` the table.
"""

from __future__ import annotations

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from equipoise.files import write_atomically
from equipoise.palette import BALANCE, COST
from tables import DOCS, SHARES, SHORT, column, error, finished

COLOURS = {"pcrpo": BALANCE, "crpo": COST}
MARKS = {"pcrpo": "o", "crpo": "s"}
NAMES = {"pcrpo": "PCRPO at the limit b, band 0.1·b", "crpo": "CRPO at 0.9·b, where that band begins"}


def draw() -> bytes:
    """Draw reward against cost, means with standard errors, one panel for each task."""
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    for task, axis in zip(SHORT, figure.subplots(2, 2).flat, strict=True):
        for algorithm in COLOURS:
            style = {"color": COLOURS[algorithm], "marker": MARKS[algorithm], "capsize": 2}
            for share in SHARES:
                rows = finished("margin", task=task, algorithm=algorithm, share=share)
                cost, reward = column(rows, "cost"), column(rows, "reward")
                axis.errorbar(cost.mean(), reward.mean(), error(reward), error(cost), **style)
                axis.axvline(float(rows[0]["limit"]), color="black", linestyle=":", linewidth=0.8)
        axis.set_title(task)
        axis.set_xlabel("cost per episode (dotted: the five limits)")
        axis.set_ylabel("reward per episode")
        axis.spines[["top", "right"]].set_visible(False)
    keys = [axis.plot([], [], color=COLOURS[name], marker=MARKS[name])[0] for name in NAMES]
    figure.legend(keys, list(NAMES.values()), loc="outside lower center", ncols=2, frameon=False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()


if __name__ == "__main__":
    write_atomically(DOCS / "decisions" / "margin.png", draw())
