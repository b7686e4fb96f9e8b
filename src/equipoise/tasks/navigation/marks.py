"""What is drawn of a navigation task beside its model: goals, hazards, walls, and the lidars as rings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from equipoise.tasks.navigation.lidar import BINS, WIDTH
from equipoise.tasks.navigation.world import COLOURS
from equipoise.tasks.task import Mark, State

if TYPE_CHECKING:
    from equipoise.tasks.navigation.navigation import Navigation

RING_RADIUS, RING_HEIGHT, RING_GAP, BEAD = 0.18, 0.45, 0.06, 0.018
"""Size of the rings above the robot, their distance from one another, and the radius of a bead (m)."""


def marks_of(task: Navigation, state: State) -> list[Mark]:
    """Return the marks of one environment."""
    return [*_areas(task, state), *_walls(task), *_rings(task, state)]


def _areas(task: Navigation, state: State) -> list[Mark]:
    """Goals, hazards and circles: cylinders that one goes through."""
    pressing = task.world.count("button") > 0
    sizes = {
        "goal": (0.2, 0.1) if pressing else (0.3, 0.15),
        "hazard": (task.world.hazard_radius, 0.01),
        "circle": (1.5, 0.01),
    }
    marks = []
    for kind, (radius, half) in sizes.items():
        for x, y in state.memory.places[task.world.columns.get(kind, slice(0, 0))]:
            height = half + 0.01
            marks.append(Mark("cylinder", (radius, half, 0.0), (float(x), float(y), height), COLOURS[kind]))
    return marks


def _walls(task: Navigation) -> list[Mark]:
    """Return the walls that one walks through."""
    middle, long = (0.0, 17.5) if task.world.start and task.world.start[2] > 1 else (0.0, 3.5)
    marks = []
    for axis, boundary in enumerate(task.world.walls):
        for side in (-1, 1):
            place = (side * boundary, middle, 0.25) if axis == 0 else (middle, side * boundary, 0.25)
            marks.append(Mark("box", (0.05, long, 0.3), place, COLOURS["wall"], yaw=axis * np.pi / 2))
    return marks


def _rings(task: Navigation, state: State) -> list[Mark]:
    """Return a ring of beads for each lidar: the more solid a bead, the nearer what it sees in its direction."""
    if not task.world.groups:
        return []
    place, (ahead, left) = task.robot.place(state), task.robot.axes(state)
    seen = task.lidars(state)
    marks = []
    for level, (kind, values) in enumerate(zip(task.world.columns, seen, strict=True)):
        for bin in range(BINS):
            angle = (bin + 0.5) * WIDTH
            x, y, _ = place + RING_RADIUS * (np.cos(angle) * ahead + np.sin(angle) * left)
            height = float(place[2]) + RING_HEIGHT + level * RING_GAP
            opacity = float(min(1.0, 0.1 + 0.9 * values[bin]))
            marks.append(Mark("sphere", (BEAD, 0.0, 0.0), (float(x), float(y), height), (*COLOURS[kind][:3], opacity)))
    return marks
