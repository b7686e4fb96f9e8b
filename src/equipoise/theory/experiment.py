"""`equipoise theory`: the convergence result on finite CMDPs, from problems to table, files and picture."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from equipoise.errors import UsageError
from equipoise.progress import Progress
from equipoise.theory.breakdown import Case, cases
from equipoise.theory.criteria import Criterion, Findings, judge, over_time, pick, slope
from equipoise.theory.ensemble import Ensemble, describe, draw
from equipoise.theory.picture import paint
from equipoise.theory.sampling import Sampling
from equipoise.theory.studies import Measured, Study, alike, convergence, measure, sampled, variants

TIMES = (100, 316, 1000, 3162, 10_000)
"""Numbers of iterations T that are run by default."""

LONGER = (31_623, 100_000)
"""Numbers of iterations T that `full` adds."""


class Report(NamedTuple):
    """The experiment's outcome."""

    findings: Findings
    """What was measured."""
    criteria: list[Criterion]
    """What the experiment shows."""
    cases: list[Case]
    """What happens where conditions fail."""
    seconds: float
    """How long the experiment took."""

    @property
    def passed(self) -> bool:
        """Whether every criterion and every case is as it should be."""
        return all(c.passed for c in self.criteria) and all(c.holds for c in self.cases)


def theory(out: Path = Path("theory"), full: bool = False, problems: int = 100, seed: int = 0) -> None:
    """Reproduce the convergence result on finite CMDPs that are solved exactly.

    Writes theory.csv (every run), theory.json (criteria, slopes, cases) and theory.png into `out`. Exits with code 1
    if a criterion fails. docs/theory.md says what each means.

    Args:
        out: Folder to write to; made if it does not exist.
        full: Also T = 31 623 and 100 000.
        problems: Number of random CMDPs, 10 or more.
        seed: Decides the problems and the noise.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; give a folder to write to")
    with Progress(f"{problems} problems", shown=True) as progress:
        report = reproduce(TIMES + LONGER if full else TIMES, problems, seed, progress.reach)
    out.mkdir(parents=True, exist_ok=True)
    save(report, out)
    show(report)
    print(f"written: {out}/theory.csv, theory.json, theory.png")
    if not report.passed:
        raise SystemExit(1)


def reproduce(
    times: Sequence[int],
    problems: int = 100,
    seed: int = 0,
    watch: Callable[[float], object] = lambda share: None,
) -> Report:
    """Run everything, two runs at a time, and judge it; `UsageError` for fewer than 10 problems.

    `watch` is called with the share of the iterations that are done.
    """
    start = time.perf_counter()
    ensembles = draw(problems, seed)
    garnets = ensembles[0]
    some = describe(garnets.name, garnets.cmdps[: max(5, problems // 5)])
    longest = max(times)
    pool = ThreadPoolExecutor(2)

    planned, done = [0], [0]

    def measured(study: Study, ensemble: Ensemble, iterations: int) -> Measured:
        found = measure(study, ensemble, iterations, seed)
        done.append(iterations)  # appending is safe from several threads
        watch(sum(done) / sum(planned))
        return found

    def submit(studies: Sequence[Study], on: Sequence[Ensemble], at: Sequence[int]) -> Callable[[], list[Measured]]:
        planned.append(len(studies) * len(on) * sum(at))
        # What compiles to the same code makes one job: two that run at once would each compile it.
        jobs = [
            pool.submit(lambda s, e: [measured(study, e, t) for study in s for t in at], same, ensemble)
            for ensemble in on
            for same in alike(studies)
        ]
        return lambda: [m for job in jobs for m in job.result()]

    try:
        # The longest first.
        noisy = submit(sampled(Sampling()), [some], times)
        main = submit(convergence(), ensembles, times)
        others = submit(variants(), [garnets], [longest])
        broken = pool.submit(cases, garnets, min(longest, 10_000))
        findings = Findings(ensembles, main(), others(), noisy(), some)
        return Report(findings, judge(findings), broken.result(), time.perf_counter() - start)
    finally:
        pool.shutdown(cancel_futures=True)


def show(report: Report) -> None:
    """Print the rates, the variants, the criteria and the cases."""
    console = Console()
    found = report.findings
    console.print(_rates(found))
    console.print(_variants(found))
    verdicts = Table("", "claim", "found", title="criteria", show_lines=True)
    for criterion in report.criteria:
        verdicts.add_row(_verdict(criterion.passed), criterion.claim, criterion.found)
    console.print(verdicts)
    breakdown = Table("", "condition that fails", "expected", "found", title="where conditions fail", show_lines=True)
    for case in report.cases:
        breakdown.add_row(_verdict(case.holds), case.condition, case.expected, case.found)
    console.print(breakdown)
    total = sum(len(ensemble.cmdps) for ensemble in found.ensembles)
    print(f"{total} problems, {report.seconds:.0f} s: {'all as claimed' if report.passed else 'NOT all as claimed'}")


def save(report: Report, out: Path) -> None:
    """Write theory.csv, theory.json and theory.png into the folder `out`."""
    found = report.findings
    runs = [*found.convergence, *found.variants, *found.sampled]
    columns = [name for name in Measured._fields if name not in ("study", "family", "iterations")]
    with (out / "theory.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["study", "family", "T", "problem", *columns])
        for run in runs:
            for i, row in enumerate(zip(*(getattr(run, name) for name in columns), strict=True)):
                writer.writerow([run.study, run.family, run.iterations, i, *(f"{float(value):.6g}" for value in row)])
    content = {
        "passed": report.passed,
        "problems": {ensemble.name: len(ensemble.cmdps) for ensemble in found.ensembles},
        "T": sorted({run.iterations for run in found.convergence}),
        "seconds": round(report.seconds, 1),
        "criteria": [criterion._asdict() for criterion in report.criteria],
        "cases": [case._asdict() for case in report.cases],
        "slopes": {
            name: {
                "average": str(slope(pick(runs, name))),
                "last": str(slope(pick(runs, name), last=True, everywhere=True)),
            }
            for name in dict.fromkeys(run.study for run in (*found.convergence, *found.sampled))
        },
    }
    (out / "theory.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    paint(found, out / "theory.png")


def _rates(found: Findings) -> Table:
    table = Table(title="distance from optimal and feasible, max(gap, violation): medians over problems")
    for name in (
        "",
        "average, first T",
        "average, last T",
        "bound",
        "slope where η binds",
        "last iterate",
        "its slope",
    ):
        table.add_column(name, justify="right" if name else "left")
    for name in dict.fromkeys(run.study for run in (*found.convergence, *found.sampled)):
        runs = pick([*found.convergence, *found.sampled], name)
        distance = over_time(runs, lambda m: m.distance)[1]
        bound, last = (over_time(runs, value)[1][-1] for value in (lambda m: m.bound, lambda m: m.last_distance))
        table.add_row(
            name,
            f"{np.nanmedian(distance[0]):.3f}",
            f"{np.nanmedian(distance[-1]):.3f}",
            "—" if np.isnan(bound).all() else f"{np.nanmedian(bound):.3g}",
            str(slope(runs)),
            f"{np.median(last):.4f}",
            str(slope(runs, last=True, everywhere=True)),
        )
    return table


def _variants(found: Findings) -> Table:
    longest = max(m.iterations for m in found.convergence)
    table = Table(
        title=f"PCRPO's metrics and schedules, h⁻ = −0.3 ξ at the start, {found.ensembles[0].name}, T = {longest}"
    )
    for name in ("", "average gap", "last gap", "last violation", "largest", "swing", "safety mode"):
        table.add_column(name, justify="right" if name else "left")
    for run in found.variants:
        table.add_row(
            run.study,
            *(f"{np.nanmedian(values):.4f}" for values in (run.gap, run.last_gap, run.last_violation)),
            f"{run.last_violation.max():.4f}",
            f"{np.median(run.swing):.5f}",
            f"{run.safety.mean():.0%}",
        )
    return table


def _verdict(passed: bool) -> str:
    return "[green]pass[/]" if passed else "[red]FAIL[/]"
