"""Durations as people write them."""

from __future__ import annotations

import re

from equipoise.errors import UsageError

UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


def seconds_of(text: str) -> float:
    """Return the seconds of a duration such as `2h`, `90m`, or `1h30m`; `UsageError` if it is none."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"budget is {text!r}; allowed: a duration, as in 2h, 90m or 1h30m")
    return sum(float(number) * UNITS[unit] for number, unit in parts)
