"""equipoise: safe reinforcement learning by gradient manipulation.

`equipoise.train("pcrpo", "SafetyHopper-v4", total_steps=1_000_000)` trains and returns a run; importing the package
registers its tasks with Gymnasium as `equipoise/ID`. JAX is imported when something is first trained or loaded.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if sys.argv[:1] == ["-m"] and "-m equipoise" in " ".join(sys.orig_argv) and not sys.flags.safe_path:
    # `python -m equipoise`: Python has put the working folder first on the path, which could be a run from someone
    # else. What a user names in there is found anyway (`equipoise.modules`).
    del sys.path[0]

from equipoise.environments.registration import register as _register
from equipoise.environments.registration import register_task
from equipoise.errors import UsageError
from equipoise.xla import leave_out_what_is_wrong as _leave_out_what_is_wrong

if TYPE_CHECKING:
    from equipoise.algorithms import (
        ALGORITHMS,
        CRPO,
        PCRPO,
        Algorithm,
        Balance,
        CriticFit,
        Learner,
        Plain,
        Proximal,
        Rule,
        Slack,
        TrustRegion,
        Unconstrained,
    )
    from equipoise.api import resume, train
    from equipoise.conflict.report import analyse_conflict
    from equipoise.deploy.export import export
    from equipoise.films.film import film
    from equipoise.films.watch import watch
    from equipoise.selection.select import select
    from equipoise.tasks import TASKS, Mark, State, Task
    from equipoise.training.evaluate import evaluate
    from equipoise.training.picture import draw
    from equipoise.training.run import Run

_HOME = {
    **dict.fromkeys(
        (
            "ALGORITHMS",
            "CRPO",
            "PCRPO",
            "Algorithm",
            "Balance",
            "CriticFit",
            "Learner",
            "Plain",
            "Proximal",
            "Rule",
            "Slack",
            "TrustRegion",
            "Unconstrained",
        ),
        "equipoise.algorithms",
    ),
    **dict.fromkeys(("resume", "train"), "equipoise.api"),
    "analyse_conflict": "equipoise.conflict.report",
    "export": "equipoise.deploy.export",
    "film": "equipoise.films.film",
    "watch": "equipoise.films.watch",
    "select": "equipoise.selection.select",
    **dict.fromkeys(("TASKS", "Mark", "State", "Task"), "equipoise.tasks"),
    "evaluate": "equipoise.training.evaluate",
    "draw": "equipoise.training.picture",
    "Run": "equipoise.training.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'equipoise' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "ALGORITHMS",
    "CRPO",
    "PCRPO",
    "TASKS",
    "Algorithm",
    "Balance",
    "CriticFit",
    "Learner",
    "Mark",
    "Plain",
    "Proximal",
    "Rule",
    "Run",
    "Slack",
    "State",
    "Task",
    "TrustRegion",
    "Unconstrained",
    "UsageError",
    "analyse_conflict",
    "draw",
    "evaluate",
    "export",
    "film",
    "register_task",
    "resume",
    "select",
    "train",
    "watch",
]

_leave_out_what_is_wrong()
_register()
