"""Numbers as they are read: few digits, a true minus sign, and intervals in brackets."""

from __future__ import annotations

import math

from equipoise.statistics import Interval


def number(value: float) -> str:
    """Write a number to three or four digits; a dash where there is none."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:.3g}" if abs(value) >= 1e7 else f"{value:.{decimals}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", "−")


def beside(value: float, limit: float) -> str:
    """Write a number that stands beside a limit, to as many digits as tell the two apart."""
    for digits in range(3, 9):
        if value == limit or f"{value:.{digits}g}" != f"{limit:.{digits}g}":
            break
    return number(value) if digits == 3 else f"{value:.{digits}g}".replace("-", "−")


def interval(found: Interval) -> str:
    """Write an estimate with its interval, if it has one."""
    if math.isnan(found.low):
        return number(found.value)
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def percent(value: float) -> str:
    """Write a share as percent."""
    return "–" if math.isnan(value) else f"{100 * value:.0f} %"


def percent_interval(found: Interval) -> str:
    """Write a share with its interval as percent."""
    return f"{percent(found.value)} [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def counted(count: int, singular: str, plural: str = "") -> str:
    """Write a number of things: `1 run`, `2 runs`."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def listed(words: list[str]) -> str:
    """Write a list as in a sentence."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
