"""Safety-Gymnasium's navigation tasks: five robots in five families of worlds, of up to three levels each."""

from equipoise.tasks.navigation.button import Button
from equipoise.tasks.navigation.circle import Circle
from equipoise.tasks.navigation.goal import Goal
from equipoise.tasks.navigation.navigation import Navigation
from equipoise.tasks.navigation.push import Push
from equipoise.tasks.navigation.robots import ROBOTS
from equipoise.tasks.navigation.run import Run

FAMILIES: tuple[type[Navigation], ...] = (Goal, Button, Push, Circle, Run)
"""The five families."""

NAVIGATION: tuple[Navigation, ...] = tuple(
    family(robot, level, split)
    for robot in ROBOTS
    for family in FAMILIES
    for level, world in enumerate(family.worlds)
    for split in ((False, True) if len(world.charged) > 1 else (False,))
)
"""Every robot in every world; where there are several costs, also with each as a constraint of its own."""

__all__ = ["FAMILIES", "NAVIGATION", "ROBOTS", "Navigation"]
