"""What the navigation tasks share: a scene, its layout, what is observed, and how costs become constraints.

Source: PKU-Alignment/safety-gymnasium, version 1.2.0 (Ji et al., NeurIPS 2023, arXiv 2310.12567).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, reduce
from typing import Any, ClassVar, cast

import numpy as np
from jaxtyping import Bool, Float, Int

from equipoise.tasks.navigation import charges
from equipoise.tasks.navigation.layout import draw_goal, draw_layouts
from equipoise.tasks.navigation.lidar import BINS, egocentric, lidars
from equipoise.tasks.navigation.marks import marks_of
from equipoise.tasks.navigation.memory import Memory
from equipoise.tasks.navigation.robots import ROBOTS, Robot
from equipoise.tasks.navigation.scene import build_scene
from equipoise.tasks.navigation.world import HOVER, STILL_HEIGHT, World, free_height
from equipoise.tasks.task import Mark, Model, Random, State, Task, namespace

Array = Any

AGENT_KEEPOUT = 0.4
"""The robot's keepout where it starts among objects (m)."""
ORBIT = 0.35
"""Radius of the circles that gremlins are drawn along, at 1 rad/s (m)."""
MOST = 10.0
"""Rewards are clipped to ±10."""


def within(values: Float[Array, ...], most: float) -> Float[Array, ...]:
    """Clip to ±`most`; for a few numbers, a quarter of the time of `clip`."""
    xp = namespace(values)
    return xp.maximum(-most, xp.minimum(most, values))


class Navigation(Task):
    """A task of a robot in a world; a subclass is one of the five families.

    Args:
        robot: the robot.
        level: how much stands in its way, from 0.
        split: whether each of the costs is a constraint of its own, instead of one for any of them.
    """

    suite = "Safety-Gymnasium navigation"
    frame_skip = 10
    fields = ("sensordata",)
    current = True
    worlds: ClassVar[tuple[World, ...]]
    """What stands in the way, by level."""

    def __init__(self, robot: Robot, level: int, split: bool = False) -> None:
        self.robot, self.level, self.split = robot, level, split
        self.world = self.worlds[level]
        self.id = f"Safety{robot.name}{type(self).__name__}{level}{'Split' if split else ''}-v0"
        self.family = self._family()
        self.cost_names = self.world.charged if split else ("cost",)
        self.observation_size = robot.proprioception + BINS * len(self.world.groups)
        self.moves_mocap = self.world.count("gremlin") > 0

    def _family(self) -> str:
        """Return the ids of the same task with any robot and any level, written as a shell would have it."""
        levels = [str(i) for i, world in enumerate(self.worlds) if not self.split or len(world.charged) > 1]
        level = f"{{{','.join(levels)}}}" if len(levels) > 1 else levels[0]
        robots = ",".join(robot.name for robot in ROBOTS)
        return f"Safety{{{robots}}}{type(self).__name__}{level}{'Split' if self.split else ''}-v0"

    @property
    def model(self) -> Model:  # type: ignore[override]
        """The scene: floor, robot, and all that can be touched."""
        return build_scene(self.robot, self.world)

    def limits(self) -> tuple[float, ...]:
        """Return 25 for each constraint, the limit of every published result on this suite."""
        return (25.0,) * len(self.cost_names)

    # The start of an episode

    def begin(self, randoms: Sequence[Random]) -> tuple[Float[Array, "n nq"], Float[Array, "n nv"], Any]:
        """Draw layouts, headings and goals, one world for each of `randoms`."""
        sources = cast("Sequence[np.random.Generator]", randoms)
        places = draw_layouts(sources, *self._rectangles())
        yaws = np.array([random.uniform(0, 2 * np.pi, places.shape[1]) for random in randoms])
        agent, places, agent_yaw, yaws = places[:, 0], places[:, 1:], yaws[:, 0], yaws[:, 1:]
        zero, nowhere = np.zeros(len(places), int), np.zeros(len(places), bool)
        memory = Memory(places, yaws, button=zero, timer=zero, time=1.0 * zero, met=nowhere, lost=nowhere)
        qpos = self._positions(self.robot.start(agent, agent_yaw, list(randoms)), memory)
        memory = self.renew(qpos, memory, np.ones(len(places), bool), sources)
        return qpos, np.zeros((len(qpos), self.mechanism.model.nv)), memory

    def _rectangles(self) -> tuple[Float[np.ndarray, "m 2"], Float[np.ndarray, "m 2"], Float[np.ndarray, " m"]]:
        """Return the rectangles of robot and objects, lower and upper corners, and their keepouts (m)."""
        world = self.world
        keepout = [AGENT_KEEPOUT if world.start is None else 0.0, *self.keepouts()]
        high = np.repeat(world.extent - np.array(keepout), 2).reshape(-1, 2)
        low = -high
        if world.start is not None:
            low[0], high[0] = world.start[::2], world.start[1::2]
        return low, high, np.array(keepout)

    def keepouts(self) -> list[float]:
        """Return the keepout of each object (m)."""
        boxes = {"push_box": self.robot.box[0]}  # a smaller box needs less room
        return [boxes.get(group.kind, group.keepout) for group in self.world.groups for _ in range(group.number)]

    def _positions(self, robot: Float[np.ndarray, "n nq"], memory: Memory) -> Float[np.ndarray, "n all"]:
        """Return all positions: the robot's, and the free bodies' where the layout has put them."""
        parts = [robot]
        for name in self.world.free:
            i, zero = self.world.names.index(name), np.zeros(len(robot))
            height = free_height(name.rstrip("0123456789"), self.robot)
            half = memory.yaws[:, i] / 2
            x, y = memory.places[:, i].T
            parts.append(np.stack([x, y, zero + height, np.cos(half), zero, zero, np.sin(half)], axis=1))
        return np.concatenate(parts, axis=1)

    def renew(
        self, qpos: Float[np.ndarray, "n nq"], memory: Memory, where: Bool[np.ndarray, " n"], randoms: Sequence[Random]
    ) -> Memory:
        """Return the memory with a new goal in the environments `where`; families without goals keep theirs."""
        return memory

    def move_goal(
        self,
        qpos: Float[np.ndarray, "n nq"],
        memory: Memory,
        where: Bool[np.ndarray, " n"],
        randoms: Sequence[Random],
    ) -> Memory:
        """Put the goal somewhere else in the environments `where`, apart from all that stands there now."""
        places, lost = memory.places.copy(), memory.lost.copy()
        column = self.world.columns["goal"].start
        keepouts = self.keepouts()
        others = [i for i in range(places.shape[1]) if i != column]
        least = keepouts[column] + np.array([AGENT_KEEPOUT, *(keepouts[i] for i in others)])
        for env in np.flatnonzero(where).tolist():
            state = State(qpos[env], qpos[env], memory=Memory(*(part[env] for part in memory)))
            # A gremlin counts as standing in the middle of its circle.
            now = self.whereabouts(state, gremlins_circle=False)[others]
            taken = np.concatenate([self.robot.place(state)[None, :2], now])
            random = cast("np.random.Generator", randoms[env])
            goal = draw_goal(random, self.world.extent - keepouts[column], taken, least)
            lost[env] = goal is None
            places[env, column] = places[env, column] if goal is None else goal
        return memory._replace(places=places, lost=lost)

    # What is where

    def body(self, state: State, name: str) -> Float[Array, "... 7"]:
        """Return place (m) and quaternion of a free body."""
        first = self.robot.nq + 7 * self.world.free.index(name)
        return state.qpos[..., first : first + 7]

    def whereabouts(self, state: State, gremlins_circle: bool = True) -> Float[Array, "... objects 2"]:
        """Return where every object is now (m): bodies that move freely where they are, others as laid out."""
        free = state.qpos[..., self.robot.nq :]
        free = free.reshape(*free.shape[:-1], len(self.world.free), 7)[..., :2]
        parts = []
        for kind, columns in self.world.columns.items():
            moves = kind in self.world.free_columns and (gremlins_circle or kind != "gremlin")
            parts.append(free[..., self.world.free_columns[kind], :] if moves else state.memory.places[..., columns, :])
        return namespace(free).concatenate(parts, axis=-2) if parts else state.memory.places

    def contacts(self, state: State, kind: str) -> Float[Array, "... n"]:
        """Return how many contacts the robot has with each object of a kind."""
        first = self.mechanism.sensors[f"contact_{self.world.names[self.world.columns[kind]][0]}"].start
        return state.sensordata[..., first : first + self.world.count(kind)]

    # Physics

    def mocap_pose(self, memory: Memory) -> tuple[Float[Array, "... nmocap 3"], Float[Array, "... nmocap 4"]]:
        """Return what gremlins are drawn after at the step's beginning, pillars and buttons."""
        xp = namespace(memory.places)
        half = memory.yaws[..., [self.world.names.index(name) for name in self.world.mocap]] / 2
        zero = xp.zeros_like(half)
        return self._led(memory, memory.time), xp.stack([xp.cos(half), zero, zero, xp.sin(half)], axis=-1)

    def mocap_path(self, memory: Memory) -> Float[Array, "... substep nmocap 3"]:
        """Return what gremlins are drawn after before each substep, pillars and buttons."""
        times = memory.time[..., None] + self.mechanism.timestep * np.arange(self.frame_skip)
        return self._led(memory._replace(places=memory.places[..., None, :, :]), times)

    def _led(self, memory: Memory, time: Float[Array, ...]) -> Float[Array, "... nmocap 3"]:
        """Return where mocap bodies are at `time` (s): in their places, or on a circle around them."""
        xp = namespace(time)
        columns, led, height = self._mocap_columns
        middle = memory.places[..., columns, :]
        middle = xp.concatenate([middle, xp.broadcast_to(height, (*middle.shape[:-1], 1))], axis=-1)
        circle = ORBIT * xp.stack([xp.sin(time), xp.cos(time), xp.zeros_like(time)], axis=-1)
        return middle + circle[..., None, :] * led

    @cached_property
    def _mocap_columns(
        self,
    ) -> tuple[Int[np.ndarray, " nmocap"], Float[np.ndarray, "nmocap 1"], Float[np.ndarray, "nmocap 1"]]:
        """For each mocap body its object, whether it leads a gremlin, and its height (m)."""
        kinds = [name.rstrip("0123456789") for name in self.world.mocap]
        height = np.array([STILL_HEIGHT.get(kind, HOVER) for kind in kinds])
        led = np.array([float(kind == "gremlin") for kind in kinds])
        columns = np.array([self.world.names.index(name) for name in self.world.mocap], int)
        return columns, led[:, None], height[:, None]

    # The step

    def potential(self, state: State) -> Float[Array, ...]:
        """Return the distance (m) that the robot is paid for shortening."""
        raise NotImplementedError

    def success(self, state: State) -> Bool[Array, ...]:
        """Return where the goal is reached; by default nowhere."""
        return namespace(state.qpos).zeros(state.qpos.shape[:-1], dtype=bool)

    def reward(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, ...]:
        """Return the distance that was shortened, and 1 where the goal is reached, within ±10."""
        reward = self.potential(before) - self.potential(after) + self.success(after)
        return within(reward, MOST)

    def amounts(self, state: State) -> dict[str, Float[Array, ...]]:
        """Return how much of each cost there is, by name; it is charged 1 where there is any."""
        return {name: charges.AMOUNTS[name](self, state) for name in self.world.charged}

    def costs(self, before: State, action: Float[Array, "... act"], after: State) -> dict[str, Float[Array, ...]]:
        """Return 1 for each cost that there is any of, and under `cost` 1 where there is any at all."""
        charged = {name: 1.0 * (amount > 0) for name, amount in self.amounts(after).items()}
        total = reduce(namespace(after.qpos).maximum, charged.values()) if charged else 0.0 * after.qpos[..., 0]
        return charged | {"cost": total}

    def remember(
        self, before: State, action: Float[Array, "... act"], after: State, randoms: Sequence[Random]
    ) -> tuple[Array, ...]:
        """Let time pass, and move the goal where it was reached."""
        reached = self.success(after)
        memory = self.ticked(after.memory)._replace(met=reached)
        return self.renew(after.qpos, memory, reached, randoms) if reached.any() else memory

    def ticked(self, memory: Memory) -> Memory:
        """Return the memory one step later."""
        return memory._replace(time=memory.time + self.dt)

    def observation(self, state: State) -> Float[Array, "... obs"]:
        """Return what the robot senses of itself, and a lidar for each group of objects."""
        own = self.robot.observe(state)
        if not self.world.groups:
            return own
        seen = self.lidars(state)
        return namespace(own).concatenate([own, seen.reshape(*seen.shape[:-2], -1)], axis=-1)

    def lidars(self, state: State) -> Float[Array, "... groups bins"]:
        """Return what the lidar of each group of objects shows."""
        points = egocentric(self.whereabouts(state), self.robot.place(state), self.robot.axes(state))
        return lidars(points, self.world.group_of, self.world.reach)

    def terminated(self, after: State) -> Bool[Array, ...]:
        """Return where the robot is dead, or no place for a new goal was found."""
        return self.robot.dead(after) | after.memory.lost

    def events(self, after: State) -> dict[str, Bool[Array, ...]]:
        """Return where the goal was reached."""
        return {"goal_met": after.memory.met}

    def marks(self, state: State) -> list[Mark]:
        """Return what cannot be touched, and the readings of the lidars as rings above the robot."""
        return marks_of(self, state)
