"""Lidar: how near the objects of a group are in each of 16 directions around the robot.

A reading falls linearly from 1 at the robot to 0 at the lidar's range. An object is seen in the bin of its direction,
and more weakly in the next on either side, the more so the farther its direction is from there: what turns from one bin
to another does not jump. In widths of a bin, a share of min(1, 1.5 − |from the bin's middle to the direction|) is seen.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from equipoise.tasks.task import length, namespace

Array = Any

BINS = 16
"""How many."""
WIDTH = 2 * math.pi / BINS
"""Width of a bin (rad). Bin 0 begins at the robot's own x axis, and they go round counter-clockwise."""

NEIGHBOURS = np.array([-1, 0, 1])
"""In which bins an object is seen, counted from the one that it lies in."""


def egocentric(
    points: Float[Array, "... n 2"], place: Float[Array, "... 3"], axes: Float[Array, "... 2 3"]
) -> Float[Array, "... n 2"]:
    """Return points of the floor (m) in the frame of a body at `place`, along its own x and y `axes`."""
    across = points - place[..., None, :2]
    up = place[..., 2, None] * axes[..., 2]  # all targets count as lying on the floor
    # Not a product of matrices, whose last bits depend on how many there are.
    x, y = (across[..., i, None] * axes[..., None, :, i] for i in (0, 1))
    return x + y - up[..., None, :]


def lidars(
    points: Float[Array, "... n 2"], groups: Int[np.ndarray, " n"], reach: float
) -> Float[Array, "... groups bins"]:
    """Return what a lidar of range `reach` (m) reads of each group of `points`, which are in the robot's frame (m).

    `groups` has the number of each point's group. Each point is seen in three bins only: nothing is computed for the
    other thirteen, and a reading is the largest of those that belong in its place.
    """
    xp, rings = namespace(points), int(groups.max()) + 1
    worlds = math.prod(points.shape[:-2])
    flat = points.reshape(worlds, -1, 2)
    direction = xp.arctan2(flat[..., 1], flat[..., 0]) / WIDTH
    bin = xp.floor(direction)
    past = direction - bin  # how far the direction is into its bin
    near = xp.maximum(0.0, 1.0 - length(flat) / reach)
    seen = xp.stack([near * (1.0 - past), near, near * past])
    ring = np.arange(0, worlds * rings, rings)[:, None] + groups
    around = (bin.astype(int) + NEIGHBOURS[:, None, None]) & (BINS - 1)  # a power of 2: a quarter of the price of %
    place = BINS * ring + around
    return _largest(worlds * rings * BINS, place.ravel(), seen.ravel()).reshape(*points.shape[:-2], rings, BINS)


def _largest(size: int, place: Int[Array, " n"], values: Float[Array, " n"]) -> Float[Array, " size"]:
    """Return `size` numbers: the largest of `values` in each `place`, and at least 0."""
    if isinstance(values, np.ndarray):
        largest = np.zeros(size, values.dtype)
        np.maximum.at(largest, place, values)
        return largest
    return namespace(values).zeros(size, values.dtype).at[place].max(values)


def lidar(points: Float[Array, "... n 2"], reach: float) -> Float[Array, "... bins"]:
    """Return what a lidar of range `reach` (m) reads of `points` in the robot's own frame (m)."""
    return lidars(points, np.zeros(points.shape[-2], int), reach)[..., 0, :]
