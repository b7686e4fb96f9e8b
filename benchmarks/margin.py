"""The picture of the margin study, docs/decisions/margin.png: PCRPO and CRPO at the same margin.

    python benchmarks/margin.py

`python benchmarks/studies.py margin` makes the runs, and `python benchmarks/tables.py` the table.
"""

from __future__ import annotations

import io
import itertools

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from equipoise.files import write_atomically
from equipoise.palette import DARK
from tables import DOCS, SHARES, SHORT, column, error, finished

MARKS = {"pcrpo": "o", "crpo": "s"}
FACES = {"pcrpo": None, "crpo": "white"}
"""What marks are filled with; None for the limit's colour."""
LIMITS = {share: colormaps["viridis"](0.85 * i / (len(SHARES) - 1)) for i, share in enumerate(SHARES)}
"""The colour of each limit, and of what was trained under it."""
NAMES = {"pcrpo": "PCRPO at the limit b, band 0.1·b", "crpo": "CRPO at 0.9·b, where that band begins"}


def draw() -> bytes:
    """Draw reward against cost, means with standard errors, one panel for each task."""
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    for task, axis in zip(SHORT, figure.subplots(2, 2).flat, strict=True):
        for algorithm, (share, colour) in itertools.product(NAMES, LIMITS.items()):
            rows = finished("margin", task=task, algorithm=algorithm, share=share)
            cost, reward = column(rows, "cost"), column(rows, "reward")
            style = {"color": colour, "marker": MARKS[algorithm], "markerfacecolor": FACES[algorithm], "capsize": 2}
            axis.errorbar(cost.mean(), reward.mean(), error(reward), error(cost), markersize=7, **style)
            axis.axvline(float(rows[0]["limit"]), color=colour, linestyle=":", linewidth=1.6, zorder=0)
        axis.set_title(task)
        axis.set_xlabel("cost per episode (dotted: the limits)")
        axis.set_ylabel("reward per episode")
        axis.spines[["top", "right"]].set_visible(False)
    keys = [
        Line2D([], [], color=DARK, marker=MARKS[name], markerfacecolor=FACES[name], markersize=7, linestyle="")
        for name in NAMES
    ]
    lines = [Line2D([], [], color=colour, linestyle=":", linewidth=2.5) for colour in LIMITS.values()]
    words = [*NAMES.values(), *(f"b = {float(share):g} × the task's" for share in LIMITS)]
    figure.legend(
        [*keys, *lines], words, loc="outside lower center", ncols=4, columnspacing=1.2, fontsize=9, frameon=False
    )
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()


if __name__ == "__main__":
    write_atomically(DOCS / "decisions" / "margin.png", draw())
