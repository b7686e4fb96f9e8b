"""benchmarks/studies.py: every run that a study would train is one that the command line understands."""

from __future__ import annotations

import re

import pytest

from equipoise.cli import main
from equipoise.training import loop
from equipoise.training.config import make_simulator
from scripts import load


def kinds(jobs):
    """Of the runs that differ in task and numbers alone, the first."""
    found = {}
    for job in jobs:
        words = [word for word in job.arguments if not re.fullmatch(r"-?[\d.e-]+", word) and word != job.labels["task"]]
        found.setdefault(tuple(words), job)
    return list(found.values())


studies = load("benchmarks/studies.py")


class UnderstoodError(Exception):
    """Raised instead of training."""


@pytest.mark.one_in(4)
@pytest.mark.parametrize("study", studies.TRAINING)
def test_its_runs_are_understood(study, monkeypatch, capsys):
    def understood(config, run_dir, **_):
        config.check(make_simulator(config).problem)
        raise UnderstoodError

    monkeypatch.setattr(loop, "train", understood)
    for job in kinds(studies.TRAINING[study](1)):
        try:
            code = main(["train", *job.arguments])
        except UnderstoodError:
            continue
        except SystemExit as stopped:
            code = stopped.code
        pytest.fail(f"{job.name}: {code}\n{capsys.readouterr().err}")
