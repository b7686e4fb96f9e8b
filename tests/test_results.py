"""The pages of docs/results/ and docs/decisions/: their tables are those that the data give."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from scripts import load
from synthetic import make_campaign

ROOT = Path(__file__).parents[1]


tables = load("benchmarks/tables.py")
PAGES = tables.pages()
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def differing(text):
    """The lines that a page would have and has not, and the other way round."""
    made = tables.filled(text)
    return sorted(set(text.splitlines()) ^ set(made.splitlines()))


@every_page
def test_tables_are_those_of_the_data(page):
    text = page.read_text(encoding="utf-8")
    assert differing(text) == [], "run `python benchmarks/tables.py`"
    assert tables.filled(text) == text


@every_page
def test_a_changed_digit_is_noticed(page):
    text = page.read_text(encoding="utf-8")
    for found in tables.MARKED.finditer(text):
        rows = found[0].index("---|\n")
        place = found.start() + re.search(r"\d(?= \|\n)|\d", found[0][rows:]).start() + rows
        changed = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
        assert differing(changed) != []


def test_every_table_is_in_one_page():
    named = [found[2] for page in PAGES for found in tables.MARKED.finditer(page.read_text(encoding="utf-8"))]
    assert sorted(named) == sorted(tables.names())


def test_every_page_of_results_and_decisions_has_a_table_or_is_an_index():
    pages = {path for folder in ("results", "decisions") for path in (ROOT / "docs" / folder).glob("*.md")}
    assert {page for page in pages if page.name != "README.md"} <= set(PAGES)


def test_all_data_enter_some_table(monkeypatch):
    """Nothing that was run is left out of the pages without a word."""
    asked = set()
    read = tables.read
    monkeypatch.setattr(tables, "read", lambda study: asked.add(study) or read(study))
    for table in tables.TABLES.values():
        table()
    assert asked == {path.stem for path in tables.DATA.glob("*.csv")}


def test_all_data_are_described():
    index = (ROOT / "docs" / "results" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"data/(\w+\.csv)\)", index)) == {path.name for path in tables.DATA.glob("*.csv")}


def test_a_committed_campaign_gets_a_page_with_its_tables(tmp_path, monkeypatch, capsys):
    """The page is begun and filled; what is written into it by hand stays, and a changed table is noticed."""
    docs = tmp_path / "docs"
    data = docs / "results" / "data"
    methods = {"crpo": (0.8, 0.6), "my_own slack.low=-0.5": (1.0, 0.8)}
    make_campaign(data / "campaigns" / "look", methods, {"SafetyHopper-v4": {"cost": 25.0}}, seeds=5)
    monkeypatch.setattr(tables, "DOCS", docs)
    monkeypatch.setattr(tables, "DATA", data)
    monkeypatch.setattr(sys, "argv", ["tables.py"])
    assert tables.main() == 0
    page = docs / "results" / "look.md"
    text = page.read_text(encoding="utf-8")
    data_linked = re.findall(r"\]\((data/[^)]+)\)", text)
    assert len(data_linked) == 3
    assert all((page.parent / target).is_file() for target in data_linked)  # the site has no page for a folder
    shown = [found[2] for found in tables.MARKED.finditer(text)]
    assert sorted(shown) == sorted(name for name in tables.names() if "/" in name)
    assert "| all | 10 of 10 runs are finished: 2 algorithms on 1 task, 5 seeds. |" in text
    assert r"my\_own (slack.low=-0.5) wins against the other algorithm" in text
    assert len(re.findall(r"^\|.*\| 240\u202f000 \|", text, re.MULTILINE)) == 10
    assert differing(text) == []

    page.write_text(text.replace("## Every run", "By hand.\n\n## Every run").replace("5 seeds", "6 seeds"), "utf-8")
    monkeypatch.setattr(sys, "argv", ["tables.py", "--check"])
    assert tables.main() == 1
    assert "look.md is out of date" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["tables.py"])
    assert tables.main() == 0
    assert page.read_text(encoding="utf-8") == text.replace("## Every run", "By hand.\n\n## Every run")


def test_numbers_are_written_as_they_should_be():
    assert tables.number(-1.25, 1) == "−1.2"
    assert tables.number(-0.001) == "0"
    assert tables.number(0.4, sign="+") == "+0"
    values = tables.np.array([1.0, 3.0])
    assert tables.mean(values) == "2 ± 1"
    assert tables.share(values / 4) == "50 %"
