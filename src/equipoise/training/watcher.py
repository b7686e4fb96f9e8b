"""Functions of a user's that watch a long piece of work, and can end it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from equipoise.training.rows import Row

Watcher = Callable[[Row], object]
"""Called with every iteration's row of metrics, once its checkpoint is on the disk. False ends the training there."""


def asks_to_stop(answer: object) -> bool:
    """Return whether a watcher's answer ends the work: False does, Python's or NumPy's; None and the rest do not."""
    return isinstance(answer, bool | np.bool_) and not answer


def together(*watchers: Watcher | None) -> Watcher:
    """Return a watcher that asks all of these (None is none), and ends the work where one of them does."""
    asked = [watcher for watcher in watchers if watcher is not None]

    def watch(row: Row) -> bool:
        answers = [watcher(row) for watcher in asked]  # all of them see every row
        return not any(map(asks_to_stop, answers))

    return watch
