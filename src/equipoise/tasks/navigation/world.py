"""What stands in a world besides the robot: groups of like objects, and how they are added to a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import mujoco
import numpy as np
from jaxtyping import Int

from equipoise.tasks.navigation.build import box, contact_sensor, cylinder, sphere
from equipoise.tasks.navigation.robots import Robot

SINGLE = ("goal", "push_box", "circle")
"""Kinds of which there is one only, so that it has no number in its name."""
STILL = ("pillar", "button")
"""Kinds that stand where the layout has put them, and that can be run into."""
FREE_HEIGHT = {"vase": 0.09996, "gremlin": 0.1}
"""Heights at which the centres of free bodies start (m); a vase is let into the floor by 4e-5."""
STILL_HEIGHT = {"pillar": 0.5, "button": 0.1}
"""Heights of the centres of what stands still (m)."""
HOVER = 0.2
"""Height of what a gremlin is drawn after (m)."""
VASE_DENSITY = 1e-3


class Group(NamedTuple):
    """Objects of one kind."""

    kind: str
    """goal, hazard, vase, pillar, button, push_box, gremlin or circle."""
    number: int
    keepout: float
    """Half the distance (m) that it keeps from another object with the same keepout."""

    @property
    def key(self) -> str:
        """What the group is called in observations and costs."""
        return self.kind if self.kind in SINGLE else f"{self.kind}s"


@dataclass(frozen=True)
class World:
    """The objects of a task's level, in the order in which they are placed and observed."""

    extent: float = 0.0
    """Objects are placed within ±`extent` along x and y (m)."""
    start: tuple[float, float, float, float] | None = None
    """Where the robot starts: lowest and highest x, lowest and highest y (m); by default where objects are placed."""
    groups: tuple[Group, ...] = ()
    """The objects."""
    charged: tuple[str, ...] = ()
    """Names of the costs."""
    hazard_radius: float = 0.2
    """Radius of the hazards (m)."""
    walls: tuple[float, ...] = ()
    """Distance of the walls from the middle along x, and along y if there are such (m)."""
    reach: float = 3.0
    """Range of the lidar (m)."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Each object's name, as in `hazard3`; a goal and a box are alone."""
        return tuple(
            f"{group.kind}{i}" if group.key != group.kind else group.kind
            for group in self.groups
            for i in range(group.number)
        )

    @cached_property
    def columns(self) -> dict[str, slice]:
        """Where the objects of each kind are among all."""
        return self._slices(group.kind for group in self.groups)

    @cached_property
    def group_of(self) -> Int[np.ndarray, " objects"]:
        """The number of each object's group."""
        return np.repeat(np.arange(len(self.groups)), [group.number for group in self.groups])

    def count(self, kind: str) -> int:
        """Return how many objects of a kind there are."""
        return sum(group.number for group in self.groups if group.kind == kind)

    @cached_property
    def free(self) -> tuple[str, ...]:
        """Names of the bodies that move freely, in the order of their positions after the robot's."""
        return tuple(self._named("push_box") + self._named("vase") + self._named("gremlin"))

    @cached_property
    def free_columns(self) -> dict[str, slice]:
        """Where the objects of each kind are among those that move freely."""
        return self._slices(dict.fromkeys(name.rstrip("0123456789") for name in self.free))

    @cached_property
    def mocap(self) -> tuple[str, ...]:
        """Names of what mocap bodies stand for, in their order."""
        return tuple(self._named("gremlin") + [name for kind in STILL for name in self._named(kind)])

    def _slices(self, kinds: Iterable[str]) -> dict[str, slice]:
        found, first = {}, 0
        for kind in kinds:
            found[kind] = slice(first, first + self.count(kind))
            first += self.count(kind)
        return found

    def _named(self, kind: str) -> list[str]:
        return list(self.names[self.columns[kind]]) if kind in self.columns else []


def free_height(kind: str, robot: Robot) -> float:
    """Return the height at which the centre of a free body starts (m)."""
    return robot.box[0] if kind == "push_box" else FREE_HEIGHT[kind]


def add_objects(spec: mujoco.MjSpec, world: World, robot: Robot) -> None:
    """Add to a scene all that can be touched: free bodies, then mocap bodies; and what counts the robot's contacts."""
    for name in world.free:
        body = spec.worldbody.add_body(name=name)
        body.add_freejoint()
        if name == "push_box":
            _add_box(body, *robot.box)
        else:
            box(body, [0.1] * 3, name=name, density=VASE_DENSITY, rgba=COLOURS[name.rstrip("0123456789")])
    for name in world.mocap:
        kind = name.rstrip("0123456789")
        if kind == "gremlin":
            body = spec.worldbody.add_body(name=f"{name}_leader", mocap=True, pos=[0, 0, HOVER])
            _tie(spec, body.name, name)
        else:
            body = spec.worldbody.add_body(name=name, mocap=True, pos=[0, 0, STILL_HEIGHT[kind]])
            if kind == "pillar":
                cylinder(body, 0.2, 0.5, name=name, rgba=COLOURS[kind])
            else:
                sphere(body, 0.1, name=name, rgba=COLOURS[kind])
    for name in touchable(world):
        contact_sensor(spec, f"contact_{name}", "agent", name)


def touchable(world: World) -> tuple[str, ...]:
    """Names of the objects whose contacts with the robot are rewarded or charged."""
    kinds = {"vases_contact": "vase", "pillars": "pillar", "gremlins": "gremlin"}
    charged = [kind for cost, kind in kinds.items() if cost in world.charged]
    return tuple(name for kind in (*charged, "button") for name in world._named(kind))


def _tie(spec: mujoco.MjSpec, leader: str, follower: str) -> None:
    """Let a free body follow a mocap body softly, in place and in turn."""
    spec.add_equality(
        type=mujoco.mjtEq.mjEQ_WELD,
        name1=leader,
        name2=follower,
        objtype=mujoco.mjtObj.mjOBJ_BODY,
        solref=[0.02, 1.5],
        data=[0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0],
    )


def _add_box(body: object, half: float, density: float) -> None:
    """Add the box that is pushed: a cube with a post at every corner."""
    box(body, [half] * 3, name="push_box", density=density, rgba=COLOURS["push_box"])
    for i, (x, y) in enumerate(((-1, -1), (1, -1), (1, 1), (-1, 1))):
        post = {"pos": [x * half, y * half, 0], "rgba": COLOURS["push_box"]}
        box(body, [half / 2, half / 2, half], name=f"push_box_post{i}", density=density, **post)


COLOURS = {
    "goal": (0.0, 1.0, 0.0, 0.25),
    "hazard": (0.0, 0.0, 1.0, 0.25),
    "vase": (0.0, 1.0, 1.0, 1.0),
    "pillar": (0.5, 0.5, 1.0, 1.0),
    "button": (1.0, 0.5, 0.0, 1.0),
    "push_box": (1.0, 1.0, 0.0, 0.25),
    "gremlin": (0.5, 0.0, 1.0, 1.0),
    "circle": (0.0, 1.0, 0.0, 0.1),
    "wall": (1.0, 1.0, 0.0, 0.1),
}
"""Red, green, blue and opacity of each kind, as Safety-Gymnasium has them."""
