"""How far a long piece of work has come: a bar on a terminal or in a notebook, and lines on stderr anywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich import progress as bars
from rich.console import Console
from rich.markup import escape

from equipoise.notebook import Output, in_notebook

LINE_EVERY = 10.0
"""Seconds between lines where there is no terminal to redraw."""
FORETOLD_FROM = 0.1
"""Share of the work from which on the time that is left is foretold: the first part also compiles."""
REDRAW_EVERY = 0.1
"""Seconds between pictures on a terminal."""
REDRAW_NOTEBOOK_EVERY = 0.5
"""Seconds between pictures in a notebook, which keeps what it is sent."""


def somebody_looks() -> bool:
    """Return whether stderr is a terminal, or the process a notebook's: what Python's functions show by default."""
    return sys.stderr.isatty() or in_notebook()


def error_console() -> Console:
    """Return the console on stderr; in a notebook a plain one, which is not shown there (`notebook.Output` is)."""
    return Console(stderr=True, force_jupyter=False)


def in_words(seconds: float) -> str:
    """Write a duration to two units."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 / 60:.0f} min"


class Progress:
    """Shows how much of a piece of work is done, as a share between 0 and 1.

    Args:
        title: what is being done.
        shown: whether to show anything; by default, if somebody looks.
    """

    def __init__(self, title: str, shown: bool | None = None) -> None:
        self._title, self._shown = title, somebody_looks() if shown is None else shown
        self._console = error_console()
        self._output = Output() if in_notebook() else None
        self._bar = bars.Progress(
            bars.TextColumn("[bold]{task.description}"),
            bars.BarColumn(),
            bars.TaskProgressColumn(),
            bars.TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(escape(title), total=1.0)
        self._began = self._last = self._share = 0.0
        self._begun = False
        every = REDRAW_EVERY if self._console.is_terminal else LINE_EVERY
        self._every = every if self._output is None else REDRAW_NOTEBOOK_EVERY

    def __enter__(self) -> Progress:
        self._began = self._last = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar.live.is_started:  # stopping one that is not prints an empty line
            self._bar.stop()
        if self._begun and self._output is not None:
            self._bar.update(self._task, completed=self._share)
            self._output.show(self._bar)  # which stays

    def reach(self, share: float, doing: str = "") -> None:
        """Say that `share` of the work is done, and what is being done now. It may be called as often as one likes.

        Nothing is shown before the first call, so that what is refused until then is all that is said.
        """
        if not self._shown:
            return
        now, self._share = time.monotonic(), share
        if not self._begun:
            self._begin()
        if now - self._last < self._every:
            return
        self._last = now
        if self._output is not None or self._console.is_terminal:
            what = f"{self._title}: {doing}" if doing else self._title
            self._bar.update(self._task, completed=share, description=escape(what))
        if self._output is not None:
            self._output.show(self._bar)
        elif not self._console.is_terminal:
            passed = now - self._began
            left = f", about {in_words(passed * (1 - share) / share)} left" if share >= FORETOLD_FROM else ""
            self._line(f"{100 * share:.0f} %{f' ({doing})' if doing else ''}, {in_words(passed)}{left}")

    def _begin(self) -> None:
        self._begun = True
        if self._output is not None:
            self._output.show(self._bar)
        elif self._console.is_terminal:
            self._bar.start()
        else:
            self._line("begins")

    def _line(self, said: str) -> None:
        print(f"{self._title}: {said}", file=sys.stderr, flush=True)
