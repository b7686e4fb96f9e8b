"""A table in the page: sorted by the heads of its columns, filtered by words and choices (page.js)."""

from __future__ import annotations

from equipoise.report.markup import Markup, element
from equipoise.report.numbers import counted
from equipoise.report.table import Column, Entry, Table


def table_element(table: Table) -> Markup:
    """Return a table with its caption, its filters and what its columns are."""
    heads = (
        element(
            "th",
            element("button", column.name, type="button", title=column.explained or None),
            scope="col",
            class_=_side(column),
        )
        for column in table.columns
    )
    rows = (
        element("tr", *(_cell(entry, column) for entry, column in zip(row, table.columns, strict=True)))
        for row in table.rows
    )
    whole = element("table", element("thead", element("tr", *heads)), element("tbody", *rows))
    scrolled = element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=table.caption)
    parts = (element("h3", table.caption), _filters(table), _terms(table), scrolled)
    return element("div", *parts, class_="table", id=f"table-{table.name}")


def _side(column: Column) -> str | None:
    return "n" if column.numeric else None


def _cell(entry: Entry, column: Column) -> Markup:
    key = str(entry.key)
    return element("td", entry.text, class_=_side(column), data_key=key if key not in ("", entry.text) else None)


def _terms(table: Table) -> Markup:
    """Return what the columns are, where that is not plain, to be opened."""
    terms = [
        part
        for column in table.columns
        if column.explained
        for part in (element("dt", column.name), element("dd", column.explained))
    ]
    if not terms:
        return Markup()
    return element("details", element("summary", "What the columns are"), element("dl", *terms))


def _filters(table: Table) -> Markup:
    """Return the controls that choose rows: by words, and by the values of columns that have few."""
    if len(table.rows) < 2:
        return Markup()
    controls = [element("label", "Rows with ", element("input", type="search", placeholder="any words"))]
    for place, column in enumerate(table.columns):
        values = dict.fromkeys(row[place].text for row in table.rows)
        if column.name in table.choices and len(values) > 1:
            options = [element("option", "all", value=""), *(element("option", v, value=v) for v in values)]
            controls.append(element("label", f"{column.name} ", element("select", *options, data_column=place)))
    count = element("output", counted(len(table.rows), "row"), aria_live="polite")
    return element("form", *controls, count, class_="filters")
