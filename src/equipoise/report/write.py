"""A campaign's report: the page, and the figures and tables for a paper."""

from __future__ import annotations

from pathlib import Path

from equipoise.files import own_folder, write_atomically
from equipoise.report.cells import Cells
from equipoise.report.figures import pdf_of, pictures
from equipoise.report.latex import latex
from equipoise.report.page import page
from equipoise.report.ranking import Ranking
from equipoise.report.results import read_results
from equipoise.report.tables import tables


def write_report(folder: Path) -> list[Path]:
    """Write `report.html`, `figures/*.pdf` and `tables/*.tex` into a campaign's folder, and return the files.

    All is made before anything is written. Raises `UsageError` if `folder` has no campaign, or one without finished
    runs, or if one of its files is damaged.
    """
    results = read_results(folder)
    cells = Cells(results)
    ranking = Ranking(cells)
    found, drawn = list(tables(cells, ranking)), list(pictures(cells, ranking))
    contents = {folder / "report.html": page(cells, ranking, found, drawn).encode()}
    contents |= {folder / "figures" / f"{picture.name}.pdf": pdf_of(picture, results.methods) for picture in drawn}
    contents |= {folder / "tables" / f"{table.name}.tex": latex(table).encode() for table in found}
    for place in ("figures", "tables"):
        if not own_folder(folder / place):
            (folder / place).mkdir()
    for path, content in contents.items():
        write_atomically(path, content)
    return list(contents)
