"""What `equipoise tasks` prints: complete, in 80 columns, and true."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from equipoise.catalogue import page_of_task, table_of_tasks
from equipoise.cli import main
from equipoise.physics.models import load_model
from equipoise.rendering import backend
from equipoise.tasks import TASKS
from registries import CLASSIC, NAVIGATION, SAMPLE

every_task = pytest.mark.parametrize("task_id", SAMPLE)


def printed(layout, width=80):
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(layout)
    return capture.get()


def numbers_in(line):
    return [float(number) for number in line.split() if re.fullmatch(r"[-\d.e+]+", number)]


@pytest.fixture(scope="module")
def table():
    return printed(table_of_tasks())


def test_the_table_is_whole_in_80_columns(table):
    assert "…" not in table
    assert max(map(len, table.splitlines())) <= 80
    assert [line for line in table.splitlines() if line.strip() in {task.suite for task in TASKS.values()}]


@pytest.mark.parametrize("task_id", CLASSIC)
def test_a_limit_out_of_reach_has_a_footnote_and_no_other_has(task_id, table):
    task = TASKS[task_id]
    expected = []
    for limit, score in zip(task.limits(), task.measured, strict=True):
        if limit < score.cost_only:
            expected.append(f"its limit of {limit:g} is below the {score.cost_only:g} of a policy trained on the cost")
        if limit >= score.unconstrained:
            expected.append(f"its limit of {limit:g} is above the {score.unconstrained:g} of a policy trained on the")
    assert (task_id in ("SafetySwimmerVelocity-v0", "SafetyHumanoidVelocity-v0", "SafetyHumanoidVelocity-v1")) == bool(
        expected
    )
    for text in (table, printed(page_of_task(task))):
        said = " ".join(text.split())
        assert all(words in said for words in expected)
    marked = f"{task_id} !" in table
    assert marked == bool(expected or task.caution)
    assert (f"! {task_id}: " in table) == marked


@pytest.mark.parametrize("task_id", CLASSIC)
def test_a_tasks_rows_hold_its_numbers(task_id, table):
    task = TASKS[task_id]
    lines = table.splitlines()
    at = next(i for i, line in enumerate(lines) if line.split()[:1] == [task_id])
    sizes = [task.observation_size, load_model(task).nu, task.horizon]
    expected = [
        [limit, limit / task.horizon] + [x for score in task.measured[k : k + 1] for x in dataclasses.astuple(score)]
        for k, limit in enumerate(task.limits())
    ]
    if len(task.cost_names) == 1:
        assert numbers_in(lines[at]) == pytest.approx(sizes + expected[0], rel=1e-3)
    else:
        assert numbers_in(lines[at]) == sizes
        for k, name in enumerate(task.cost_names):
            assert lines[at + 1 + k].split()[0] == name
            assert numbers_in(lines[at + 1 + k]) == pytest.approx(expected[k], rel=1e-3)
    assert " ".join(task.caution.split()) in " ".join(table.split())


def test_a_long_suite_is_listed_by_family(table):
    """Every id is one of those that a row stands for, written as a shell would, and every row stands for ids only."""
    rows = [line.split()[0] for line in table.splitlines() if line.startswith("Safety{")]
    named = []
    for row in rows:
        first, robots, middle, *levels = re.split(r"[{}]", row)
        for robot in robots.split(","):
            for level in levels[0].split(",") if levels else [""]:
                named.append(first + robot + middle + level + "".join(levels[1:]))
    assert sorted(named) == sorted(NAVIGATION) and len(rows) == 8
    assert "hazards, vases_contact, vases_velocity" in table


@every_task
def test_a_page_says_everything(task_id):
    task, page = TASKS[task_id], printed(page_of_task(TASKS[task_id]))
    said = re.sub(r"\s+", " ", page)
    assert max(map(len, page.splitlines())) <= 80 and "…" not in page
    for word in re.findall(r"\S+", task.__doc__):
        assert word.rstrip(":") in said, word
    assert task.caution in said and f"{task.horizon} steps" in said
    for name, limit in zip(task.cost_names, task.limits(), strict=True):
        assert f"limit on {name} {limit:.4g} an episode, {limit / task.horizon:.4g} a step" in said
    assert f"equipoise train pcrpo {task_id}" in page and f'gymnasium.make("equipoise/{task_id}")' in page


@every_task
def test_a_page_shows_the_formulas_that_its_docstring_refers_to(task_id):
    page = printed(page_of_task(TASKS[task_id]))
    assert re.search(r"Observation\s+(\(\d+\)\s+)?\S", page)
    assert "Reward  " in page and re.search(r"Costs?  ", page)


def test_brackets_of_a_formula_are_no_markup():
    assert "[0.2, 1] m" in printed(page_of_task(TASKS["SafetyAntVelocity-v1"]))


def test_a_still_is_a_picture_of_the_start(tmp_path, drawing, capsys):
    assert main(["tasks", "SafetyReacher-v4", "--still", "reacher.png"]) == 0
    said = capsys.readouterr().out
    assert "Reach a target" in said and said.endswith("written: reacher.png\n")
    picture = np.asarray(Image.open("reacher.png"))
    assert picture.shape == (480, 480, 3) and len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["SafetyHoper-v4"], "unknown task 'SafetyHoper-v4'; did you mean 'SafetyHopper-v4'?"),
        (["SafetyHopper-v4", "--still", "hopper.jpg"], "still is hopper.jpg; allowed: a file ending in .png"),
        (["SafetyHopper-v4", "--still", "no/hopper.png"], "there is no folder no; make it first"),
        (["--still", "hopper.png"], "--still needs a task"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["tasks", *arguments]) == 2
    complaint = capsys.readouterr().err
    assert said in complaint and complaint.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_draw_the_text_comes_all_the_same(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(backend, "_works", lambda name: False)
    backend.choose_backend.cache_clear()
    assert main(["tasks", "SafetyHopper-v4", "--still", "hopper.png"]) == 2
    said = capsys.readouterr()
    assert "Hop forward" in said.out and "0.5·‖a‖²" in said.out
    assert "apt-get install libegl1" in said.err and said.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
