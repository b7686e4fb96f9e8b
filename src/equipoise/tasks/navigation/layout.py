"""Layouts: where objects are put so that they keep apart, and where a new goal is put among them.

A place is drawn uniformly in an object's own rectangle until it keeps from all objects before it the sum of both
keepouts. Where 100 draws find none, the whole layout is drawn anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from equipoise.errors import UsageError

TRIES, LAYOUTS, GOAL_TRIES = 100, 10_000, 10_000
"""Draws for a place, for a whole layout, and for a new goal."""
SOON = 10
"""Draws among which there nearly always is a place: others are looked at only where there is none."""
MOST_AT_ONCE = 64
"""Layouts of a world that are drawn at once, at most. Among many gremlins only one of fifty has room for all."""


def draw_layouts(
    randoms: Sequence[np.random.Generator],
    low: Float[np.ndarray, "m 2"],
    high: Float[np.ndarray, "m 2"],
    keepout: Float[np.ndarray, " m"],
) -> Float[np.ndarray, "n m 2"]:
    """Return places of `m` objects in `n` worlds, each drawn from its own source.

    Args:
        randoms: the sources.
        low: lower corner of each object's rectangle (m).
        high: upper corner of each object's rectangle (m).
        keepout: each object's keepout (m).

    Raises:
        UsageError: in 10 000 layouts there was none that fits.
    """
    places = np.empty((len(randoms), *low.shape))
    open_worlds, drawn, at_once = np.arange(len(randoms)), 0, 1
    while drawn < LAYOUTS:
        noise = np.empty((len(open_worlds), at_once, len(low), TRIES, 2))
        for world, part in zip(open_worlds.tolist(), noise, strict=True):
            randoms[world].random(out=part)
        found, fits = _place(noise.reshape(-1, *noise.shape[2:]), low, high, keepout)
        found, fits = found.reshape(*noise.shape[:3], 2), fits.reshape(noise.shape[:2])
        done = fits.any(axis=1)
        places[open_worlds[done]] = found[done, fits[done].argmax(axis=1)]
        open_worlds = open_worlds[~done]
        if not len(open_worlds):
            return places
        drawn, at_once = drawn + at_once, min(4 * at_once, MOST_AT_ONCE)
    raise UsageError(f"no layout of {len(low)} objects was found in {LAYOUTS} draws; allowed: objects that have room")


def _place(
    noise: Float[np.ndarray, "rows m tries 2"],
    low: Float[np.ndarray, "m 2"],
    high: Float[np.ndarray, "m 2"],
    keepout: Float[np.ndarray, " m"],
) -> tuple[Float[np.ndarray, "rows m 2"], Bool[np.ndarray, " rows"]]:
    """Take for each object in turn the first place that keeps apart; say in which rows all have found one."""
    places = np.empty((len(noise), *low.shape))
    rows = np.arange(len(noise))
    for j in range(len(low)):
        others, least = places[rows, :j], keepout[:j] + keepout[j]
        places[rows, j], found = _first_apart(noise[rows, j, :SOON], low[j], high[j], others, least)
        late = np.flatnonzero(~found)
        if len(late):
            rest = _first_apart(noise[rows[late], j, SOON:], low[j], high[j], others[late], least)
            places[rows[late], j], found[late] = rest
        rows = rows[found]
    fits = np.zeros(len(noise), bool)
    fits[rows] = True
    return places, fits


def _first_apart(
    noise: Float[np.ndarray, "rows tries 2"],
    low: Float[np.ndarray, " 2"],
    high: Float[np.ndarray, " 2"],
    others: Float[np.ndarray, "rows j 2"],
    least: Float[np.ndarray, " j"],
) -> tuple[Float[np.ndarray, "rows 2"], Bool[np.ndarray, " rows"]]:
    """Return the first place that keeps apart from the others, and whether there is one."""
    points = low + noise * (high - low)
    apart = keeps_apart(points, others, least)
    return points[np.arange(len(points)), np.argmax(apart, axis=1)], np.any(apart, axis=1)


def keeps_apart(
    points: Float[np.ndarray, "... tries 2"], others: Float[np.ndarray, "... j 2"], least: Float[np.ndarray, " j"]
) -> Bool[np.ndarray, "... tries"]:
    """Tell which points are at least so far from each of the others."""
    dx = points[..., :, None, 0] - others[..., None, :, 0]
    dy = points[..., :, None, 1] - others[..., None, :, 1]
    return (dx * dx + dy * dy >= least**2).all(axis=-1)


def draw_goal(
    random: np.random.Generator,
    reach: float,
    others: Float[np.ndarray, "j 2"],
    least: Float[np.ndarray, " j"],
) -> Float[np.ndarray, " 2"] | None:
    """Return a place within ±`reach` that is at least so far from each of the others; None if none is found."""
    for _ in range(GOAL_TRIES // TRIES):
        points = random.uniform(-reach, reach, (TRIES, 2))
        apart = keeps_apart(points, others, least)
        if apart.any():
            return points[apart.argmax()]
    return None
