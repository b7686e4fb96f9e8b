"""Second-order algorithms whose step itself meets the limits: a linear model of the costs inside a trust region."""

from __future__ import annotations

from equipoise.algorithms.entry import Entry

ENTRIES: dict[str, Entry] = {}
"""Entries by name."""
