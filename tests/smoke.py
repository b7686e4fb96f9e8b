"""The built wheel as its user meets it: in an empty environment, outside of the repository, on every Python there is.

`python tests/smoke.py WHEEL PYTHON …` installs the wheel with each interpreter that is there, trains, resumes and
evaluates with it. It stops at the first command that fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TINY = "--num-envs 2 --steps-per-iteration 2000 --total-steps 4000 --run-dir run"
"""As little as training can be on a task of the library."""

SESSION = """
import gymnasium, numpy as np, equipoise
run = equipoise.Run.load("run")
observation, _ = gymnasium.make("equipoise/SafetyHalfCheetah-v4").reset(seed=0)
assert np.isfinite(run.policy(observation)).all()
assert [row["steps"] for row in run.metrics] == [2000, 4000]
"""
"""The same run from Python."""


def main(wheel: str, pythons: list[str]) -> int:
    """Try the wheel on every interpreter of `pythons` that is there; 1 if there is none."""
    there = [python for python in pythons if _is_there(python)]
    for python in there:
        with tempfile.TemporaryDirectory() as folder:
            _try(Path(wheel).resolve(), python, Path(folder))
    print(f"tried: {', '.join(there) or 'none'}; not here: {', '.join(set(pythons) - set(there)) or 'none'}")
    return 0 if there else 1


def _is_there(python: str) -> bool:
    """Say whether `python` runs: a launcher of that name may have no interpreter behind it."""
    try:
        return subprocess.run([python, "--version"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def _try(wheel: Path, python: str, folder: Path) -> None:
    """Install the wheel in an environment in `folder`, and use it from an empty folder beside that."""
    environment, work = folder / "venv", folder / "work"
    work.mkdir()
    binaries = environment / "bin"
    # What the caller's shell says of Python and of JAX is not the new user's.
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "JAX", "XLA", "VIRTUAL"))}

    def do(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=work, env=clean, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{python}: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
        return done.stdout

    print(f"{python}: {subprocess.check_output([python, '--version'], text=True).strip()}", flush=True)
    subprocess.run([python, "-m", "venv", environment], check=True)
    do(binaries / "pip", "install", "--quiet", wheel)
    do(binaries / "pip", "check")
    equipoise = binaries / "equipoise"
    version = wheel.name.split("-")[1]
    if do(equipoise, "--version") != f"equipoise {version}\n":
        raise SystemExit(f"{python}: the wheel is of version {version}, and `equipoise --version` says another")
    do(equipoise, "tasks")
    do(equipoise, "algorithms")
    do(equipoise, "train", "pcrpo", "SafetyHalfCheetah-v4", *TINY.split())
    do(equipoise, "resume", "run")
    print(do(equipoise, "evaluate", "run", "--episodes", "4"), flush=True)
    do(binaries / "python", "-c", SESSION)
    left = {path.name for path in (work / "run").iterdir()}
    if not left >= {"config.json", "metrics.csv", "evaluation.json", "plot.png", "checkpoints"}:
        raise SystemExit(f"{python}: the run's folder has only {', '.join(sorted(left))}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
