"""The pictures of a report, each drawn into one pair of axes: the page and the paper have the same."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from equipoise import statistics
from equipoise.palette import INK, INSIDE, MODE_COLOURS, RULE, of_series
from equipoise.report.cells import Cell, Cells
from equipoise.report.curves import curve_of, mode_shares
from equipoise.report.front import fronts
from equipoise.report.ranking import Ranking
from equipoise.report.results import Condition, Results
from equipoise.statistics import Interval
from equipoise.training.picture import curve, limit_line, steps_below

SHADE, SHADE_OF_MANY, MANY = 0.18, 0.07, 6
"""How opaque bands are, and how much less where there are `MANY` algorithms or more."""


def mark(number: int) -> str:
    """Name what is drawn of algorithm `number`, so that the page can show and hide it."""
    return f"method-{number}"


def learning(axis: Axes, results: Results, condition: Condition, name: str | None) -> None:
    """Draw all algorithms' learning curves on a condition: of the reward, or of the cost `name` with its limit."""
    column, error = ("reward", "reward_se") if name is None else (f"cost/{name}", f"cost_se/{name}")
    ends = []
    for number, method in enumerate(results.methods):
        runs = results.of(condition, method)
        if runs:
            colour, dashes = of_series(number)
            shade = SHADE if len(results.methods) < MANY else SHADE_OF_MANY
            found = curve_of(runs, column, error)
            curve(axis, found.steps, found.mean, found.error, colour, shade, dashes, mark(number))
            ends += [found.mean.min(), found.mean.max()]
    if name is not None:
        limit = next(run.limits[name] for run in results.runs if run.condition == condition)
        limit_line(axis, limit, INK, beside=True)
        ends.append(limit)
    room = 0.12 * (max(ends) - min(ends)) or 1.0
    axis.set_ylim(min(ends) - room, max(ends) + room)  # of a wide band the end is cut off, and no curve is flattened
    axis.margins(x=0)
    steps_below(axis)


def plane(axis: Axes, cells: Cells, task: str, name: str) -> None:
    """Draw reward against the cost `name` at every limit of a task: means of the last stochastic policies.

    The feasible region is shaded. A filled point is certified for all costs. A line joins an algorithm's points at
    several limits, where none of them dominates another.
    """
    conditions = [c for c in cells.results.conditions if c.task == task]
    limits = set()
    for condition in conditions:
        for cell in cells.of(condition):
            for part in cell.costs:
                if part.name == name:
                    limits.add(part.limit)
                    _point(axis, cells.results.methods.index(cell.method), cell, part.mean)
    for front in fronts(cells, task, name):
        number = cells.results.methods.index(front.method)
        chosen = np.flatnonzero(front.on_front)
        chosen = chosen[np.argsort(front.costs[chosen])]
        colour, dashes = of_series(number)
        axis.plot(front.costs[chosen], front.rewards[chosen], color=colour, linestyle=dashes, lw=1.2, gid=mark(number))
    left = min(axis.get_xlim()[0], 0.0)
    axis.axvspan(left, max(limits), color=INSIDE, alpha=0.10, linewidth=0)
    axis.set_xlim(left, max(axis.get_xlim()[1], 1.05 * max(limits)))
    for limit in sorted(limits):
        axis.axvline(limit, color=INK, linestyle="--", linewidth=1)
        axis.annotate(
            f"{limit:.4g}", (limit, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=7.5
        )
    axis.set_xlabel(f"{name} per episode")
    axis.set_ylabel("reward per episode")


def _point(axis: Axes, number: int, cell: Cell, cost: Interval) -> None:
    """Draw an algorithm's mean reward and cost with their intervals; filled if it is certified."""
    colour, _ = of_series(number)
    spread = [
        None if np.isnan(interval.low) else [[interval.value - interval.low], [interval.high - interval.value]]
        for interval in (cost, cell.reward)
    ]
    bars = axis.errorbar([cost.value], [cell.reward.value], spread[1], spread[0], color=colour, linewidth=0.9)
    for artist in bars.get_children():
        artist.set_gid(mark(number))
    axis.plot(
        [cost.value],
        [cell.reward.value],
        marker="o" if number < 10 else "s",
        markersize=5.5,
        color=colour,
        markerfacecolor=colour if cell.certified else "none",
        gid=mark(number),
    )


def quartile_means(axis: Axes, ranking: Ranking) -> None:
    """Draw the interquartile mean of every algorithm, with its interval."""
    for number, method in enumerate(ranking.methods):
        colour, _ = of_series(number)
        found = ranking.quartile_mean(method)
        axis.plot([found.low, found.high], [number, number], color=colour, linewidth=5, alpha=0.35, gid=mark(number))
        axis.plot([found.value], [number], marker="|", markersize=11, mew=2.5, color=colour, gid=mark(number))
    _methods_beside(axis, ranking.methods)
    axis.set_xlabel("normalised reward")


def improvements(axis: Axes, ranking: Ranking, ours: str) -> None:
    """Draw the probability that a run of `ours` has more reward than one of each other algorithm."""
    others = [method for method in ranking.methods if method != ours]
    axis.axvline(0.5, color=INK, linestyle="--", linewidth=1)
    for place, method in enumerate(others):
        number = ranking.methods.index(method)
        colour, _ = of_series(number)
        found = ranking.probability(ours, method)
        axis.plot([found.low, found.high], [place, place], color=colour, linewidth=5, alpha=0.35, gid=mark(number))
        axis.plot([found.value], [place], marker="|", markersize=11, mew=2.5, color=colour, gid=mark(number))
    _methods_beside(axis, others)
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel(f"P({ours} has more reward)")


def profiles(axis: Axes, ranking: Ranking) -> None:
    """Draw the performance profile of every algorithm: the share of its runs whose score is above each threshold."""
    scores = {method: ranking.scores(method) for method in ranking.methods}
    every = np.concatenate([values for of_method in scores.values() for values in of_method])
    low, high = min(every.min(), 0.0), max(every.max(), 1.0)
    thresholds = np.linspace(low, high, 61)
    for number, method in enumerate(ranking.methods):
        colour, dashes = of_series(number)
        above = statistics.performance_profile(scores[method], thresholds)
        axis.plot(thresholds, above, color=colour, linestyle=dashes, linewidth=1.5, gid=mark(number))
        if min(map(len, scores[method])) > 1:
            ends = statistics.performance_profile_band(scores[method], thresholds, resamples=500)
            shade = SHADE if len(scores) < MANY else SHADE_OF_MANY
            axis.fill_between(thresholds, *ends, color=colour, alpha=shade, linewidth=0, gid=mark(number))
    axis.margins(x=0)
    axis.set_ylim(-0.02, 1.02)
    axis.set_xlabel("normalised reward τ")
    axis.set_ylabel("share of runs above τ")


def modes(axis: Axes, results: Results, condition: Condition) -> None:
    """Draw for every algorithm which share of its seeds was in which mode, over training."""
    there = [method for method in results.methods if results.of(condition, method)]
    for place, method in enumerate(there):
        number = results.methods.index(method)
        steps, shares = mode_shares(results.of(condition, method))
        edges = np.concatenate([[0.0], steps])
        bottom = np.full(len(steps), place - 0.4)
        for mode, share in shares.items():
            top = bottom + 0.8 * share
            if share.any():
                axis.fill_between(
                    edges,
                    np.append(bottom[:1], bottom),
                    np.append(top[:1], top),
                    step="pre",
                    color=MODE_COLOURS[mode],
                    linewidth=0,
                    gid=mark(number),
                )
            bottom = top
    _methods_beside(axis, there)
    axis.margins(x=0)
    steps_below(axis)


def conflict(axis: Axes, results: Results, condition: Condition, name: str) -> None:
    """Draw cos φ between the gradients of reward and of the cost `name` over training, for every algorithm."""
    for number, method in enumerate(results.methods):
        runs = results.of(condition, method)
        if runs:
            colour, dashes = of_series(number)
            found = curve_of(runs, f"cos/{name}")
            shade = SHADE if len(results.methods) < MANY else SHADE_OF_MANY
            curve(axis, found.steps, found.mean, found.error, colour, shade, dashes, mark(number))
    axis.axhline(0, color=INK, linewidth=0.8)
    axis.set_ylim(-1.05, 1.05)
    axis.margins(x=0)
    steps_below(axis)


def clock(axis: Axes, results: Results, condition: Condition) -> None:
    """Draw the minutes of every run, and each algorithm's mean."""
    there = [method for method in results.methods if results.of(condition, method)]
    for place, method in enumerate(there):
        number = results.methods.index(method)
        colour, _ = of_series(number)
        minutes = [run.minutes for run in results.of(condition, method)]
        axis.plot(minutes, [place] * len(minutes), "o", color=colour, alpha=0.55, markersize=4.5, gid=mark(number))
        axis.plot([np.mean(minutes)], [place], marker="|", markersize=12, mew=2, color=colour, gid=mark(number))
    _methods_beside(axis, there)
    axis.set_xlim(0, 1.08 * axis.get_xlim()[1] or 1.0)
    axis.set_xlabel("minutes of a run")


def _methods_beside(axis: Axes, methods: list[str]) -> None:
    """Name the rows of a picture, the first on top."""
    axis.set_yticks(range(len(methods)), [method if len(method) < 24 else f"{method[:22]} …" for method in methods])
    axis.set_ylim(len(methods) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=RULE, linewidth=0.6)
    axis.set_axisbelow(True)
