"""Lidar: how near the objects of a group are in each of 16 directions around the robot.

A reading falls linearly from 1 at the robot to 0 at the lidar's range. An object is seen in the bin of its direction,
and more weakly in the next on either side, the more so the farther its direction is from there: what turns from one bin
to another does not jump. In widths of a bin, a share of min(1, 1.5 − |from the bin's middle to the direction|) is seen.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from equipoise.tasks.task import namespace

Array = Any

BINS = 16
"""How many."""
WIDTH = 2 * math.pi / BINS
"""Width of a bin (rad). Bin 0 begins at the robot's own x axis, and they go round counter-clockwise."""

MIDDLES = (np.arange(BINS) + BINS / 2) % BINS - BINS / 2 + 0.5
"""The middles of the bins, within half a circle of the x axis (in widths of a bin)."""


def egocentric(
    points: Float[Array, "... n 2"], place: Float[Array, "... 3"], axes: Float[Array, "... 2 3"]
) -> Float[Array, "... n 2"]:
    """Return points of the floor (m) in the frame of a body at `place`, along its own x and y `axes`."""
    xp, place, axes = namespace(points), place[..., None, :], axes[..., None, :, :]
    dx, dy = points[..., 0] - place[..., 0], points[..., 1] - place[..., 1]
    dz = -place[..., 2]  # all targets count as lying on the floor
    along = [dx * axes[..., i, 0] + dy * axes[..., i, 1] + dz * axes[..., i, 2] for i in (0, 1)]
    return xp.stack(along, axis=-1)


def readings(points: Float[Array, "... n 2"], reach: float) -> Float[Array, "... n bins"]:
    """Return what a lidar of range `reach` (m) would read of each of `points` alone, in the robot's frame (m)."""
    xp = namespace(points)
    x, y = points[..., 0], points[..., 1]
    direction = xp.arctan2(y, x)[..., None] / WIDTH
    near = xp.maximum(0.0, 1.0 - xp.hypot(x, y)[..., None] / reach)
    # From a bin's middle to a direction, both within half a circle of the x axis, the shorter way round.
    away = BINS / 2 - abs(BINS / 2 - abs(direction - xp.asarray(MIDDLES)))
    return near * xp.maximum(0.0, xp.minimum(1.0, 1.5 - away))


def lidar(points: Float[Array, "... n 2"], reach: float) -> Float[Array, "... bins"]:
    """Return what a lidar of range `reach` (m) reads of `points` in the robot's own frame (m)."""
    return readings(points, reach).max(axis=-2)
