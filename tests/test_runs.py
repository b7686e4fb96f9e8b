"""Several runs beside one another: `equipoise compare` and `equipoise runs`."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_hex

from equipoise.cli import main
from equipoise.palette import of_series
from equipoise.runs import comparison
from equipoise.runs.listing import find_runs
from equipoise.training.record import Record
from synthetic import make_run, metric_rows


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a certified run, one that is not, one that was not evaluated, and two damaged ones."""
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    make_run(runs / "inside", evaluation={"cost": np.array([10.0, 11.0, 12.0])})
    make_run(runs / "over", algorithm="crpo", evaluation={"cost": np.array([10.0, 24.0, 40.0])})
    two = metric_rows([-5.0, 123456.0], {"energy": [1.0, 2.5], "[tilt]": [3.0, 4.0]}, {"energy": 2.0, "[tilt]": 9.0})
    make_run(runs / "campaign" / "runs" / "two-costs", task="Own-v0", algorithm="[bold]mine", seed=7, rows=two)
    make_run(runs / "torn").joinpath("config.json").write_text("{")
    make_run(runs / "wrong").joinpath("evaluation.json").write_text('{"stochastic": 3}')
    return runs


def lines_of(capsys, *arguments):
    """What a command that does well prints."""
    assert main(list(arguments)) == 0, capsys.readouterr().err
    return capsys.readouterr().out.splitlines()


def cells(line):
    return [cell.strip() for cell in line.strip("│").split("│")]


def points_of(axis):
    """The values of the iterations that a panel shows as points, run by run."""
    return [line.get_ydata().tolist() for line in axis.lines if line.get_marker() == "o"]


def curves_of(axis):
    """The values of the lines of a panel."""
    return [list(line.get_ydata()) for line in axis.lines if line.get_marker() != "o"]


def test_runs_are_listed_with_what_they_reached(folder, capsys):
    lines = lines_of(capsys, "runs")
    rows = [cells(line) for line in lines if line.startswith("│")]
    assert rows == [
        [
            "campaign/runs/two-costs",
            "Own-v0",
            "[bold]mine",
            "7",
            "2,000",
            "1.235e+05",
            "energy 2.5 / 2",
            "not evaluated",
        ],
        ["", "", "", "", "", "", "[tilt] 4 / 9", ""],
        ["inside", "SafetyHopper-v4", "pcrpo", "0", "3,000", "3", "10 / 25", "yes"],
        ["over", "SafetyHopper-v4", "crpo", "0", "3,000", "3", "10 / 25", "no"],
    ]


def test_a_damaged_run_is_one_line_and_no_hindrance(folder, capsys):
    lines = [line for line in lines_of(capsys, "runs", "runs") if line.startswith("damaged")]
    assert [line.split()[1] for line in lines] == ["runs/torn:", "runs/wrong:"]
    assert "config.json is no configuration written by equipoise" in lines[0]
    assert "evaluation.json is no evaluation written by equipoise: deterministic is missing" in lines[1]


def test_links_are_not_followed_and_a_run_may_be_named_itself(folder, capsys):
    (folder / "link").symlink_to(folder / "inside")
    (folder / "round").symlink_to(folder)
    assert len(find_runs(folder)) == 5
    assert [found.path for found in find_runs(folder / "inside")] == [folder / "inside"]


def test_no_folder_is_a_mistake_and_an_empty_one_is_not(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["runs"]) == 2
    assert capsys.readouterr().err == "equipoise: there is no folder runs; give the one that runs are in\n"
    assert lines_of(capsys, "runs", ".") == ["no runs in ."]


def test_an_episode_that_broke_down_certifies_nothing(folder):
    file = folder / "inside" / "evaluation.json"
    assert find_runs(folder / "inside")[0].certified is True
    file.write_text(file.read_text().replace('"broken": 0', '"broken": 1'))
    assert find_runs(folder / "inside")[0].certified is False


@pytest.mark.slow
def test_neither_needs_jax(folder):
    script = (
        "import sys; from equipoise.cli import main; main(['runs']); "
        "main(['compare', 'runs/inside', 'runs/over']); assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=folder.parent)
    assert (folder.parent / "comparison.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_the_ending_says_how_the_picture_is_written(ending, start, folder, capsys):
    assert lines_of(capsys, "compare", "runs/inside", "runs/over", "--out", f"x.{ending}") == [f"written: x.{ending}"]
    assert (folder.parent / f"x.{ending}").read_bytes().startswith(start)


def test_a_comparison_draws_every_run_and_its_limits(tmp_path):
    rows = metric_rows([4.0, 5.0], {"cost": [7.0, 6.0]}, {"cost": 12.0})
    paths = [make_run(tmp_path / "a"), make_run(tmp_path / "b", rows=rows, seed=1)]
    runs = [Record.read(path) for path in paths]
    reward, cost = comparison._picture(runs).axes
    assert points_of(reward) == [[1.0, 2.0, 3.0], [4.0, 5.0]]
    assert curves_of(reward) == [[1.0, 1.0, 2.0, 3.0], [4.0, 4.0, 5.0]], "from the start of training"
    assert points_of(cost) == [[30.0, 20.0, 10.0], [7.0, 6.0]]
    assert curves_of(cost)[:2] == [[30.0, 30.0, 20.0, 10.0], [7.0, 7.0, 6.0]]
    assert len(cost.lines) == 6
    limits = cost.lines[-2:]
    assert [line.get_ydata()[0] for line in limits] == [25.0, 12.0]
    assert [to_hex(line.get_color()) for line in limits] == [of_series(0)[0], of_series(1)[0]]


def test_a_limit_that_all_share_is_drawn_once(tmp_path):
    runs = [Record.read(make_run(tmp_path / name)) for name in "ab"]
    _, cost = comparison._picture(runs).axes
    assert len(cost.lines) == 5
    (limit,) = [line for line in cost.lines if len(line.get_ydata()) == 2]
    assert limit.get_ydata()[0] == 25.0


def test_runs_are_named_by_what_tells_them_apart(tmp_path):
    def named(*kinds):
        runs = [Record.read(make_run(tmp_path / str(len(list(tmp_path.iterdir()))) / "run", **kind)) for kind in kinds]
        return comparison.labels(runs)

    assert named({"algorithm": "crpo"}, {"algorithm": "pcrpo"}) == ["crpo", "pcrpo"]
    assert named({"seed": 1}, {"seed": 2}) == ["seed 1", "seed 2"]
    assert named({"seed": 1}, {"seed": 2, "algorithm": "cpo"}) == ["pcrpo, seed 1", "cpo, seed 2"]
    assert named({}, {}) == ["6/run", "7/run"]
    assert named({}, {}, {"seed": 1}) == ["seed 0 (8/run)", "seed 0 (9/run)", "seed 1 (10/run)"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["runs/inside"], "1 run(s) to compare; allowed: two or more"),
        (["runs/inside", "runs/inside"], "inside is given 2 times; give every run once"),
        (["runs/inside", "runs/torn"], "config.json is no configuration written by equipoise"),
        (["runs/inside", "nowhere"], "nowhere is no run of equipoise"),
        (
            ["runs/inside", "runs/over", "--out", "x.jpg"],
            "x.jpg; allowed: a file ending in .png or .pdf or .svg",
        ),
        (["runs/inside", "runs/over", "--out", "no/x.png"], "there is no folder no; make it first"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(arguments, expected, folder, capsys):
    assert main(["compare", *arguments]) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert said.count("\n") == 1
    assert [path.name for path in folder.parent.iterdir()] == ["runs"]


def test_a_run_without_iterations_is_told(folder, capsys):
    (folder / "over" / "metrics.csv").unlink()
    assert main(["compare", "runs/inside", "runs/over"]) == 2
    assert "over has no finished iteration to draw" in capsys.readouterr().err
    (row,) = [cells(line) for line in lines_of(capsys, "runs", "runs/over") if line.startswith("│")]
    assert row[-4:] == ["0", "", "", "no"]
