"""Studies: how a run's gradients conflict, and the convergence result on problems that are solved exactly."""

from __future__ import annotations

from pathlib import Path

from equipoise.cli.options import AggregatorName, AlgorithmName, EnvironmentId, RunFolder, open_run


def conflict(
    run: RunFolder,
    iteration: int | None = None,
    episodes: int = 40,
    seed: int = 0,
    grid: int = 7,
    cost: str | None = None,
    environment: EnvironmentId = None,
    algorithm: AlgorithmName = None,
    aggregator: AggregatorName = None,
    threads: int = 0,
) -> None:
    """Analyse how reward and cost conflict in a run, and draw it: cos φ without its noise, and a map of both.

    Args:
        run: Folder of the run.
        iteration: Checkpoint to look at closely; by default the newest.
        episodes: Fresh episodes at every checkpoint, and at every point of the map.
        seed: Decides the episodes.
        grid: Points of the map in each direction, an odd number.
        cost: Cost to analyse, where there are several; by default the first.
        environment: For a run on an environment MODULE:ID, the same again: it allows the import.
        algorithm: For a run of an algorithm MODULE:NAME, the same again: it allows the import.
        aggregator: For a run with an aggregator MODULE:NAME, the same again: it allows the import.
        threads: Physics threads, 0 for all cores. Results do not depend on it.
    """
    from equipoise.conflict.report import analyse_conflict, show
    from equipoise.gradients import load

    if aggregator is not None:
        load(aggregator)
    opened = open_run(run, algorithm)
    show(analyse_conflict(opened, iteration, episodes, seed, grid, cost, environment, threads, progress=True))
    print(f"written: {run / 'conflict.csv'}, {run / 'conflict.png'}")


def theory(out: Path = Path("theory"), full: bool = False, problems: int = 100, seed: int = 0) -> None:
    """Reproduce the convergence result on finite CMDPs that are solved exactly; exit code 1 if a criterion fails.

    Args:
        out: Folder to write theory.csv, theory.json and theory.png to; made if it does not exist.
        full: Also T = 31 623 and 100 000.
        problems: Number of random CMDPs, 10 or more.
        seed: Decides the problems and the noise.
    """
    from equipoise.theory.experiment import theory as reproduce

    reproduce(out, full, problems, seed)
