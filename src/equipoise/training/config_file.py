"""The door to a run's `config.json`: nothing else reads it, and all of it that decides a size is checked here.

What a picture needs is here, without JAX; `Config.from_json` goes on from it.
"""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from equipoise.errors import UsageError, described
from equipoise.files import read_file
from equipoise.problem import MOST_VALUES, Problem, check_cost_names
from equipoise.training.restore import build, demand_range

FORMAT = 4
"""Version of `config.json` and of checkpoints; raised when a change makes older ones unreadable."""

ADDED = {"action_choices": [], "action": ""}
"""Fields of a problem that older files of this format lack, and what they stand for."""

VERSION = metadata.version("equipoise")
"""The library's version."""

MOST_BYTES = 2**20
"""Size of a `config.json`."""


class ConfigFile(NamedTuple):
    """What a `config.json` says."""

    path: Path
    """The file."""
    problem: Problem
    """The problem that the run met."""
    algorithm_name: str
    """What its algorithm is called."""
    seed: int
    """Its seed."""
    content: dict[str, Any]
    """The configuration itself, as JSON has it."""
    version: str
    """The version of the library that wrote it."""

    def refusal(self, why: object) -> UsageError:
        """Build the error for something in the file that is not allowed."""
        return _refusal(self.path, self.version, why)


def _refusal(path: Path, version: str, why: object) -> UsageError:
    return UsageError(f"{path} does not fit equipoise {VERSION}: {why} (written by {version})")


def read_config_file(run: Path) -> ConfigFile:
    """Read the `config.json` of `run`; `UsageError` if it is no run, or the file is damaged or of another version."""
    path = run / "config.json"
    if not path.exists() and not path.is_symlink():
        raise UsageError(f"{run} is no run of equipoise: it has no config.json")
    try:
        text = read_file(path, MOST_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is no configuration written by equipoise: byte {error.start} is not UTF-8; allowed: JSON in UTF-8"
        ) from None
    return parse_config(text, path)


def parse_config(text: str, path: Path) -> ConfigFile:
    """Read what was in the file `path`; see `read_config_file`."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else error
        raise UsageError(f"{path} is no configuration written by equipoise: {why}; allowed: JSON") from None
    if not isinstance(content, dict) or not {"format", "equipoise"} <= set(content):
        raise UsageError(
            f"{path} is no configuration written by equipoise: it is {described(content)}; allowed: a table with "
            "format and equipoise"
        )
    written, version = content.pop("format"), known_version(content.pop("equipoise"))
    if type(written) is not int or written != FORMAT:
        raise UsageError(
            f"{path} was written by equipoise {version} in format {described(written)}; this is {VERSION}, which reads "
            f"format {FORMAT}{how_to_read(version)}"
        )
    try:
        found = content.pop("problem", None)
        problem = build(Problem, {**ADDED, **found} if isinstance(found, dict) else found, "problem")
        check_problem(problem)
        name = build(str, content.get("algorithm_name"), "algorithm_name")
        seed = build(int, content.get("seed"), "seed")
        demand_range(seed, "seed", 0, 2.0**63)
    except UsageError as error:
        raise _refusal(path, version, error) from None
    return ConfigFile(path, problem, name, seed, content, version)


def known_version(version: Any) -> str:
    """Return a version that a file names, if it is one: a file's words never become a part of a command."""
    known = isinstance(version, str) and re.fullmatch(
        r"\d{1,6}(\.\d{1,6}){0,3}((a|b|rc|\.dev|\.post)\d{1,6})?", version
    )
    return version if known else "of a version that is none"


def how_to_read(version: str) -> str:
    """Say how to read what another version wrote, if a file names one."""
    return f": install equipoise=={version} to use it" if version[0].isdigit() else ""


def check_problem(problem: Problem) -> None:
    """Raise `UsageError` for a size of `problem` that no environment has, or sizes that contradict one another."""
    demand_range(problem.observation_size, "problem.observation_size", 1, 10**7)
    demand_range(problem.action_size, "problem.action_size", 1, 10**5)
    demand_range(problem.horizon, "problem.horizon", 1, 10**8)
    check_cost_names(problem.cost_names)
    if problem.limits is not None and len(problem.limits) != len(problem.cost_names):
        raise UsageError(f"problem.limits has {len(problem.limits)} entries; allowed: one a cost")
    for name in ("action_middle", "action_unit"):
        values = getattr(problem, name)
        if len(values) not in (0, problem.action_size):
            raise UsageError(f"problem.{name} has {len(values)} entries; allowed: {problem.action_size}")
        for i, value in enumerate(values):
            demand_range(value, f"problem.{name}[{i}]", -1e38 if name == "action_middle" else 0, 1e38)
    if len(problem.action_choices) not in (0, problem.action_size):
        raise UsageError(f"problem.action_choices has {len(problem.action_choices)} entries; allowed: one an action")
    for i, values in enumerate(problem.action_choices):
        demand_range(values, f"problem.action_choices[{i}]", 1, MOST_VALUES)
