"""Shows a run's policy live: in MuJoCo's viewer, or in the window of the user's own environment."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Any

import gymnasium
import mujoco

from equipoise.environments.foreign import ForeignEnvironments
from equipoise.environments.vectorised import VectorisedEnvironments
from equipoise.errors import UsageError
from equipoise.films.play import Episode, play
from equipoise.physics import NativePhysics
from equipoise.rendering.backend import require_display
from equipoise.rendering.camera import Scene
from equipoise.training.budget import bare
from equipoise.training.config import Environment, reopen_simulator
from equipoise.training.jax_doors import uses_jax
from equipoise.training.run import Run

VIEWER_FPS = 30
"""Pictures per second: the viewer takes time for each, more than an environment of 125 steps per second has."""
MOST_LAG = 1.0
"""Seconds of delay that are caught up with."""


@uses_jax
def watch(run: Run, seed: int = 0, deterministic: bool = False, environment: Environment | None = None) -> None:
    """Show the policy of `run`, episode after episode in real time, until its window is closed.

    `UsageError` where there is no display. The options are those of `film`.
    """
    if seed < 0:
        raise UsageError(f"seed is {seed}; allowed: 0 or more")
    require_display()
    config = dataclasses.replace(run.config, num_envs=1)
    simulator = reopen_simulator(config, run.problem, 1, environment, render_mode="human")
    episodes = play(run, simulator, None, seed, deterministic)
    task = bare(simulator)
    if isinstance(task, NativePhysics):
        _in_viewer(run, task, episodes)
        return
    assert isinstance(task, ForeignEnvironments | VectorisedEnvironments)
    if task.render_mode != "human":
        raise UsageError(
            f"{run.problem.id} cannot be watched: its render_mode is {task.render_mode}; make it with "
            "render_mode='human'"
        )
    with contextlib.closing(simulator):
        try:
            for _ in _in_real_time(episodes, 1 / (task.render_fps or 30)):
                pass  # it draws itself
        except gymnasium.error.DependencyNotInstalled as error:
            raise UsageError(f"{run.problem.id} cannot be drawn: {str(error).splitlines()[0]}") from error


def _in_viewer(run: Run, physics: NativePhysics, episodes: Iterator[Episode]) -> None:
    """Play in MuJoCo's viewer."""
    from mujoco import viewer as mujoco_viewer

    scene = Scene(physics.task)
    try:
        viewer: Any = mujoco_viewer.launch_passive(scene.model, scene.data, show_left_ui=False, show_right_ui=False)
    except RuntimeError:  # only on macOS, where a window belongs to the main thread
        raise UsageError("MuJoCo's viewer needs its own Python here: mjpython -m equipoise watch RUN") from None
    with viewer:
        with viewer.lock():
            scene.follow(viewer.cam)
        shown = -math.inf
        for episode in _in_real_time(episodes, physics.task.dt):
            if not viewer.is_running():
                return
            soon = time.monotonic() < shown + 1 / VIEWER_FPS and not episode.end
            if soon or episode.end == "diverged":  # then there is nothing to be seen
                continue
            shown = time.monotonic()
            with viewer.lock():
                scene.show(physics.state_of(0))
                scene.add_marks(viewer.user_scn)
            # Not under the lock: it waits until the texts before are drawn.
            viewer.set_texts((None, mujoco.mjtGridPos.mjGRID_TOPLEFT, *_texts(run, episode, physics.task.dt)))
            viewer.sync()


def _in_real_time(episodes: Iterator[Episode], dt: float) -> Iterator[Episode]:
    """Yield a step every `dt` seconds; after a delay sooner, to catch up."""
    due = time.monotonic()
    for episode in episodes:
        time.sleep(max(0.0, due - time.monotonic()))
        yield episode
        due = max(due + dt, time.monotonic() - MOST_LAG)


def _texts(run: Run, episode: Episode, dt: float) -> tuple[str, str]:
    """Return the viewer's text: names, and reward and costs so far."""
    names = ["episode", "reward"]
    values = [f"{episode.number}, {episode.steps * dt:.1f} s", f"{episode.returns[-1]:.4g}"]
    for name, cost, limit in zip(run.problem.cost_names, episode.costs[-1], run.limits, strict=True):
        names.append(name)
        values.append(f"{cost:.4g} of {limit:.4g}, {'within' if cost <= limit else 'over'} the limit")
    return "\n".join(names), "\n".join(values)
