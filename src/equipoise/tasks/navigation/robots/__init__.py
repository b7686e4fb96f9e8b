"""The five robots of the navigation tasks."""

from equipoise.tasks.navigation.robots.ant import Ant
from equipoise.tasks.navigation.robots.car import Car
from equipoise.tasks.navigation.robots.doggo import Doggo
from equipoise.tasks.navigation.robots.point import Point
from equipoise.tasks.navigation.robots.racecar import Racecar
from equipoise.tasks.navigation.robots.robot import Robot

ROBOTS: tuple[Robot, ...] = (Point(), Car(), Doggo(), Racecar(), Ant())
"""All of them, in the order of Safety-Gymnasium's own list."""

__all__ = ["ROBOTS", "Robot"]
