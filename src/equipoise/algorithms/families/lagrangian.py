"""Primal-dual algorithms: multipliers that rise while a limit is violated."""

from __future__ import annotations

from equipoise.algorithms.entry import Entry

ENTRIES: dict[str, Entry] = {}
"""Entries by name."""
