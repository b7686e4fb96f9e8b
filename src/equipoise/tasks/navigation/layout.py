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
"""Draws among which there nearly always is a place: others are made only where there is none."""
MOST_AT_ONCE = 16
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
        sources = [randoms[world] for world in open_worlds.tolist()]
        found, fits = _place(sources, at_once, low, high, keepout)
        found, fits = found.reshape(len(sources), at_once, *low.shape), fits.reshape(len(sources), at_once)
        done = fits.any(axis=1)
        places[open_worlds[done]] = found[done, fits[done].argmax(axis=1)]
        open_worlds = open_worlds[~done]
        if not len(open_worlds):
            return places
        drawn, at_once = drawn + at_once, min(4 * at_once, MOST_AT_ONCE)
    raise UsageError(f"no layout of {len(low)} objects was found in {LAYOUTS} draws; allowed: objects that have room")


def _place(
    sources: Sequence[np.random.Generator],
    at_once: int,
    low: Float[np.ndarray, "m 2"],
    high: Float[np.ndarray, "m 2"],
    keepout: Float[np.ndarray, " m"],
) -> tuple[Float[np.ndarray, "rows m 2"], Bool[np.ndarray, " rows"]]:
    """Draw `at_once` layouts from each source: for each object in turn the first place that keeps apart.

    Returns them, and in which of them all objects have found a place. What a source is asked for depends on its own
    layouts alone.
    """
    by_source = np.empty((len(sources), at_once, len(low), SOON, 2))
    for source, part in zip(sources, by_source, strict=True):
        source.random(out=part)
    soon = by_source.reshape(-1, *by_source.shape[2:])
    places = np.empty((len(soon), *low.shape))
    rows = np.arange(len(soon))
    for j in range(len(low)):
        others, least = places[rows, :j], keepout[:j] + keepout[j]
        places[rows, j], found = _first_apart(soon[rows, j], low[j], high[j], others, least)
        late = np.flatnonzero(~found)
        if len(late):
            noise = np.empty((len(late), TRIES - SOON, 2))
            for row, part in zip(rows[late].tolist(), noise, strict=True):
                sources[row // at_once].random(out=part)
            places[rows[late], j], found[late] = _first_apart(noise, low[j], high[j], others[late], least)
        rows = rows[found]
    fits = np.zeros(len(soon), bool)
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
