"""Which tables a report has, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from equipoise import statistics
from equipoise.campaigns.columns import SPLITS
from equipoise.palette import MODE_BACKGROUNDS
from equipoise.report.cells import Cell, Cells, CostCell, mean_violation, run_certified
from equipoise.report.curves import mean_angle, share_inside
from equipoise.report.front import fronts
from equipoise.report.numbers import beside, interval, number, percent, percent_interval
from equipoise.report.ranking import Ranking
from equipoise.report.results import Condition, Results
from equipoise.report.table import Column, Entry, Table


def tables(cells: Cells, ranking: Ranking) -> Iterator[Table]:
    """Yield every table of a report."""
    yield results_table(cells)
    yield training_table(cells)
    if ranking.conditions:
        yield ranking_table(ranking)
        if len(ranking.methods) > 1:
            yield improvement_table(ranking)
    front = front_table(cells)
    if front.rows:
        yield front
    yield runs_table(cells)


def amount(value: float) -> Entry:
    """Return a number as an entry."""
    return Entry(number(value), value)


def place_columns(results: Results) -> list[Column]:
    """Return the columns that say what a row is of; there is one of limits only where there are several."""
    limits = [Column("limits", True, "the limits as a multiple of the task's own")] if _scaled(results) else []
    return [Column("task"), *limits, Column("algorithm")]


def place_of(results: Results, condition: Condition, method: str) -> list[Entry]:
    """Return the entries of these columns."""
    limits = [Entry(f"× {condition.scale:g}", condition.scale)] if _scaled(results) else []
    return [Entry(condition.task), *limits, Entry(method)]


def _scaled(results: Results) -> bool:
    return any(condition.scale != 1.0 for condition in results.conditions)


def results_table(cells: Cells) -> Table:
    """Return what every algorithm reached, on every split of the episodes and for every cost."""
    columns = [
        *place_columns(cells.results),
        Column("episodes", False, "of training, or of the last policy with its actions drawn or averaged"),
        Column("seeds", True),
        Column("reward", True, "mean over seeds, 95 % interval"),
        Column("cost"),
        Column("limit d", True),
        Column("mean", True, "mean episode cost over seeds, 95 % interval"),
        Column("upper bound", True, "one-sided upper 95 % bound of that mean"),
        Column("certified", False, "whether the upper bound is within the limit"),
        Column("runs certified", True, "runs whose own episodes certify the limit"),
        Column("V", True, "share of all episodes above the limit, exact 95 % interval"),
        Column("D", True, "(mean cost − d)/d"),
        Column("D⁺", True, "the same over the episodes above the limit"),
        Column("CVaR", True, "mean of the worst tenth of all episodes"),
    ]
    rows = [
        _result(cells.results, cell, cost)
        for condition in cells.results.conditions
        for split in (*SPLITS[1:], SPLITS[0])
        for cell in cells.of(condition, split)
        for cost in cell.costs
    ]
    caption = "Rewards, costs and certificates"
    return Table("results", caption, columns, rows, ("task", "limits", "algorithm", "episodes", "cost", "certified"))


def _result(results: Results, cell: Cell, cost: CostCell) -> list[Entry]:
    seeds = len(cell.rewards)
    certified = "yes" if cost.certified else f"no: {cost.broken} broke down" if cost.broken else "no"
    if cell.split == "training":  # policies that were learning: nothing that could be certified
        certificate = [Entry("–"), Entry("–", -1.0)]
    else:
        certificate = [Entry(certified), Entry(f"{cost.certified_runs} of {seeds}", cost.certified_runs / seeds)]
    return [
        *place_of(results, cell.condition, cell.method),
        Entry(cell.split),
        Entry(str(seeds), seeds),
        Entry(interval(cell.reward), cell.reward.value),
        Entry(cost.name),
        amount(cost.limit),
        Entry(interval(cost.mean), cost.mean.value),
        Entry(beside(cost.upper, cost.limit), cost.upper),
        *certificate,
        Entry(percent_interval(cost.share), cost.share.value),
        amount(cost.excess),
        amount(cost.violating_excess),
        amount(cost.cvar),
    ]


def training_table(cells: Cells) -> Table:
    """Return how the limits were kept during training, how the modes were chosen, and how long it took."""
    columns = [
        *place_columns(cells.results),
        Column("cost"),
        Column("violation", True, "mean of (Ĵ − d)⁺/d over iterations, then over seeds, 95 % interval"),
        Column("Ĵ ≤ d", True, "share of the iterations whose estimated cost was within the limit"),
        *(Column(f"{mode} mode", True, f"share of the iterations in {mode} mode") for mode in MODE_BACKGROUNDS),
        Column("cos φ", True, "mean cosine between the gradients of reward and cost; below 0 they conflict"),
        Column("minutes", True, "time of a run's rollouts and updates"),
    ]
    rows = []
    for condition in cells.results.conditions:
        for cell in cells.of(condition):
            runs = cells.results.of(condition, cell.method)
            shares = [np.mean([(run.updates["mode"] == mode).mean() for run in runs]) for mode in MODE_BACKGROUNDS]
            for name in runs[0].limits:
                violation = mean_violation(runs, name)
                inside = share_inside(runs, name)
                angle = mean_angle(runs, name)
                rows.append(
                    [
                        *place_of(cells.results, condition, cell.method),
                        Entry(name),
                        Entry(interval(violation), violation.value),
                        Entry(percent(inside), inside),
                        *(Entry(percent(float(share)), float(share)) for share in shares),
                        amount(angle),
                        amount(float(np.mean([run.minutes for run in runs]))),
                    ]
                )
    return Table("training", "During training", columns, rows, ("task", "limits", "algorithm", "cost"))


def ranking_table(ranking: Ranking) -> Table:
    """Return the interquartile mean of every algorithm over all conditions."""
    columns = [
        Column("algorithm"),
        Column("conditions", True),
        Column("runs", True),
        Column("interquartile mean", True, "mean of the middle half of all normalised rewards, 95 % interval"),
    ]
    rows = []
    for method in ranking.methods:
        found, scores = ranking.quartile_mean(method), ranking.scores(method)
        runs = sum(map(len, scores))
        counts = [Entry(str(len(scores)), len(scores)), Entry(str(runs), runs)]
        rows.append([Entry(method), *counts, Entry(interval(found), found.value)])
    return Table("interquartile-means", "Normalised reward over all conditions", columns, rows)


def improvement_table(ranking: Ranking) -> Table:
    """Return the probability that a run of a row's algorithm has more reward than one of a column's."""
    columns = [Column("more reward than"), *(Column(method, True) for method in ranking.methods)]
    rows = []
    for ours in ranking.methods:
        row = [Entry(ours)]
        for theirs in ranking.methods:
            found = ranking.probability(ours, theirs)
            row.append(Entry("–", -1.0) if ours == theirs else Entry(interval(found), found.value))
        rows.append(row)
    caption = "Probability that a run of the row's algorithm has more reward than one of the column's"
    return Table("probability-of-improvement", caption, columns, rows)


def front_table(cells: Cells) -> Table:
    """Return how much of the plane of reward and cost each algorithm covers over several limits."""
    columns = [
        Column("task"),
        Column("cost"),
        Column("algorithm"),
        Column("limits", True),
        Column("hypervolume", True, "the share of the plane, between the reference and no cost at most reward"),
        Column("reference: reward", True),
        Column("reference: cost", True),
    ]
    rows = []
    for task in dict.fromkeys(c.task for c in cells.results.conditions):
        costs = dict.fromkeys(n for c in cells.results.conditions if c.task == task for n in cells.results.costs(c))
        for cost in costs:
            for front in fronts(cells, task, cost):
                reference = [amount(front.reward_range[0]), amount(front.most_cost)]
                names = [Entry(task), Entry(cost), Entry(front.method)]
                count = Entry(str(len(front.scales)), len(front.scales))
                rows.append([*names, count, amount(front.hypervolume), *reference])
    return Table("fronts", "Fronts over several limits", columns, rows, ("task", "cost", "algorithm"))


def runs_table(cells: Cells) -> Table:
    """Return every finished run by itself."""
    columns = [
        *place_columns(cells.results),
        Column("seed", True),
        Column("steps", True),
        Column("reward", True, "mean over the episodes of the last stochastic policy"),
        Column("cost"),
        Column("limit d", True),
        Column("mean", True, "mean cost of these episodes"),
        Column("upper bound", True, "one-sided upper 95 % bound of that mean"),
        Column("certified"),
        Column("minutes", True, "time of its rollouts and updates"),
    ]
    rows = []
    for run in cells.results.runs:
        steps = int(run.updates["steps"][-1])
        for name, limit in run.limits.items():
            costs = run.costs("stochastic", name)
            upper = statistics.mean_upper_bound(costs)
            rows.append(
                [
                    *place_of(cells.results, run.condition, run.method),
                    Entry(run.seed, float(run.seed)),
                    Entry(f"{steps:,}".replace(",", "\u202f"), steps),
                    amount(float(run.episodes["stochastic"]["reward"].mean())),
                    Entry(name),
                    amount(limit),
                    amount(float(costs.mean())),
                    Entry(beside(upper, limit), upper),
                    Entry("yes" if run_certified(run, name) else "no"),
                    amount(run.minutes),
                ]
            )
    return Table("runs", "Every run", columns, rows, ("task", "limits", "algorithm", "cost", "certified"))
