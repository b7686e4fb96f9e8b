"""The page: one HTML file that has everything in it and opens offline."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from equipoise.errors import printable
from equipoise.palette import MODE_COLOURS, of_series
from equipoise.report import words
from equipoise.report.cells import Cells
from equipoise.report.figures import Picture, svg_of
from equipoise.report.films import Film, films_of
from equipoise.report.markup import Markup, element, joined, listing
from equipoise.report.numbers import counted, number
from equipoise.report.page_table import table_element
from equipoise.report.ranking import Ranking
from equipoise.report.results import Results
from equipoise.report.table import Table

SECTIONS = {
    "curves": (
        "Learning curves",
        "Means over seeds of what iterations estimated, with bands of one standard error over seeds (with one seed, of "
        "its estimates). Dashed: the limit. Ends of wide bands are cut off.",
    ),
    "plane": (
        "Reward and cost",
        "The last stochastic policies on fresh episodes: means over seeds with 95 % intervals. Shaded: costs within "
        "the limit, the largest one where there are several. A filled point is certified, a hollow one is not. A line "
        "joins an algorithm's points at several limits, except for those that another one of them dominates.",
    ),
    "overall": (
        "Over all tasks",
        "Rewards of the last stochastic policies, certified or not, in units in which 0 is the untrained policy and 1 "
        "the best algorithm's mean on that task. Bars are 95 % intervals of a bootstrap that draws seeds within each "
        "combination of task and limits.",
    ),
    "modes": (
        "Modes",
        "What the updates were for: the share of an algorithm's seeds in each mode.",
    ),
    "conflict": (
        "Conflict of the gradients",
        "cos φ between the gradients of reward and cost, each in the algorithm's own metric, mean over seeds. Below 0 "
        "they conflict: a step for the one alone harms the other.",
    ),
    "clock": (
        "Wall-clock",
        "Minutes of rollouts and updates of every run, compilation included, and the mean.",
    ),
}
"""Heading and explanation of each section that has pictures."""

TABLES_OF = {"overall": ("interquartile-means", "probability-of-improvement"), "plane": ("fronts",)}
"""Tables that stand in a section with pictures; the others have a section of their own."""

NAMES_SHOWN, STARTS_SHOWN = 50, 10
"""Unfinished runs, and starts of the campaign, that are listed at most."""


def page(cells: Cells, ranking: Ranking, tables: Sequence[Table], pictures: Sequence[Picture]) -> str:
    """Return the page as HTML."""
    results = cells.results
    sections = [_section("summary", "Summary", _summary(cells, ranking))]
    for key, (heading, explanation) in SECTIONS.items():
        there = [_picture(picture, results.methods) for picture in pictures if picture.section == key]
        there += [table_element(table) for table in tables if table.name in TABLES_OF.get(key, ())]
        if there:
            anchors = _anchors(ranking) if key == "overall" else ""
            sections.append(_section(key, heading, element("p", explanation), anchors, *there))
    nested = {name for names in TABLES_OF.values() for name in names}
    sections.append(_section("tables", "Tables", *(table_element(t) for t in tables if t.name not in nested)))
    if films := [_film(film) for film in films_of(results.path)]:
        sections.append(_section("films", "Films", element("div", *films, class_="panels")))
    sections.append(_section("origin", "Where the numbers are from", *_origin(results)))
    return _document(results, sections)


class _Section(Markup):
    """A section, which the page's contents name."""

    key: str
    heading: str


def _section(key: str, heading: str, *parts: str) -> _Section:
    made = _Section(element("section", element("h2", heading), *parts, id=key))
    made.key, made.heading = key, heading
    return made


def _document(results: Results, sections: Sequence[_Section]) -> str:
    """Return the whole file. Its security policy lets nothing in from elsewhere, and no script run but its own."""
    style, script = (
        Markup((resources.files("equipoise.report") / f"page.{kind}").read_text("utf-8")) for kind in ("css", "js")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
        "media-src 'self' data: file:"
    )
    links = element(
        "nav", *(element("a", s.heading, href=f"#{s.key}") for s in sections), aria_label="Sections of this page"
    )
    body = joined(
        [
            element("a", "Skip to the summary", class_="skip", href="#summary"),
            element("header", element("h1", results.name), links),
            _legend(results.methods),
            element("main", *sections),
            element("script", script),
        ]
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{element("title", results.name)}
<link rel="icon" href="data:,">
{element("style", style)}
</head>
{element("body", body)}
</html>
"""


def _legend(methods: Sequence[str]) -> Markup:
    """Return the switches that show and hide algorithms, which are also the legend of all pictures."""
    chips = (
        element("button", _sample(i), method, type="button", aria_pressed="true", data_method=i)
        for i, method in enumerate(methods)
    )
    return element("div", *chips, class_="legend", role="group", aria_label="Algorithms shown in the pictures")


def _sample(number: int) -> Markup:
    colour, dashes = of_series(number)
    broken = None if isinstance(dashes, str) else " ".join(f"{2 * length:g}" for length in dashes[1])
    line = element("line", x1=0, y1=5, x2=22, y2=5, stroke=colour, stroke_width=3, stroke_dasharray=broken)
    return element("svg", line, viewBox="0 0 22 10", aria_hidden="true")


def _summary(cells: Cells, ranking: Ranking) -> Markup:
    cards = (
        element(
            "article",
            element("h3", found.place),
            element("p", found.headline, class_="headline"),
            *(element("p", detail) for detail in found.details),
        )
        for found in words.findings(cells)
    )
    return joined([listing(words.overall(cells, ranking), class_="lead"), element("div", *cards, class_="cards")])


def _anchors(ranking: Ranking) -> Markup:
    tasks = dict.fromkeys(condition.task for condition in ranking.conditions)
    each = [f"{task}: {number(ranking.anchors[task][0])} and {number(ranking.anchors[task][1])}" for task in tasks]
    return element("p", f"Rewards that count 0 and 1: {'; '.join(each)}.")


def _picture(picture: Picture, methods: list[str]) -> Markup:
    """Return a picture's panels side by side, with what its colours stand for where the page's legend does not say."""
    heading = element("h3", picture.heading) if picture.heading else ""
    modes = (element("span", f"{mode} mode", class_=f"mode {mode}") for mode in MODE_COLOURS)
    legend = element("p", *modes, class_="modes") if picture.legend == "modes" else ""
    panels = (
        element(
            "figure",
            element("figcaption", panel.title),
            Markup(svg_of(panel, f"{picture.name}-{i}-", methods)),
        )
        for i, panel in enumerate(picture.panels)
    )
    return joined([heading, legend, element("div", *panels, class_="panels")])


def _film(film: Film) -> Markup:
    caption = film.run if film.inside else f"{film.run} (a file beside this page)"
    video = element("video", controls=True, preload="metadata", src=film.source, aria_label=f"Film of {film.run}")
    return element("figure", element("figcaption", caption), video)


def _origin(results: Results) -> list[Markup]:
    """Return which runs are missing, and of each start the command, the versions and the machine."""
    parts = []
    if results.left:
        names = [job.name for job in results.left[:NAMES_SHOWN]]
        names += [f"and {len(results.left) - NAMES_SHOWN} more"] if len(results.left) > NAMES_SHOWN else []
        title = element("summary", f"{counted(len(results.left), 'run')} not finished")
        parts.append(element("details", title, listing(names)))
    parts.append(listing(_start(start) for start in results.starts[-STARTS_SHOWN:]))
    return parts


def _start(start: dict[str, Any]) -> str:
    """Say what a start of the campaign ran, as its record has it."""
    parts = [start.get(key) for key in ("started", "command")]
    parts += [f"commit {start['commit'][:12]}"] if isinstance(start.get("commit"), str) else []
    for key in ("versions", "machine"):
        of_key = start.get(key)
        if isinstance(of_key, dict):
            parts.append(", ".join(f"{name} {value}" for name, value in of_key.items()))
    return "; ".join(printable(str(part), 400) for part in parts if part)
