"""The command line's entry point: it finds the command that is asked for, and tells mistakes in one line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import tyro

from equipoise.errors import UsageError, unknown

USAGE = """\
equipoise: safe reinforcement learning by gradient manipulation

  equipoise train ALGORITHM TASK [--total-steps N] [--seed S] [--run-dir DIR] [--preset omnisafe] …
  equipoise resume RUN        go on with a run that was stopped, bit for bit
  equipoise evaluate RUN      reward and cost with intervals, and the certificate
  equipoise plot RUN          draw the run's picture again
  equipoise conflict RUN      how reward and cost conflict: picture, table, noise of cos φ
  equipoise render RUN        film the policy, with reward and cost in the picture
  equipoise watch RUN         watch the policy live in MuJoCo's viewer
  equipoise campaign FILE     grids of runs side by side, and their tables
  equipoise tasks [ID]        list the tasks, or say everything about one
  equipoise algorithms        list the algorithms
  equipoise theory            the convergence result, on problems that are solved exactly

`equipoise COMMAND --help` explains every option; `equipoise train ALGORITHM --help` those of an algorithm.
"""

COMMANDS = {
    "train": "train",
    "resume": "train",
    "evaluate": "evaluate",
    "plot": "evaluate",
    "conflict": "studies",
    "render": "films",
    "watch": "films",
    "campaign": "campaigns",
    "tasks": "lists",
    "algorithms": "lists",
    "theory": "studies",
}
"""For each command the module of this package that has a function of its name, imported when it is asked for."""


GOING_ON = {
    **dict.fromkeys(("train", "resume"), "; `equipoise resume RUN` goes on from the last iteration"),
    "campaign": "; the same command goes on from the last iterations",
}
"""What is said of a command that was interrupted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 2 for a user's mistake, told in one line."""
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.append(str(Path.cwd()))  # so that MODULE:ID finds a module in the working folder, but after all others
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        if command in ("-h", "--help"):
            print(USAGE, end="")
        elif command == "--version":
            from equipoise.training.config import VERSION

            print(f"equipoise {VERSION}")
        elif command not in COMMANDS:
            raise unknown("command", command, COMMANDS)
        elif command in ("train", "campaign"):
            _function(command)(rest)
        else:
            tyro.cli(_function(command), args=rest, prog=f"equipoise {command}")
    except UsageError as error:
        print(f"equipoise: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nequipoise: stopped{GOING_ON.get(command, '')}", file=sys.stderr)
        return 130
    return 0


def _function(command: str) -> Callable[..., None]:
    """Import the function that does what `command` asks for; `train` and `campaign` read their options themselves."""
    function: Callable[..., None] = getattr(importlib.import_module(f"equipoise.cli.{COMMANDS[command]}"), command)
    return function
