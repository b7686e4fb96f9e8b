"""How a campaign stands: a table that is redrawn on a terminal, a line for every run that ends elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from equipoise.campaigns.folder import CampaignFolder, Standing
from equipoise.campaigns.job import Job
from equipoise.progress import in_words
from equipoise.training.display import result
from equipoise.training.metrics import Row

REDRAW_EVERY = 1.0
"""Seconds between two looks at the metrics of all runs, on a terminal."""
LINE_EVERY = 60.0
"""Seconds between two lines, elsewhere; each run's end has a line of its own."""


def overview(folder: CampaignFolder, standings: dict[str, Standing]) -> Table:
    """Lay out a campaign: for each kind of run how many seeds stand where, and the mean of what they reached."""
    table = Table()
    for column in ("task", "algorithm", "limits", "settings"):
        table.add_column(column)
    for column in ("finished", "failed", "running", "steps", "reward", "cost / limit"):
        table.add_column(column, justify="right")
    kinds: dict[tuple[str, str, float, str], list[Job]] = {}
    for job in folder.jobs:
        kinds.setdefault((job.task, job.algorithm, job.limits_scale, job.varied), []).append(job)
    for (task, algorithm, scale, varied), jobs in sorted(kinds.items()):
        seen = [standings[job.name] for job in jobs]
        count = Counter(standing.status for standing in seen)
        steps = sum(standing.steps for standing in seen) / sum(job.total_steps for job in jobs)
        last = [standing.rows[-1] for standing in seen if standing.status == "finished"]
        table.add_row(
            task,
            algorithm,
            "" if scale == 1.0 else f"× {scale:g}",
            varied,
            f"{count['finished']} of {len(jobs)}",
            f"[red]{count['failed']}[/]" if count["failed"] else "",
            str(count["running"] or ""),
            f"{100 * min(steps, 1.0):.0f} %",
            f"{np.mean([row['reward'] for row in last]):.4g}" if last else "",
            _costs(last),
        )
    return table


def _costs(rows: list[Row]) -> str:
    names = [column.removeprefix("cost/") for column in rows[0] if column.startswith("cost/")] if rows else []
    return ", ".join(
        f"{np.mean([row[f'cost/{name}'] for row in rows]):.4g} / {rows[0][f'limit/{name}']:.4g}" for name in names
    )


class Progress:
    """Shows a campaign while it runs."""

    def __init__(self, folder: CampaignFolder, console: Console) -> None:
        self._folder, self._console = folder, console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._standings = {job.name: folder.standing(job) for job in folder.jobs}
        self._began, self._first_steps, self._looked = time.monotonic(), self._steps(), 0.0
        self._said = self._began

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def look(self) -> None:
        """Redraw the table, on a terminal and now and then; elsewhere say how far it is, every minute."""
        if not self._console.is_terminal and time.monotonic() - self._said >= LINE_EVERY:
            self._said = time.monotonic()
            self._refresh()
            self._console.print(Text(self._summary()), soft_wrap=True)
        if self._console.is_terminal and time.monotonic() - self._looked >= REDRAW_EVERY:
            self._refresh()
            self._live.update(self._picture(), refresh=True)

    def ended(self, job: Job, finished: bool) -> None:
        """Say that a run has ended."""
        self._refresh()
        standing = self._standings[job.name]
        what = result(standing.rows[-1]) if finished else self._folder.failure(job).read_text(encoding="utf-8").strip()
        said = f"{'finished' if finished else 'failed'}  {job.name}  {what}"
        self._console.print(Text(f"{said}  ({self._summary()})"), soft_wrap=True)

    def say(self, line: str) -> None:
        """Say something that has happened."""
        self._console.print(Text(line), soft_wrap=True)

    def _refresh(self) -> None:
        """Look at the runs again, except at those that are finished, which stay so."""
        self._looked = time.monotonic()
        for job in self._folder.jobs:
            if self._standings[job.name].status != "finished":
                self._standings[job.name] = self._folder.standing(job)

    def _steps(self) -> int:
        return sum(standing.steps for standing in self._standings.values())

    def _summary(self) -> str:
        count = Counter(standing.status for standing in self._standings.values())
        parts = [f"{count['finished']} of {len(self._folder.jobs)} finished"]
        parts += [f"{count['failed']} failed"] if count["failed"] else []
        left = sum(max(job.total_steps - self._standings[job.name].steps, 0) for job in self._folder.jobs)
        done = self._steps() - self._first_steps
        if left and done:
            parts.append(f"about {in_words(left * (time.monotonic() - self._began) / done)} left")
        return ", ".join(parts)

    def _picture(self) -> RenderableType:
        running = Table.grid(padding=(0, 2))
        for job in self._folder.jobs:
            standing = self._standings[job.name]
            if standing.status == "running":
                now = result(standing.rows[-1]) if standing.rows else ""
                running.add_row(job.name, f"{100 * standing.steps / job.total_steps:.0f} %", now)
        return Group(overview(self._folder, self._standings), running, Text(self._summary()))
