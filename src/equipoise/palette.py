"""The colours of every picture and film, so that one thing has one colour wherever it is drawn."""

from __future__ import annotations

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
