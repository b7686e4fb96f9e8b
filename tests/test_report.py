"""The report of a campaign: its numbers are those of the tables, and it claims no more than they say."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections import defaultdict
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy import stats

from equipoise import statistics
from equipoise.cli import main
from equipoise.report import films
from equipoise.report.cells import Cells
from equipoise.report.curves import POINTS, curve_of, mean_angle, mode_shares
from equipoise.report.front import fronts
from equipoise.report.latex import escaped
from equipoise.report.numbers import beside, number
from equipoise.report.page import page as make_page
from equipoise.report.ranking import Ranking, all_duels, duel, verdict
from equipoise.report.results import Condition, RunResult, read_results
from equipoise.report.tables import tables
from equipoise.report.words import findings, overall
from synthetic import make_campaign, make_run

SAFE, CLOSE, OVER = (0.8, 0.6), (1.0, 0.8), (1.5, 1.4)
"""What multiples of the task's reward and limits an algorithm ends at."""
METHODS = {"crpo": SAFE, "pcrpo slack.low=-0.5": CLOSE, "ppo_lag": OVER}
ODD = '<i>"tilt" & $x_1$</i>'
TASKS = {"SafetyHopper-v4": {"cost": 25.0}, "Own-v0": {"energy": 60.0, ODD: 4.0}}


class Page(HTMLParser):
    """A page's tables by id as rows of texts, the text of each section, and all tags with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.sections, self.tags = defaultdict(list), defaultdict(str), []
        self._table = self._section = self._cell = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag == "section":
            self._section = attributes["id"]
        if attributes.get("class") == "table":
            self._table = attributes["id"].removeprefix("table-")
        if tag == "tr":
            self.tables[self._table].append([])
        if tag in ("td", "th"):
            self.tables[self._table][-1].append("")
            self._cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell = None

    def handle_data(self, data):
        self.sections[self._section] += data
        if self._cell:
            self.tables[self._table][-1][-1] += data

    def rows(self, table):
        """The rows of a table as dictionaries."""
        head, *rows = self.tables[table]
        return [dict(zip(head, row, strict=True)) for row in rows]


def without_pictures(folder):
    """The page of a campaign's report, but for its pictures, which take most of the time."""
    cells = Cells(read_results(folder))
    ranking = Ranking(cells)
    return Page(make_page(cells, ranking, list(tables(cells, ranking)), []))


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """A campaign with five seeds of three algorithms on two tasks, one of them with two costs."""
    return make_campaign(tmp_path_factory.mktemp("campaigns") / "look", METHODS, TASKS, seeds=5)


@pytest.fixture(scope="module")
def page(campaign):
    return without_pictures(campaign)


@pytest.fixture(scope="module")
def drawn(campaign):
    """The folder of the campaign with its whole report, and the page."""
    assert main(["report", str(campaign)]) == 0
    return campaign, Page((campaign / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cells(campaign):
    return Cells(read_results(campaign))


def episodes(folder, split, task, algorithm):
    """Rewards and costs of each seed, straight from the file."""
    with (folder / "episodes.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (row["split"], row["task"]) == (split, task)]
    rows = [row for row in rows if row["algorithm"] == algorithm]
    return [[row for row in rows if row["seed"] == seed] for seed in sorted({row["seed"] for row in rows})]


def mean_rewards(seeds):
    return np.array([np.mean([float(row["reward"]) for row in seed]) for seed in seeds])


# The numbers


@pytest.mark.parametrize("split", ["training", "stochastic", "deterministic"])
@pytest.mark.parametrize(("task", "cost"), [(task, cost) for task, costs in TASKS.items() for cost in costs])
def test_results_are_those_of_the_episodes(task, cost, split, campaign, page):
    """Every number of a row is computed a second time from the file, by the formulas of docs and papers."""
    for algorithm in ("crpo", "ppo_lag"):
        asked = {"task": task, "algorithm": algorithm, "episodes": split, "cost": cost}
        (row,) = [row for row in page.rows("results") if asked.items() <= row.items()]
        each = episodes(campaign, split, task, algorithm)
        rewards = mean_rewards(each)
        costs = [np.array([float(row[f"cost/{cost}"]) for row in seed]) for seed in each]
        limit, means, pooled = TASKS[task][cost], np.array([c.mean() for c in costs]), np.concatenate(costs)
        low, high = stats.t.interval(0.95, 4, rewards.mean(), rewards.std(ddof=1) / np.sqrt(5))
        assert row["reward"] == f"{number(rewards.mean())} [{number(low)}, {number(high)}]"
        upper = means.mean() + stats.t.ppf(0.95, 4) * means.std(ddof=1) / np.sqrt(5)
        assert row["upper bound"] == beside(upper, limit)
        over = pooled > limit
        assert row["V"].split(" [")[0] == f"{100 * over.mean():.0f} %"
        assert row["D"] == number(pooled.mean() / limit - 1)
        assert row["D⁺"] == number(pooled[over].mean() / limit - 1 if over.any() else 0.0)
        worst = np.sort(pooled)[::-1][: len(pooled) // 10]
        assert row["CVaR"] == number(worst.mean())
        if split == "training":
            assert row["certified"] == row["runs certified"] == "–"
        else:
            assert row["certified"] == ("yes" if upper <= limit else "no")
            own = [c.mean() + stats.t.ppf(0.95, len(c) - 1) * stats.sem(c) for c in costs]
            assert row["runs certified"] == f"{sum(bound <= limit for bound in own)} of 5"


def test_training_is_that_of_the_updates(campaign, page):
    with (campaign / "updates.csv").open(newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if (r["task"], r["algorithm"]) == ("SafetyHopper-v4", "crpo")]
    (shown,) = [r for r in page.rows("training") if (r["task"], r["algorithm"]) == ("SafetyHopper-v4", "crpo")]
    costs = np.array([float(row["cost/cost"]) for row in rows])
    assert shown["violation"].split(" [")[0] == number(np.maximum(costs / 25 - 1, 0).mean())
    assert shown["Ĵ ≤ d"] == f"{100 * (costs <= 25).mean():.0f} %"
    assert shown["safety mode"] == f"{100 * np.mean([row['mode'] == 'safety' for row in rows]):.0f} %"
    assert shown["cos φ"] == number(np.mean([float(row["cos/cost"]) for row in rows]))
    seconds = sum(float(row[f"time/{part}"]) for row in rows for part in ("physics", "policy", "update"))
    assert shown["minutes"] == number(seconds / 60 / 5)


def test_every_run_has_a_row(page):
    rows = page.rows("runs")
    assert len(rows) == 3 * 5 * 3
    assert {(row["task"], row["algorithm"], row["seed"]) for row in rows} == {
        (task, algorithm, str(seed))
        for task in TASKS
        for algorithm in ("crpo", "pcrpo (slack.low=-0.5)", "ppo_lag")
        for seed in range(5)
    }
    assert {row["steps"] for row in rows} == {"240\u202f000"}


def test_ranks_are_those_of_normalised_rewards(campaign, page, cells):
    ranking = Ranking(cells)
    scores = {}
    for algorithm in ("crpo", "pcrpo", "ppo_lag"):
        scores[algorithm] = []
        for task in ("SafetyHopper-v4", "Own-v0"):
            means = {
                a: np.array(
                    [np.mean([float(r["reward"]) for r in s]) for s in episodes(campaign, "stochastic", task, a)]
                )
                for a in ("crpo", "pcrpo", "ppo_lag")
            }
            with (campaign / "updates.csv").open(newline="", encoding="utf-8") as file:
                first = [float(r["reward"]) for r in csv.DictReader(file) if (r["task"], r["iteration"]) == (task, "1")]
            best = max(m.mean() for m in means.values())
            scores[algorithm].append((means[algorithm] - np.mean(first)) / (best - np.mean(first)))
    for algorithm, shown in zip(("crpo", "pcrpo", "ppo_lag"), page.rows("interquartile-means"), strict=True):
        expected = statistics.interquartile_mean_interval(scores[algorithm])
        ends = f"{number(expected.value)} [{number(expected.low)}, {number(expected.high)}]"
        assert shown["interquartile mean"] == ends
    expected = statistics.probability_of_improvement_interval(scores["pcrpo"], scores["crpo"])
    (row,) = [r for r in page.rows("probability-of-improvement") if r["more reward than"].startswith("pcrpo")]
    assert row["crpo"] == f"{number(expected.value)} [{number(expected.low)}, {number(expected.high)}]"
    assert ranking.best == "ppo_lag"


def test_a_task_on_which_nothing_was_learnt_is_left_out_of_the_ranks(tmp_path):
    folder = make_campaign(tmp_path / "look", {"crpo": (-1.0, 0.5), "cpo": (-0.5, 0.5)}, TASKS, seeds=2)
    assert "interquartile-means" not in without_pictures(folder).tables


# What is said


def words_of(cells):
    return " ".join(overall(cells, Ranking(cells)))


def test_a_win_is_at_matched_safety(cells):
    """The algorithm of most reward breaks the limits, so that it wins against nobody, and is said to have more."""
    found = verdict(cells, Condition("SafetyHopper-v4", 1.0))
    assert found.best.method == "pcrpo (slack.low=-0.5)"
    assert [pair.theirs.method for pair in found.duels if pair.won] == ["crpo"]
    assert [cell.method for cell in found.uncertified] == ["ppo_lag"]
    over, inside = (cells.get(Condition("SafetyHopper-v4", 1.0), method) for method in ("ppo_lag", "crpo"))
    assert duel(over, inside).clear and not duel(over, inside).won
    first, _ = findings(cells)
    assert first.headline == "pcrpo (slack.low=-0.5) wins against the other algorithm certified to keep the limits."
    assert first.details[-1].startswith("Not certified: ppo_lag (cost: upper bound ")
    assert first.details[-1].endswith("of 25.0; more reward).")
    assert "Of 2 comparisons of two certified algorithms are won: pcrpo (slack.low=-0.5) 2." in words_of(cells)
    assert "pcrpo (slack.low=-0.5) 10 of 10 and ppo_lag 0 of 10" in words_of(cells)


def test_few_seeds_are_a_look_and_no_win(tmp_path):
    cells = Cells(read_results(make_campaign(tmp_path / "look", METHODS, TASKS, seeds=4)))
    assert all(pair.clear and not pair.won for c in cells.results.conditions for pair in all_duels(cells, c))
    assert "This is a look: with fewer than 5 seeds" in words_of(cells)
    assert " won" not in words_of(cells)
    assert {found.headline.partition("certified")[2] for found in findings(cells)} == {
        " to keep the limits, on too few seeds for a win."
    }


def test_one_seed_has_no_intervals_over_seeds(tmp_path):
    folder = make_campaign(tmp_path / "look", METHODS, TASKS, seeds=1)
    page = without_pictures(folder)
    assert all("[" not in row["reward"] and "[" not in row["mean"] for row in page.rows("results"))
    assert "[" not in page.rows("interquartile-means")[0]["interquartile mean"]
    assert "One seed tells nothing about another one" in page.sections["summary"]
    cells = Cells(read_results(folder))
    assert not any(pair.clear for c in cells.results.conditions for pair in all_duels(cells, c))


def test_where_none_is_certified_that_is_said(tmp_path):
    cells = Cells(read_results(make_campaign(tmp_path / "look", {"a": OVER, "b": OVER}, TASKS, seeds=2)))
    assert {found.headline for found in findings(cells)} == {"No algorithm is certified to keep the limits."}


def test_an_episode_that_broke_down_certifies_nothing(tmp_path):
    """The tables do not hold it: the evaluation has fewer episodes than the campaign asked for."""
    folder = make_campaign(tmp_path / "look", {"crpo": SAFE}, {"SafetyHopper-v4": {"cost": 25.0}}, seeds=2)
    assert {row["certified"] for row in without_pictures(folder).rows("runs")} == {"yes"}
    path = folder / "episodes.csv"
    *lines, last = path.read_text().splitlines()
    without = [line for line in lines if line is not next(x for x in reversed(lines) if ",stochastic," in x)]
    path.write_text("\n".join([*without, last]) + "\n")
    page = without_pictures(folder)
    assert [row["certified"] for row in page.rows("runs")] == ["yes", "no"]
    assert {r["certified"] for r in page.rows("results") if r["episodes"] == "stochastic"} == {"no: 1 broke down"}
    assert "1 episode broke down" in page.sections["summary"]


def test_an_evaluation_that_is_there_may_know_of_more(tmp_path):
    """It may have had episodes to spare, so that none is missing in the tables."""
    folder = make_campaign(tmp_path / "look", {"crpo": SAFE}, {"SafetyHopper-v4": {"cost": 25.0}}, seeds=2)
    run = make_run(folder / "runs" / "SafetyHopper-v4-crpo-seed1", evaluation={"cost": np.array([10.0, 11.0, 12.0])})
    assert {row["certified"] for row in without_pictures(folder).rows("runs")} == {"yes"}
    file = run / "evaluation.json"
    file.write_text(file.read_text().replace('"broken": 0', '"broken": 1'))
    assert [row["certified"] for row in without_pictures(folder).rows("runs")] == ["yes", "no"]


def test_gradients_without_an_angle_do_not_count():
    def angles(values):
        return RunResult(Condition("t", 1.0), "m", "0", {}, {"cos/c": np.array(values)}, {})

    nan = float("nan")
    assert mean_angle([angles([-0.5, nan, 0.1]), angles([0.4, 0.4, nan]), angles([nan] * 3)], "c") == pytest.approx(0.1)
    assert np.isnan(mean_angle([angles([nan])], "c"))


def test_unfinished_runs_are_counted_and_named(tmp_path):
    folder = make_campaign(
        tmp_path / "look", METHODS, TASKS, seeds=2, kept=lambda job: (job.task, job.seed) != ("Own-v0", 1)
    )
    page = without_pictures(folder)
    assert "9 of 12 runs are finished: 3 algorithms on 2 tasks, 1 to 2 seeds" in page.sections["summary"]
    assert "3 runs not finished" in page.sections["origin"]
    assert "Own-v0-ppo_lag-seed1" in page.sections["origin"]


def test_an_algorithm_that_lacks_a_task_is_compared_on_the_others(tmp_path):
    folder = make_campaign(
        tmp_path / "look", METHODS, TASKS, seeds=2, kept=lambda job: (job.task, job.base) != ("Own-v0", "crpo")
    )
    cells = Cells(read_results(folder))
    assert Ranking(cells).conditions == [Condition("SafetyHopper-v4", 1.0)]
    assert "leaves out 1 combination of task and limits" in words_of(cells)


def test_the_record_is_shown(page):
    assert "commit 0123456789ab" in page.sections["origin"]
    assert "equipoise campaign look.toml" in page.sections["origin"]


# Fronts and curves


def test_a_front_has_the_points_and_the_volume_of_its_limits(tmp_path):
    folder = make_campaign(
        tmp_path / "look", {"crpo": SAFE, "pcrpo": CLOSE}, {"Own-v0": {"cost": 20.0}}, (0.5, 1.0, 2.0), seeds=2
    )
    page = without_pictures(folder)
    cells = Cells(read_results(folder))
    crpo, pcrpo = fronts(cells, "Own-v0", "cost")
    assert crpo.scales.tolist() == [0.5, 1.0, 2.0]
    assert crpo.costs == pytest.approx([6, 12, 24], rel=0.15)
    corner = min(crpo.rewards.min(), pcrpo.rewards.min()), max(40.0, pcrpo.costs.max())
    covered = 0.0
    for x in np.linspace(0, corner[1], 20_001)[:-1]:  # the area column by column
        reached = [r for r, c in zip(pcrpo.rewards, pcrpo.costs, strict=True) if c <= x]
        covered += (max(reached) - corner[0]) / 20_000 if reached else 0.0
    best = max(crpo.rewards.max(), pcrpo.rewards.max())
    assert pcrpo.hypervolume == pytest.approx(covered / (best - corner[0]), abs=1e-3)
    rows = page.rows("fronts")
    assert [row["hypervolume"] for row in rows] == [number(crpo.hypervolume), number(pcrpo.hypervolume)]
    assert {row["limits"] for row in page.rows("results")} == {"× 0.5", "× 1", "× 2"}


def test_one_limit_has_no_front_and_no_column_of_limits(page):
    assert "fronts" not in page.tables
    assert "limits" not in page.tables["results"][0]


def run(steps, rewards, modes=None):
    modes = modes or ["reward"] * len(steps)
    columns = {"steps": np.array(steps, float), "reward": np.array(rewards, float), "mode": np.array(modes, object)}
    return RunResult(Condition("t", 1.0), "m", "0", {}, columns, {})


def test_a_curve_is_the_mean_over_seeds_and_its_standard_error():
    found = curve_of([run([10, 20, 30], [1, 2, 3]), run([10, 20, 30], [3, 6, 5])], "reward")
    assert found.steps.tolist() == [10, 20, 30]
    assert found.mean.tolist() == [2, 4, 4]
    assert found.error == pytest.approx([1, 2, 1])


def test_seeds_of_other_lengths_meet_where_all_have_been():
    found = curve_of([run([10, 30, 50], [0, 2, 4]), run([20, 40], [0, 0])], "reward")
    assert (found.steps[0], found.steps[-1]) == (20, 40)
    assert found.mean[[0, -1]] == pytest.approx([0.5, 1.5])
    assert len(curve_of([run(range(1, 1000), range(999))], "reward").steps) == POINTS


def test_modes_are_counted_iteration_by_iteration():
    steps, shares = mode_shares(
        [run([10, 20], [0, 0], ["reward", "safety"]), run([10, 20], [0, 0], ["reward", "balance"])]
    )
    assert steps.tolist() == [10, 20]
    assert {mode: share.tolist() for mode, share in shares.items()} == {
        "reward": [1, 0],
        "balance": [0, 0.5],
        "safety": [0, 0.5],
    }


# The files


def test_the_page_has_everything_in_it(drawn):
    campaign, page = drawn
    text = (campaign / "report.html").read_text(encoding="utf-8")
    assert len(text) < 1_000_000
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "#")[:1] == "#" or attributes[name].startswith("data:"), (tag, attributes)
    assert set(re.findall(r"https?://[\w./]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "url(" not in re.sub(r"url\(#", "", text)


def test_names_in_the_page_are_unique_and_lead_somewhere(drawn):
    _, page = drawn
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))
    asked = {a["href"][1:] for _, a in page.tags if a.get("href", "").startswith("#")}
    asked |= {a["clip-path"][5:-1] for _, a in page.tags if "clip-path" in a}
    assert asked <= set(names)


def test_names_from_files_are_no_markup(drawn):
    campaign, page = drawn
    text = (campaign / "report.html").read_text(encoding="utf-8")
    assert "<i>" not in text
    assert ODD in {row["cost"] for row in page.rows("results")}
    assert f"{ODD} per episode" in page.sections["curves"]
    labels = {attributes["aria-label"] for _, attributes in page.tags if attributes.get("role") == "img"}
    assert f"{ODD} per episode" in labels


def test_pictures_are_in_the_colours_of_the_page(drawn):
    """What is ink on paper is light in the dark, and every algorithm can be hidden."""
    _, page = drawn
    styles = [a["style"] for tag, a in page.tags if tag in ("path", "text", "use") and "style" in a]
    assert any("var(--ink)" in style for style in styles)
    assert not any(re.search(r"#(000000|ffffff|1c1c1c)", style) for style in styles)
    classes = {a.get("class") for tag, a in page.tags if tag == "g"}
    assert {"m m0", "m m1", "m m2"} <= classes


def test_figures_and_tables_for_a_paper(drawn):
    campaign, page = drawn
    figures = {path.name: path.read_bytes() for path in (campaign / "figures").iterdir()}
    assert set(figures) == {
        "curves-SafetyHopper-v4.pdf",
        "curves-Own-v0.pdf",
        "reward-cost-plane.pdf",
        "over-all-conditions.pdf",
        "modes.pdf",
        "conflict.pdf",
        "wall-clock.pdf",
    }
    assert all(content.startswith(b"%PDF") for content in figures.values())
    for name in ("results", "training", "runs", "interquartile-means", "probability-of-improvement"):
        lines = (campaign / "tables" / f"{name}.tex").read_text(encoding="utf-8").splitlines()
        rows = [line for line in lines if line.endswith(r" \\")]
        cells = [" & ".join(escaped(cell) for cell in row) + r" \\" for row in page.tables[name]]
        assert rows == cells


def test_what_latex_would_act_on_is_escaped(drawn):
    assert escaped(r"50 % of \a_{b}^2 & #$~<>") == (
        r"50 \% of \textbackslash{}a\_\{b\}\textasciicircum{}2 \& \#\$\textasciitilde{}\textless{}\textgreater{}"
    )
    text = (drawn[0] / "tables" / "results.tex").read_text(encoding="utf-8")
    assert r"\textless{}i\textgreater{}" in text
    assert not re.search(r"[−×≤∞⁺Ĵφ–]", text)


@pytest.mark.slow
def test_the_same_tables_give_the_same_report_and_it_needs_no_jax(tmp_path):
    """The first report is written by a process of its own."""
    folder = make_campaign(tmp_path / "look", {"crpo": SAFE}, {"SafetyHopper-v4": {"cost": 25.0}}, seeds=2)
    script = (
        f"import sys; from equipoise.cli import main; assert main(['report', {str(folder)!r}]) == 0; "
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.suffix in (".html", ".pdf", ".tex")}
    assert len(before) == 1 + 6 + 4
    assert main(["report", str(folder)]) == 0
    assert {path: path.read_bytes() for path in before} == before


def test_films_are_in_the_page_while_there_is_room(tmp_path, monkeypatch):
    monkeypatch.setattr(films, "ROOM", 100)
    folder = make_campaign(tmp_path / "look", {"crpo": SAFE}, {"SafetyHopper-v4": {"cost": 25.0}}, seeds=3)
    for seed, size in enumerate((60, 60)):
        place = folder / "runs" / f"SafetyHopper-v4-crpo-seed{seed}"
        place.mkdir(parents=True)
        (place / "film.mp4").write_bytes(b"x" * size)
    sources = [a["src"] for tag, a in without_pictures(folder).tags if tag == "video"]
    assert sources == ["data:video/mp4;base64," + "eHh4" * 20, "runs/SafetyHopper-v4-crpo-seed1/film.mp4"]


def test_no_films_have_no_section(page):
    assert "films" not in page.sections


# Mistakes


def spoil_cell(text):
    return text.replace(",stochastic,", ",stochastick,", 1)


def spoil_reward(text):
    head, first, *rest = text.splitlines()
    cells = first.split(",")
    cells[head.split(",").index("reward")] = "nan"
    return "\n".join([head, ",".join(cells), *rest]) + "\n"


@pytest.mark.parametrize(
    ("file", "change", "expected"),
    [
        ("campaign.json", None, "is no campaign: it has no campaign.json"),
        ("campaign.json", lambda text: "{", "campaign.json was not written by equipoise"),
        ("updates.csv", None, "updates.csv has no rows: no run of the campaign is finished"),
        ("episodes.csv", None, "episodes.csv has no rows: no run of the campaign is finished"),
        ("updates.csv", lambda text: text.splitlines()[0] + "\n", "has no rows: no run of the campaign is finished"),
        ("updates.csv", lambda text: text.replace("reward_se", "rewardse", 1), "there is no column 'reward_se'"),
        ("updates.csv", lambda text: text.replace("cos/cost", "kos/cost", 1), "there is no column 'cos/cost'"),
        (
            "updates.csv",
            lambda text: text.replace(",1.0,", ",one,", 1),
            "line 2: limits_scale is 'one'; allowed: a",
        ),
        ("updates.csv", lambda text: text[:-9] + ",,\n", "cells; allowed: 22, one a column"),
        ("updates.csv", spoil_reward, "SafetyHopper-v4-crpo-seed0: reward is nan; allowed: a finite number"),
        ("episodes.csv", spoil_cell, "split is 'stochastick'; allowed: training, stochastic, deterministic"),
        ("episodes.csv", lambda text: text.replace("crpo", "cprpo"), "has no row of SafetyHopper-v4 crpo"),
        ("episodes.csv", lambda text: text.replace(",stochastic,", ",training,"), "fewer than 2 episodes (stochastic)"),
    ],
)
def test_a_damaged_campaign_is_told_in_one_line_and_nothing_is_written(file, change, expected, tmp_path, capsys):
    folder = make_campaign(tmp_path / "look", {"crpo": SAFE}, {"SafetyHopper-v4": {"cost": 25.0}}, seeds=2)
    if change is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(change((folder / file).read_text()))
    before = {path.name for path in folder.iterdir()}
    assert main(["report", str(folder)]) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert said.count("\n") == 1
    assert {path.name for path in folder.iterdir()} == before


def test_runs_that_the_campaign_left_out_are_not_reported(tmp_path):
    """A table may have more than its record names: what is not a run of the campaign is no part of its report."""
    folder = make_campaign(tmp_path / "look", METHODS, TASKS, seeds=2)
    record = json.loads((folder / "campaign.json").read_text())
    record["jobs"] = [job for job in record["jobs"] if job["algorithm"] != "ppo_lag"]
    (folder / "campaign.json").write_text(json.dumps(record))
    assert {row["algorithm"] for row in without_pictures(folder).rows("runs")} == {"crpo", "pcrpo (slack.low=-0.5)"}
