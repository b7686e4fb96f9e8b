"""The command line's entry point: it finds the command that is asked for, and tells mistakes in one line."""

from __future__ import annotations

import _thread
import contextlib
import importlib
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tyro

from equipoise.cli.options import NUMBERS
from equipoise.errors import Notice, UsageError, printable, unknown
from equipoise.modules import served_from

USAGE = """\
equipoise: safe reinforcement learning by gradient manipulation

  equipoise train ALGORITHM TASK [--total-steps N] [--seed S] [--run-dir DIR] [--preset omnisafe] [--from RUN] …
  equipoise train --config FILE.toml […]    with settings from a file, such as --print-config prints
  equipoise resume RUN        go on with a run that was stopped, bit for bit, or [--total-steps N] beyond its end
  equipoise evaluate RUN      reward and cost with intervals, and the certificate
  equipoise select RUN        the best policy along a run that certainly keeps its limits
  equipoise plot RUN          draw the run's picture again
  equipoise conflict RUN      how reward and cost conflict: picture, table, noise of cos φ
  equipoise render RUN        film the policy, with reward and cost in the picture
  equipoise watch RUN         watch the policy live in MuJoCo's viewer
  equipoise export RUN        the policy as one file that acts without equipoise: npz, onnx or safetensors
  equipoise campaign FILE     grids of runs side by side, and their tables
  equipoise report DIR        a campaign as one page to read, with figures and tables for a paper
  equipoise compare RUN RUN … overlay the learning curves of several runs
  equipoise runs [FOLDER]     list the runs in a folder
  equipoise tasks [ID]        list the tasks, or say everything about one
  equipoise algorithms        list the algorithms
  equipoise theory            the convergence result, on problems that are solved exactly
  equipoise completion SHELL  a script with which bash or zsh completes all this

`equipoise COMMAND --help` explains every option; `equipoise train ALGORITHM --help` those of an algorithm.
"""

COMMANDS = {
    "train": "train",
    "resume": "train",
    "evaluate": "evaluate",
    "select": "select",
    "plot": "evaluate",
    "conflict": "studies",
    "render": "films",
    "watch": "films",
    "export": "deploy",
    "campaign": "campaigns",
    "report": "campaigns",
    "compare": "runs",
    "runs": "runs",
    "tasks": "lists",
    "algorithms": "lists",
    "theory": "studies",
    "completion": "completion",
}
"""For each command the module of this package that has a function of its name, imported when it is asked for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 2 for a user's mistake, told in one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not (stream.encoding or "").lower().startswith("utf"):
            stream.reconfigure(errors="replace")  # a letter that the console lacks is no reason to stop
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        with (
            _warnings_on_one_line(),
            _interrupts_heard(),
            served_from(None if sys.flags.safe_path or not Path().exists() else Path.cwd()),
        ):
            _run(command, rest)
    except UsageError as error:
        print(f"equipoise: {printable(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read what is said has gone, as in `… --json | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more in the end
        return 141
    except OSError as error:
        if error.filename is None:
            raise
        print(f"equipoise: {printable(f'{error.filename}: {error.strerror}')}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        print(f"\nequipoise: {printable(str(stopped) or 'stopped')}", file=sys.stderr)
        return 130
    return 0


@contextlib.contextmanager
def _warnings_on_one_line() -> Iterator[None]:
    """Show the library's own warnings as it shows mistakes."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], filename: str, lineno: int, *rest: Any, **named: Any) -> None:
            if issubclass(category, Notice):
                print(f"equipoise: {printable(str(message))}", file=sys.stderr)
            else:
                usual(message, category, filename, lineno, *rest, **named)

        warnings.showwarning = show
        yield


@contextlib.contextmanager
def _interrupts_heard() -> Iterator[None]:
    """Raise a Ctrl-C again that came where Python ignores errors, as in a destructor or a weak reference's callback."""
    usual = sys.unraisablehook

    def again(lost: sys.UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            threading.Timer(0.01, _interrupt).start()  # raised at once, it would be lost again
        else:
            usual(lost)

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = usual


def _interrupt() -> None:
    """Send this process a Ctrl-C, one that also wakes what waits where the system knows signals of threads."""
    main_thread = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main_thread is not None:
        signal.pthread_kill(main_thread, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _run(command: str, rest: list[str]) -> None:
    """Do what `command` asks for."""
    if command in ("-h", "--help"):
        print(USAGE, end="")
    elif command == "--version":
        from equipoise.training.config_file import VERSION

        print(f"equipoise {VERSION}")
    elif command not in COMMANDS:
        raise unknown("command", command, COMMANDS)
    elif command in ("train", "campaign"):
        _function(command)(rest)
    else:
        tyro.cli(_function(command), args=rest, prog=f"equipoise {command}", registry=NUMBERS)


def _function(command: str) -> Callable[..., None]:
    """Import the function that does what `command` asks for; `train` and `campaign` read their options themselves."""
    function: Callable[..., None] = getattr(importlib.import_module(f"equipoise.cli.{COMMANDS[command]}"), command)
    return function
