"""The report in words: who is ahead where, how sure that is, and what is certified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from equipoise.report.cells import Cell, Cells
from equipoise.report.numbers import beside, counted, interval, listed, number
from equipoise.report.ranking import SEEDS_FOR_A_WIN, Duel, Ranking, Verdict, all_duels, verdict
from equipoise.report.results import Results


@dataclass(frozen=True)
class Finding:
    """What is said of one condition."""

    place: str
    """The condition."""
    headline: str
    """The most important, in a sentence."""
    details: list[str]
    """The rest, a sentence each."""


def overall(cells: Cells, ranking: Ranking) -> list[str]:
    """Say what holds for the whole campaign, a sentence or two each."""
    results = cells.results
    found = [_finished(results), _seeds(results)]
    if ranking.conditions:
        found.append(_best(ranking))
        out = len(results.conditions) - len(ranking.conditions)
        if out:
            found.append(
                f"That leaves out {counted(out, 'combination')} of task and limits, where an algorithm has no finished "
                "run or none learnt anything."
            )
    found.append(_certified(cells))
    if results.most_seeds >= SEEDS_FOR_A_WIN and len(results.methods) > 1:
        found.append(_wins(cells))
    return found


def findings(cells: Cells) -> Iterator[Finding]:
    """Say who is ahead on each condition."""
    for condition in cells.results.conditions:
        yield _finding(verdict(cells, condition))


def _finished(results: Results) -> str:
    done, planned = len(results.runs), len(results.runs) + len(results.left)
    tasks = len({condition.task for condition in results.conditions})
    what = f"{counted(len(results.methods), 'algorithm')} on {counted(tasks, 'task')}"
    limits = len({condition.scale for condition in results.conditions})
    what += f" at {limits} limits each" if limits > 1 else ""
    return f"{done} of {counted(planned, 'run')} are finished: {what}, {_seed_range(results)}."


def _seed_range(results: Results) -> str:
    counts = [len(results.of(c, m)) for c in results.conditions for m in results.methods if results.of(c, m)]
    least, most = min(counts), max(counts)
    return counted(most, "seed") if least == most else f"{least} to {most} seeds"


def _seeds(results: Results) -> str:
    if results.most_seeds >= SEEDS_FOR_A_WIN:
        return (
            f"A win is claimed only where both algorithms are certified to keep the limits, have {SEEDS_FOR_A_WIN} "
            "seeds or more, and the 95 % interval of the probability that one has more reward lies above one half."
        )
    if results.most_seeds == 1:
        return "One seed tells nothing about another one: this is a look, without intervals over seeds."
    return (
        f"This is a look: with fewer than {SEEDS_FOR_A_WIN} seeds intervals over seeds are too narrow, and nothing "
        "here is called a win."
    )


def _best(ranking: Ranking) -> str:
    order = sorted(ranking.methods, key=lambda method: -ranking.quartile_mean(method).value)
    each = [f"{method} {interval(ranking.quartile_mean(method))}" for method in order[:5]]
    more = f" ({len(order) - 5} more in the table)" if len(order) > 5 else ""
    return f"Interquartile means of normalised reward, whether certified or not: {listed(each)}{more}."


def _certified(cells: Cells) -> str:
    results = cells.results
    each = []
    for method in results.methods:
        there = [cell for c in results.conditions if (cell := cells.get(c, method)) is not None]
        runs = sum(len(cell.rewards) for cell in there)
        each.append(f"{method} {sum(cell.certified_runs for cell in there)} of {runs}")
    return f"Runs whose last stochastic policy is certified to keep every limit: {listed(each)}."


def _wins(cells: Cells) -> str:
    duels = [duel for condition in cells.results.conditions for duel in all_duels(cells, condition)]
    count = Counter(duel.ours.method for duel in duels if duel.won)
    if not count:
        return "No comparison of two algorithms is won at matched safety."
    each = [f"{method} {wins}" for method, wins in count.most_common()]
    return f"Of {counted(len(duels), 'comparison')} of two certified algorithms are won: {listed(each)}."


def _finding(found: Verdict) -> Finding:
    best = found.best
    if best is None:
        return Finding(found.condition.label, "No algorithm is certified to keep the limits.", list(_missed(found)))
    if not found.duels:
        alone = "No other algorithm was trained." if not found.uncertified else ""
        headline = (
            f"{best.method} alone is certified to keep the limits." if not alone else f"{best.method} is certified."
        )
        return Finding(found.condition.label, headline, [_reached(best), *filter(None, [alone]), *_missed(found)])
    return Finding(
        found.condition.label, _headline(best, found.duels), [_reached(best), *_duels(found), *_missed(found)]
    )


def _headline(best: Cell, duels: list[Duel]) -> str:
    won = sum(duel.won for duel in duels)
    others = "other algorithm" if len(duels) == 1 else f"{len(duels)} other algorithms"
    others += " certified to keep the limits"
    if won == len(duels):
        return f"{best.method} wins against the {others}."
    if won:
        return f"{best.method} wins against {won} of the {others}."
    if all(duel.clear for duel in duels):
        return f"{best.method} is ahead of the {others}, on too few seeds for a win."
    return f"{best.method} has more reward than the {others}, but not clearly."


def _reached(best: Cell) -> str:
    costs = listed([f"{c.name} {interval(c.mean)} of {number(c.limit)}" for c in best.costs])
    return f"{best.method} reaches a reward of {interval(best.reward)} at {costs}."


def _duels(found: Verdict) -> Iterator[str]:
    assert found.best is not None
    name = found.best.method
    groups = {
        f"{name} wins against": [d for d in found.duels if d.won],
        f"{name} is ahead of, on {counted(min(d.seeds for d in found.duels), 'seed')},": [
            d for d in found.duels if d.clear and not d.won
        ],
        "Not told apart from it:": [d for d in found.duels if not d.clear],
    }
    for words, duels in groups.items():
        if duels:
            each = [f"{d.theirs.method} (reward {number(d.theirs.reward.value)}, P = {_chance(d)})" for d in duels]
            yield f"{words} {listed(each)}."


def _chance(duel: Duel) -> str:
    return interval(duel.probability)


def _missed(found: Verdict) -> Iterator[str]:
    if found.uncertified:
        each = []
        for cell in found.uncertified:
            worst = max((c for c in cell.costs if not c.certified), key=lambda c: c.excess)
            bound = f"{worst.name}: upper bound {beside(worst.upper, worst.limit)} of {number(worst.limit)}"
            why = f"{counted(worst.broken, 'episode')} broke down" if worst.broken else bound
            more = found.best is not None and cell.reward.value > found.best.reward.value
            each.append(f"{cell.method} ({why}{'; more reward' if more else ''})")
        yield f"Not certified: {listed(each)}."
