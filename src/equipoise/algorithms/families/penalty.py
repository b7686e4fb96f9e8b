"""First-order algorithms with a penalty, a projection or a barrier in the loss."""

from __future__ import annotations

from equipoise.algorithms.entry import Entry

ENTRIES: dict[str, Entry] = {}
"""Entries by name."""
