"""Completion of the command line in a shell, with every option of every algorithm."""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union

import tyro

FILES = {"bash": "\ncomplete -o default -F _tyro_equipoise equipoise\n"}
"""Ends the script of a shell that does not offer files by itself where it knows no word."""


def completion(shell: Annotated[Literal["bash", "zsh"], tyro.conf.Positional]) -> None:
    """Print the script with which a shell completes commands, algorithms and options.

    Args:
        shell: The shell that is to read it.
    """
    print(script(shell))


def script(shell: str) -> str:
    """Return the script for `shell`: tyro's, of all commands together, which knows the tasks too."""
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
        arguments = ["--tyro-print-completion", shell]
        tyro.extras.subcommand_cli_from_dict(_commands(), prog="equipoise", args=arguments)
    return re.sub(r"^COMPLETION_SPEC = (.*)$", _known, written.getvalue(), flags=re.MULTILINE) + FILES.get(shell, "")


SHORT = 60
"""Letters of an option's description. The whole of it is in `--help`."""


def _known(found: re.Match[str]) -> str:
    """Return what the script knows, found as a Python literal: each description on one line, and the tasks' names."""
    from equipoise.tasks import TASKS

    known = ast.literal_eval(found[1])
    _shorten(known)
    tasks = f"{{name: {{**known, 'description': 'task', 'subcommands': {{}}}} for name in {list(TASKS)}}}"
    return (
        f"COMPLETION_SPEC = {known!r}\n"
        "_train, _tasks = (COMPLETION_SPEC['subcommands'][name] for name in ('train', 'tasks'))\n"
        f"for known in [*_train['subcommands'].values(), _tasks]:\n    known['subcommands'] = {tasks}"
    )


def _shorten(known: Any) -> None:
    """Cut every description down to the beginning of its first line, in place."""
    for value in known.values() if isinstance(known, dict) else known:
        if isinstance(value, dict | list):
            _shorten(value)
    if isinstance(known, dict) and "description" in known:
        line = re.sub(r"^.* • ", "", known["description"].partition("\n")[0])
        known["description"] = line if len(line) <= SHORT else f"{line[: SHORT - 1]}…"


def _commands() -> dict[str, Callable[..., Any]]:
    """Return a function for each command, whose parameters are its options."""
    from equipoise.algorithms import ALGORITHMS
    from equipoise.cli.campaigns import start
    from equipoise.cli.main import COMMANDS

    def train(algorithm: Any) -> None:
        """Train an algorithm on a task."""

    algorithms = Union[tuple(_training(name) for name in ALGORITHMS)]  # noqa: UP007 (of a tuple)
    train.__annotations__["algorithm"] = Annotated[algorithms, tyro.conf.arg(name="")]
    special: dict[str, Callable[..., Any]] = {"train": train, "campaign": start}
    return {
        name: special.get(name) or getattr(importlib.import_module(f"equipoise.cli.{module}"), name)
        for name, module in COMMANDS.items()
    }


def _training(name: str) -> Any:
    """Return the type of what `equipoise train NAME` reads."""
    from equipoise.algorithms import ALGORITHMS
    from equipoise.cli.train import Training
    from equipoise.training.config import Config

    default = Training(Config(task="", algorithm=ALGORITHMS[name].algorithm, algorithm_name=name))
    return Annotated[Training, tyro.conf.subcommand(name=name, default=default)]
