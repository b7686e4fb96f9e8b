"""Films a run's policy: the robot, and under it reward and costs so far, as an mp4 file in real time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from equipoise.errors import UsageError
from equipoise.files import check_place, write_atomically
from equipoise.films.overlay import Panel
from equipoise.films.play import Episode, play
from equipoise.films.scale import scales_of
from equipoise.films.stage import Stage, open_stage
from equipoise.films.video import encode
from equipoise.training.config import Environment
from equipoise.training.jax_doors import uses_jax
from equipoise.training.run import Run
from equipoise.training.watcher import asks_to_stop

MOST_FPS = 50
"""Pictures per second at most: of a task with shorter steps, only every second, third, … is shown."""
LEAST_WIDTH = 480
"""A film is at least this wide, so that its text has room."""


@uses_jax
def film(
    run: Run,
    out: str | Path | None = None,
    episodes: int = 1,
    seed: int = 0,
    deterministic: bool = False,
    size: tuple[int, int] = (640, 480),
    environment: Environment | None = None,
    watch: Callable[[Episode], object] | None = None,
) -> Path:
    """Film the policy of `run` and return the film's path; `UsageError` where that cannot be done.

    Args:
        run: the run.
        out: the film, a file ending in `.mp4`; by default `film.mp4` in the run's folder.
        episodes: how many to film, one after the other.
        seed: decides the episodes.
        deterministic: whether to take mean (or most likely) actions, instead of drawing them as in training.
        size: width and height of the picture above the panel; the user's own environment has its own size.
        environment: to be given again where the task is a callable or a MODULE:ID.
        watch: called after every step. If it returns False, the film ends with that step.
    """
    path = Path(out) if out is not None else run.path / "film.mp4"
    check_place(path, "out", ".mp4")
    if episodes < 1:
        raise UsageError(f"episodes is {episodes}; allowed: 1 or more")
    if seed < 0:
        raise UsageError(f"seed is {seed}; allowed: 0 or more")
    if not all(side % 2 == 0 and 64 <= side <= 4096 for side in size):
        raise UsageError(f"size is {size[0]} {size[1]}; allowed: even numbers from 64 to 4096")
    stage = open_stage(run, size, environment)
    stride = max(1, math.ceil(1 / (stage.dt * MOST_FPS) - 1e-9))
    fps = 1 / (stage.dt * stride)
    kind = "deterministic" if deterministic else "stochastic"
    title = f"{run.config.algorithm_name.upper()} on {run.problem.id}, {kind} policy"

    def played() -> Iterator[Episode]:
        for episode in play(run, stage.simulator, episodes, seed, deterministic):
            yield episode
            if watch is not None and asks_to_stop(watch(episode)):
                return

    try:
        frames = _frames(run, stage, played(), title, stride, last=round(fps))
        write_atomically(path, encode(frames, fps))
    finally:
        stage.close()
    return path


def _frames(
    run: Run, stage: Stage, played: Iterator[Episode], title: str, stride: int, last: int
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield the film's frames: one every `stride` steps, and an episode's last one `last` times."""
    panel: Panel | None = None
    for episode in played:
        if episode.steps % stride and not episode.end:
            continue
        if episode.end != "diverged":  # then there is nothing to be seen: the picture before stays
            picture = stage.picture()
        if panel is None:
            width = max(LEAST_WIDTH, picture.shape[1] + picture.shape[1] % 2)
            names, horizon = run.problem.cost_names, run.problem.horizon
            panel = Panel(title, names, run.limits, horizon, stage.dt, width, scales_of(run))
        frame = above(picture, panel.draw(episode))
        for _ in range(last if episode.end else 1):
            yield frame


def above(
    picture: UInt8[np.ndarray, "h w 3"], panel: UInt8[np.ndarray, "p_h p_w 3"]
) -> UInt8[np.ndarray, "both_h p_w 3"]:
    """Put `picture` in the middle above `panel`, with black to its sides and, for an even height, above it."""
    height, width, _ = picture.shape
    stage = np.zeros((height + height % 2, panel.shape[1], 3), np.uint8)
    left = (panel.shape[1] - width) // 2
    stage[height % 2 :, left : left + width] = picture
    return np.concatenate([stage, panel])
