"""What is in the pictures: nothing is empty, cut off, or dashed without a legend saying why."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from equipoise.conflict import picture as conflict_picture
from equipoise.conflict.analysis import Around, Conflict
from equipoise.conflict.history import History
from equipoise.conflict.landscape import Landscape, Step
from equipoise.problem import Problem
from equipoise.theory import picture as theory_picture
from equipoise.training import picture
from equipoise.training.record import Record


def record(path, costs, limit=10.0):
    """A run of one iteration for each of its costs."""
    rows = [
        {
            **{"iteration": i + 1, "steps": 100 * (i + 1), "reward": -5.0 + i, "reward_se": 0.5, "mode": "safety"},
            **{"cost/cost": cost, "cost_se/cost": 0.5, "limit/cost": limit, "cos/cost": 0.3},
        }
        for i, cost in enumerate(costs)
    ]
    return Record(path, Problem("Task", 2, 1, 100, ("cost",), (limit,)), "pcrpo", 0, rows)


@pytest.fixture
def figures(monkeypatch):
    """Every figure that is drawn."""
    drawn = []

    def figure(*arguments, **named):
        drawn.append(Figure(*arguments, **named))
        return drawn[-1]

    monkeypatch.setattr(picture, "Figure", figure)
    return drawn


# plot.png


@pytest.mark.parametrize("costs", [[20.0], [20.0, 15.0, 9.0]])
def test_curves_cover_the_width_that_is_coloured_however_few_iterations(costs, figures, tmp_path):
    picture.draw(record(tmp_path, costs))
    ((reward, cost, cos),) = [figure.axes for figure in figures]
    for axis in (reward, cost, cos):
        assert axis.get_xlim() == (0, 100 * len(costs))
        curve, points = axis.lines[:2]
        assert (min(curve.get_xdata()), max(curve.get_xdata())) == axis.get_xlim()
        assert len(points.get_xdata()) == len(costs) and points.get_marker() == "o"
    for axis in (reward, cost):
        band = axis.collections[0].get_paths()[0].get_extents()
        assert (band.x0, band.x1) == axis.get_xlim()


@pytest.mark.parametrize("limit", [0.0, 10.0, 14.9, 30.0])
def test_a_limits_number_lies_within_its_panel(limit, figures, tmp_path):
    picture.draw(record(tmp_path, [20.0, 15.0, 1.0], limit))
    (figure,) = figures
    figure.canvas.draw()
    panel = figure.axes[1]
    (label,) = [text for text in panel.texts if text.get_text() == f"limit {limit:g}"]
    number, inside = label.get_window_extent(), panel.get_window_extent()
    assert inside.x0 <= number.x0 and number.x1 <= inside.x1
    assert inside.y0 <= number.y0 and number.y1 <= inside.y1


# conflict.png


def conflict_of(**parts):
    """An analysis with some of its parts only."""
    conflict = object.__new__(Conflict)
    for name, value in parts.items():
        object.__setattr__(conflict, name, value)
    return conflict


@pytest.fixture
def axis():
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.subplots()


def test_only_the_limit_is_dashed_on_a_map_of_negative_rewards_and_no_legend_covers_it(axis):
    at = np.linspace(-2.0, 2.0, 5)
    x, y = np.meshgrid(at, at)
    error, steps = np.ones_like(x), {"reward": Step(1.0, 0.0, "accepted")}
    land = Landscape(at, at, -100.0 + 10 * x, error, 10 + x + y, error, steps)
    around = Around(3, None, {}, {}, land, {"crpo": "reward"})  # type: ignore[arg-type]
    conflict = conflict_of(cost="cost", limit=10.0, around=around)
    conflict_picture._map(axis, conflict, land.reward, "reward", "Blues_r")
    contours = [drawn for drawn in axis.collections if isinstance(drawn, ContourSet)]
    dashed = [any(pattern is not None for _, pattern in drawn.get_linestyle()) for drawn in contours]
    assert dashed == [False, True]
    assert axis.get_legend() is None
    assert [key.get_label() for key in conflict_picture._keys_of_steps(conflict)] == [
        "reward step: CRPO here",
        "limit on cost",
    ]


def test_iterations_are_counted_in_whole_numbers_and_the_legend_has_room(axis):
    number = np.arange(2.0)
    cos = np.array([0.1, -0.4])
    past = History(number, number, ("reward", "safety"), number, number, 1.0, cos, number, number, number)
    conflict_picture._by_mode(axis, conflict_of(history=past))
    axis.figure.canvas.draw()
    low, high = axis.get_ylim()
    ticks = [tick for tick in axis.get_yticks() if low <= tick <= high]
    assert len(ticks) > 1 and all(float(tick).is_integer() for tick in ticks)
    assert high >= 1.3, "room above bars of 1"


# theory.png


def test_a_dashed_diagonal_is_in_a_legend(axis):
    theory_picture._diagonal(axis, np.array([0.0, 1.0]), np.array([0.1, 0.9]), "black")
    dashed = [line.get_label() for line in axis.lines if line.get_linestyle() == "--"]
    assert dashed == [text.get_text() for text in axis.get_legend().get_texts()]


def test_the_saw_tooths_limit_is_in_a_legend(axis, monkeypatch):
    flat = type("Trace", (), {"objective": np.zeros((3, 2))})
    monkeypatch.setattr(theory_picture, "trace", lambda *_: flat)
    theory_picture._oscillation(axis)
    dashed = [line.get_label() for line in axis.lines if line.get_linestyle() == "--"]
    assert dashed == ["limit"] == [text.get_text() for text in axis.get_legend().get_texts()]
