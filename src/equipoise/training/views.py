"""Where a training is shown: on a terminal, in a notebook, or as lines in a pipe or a file."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Protocol, runtime_checkable

from rich.console import Console, RenderableType
from rich.live import Live

from equipoise.notebook import Output, in_notebook
from equipoise.progress import LINE_EVERY
from equipoise.training.record import Record

PICTURE_EVERY = 10.0
"""Seconds between two pictures in a notebook."""
PICTURE_SHARE = 0.05
"""Share of the time that drawing them may take at most."""


@runtime_checkable
class View(Protocol):
    """A place where iterations are shown as they come."""

    def start(self) -> None:
        """Begin, before the first iteration."""

    def show(self, iteration: int, content: RenderableType, line: str) -> None:
        """Show an iteration: as a table with a bar, or in a line of text."""

    def stop(self) -> None:
        """End, however the training did."""


def view_of(console: Console, title: str, bar: RenderableType, run_dir: Path | None) -> View:
    """Return the view for what this process has: a notebook, a terminal, or neither."""
    if in_notebook():
        return NotebookView(bar, run_dir)
    return TerminalView(console, bar) if console.is_terminal else LinesView(title)


class TerminalView:
    """The table and the bar, redrawn in their place, and gone in the end."""

    def __init__(self, console: Console, bar: RenderableType) -> None:
        self._live = Live(bar, console=console, transient=True, refresh_per_second=4)

    def start(self) -> None:
        """Show the bar."""
        self._live.start()

    def show(self, iteration: int, content: RenderableType, line: str) -> None:
        """Redraw."""
        self._live.update(content)

    def stop(self) -> None:
        """Leave the terminal as it was."""
        self._live.stop()


class NotebookView:
    """The table and the bar, and below them the run's picture, both redrawn in their place; the last ones stay."""

    def __init__(self, bar: RenderableType, run_dir: Path | None) -> None:
        self._bar, self._run_dir = bar, run_dir
        self._output, self._picture = Output(), Output()
        self._next, self._stale = 0.0, False

    def start(self) -> None:
        """Show the bar."""
        self._output.show(self._bar)

    def show(self, iteration: int, content: RenderableType, line: str) -> None:
        """Redraw the table, and now and then the picture."""
        self._output.show(content)
        self._stale = True
        if time.monotonic() >= self._next:
            self._draw()

    def stop(self) -> None:
        """Draw the picture of the end."""
        if self._stale:
            self._draw()

    def _draw(self) -> None:
        if self._run_dir is None or not (self._run_dir / "config.json").exists():
            return
        from equipoise.training.picture import png_of  # Matplotlib only where there is a picture

        began = time.monotonic()
        self._picture.show_png(png_of(Record.read(self._run_dir)), f"the picture of {self._run_dir}")
        took = time.monotonic() - began
        self._next, self._stale = time.monotonic() + max(PICTURE_EVERY, took / PICTURE_SHARE), False


class LinesView:
    """A line now and then, also where no iteration ends for long; no colours, nothing that is redrawn."""

    def __init__(self, title: str) -> None:
        self._title, self._iteration = title, 0
        self._last_line = self._last_row = -LINE_EVERY
        self._ticker, self._ended = threading.Thread(target=self._tick, daemon=True), threading.Event()

    def start(self) -> None:
        """Begin to watch the time."""
        self._ticker.start()

    def show(self, iteration: int, content: RenderableType, line: str) -> None:
        """Say the line, unless one has just been said."""
        self._iteration, self._last_row = iteration, time.monotonic()
        if time.monotonic() - self._last_line >= LINE_EVERY:
            self._last_line = time.monotonic()
            self._say(line)

    def stop(self) -> None:
        """Fall silent."""
        self._ended.set()

    def _tick(self) -> None:
        """Say that a training goes on in which no iteration has ended, and nothing was said, for a while."""
        while not self._ended.wait(LINE_EVERY):
            if time.monotonic() - max(self._last_line, self._last_row) >= LINE_EVERY:
                self._last_line = time.monotonic()
                where = f"after iteration {self._iteration}" if self._iteration else "at work, no iteration is over yet"
                self._say(f"{self._title}: {where}")

    def _say(self, said: str) -> None:
        print(said, file=sys.stderr, flush=True)
