"""A trained policy to look at: filmed, or live in a window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.cli.options import AlgorithmName, EnvironmentId, RunFolder, open_run
from equipoise.progress import Progress

if TYPE_CHECKING:
    from equipoise.films.play import Episode


def render(
    run: RunFolder,
    out: Path | None = None,
    episodes: int = 1,
    seed: int = 0,
    deterministic: bool = False,
    iteration: int | None = None,
    size: tuple[int, int] = (640, 480),
    environment: EnvironmentId = None,
    algorithm: AlgorithmName = None,
) -> None:
    """Film a run's policy in real time, with reward so far and cost so far against its limit in the picture.

    Args:
        run: Folder of the run.
        out: The film, an mp4 file; by default film.mp4 in the run's folder.
        episodes: Episodes to film, one after the other.
        seed: Decides the episodes.
        deterministic: Take mean (or most likely) actions, instead of drawing them from the policy as in training.
        iteration: Checkpoint to take the policy from; by default the newest.
        size: Width and height of the picture; your own environment has its own size.
        environment: For a run on an environment MODULE:ID, the same again: it allows the import.
        algorithm: For a run of an algorithm MODULE:NAME, the same again: it allows the import.
    """
    from equipoise.films.film import film
    from equipoise.training.folder import near

    opened = open_run(run, algorithm, iteration)
    with Progress(f"filming {opened.problem.id}", shown=True) as progress:

        def show(episode: Episode) -> None:
            share = 1.0 if episode.end else episode.steps / opened.problem.horizon
            progress.reach((episode.number - 1 + share) / episodes)

        path = film(opened, out, episodes, seed, deterministic, size, environment, show)
    print(f"written: {near(path)}")


def watch(
    run: RunFolder,
    seed: int = 0,
    deterministic: bool = False,
    iteration: int | None = None,
    environment: EnvironmentId = None,
    algorithm: AlgorithmName = None,
) -> None:
    """Watch a run's policy live in MuJoCo's viewer, until its window is closed.

    Args:
        run: Folder of the run.
        seed: Decides the episodes.
        deterministic: Take mean (or most likely) actions, instead of drawing them from the policy as in training.
        iteration: Checkpoint to take the policy from; by default the newest.
        environment: For a run on an environment MODULE:ID, the same again: it allows the import.
        algorithm: For a run of an algorithm MODULE:NAME, the same again: it allows the import.
    """
    from equipoise.films.watch import watch as watch_run

    watch_run(open_run(run, algorithm, iteration), seed, deterministic, environment)
