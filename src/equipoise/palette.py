"""The colours of every picture and film, so that one thing has one colour wherever it is drawn."""

from __future__ import annotations

from typing import Literal

REWARD, BALANCE, COST = "#1f5fa8", "#7a4fa3", "#b5481a"
"""Reward, the balance of both, and cost or safety: curves, arrows and edges."""

MODE_BACKGROUNDS = {"reward": "#cfe3f5", "balance": "#e6d9f2", "safety": "#f9d9c6"}
"""Pale relatives of those three, behind the iterations in each mode."""

MODE_COLOURS = {"reward": REWARD, "balance": BALANCE, "safety": COST}
"""A step or a median of each mode, drawn in front."""

AMBER, GREEN, GREY = "#e0a030", "#2e8b57", "#777777"
"""Further curves, told apart from reward, balance and cost."""

INSIDE, OVER = "#2a7f3f", "#c0271a"
"""A sum of cost that is within its limit, and one that is over it."""

PAPER, INK, FAINT, RULE = "#ffffff", "#1c1c1c", "#8a8a8a", "#d8d8d8"
"""A film's panel: its ground, its text, its lesser text, and its lines."""

DARK, MIDDLE, LIGHT = "#333333", "#444444", "#999999"
"""Greys of bars and contour lines that stand for no objective."""

SERIES = (
    "#2f78c4",
    "#e07b28",
    "#2f9e62",
    "#a45cc0",
    "#b8860b",
    "#d6589f",
    "#1795a8",
    "#8a6a4f",
    "#7a8a1f",
    "#7c7f8c",
)
"""Things of a kind, such as algorithms, told apart on a light and on a dark ground alike."""

Dashes = Literal["solid"] | tuple[float, tuple[float, ...]]
"""How a line is broken, as Matplotlib has it."""

DASHES: tuple[Dashes, ...] = ("solid", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))
"""How lines are broken once the colours of `SERIES` begin again."""


def of_series(number: int) -> tuple[str, Dashes]:
    """Return colour and dashes, as Matplotlib has them, of thing `number` of a kind, counting from 0."""
    return SERIES[number % len(SERIES)], DASHES[number // len(SERIES) % len(DASHES)]
