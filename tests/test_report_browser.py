"""The report's page in a real browser: Chromium without a window, where there is one."""

from __future__ import annotations

import re
import time

import pytest

from equipoise.cli import main
from synthetic import make_campaign

METHODS = {"crpo": (0.8, 0.6), "pcrpo slack.low=-0.5": (1.0, 0.8), "ppo_lag": (1.5, 1.4)}
TASKS = {"SafetyHopper-v4": {"cost": 25.0}, "Own-v0": {'<b onclick="x()">tilt</b>': 4.0}}


@pytest.fixture(scope="module")
def address(browser, tmp_path_factory):
    """The address of a report's page, a file."""
    folder = make_campaign(tmp_path_factory.mktemp("campaigns") / "look", METHODS, TASKS, seeds=2)
    film = folder / "runs" / "SafetyHopper-v4-crpo-seed0" / "film.mp4"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"no film")
    assert main(["report", str(folder)]) == 0
    return (folder / "report.html").as_uri()


def column(page, table, name):
    """The texts of a column of a table, of the rows that are shown."""
    heads = page.locator(f"#table-{table} th").all_inner_texts()
    place = [head.split(" ▲")[0].split(" ▼")[0] for head in heads].index(name)
    rows = page.locator(f"#table-{table} tbody tr").all()
    return [row.locator("td").nth(place).inner_text() for row in rows if row.is_visible()]


def head(page, table, name):
    return page.locator(f"#table-{table} th button", has_text=re.compile(f"^{name}$"))


def test_it_opens_fast_and_draws_every_picture(open_page):
    began = time.monotonic()
    page = open_page()
    assert time.monotonic() - began < 2
    pictures = page.locator("figure > svg").all()
    assert len(pictures) == 4 + 2 + 3 + 2 + 2 + 2
    for picture in pictures:
        box = picture.bounding_box()
        assert box["width"] > 250 and box["height"] > 80


def test_columns_sort_by_their_numbers_both_ways(open_page):
    page = open_page()
    head(page, "results", "V").click()
    shares = [int(text.split(" %")[0]) for text in column(page, "results", "V")]
    assert shares == sorted(shares) and len(set(shares)) > 2
    assert page.locator('#table-results th[aria-sort="ascending"]').inner_text().startswith("V")
    head(page, "results", "V").click()
    shares = [int(text.split(" %")[0]) for text in column(page, "results", "V")]
    assert shares == sorted(shares, reverse=True)
    head(page, "results", "D").click()
    values = [float(text.replace("−", "-")) for text in column(page, "results", "D")]
    assert values == sorted(values) and values[0] < 0 < values[-1]
    assert page.locator("#table-results th[aria-sort]").count() == 1


def test_words_sort_too_and_by_the_keyboard(open_page):
    page = open_page()
    head(page, "runs", "algorithm").focus()
    page.keyboard.press("Enter")
    names = column(page, "runs", "algorithm")
    assert names == sorted(names) and names[0] != names[-1]
    page.keyboard.press("Space")
    assert column(page, "runs", "algorithm") == sorted(names, reverse=True)


def test_rows_are_filtered_by_words_and_choices(open_page):
    page = open_page()
    table = page.locator("#table-results")
    assert table.locator("output").inner_text() == "18 rows"
    table.locator("input").fill("HOPPER crpo")
    assert table.locator("output").inner_text() == "6 of 18 rows"
    assert set(column(page, "results", "task")) == {"SafetyHopper-v4"}
    table.locator("label", has_text="episodes").locator("select").select_option("stochastic")
    assert column(page, "results", "episodes") == ["stochastic"] * 2
    table.locator("input").fill("nothing like it")
    assert column(page, "results", "task") == []
    table.locator("input").fill("")
    assert table.locator("output").inner_text() == "6 of 18 rows"
    page.keyboard.press("Enter")  # a form would send itself
    assert table.locator("output").inner_text() == "6 of 18 rows"


def test_what_is_filtered_stays_so_when_it_is_sorted(open_page):
    page = open_page()
    page.locator("#table-runs input").fill("ppo_lag")
    head(page, "runs", "minutes").click()
    assert set(column(page, "runs", "algorithm")) == {"ppo_lag"}
    minutes = [float(text) for text in column(page, "runs", "minutes")]
    assert minutes == sorted(minutes)


def test_the_legend_shows_and_hides_an_algorithm_everywhere(open_page):
    page = open_page()
    parts = page.locator("svg .m1")
    assert parts.count() > 10
    chip = page.locator(".legend button", has_text="pcrpo")
    chip.click()
    assert chip.get_attribute("aria-pressed") == "false"
    assert page.evaluate("[...document.querySelectorAll('svg .m1')].every(e => getComputedStyle(e).display === 'none')")
    assert page.evaluate("[...document.querySelectorAll('svg .m2')].some(e => getComputedStyle(e).display !== 'none')")
    chip.press("Enter")
    assert page.evaluate("[...document.querySelectorAll('svg .m1')].every(e => getComputedStyle(e).display !== 'none')")


def test_a_phone_shows_all_of_it_without_scrolling_sideways(open_page):
    page = open_page(390, 844)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    size = page.locator("#curves svg text").first.bounding_box()["height"]
    assert size >= 10  # pixels of a line of text


def luminance(colour):
    red, green, blue = (int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(",")[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_ink_is_told_from_paper_in_the_light_and_in_the_dark(scheme, dark, open_page):
    page = open_page(scheme=scheme)
    paper = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    ink = luminance(page.evaluate("getComputedStyle(document.body).color"))
    drawn = luminance(page.evaluate("getComputedStyle(document.querySelector('#curves svg text')).fill"))
    assert (paper < 0.2) == dark
    assert abs(ink - paper) > 0.6 and abs(drawn - paper) > 0.6


def test_all_controls_are_reached_by_the_keyboard_with_a_name(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the summary"
    for control in page.locator("button, select, input, summary, video, [tabindex]").all():
        name = control.evaluate(
            "e => e.textContent || e.getAttribute('aria-label') || (e.labels && e.labels[0].textContent)"
        )
        assert name.strip(), control.evaluate("e => e.outerHTML")
