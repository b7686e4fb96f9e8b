"""Algorithms that see the task through a lens: a budget in the observation, or an episode that ends early."""

from __future__ import annotations

from equipoise.algorithms.entry import Entry

ENTRIES: dict[str, Entry] = {}
"""Entries by name."""
