"""Lidar: how near the objects of a group are in each of 16 directions around the robot.

A reading falls linearly from 1 at the robot to 0 at the lidar's range. An object is seen in the bin of its direction,
and more weakly in the next on either side, so that what turns from one bin to another does not jump.
"""

from __future__ import annotations

import math
from typing import Any

from jaxtyping import Float

from equipoise.tasks.task import namespace

Array = Any

BINS = 16
"""How many; a power of 2."""
WIDTH = 2 * math.pi / BINS
"""Width of a bin (rad). Bin 0 begins at the robot's own x axis, and they go round counter-clockwise."""


def egocentric(
    points: Float[Array, "... n 2"], place: Float[Array, "... 3"], axes: Float[Array, "... 2 3"]
) -> Float[Array, "... n 2"]:
    """Return points of the floor (m) in the frame of a body at `place`, along its own x and y `axes`."""
    offset = -place[..., 2:] * axes[..., 2]  # all targets count as lying on the floor
    return (points - place[..., None, :2]) @ axes[..., :2].swapaxes(-1, -2) + offset[..., None, :]


def readings(points: Float[Array, "... n 2"], reach: float) -> Float[Array, "... n bins"]:
    """Return what a lidar of range `reach` (m) would read of each of `points` alone, in the robot's frame (m)."""
    xp = namespace(points)
    x, y = points[..., 0], points[..., 1]
    turn = (xp.arctan2(y, x) % (2 * math.pi)) / WIDTH
    first = xp.floor(turn)
    ahead = (turn - first)[..., None]
    near = (xp.maximum(0.0, reach - xp.hypot(x, y)) / reach)[..., None]
    # An angle of −1e-17 is rounded to a full turn, whose bin is the first again.
    away = (xp.arange(BINS) - first.astype(int)[..., None]) & (BINS - 1)
    zero = xp.zeros_like(near)
    return xp.where(
        away == 0, near, xp.where(away == 1, ahead * near, xp.where(away == BINS - 1, (1 - ahead) * near, zero))
    )


def lidar(points: Float[Array, "... n 2"], reach: float) -> Float[Array, "... bins"]:
    """Return what a lidar of range `reach` (m) reads of `points` in the robot's own frame (m)."""
    return readings(points, reach).max(axis=-2)
