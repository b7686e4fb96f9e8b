"""Which pictures a report has; each is drawn once for the page and once for a paper, by the same functions."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from equipoise.drawing import house_style
from equipoise.palette import INK, MODE_COLOURS, of_series
from equipoise.report import panels
from equipoise.report.cells import Cells
from equipoise.report.ranking import Ranking
from equipoise.report.vector import inline_svg

WIDTH, HEIGHT, ROW = 3.7, 2.5, 0.27
"""Inches of a panel, and of a row in one that has a row for each algorithm."""

STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "pdf.fonttype": 42,  # fonts that publishers take
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
}
"""How the pictures of a report differ from Matplotlib's own."""


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    """What it shows."""
    draw: Callable[[Axes], None]
    """Draws it."""
    rows: int = 0
    """Rows that it has, if there is one for each algorithm."""

    @property
    def height(self) -> float:
        """Its height in inches."""
        return 0.85 + ROW * self.rows if self.rows else HEIGHT


@dataclass(frozen=True)
class Picture:
    """Panels that belong together: side by side in the page, one file for a paper."""

    section: str
    """The section of the page that it stands in."""
    name: str
    """Name of its file, without the ending."""
    heading: str
    """What it is of; empty where its section says so."""
    panels: list[Panel] = field(default_factory=list)
    """The panels."""
    legend: str = "methods"
    """What its colours stand for: `methods`, `modes`, or nothing that needs a legend."""


def pictures(cells: Cells, ranking: Ranking) -> Iterator[Picture]:
    """Yield every picture of a report."""
    results = cells.results
    for condition in results.conditions:
        costs = results.costs(condition)
        curves = [Panel("reward per episode", _drawn(panels.learning, results, condition, None))]
        curves += [Panel(f"{name} per episode", _drawn(panels.learning, results, condition, name)) for name in costs]
        yield Picture("curves", f"curves-{_file(condition.label)}", condition.label, curves)
    planes = [
        Panel(f"{task}: reward and {name}", _drawn(panels.plane, cells, task, name))
        for task in dict.fromkeys(c.task for c in results.conditions)
        for name in dict.fromkeys(n for c in results.conditions if c.task == task for n in results.costs(c))
    ]
    yield Picture("plane", "reward-cost-plane", "", planes)
    if ranking.conditions:
        yield _overall(ranking)
    rows = len(results.methods)
    modes = [Panel(c.label, _drawn(panels.modes, results, c), rows) for c in results.conditions]
    yield Picture("modes", "modes", "", modes, "modes")
    angles = [
        Panel(f"{c.label}: cos φ of reward and {name}", _drawn(panels.conflict, results, c, name))
        for c in results.conditions
        for name in results.costs(c)
    ]
    yield Picture("conflict", "conflict", "", angles)
    clocks = [Panel(c.label, _drawn(panels.clock, results, c), rows) for c in results.conditions]
    yield Picture("clock", "wall-clock", "", clocks, "")


def _overall(ranking: Ranking) -> Picture:
    best = ranking.best
    rows = len(ranking.methods)
    found = [Panel("interquartile mean", _drawn(panels.quartile_means, ranking), rows)]
    if rows > 1:
        title = f"probability that {best} has more reward"
        found.append(Panel(title, _drawn(panels.improvements, ranking, best), rows - 1))
    found.append(Panel("performance profiles", _drawn(panels.profiles, ranking)))
    return Picture("overall", "over-all-conditions", "", found)


def _drawn(draw: Callable[..., None], *what: object) -> Callable[[Axes], None]:
    """Return what draws `what` into the axes that it is given."""
    return lambda axis: draw(axis, *what)


@house_style(own=STYLE)
def svg_of(panel: Panel, prefix: str, methods: list[str]) -> str:
    """Draw a panel for the page."""
    figure = Figure(figsize=(WIDTH, panel.height), layout="constrained")
    figure.patch.set_visible(False)
    axis = figure.subplots()
    axis.patch.set_visible(False)
    panel.draw(axis)
    return inline_svg(figure, panel.title, prefix, methods)


@house_style(own=STYLE)
def pdf_of(picture: Picture, methods: list[str]) -> bytes:
    """Draw a picture for a paper."""
    across = min(3, len(picture.panels))
    down = -(-len(picture.panels) // across)
    heights = [max(p.height for p in picture.panels[i * across : (i + 1) * across]) for i in range(down)]
    handles, names = _legend(picture, methods)
    room = 0.25 * -(-len(handles) // (2 * across))
    figure = Figure(figsize=(WIDTH * across, sum(heights) + 0.25 * down + room), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(down, across, squeeze=False, height_ratios=heights).ravel()
    for axis, panel in zip(axes, picture.panels, strict=False):
        panel.draw(axis)
        axis.set_title(panel.title, pad=14 if picture.section == "plane" else 6)
    for axis in axes[len(picture.panels) :]:
        axis.remove()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=2 * across, frameon=False)
    content = io.BytesIO()
    figure.savefig(content, format="pdf", metadata={"CreationDate": None})
    return content.getvalue()


def _legend(picture: Picture, methods: list[str]) -> tuple[list[Line2D | Patch], list[str]]:
    if picture.legend == "modes":
        return [Patch(color=colour) for colour in MODE_COLOURS.values()], [f"{mode} mode" for mode in MODE_COLOURS]
    if picture.legend == "methods":
        styles = [of_series(number) for number in range(len(methods))]
        return [Line2D([], [], color=colour, linestyle=dashes) for colour, dashes in styles], methods
    return [], []


def _file(label: str) -> str:
    """Return a label as a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", label.replace("×", "")).strip("-")
