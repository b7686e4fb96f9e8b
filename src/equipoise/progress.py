"""How far a long piece of work has come, on stderr: a bar on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich import progress as bars
from rich.console import Console
from rich.markup import escape

LINE_EVERY = 10.0
"""Seconds between lines where there is no terminal to redraw."""
FORETOLD_FROM = 0.1
"""Share of the work from which on the time that is left is foretold: the first part also compiles."""
REDRAW_EVERY = 0.1
"""Seconds between pictures on a terminal."""


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")  # whoever is in a notebook has imported it
    made = shell.get_ipython() if shell is not None and hasattr(shell, "get_ipython") else None
    return type(made).__name__ == "ZMQInteractiveShell"


def somebody_looks() -> bool:
    """Return whether stderr is a terminal, or the process a notebook's: what Python's functions show by default."""
    return sys.stderr.isatty() or in_notebook()


def error_console() -> Console:
    """Return the console on stderr; in a notebook a plain one, as lines of text are all that every notebook shows."""
    return Console(stderr=True, force_jupyter=False)


class Progress:
    """Shows how much of a piece of work is done, as a share between 0 and 1.

    Args:
        title: what is being done.
        shown: whether to show anything; by default, if somebody looks.
    """

    def __init__(self, title: str, shown: bool | None = None) -> None:
        self._title, self._shown = title, somebody_looks() if shown is None else shown
        self._console = error_console()
        self._bar = bars.Progress(
            bars.TextColumn("[bold]{task.description}"),
            bars.BarColumn(),
            bars.TaskProgressColumn(),
            bars.TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(escape(title), total=1.0)
        self._began = self._last = 0.0
        self._begun = False

    def __enter__(self) -> Progress:
        self._began = self._last = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar.live.is_started:  # stopping one that is not prints an empty line
            self._bar.stop()

    def reach(self, share: float, doing: str = "") -> None:
        """Say that `share` of the work is done, and what is being done now. It may be called as often as one likes.

        Nothing is shown before the first call, so that what is refused until then is all that is said.
        """
        now = time.monotonic()
        if self._shown and not self._begun:
            self._begun = True
            if self._console.is_terminal:
                self._bar.start()
            else:
                self._line("begins")
        if not self._shown or now - self._last < (REDRAW_EVERY if self._console.is_terminal else LINE_EVERY):
            return
        self._last = now
        if self._console.is_terminal:
            what = f"{self._title}: {doing}" if doing else self._title
            self._bar.update(self._task, completed=share, description=escape(what))
            return
        passed = now - self._began
        left = f", about {passed * (1 - share) / share:.0f} s left" if share >= FORETOLD_FROM else ""
        self._line(f"{100 * share:.0f} %{f' ({doing})' if doing else ''}, {passed:.0f} s{left}")

    def _line(self, said: str) -> None:
        print(f"{self._title}: {said}", file=sys.stderr, flush=True)
