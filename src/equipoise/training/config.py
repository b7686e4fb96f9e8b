"""A run's configuration: what the command line, the Python API and `config.json` all say."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import gymnasium
import tyro

from equipoise.algorithms.algorithm import Algorithm
from equipoise.algorithms.learner import Learner
from equipoise.algorithms.registry import PARTS
from equipoise.environments.foreign import EnvFactory, ForeignEnvironments, gymnasium_factory
from equipoise.errors import UsageError, unknown
from equipoise.physics import NativePhysics, Simulator
from equipoise.problem import Problem, check_limits
from equipoise.tasks import TASKS, find_task
from equipoise.training.budget import observed

FORMAT = 3
"""Version of `config.json` and of checkpoints; raised when a change makes older ones unreadable."""

VERSION = metadata.version("equipoise")
"""The library's version."""


@dataclass(frozen=True)
class Config:
    """Everything that decides a run, except the number of physics threads, which decides nothing."""

    task: Annotated[str, tyro.conf.Positional]
    """A task of the library (`equipoise tasks`), or the id of any Gymnasium environment whose info has a cost, as
    MODULE:ID if it has to be imported first."""
    algorithm: Annotated[Algorithm, tyro.conf.arg(name="")]
    """The algorithm's settings."""
    algorithm_name: Annotated[str, tyro.conf.Suppress] = "own"
    """What the algorithm is called; MODULE:NAME for one of the user's own that MODULE has."""
    total_steps: int = 1_000_000
    """Environment steps to train for, rounded up to whole iterations."""
    seed: int = 0
    """Decides every random number of the run."""
    limits: tuple[float, ...] = ()
    """Limit on the mean episode cost, one a constraint; by default the task's own."""
    limits_per_step: tuple[float, ...] = ()
    """The same as mean cost per step of a full episode, instead of `limits`."""
    num_envs: int = 20
    """Environments stepped side by side."""
    steps_per_iteration: int = 20_000
    """Steps between updates, over all environments: a whole number of episodes in each environment."""
    cost_names: tuple[str, ...] = ()
    """For an environment that is not of this library: the keys of its costs in `info` (default: cost)."""
    horizon: int | None = None
    """For an environment that is not of this library: steps of a full episode, where it does not say."""

    @property
    def iterations(self) -> int:
        """Number of updates, where every iteration has as many steps."""
        return -(-self.total_steps // self.steps_per_iteration)

    @property
    def planned_steps(self) -> int:
        """Steps of training: `total_steps`, rounded up to whole iterations."""
        return self.iterations * self.steps_per_iteration

    @property
    def steps_per_env(self) -> int:
        """Steps of an iteration in each environment."""
        return self.steps_per_iteration // self.num_envs

    def check(self, problem: Problem) -> None:
        """Raise `UsageError` naming the first thing that is not allowed for `problem`."""
        for part in (self.algorithm.rule, self.algorithm.step, self.algorithm.lens, self.algorithm.learner):
            check_choices(part)
        for name in ("total_steps", "seed", "num_envs", "steps_per_iteration"):
            if not isinstance(getattr(self, name), int):
                raise UsageError(f"{name} is {getattr(self, name)!r}; allowed: a whole number")
        for name in ("limits", "limits_per_step"):
            value = getattr(self, name)
            if not isinstance(value, tuple | list):
                raise UsageError(f"{name} is {value!r}; allowed: one number a constraint, as in ({value!r},)")
        if self.num_envs < 2:
            raise UsageError(f"num_envs is {self.num_envs}; allowed: 2 or more")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; allowed: 0 or more")
        whole = self.num_envs * problem.horizon
        if self.steps_per_iteration < whole or self.steps_per_iteration % whole:
            nearest = max(1, round(self.steps_per_iteration / whole)) * whole
            raise UsageError(
                f"{self.steps_per_iteration} steps an iteration are no whole number of episodes of {problem.horizon} "
                f"steps in each of {self.num_envs} environments; nearest: {nearest}"
            )
        if self.total_steps < self.steps_per_iteration:
            raise UsageError(
                f"total_steps is {self.total_steps}; allowed: at least one iteration, {self.steps_per_iteration}"
            )
        self.algorithm.check()
        check_limits(problem, self.resolve_limits(problem))

    def resolve_limits(self, problem: Problem) -> tuple[float, ...]:
        """Return the limits on the episode costs: those given, per episode or per step, or else the task's own."""
        if self.limits and self.limits_per_step:
            raise UsageError("both limits and limits_per_step are given; give one of them")
        if self.limits_per_step:
            return tuple(limit * problem.horizon for limit in self.limits_per_step)
        if self.limits:
            return self.limits
        if problem.limits is None:
            raise UsageError(f"{problem.id} has no limits of its own; give them (--limits B …, per episode)")
        return problem.limits

    def to_json(self, problem: Problem) -> str:
        """Serialise the configuration, the problem it met, and the versions that can read them."""
        content = {
            "format": FORMAT,
            "equipoise": VERSION,
            "problem": dataclasses.asdict(problem),
            **dataclasses.asdict(self),
            "algorithm": _described(self.algorithm),
        }
        return json.dumps(content, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, path: Path, own: Algorithm | None = None) -> tuple[Config, Problem]:
        """Read what `to_json` wrote to `path`; `UsageError` if it is no such thing or of another version.

        `own` is the user's own algorithm, if the run has one: no module is imported because a file names it.
        """
        try:
            content = json.loads(text)
            written, version = content.pop("format"), content.pop("equipoise")
        except (ValueError, KeyError, AttributeError, TypeError):
            raise UsageError(f"{path} is no configuration written by equipoise") from None
        if written != FORMAT:
            raise UsageError(
                f"{path} was written by equipoise {version} in format {written}; this is {VERSION}, which reads "
                f"format {FORMAT}: install equipoise=={version} to use it"
            )
        try:
            content["algorithm"] = _restored(content["algorithm"], content["algorithm_name"], own)
            problem = _build(Problem, content.pop("problem"))
            return _build(cls, content), problem
        except UsageError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"{path} does not fit equipoise {VERSION} ({error}); it was written by {version}"
            ) from None


def _described(algorithm: Algorithm) -> dict[str, Any]:
    """Return an algorithm's settings, and of which class each part is."""
    parts = {name: getattr(algorithm, name) for name in ("rule", "step", "lens")}
    named = {name: {"kind": type(part).__name__, **dataclasses.asdict(part)} for name, part in parts.items()}
    return {**named, "learner": dataclasses.asdict(algorithm.learner)}


def _restored(content: dict[str, Any], name: str, own: Algorithm | None) -> Algorithm:
    """Build an algorithm from what `_described` made of it."""
    known = dict(PARTS)
    if own is not None:
        known |= {type(part).__name__: type(part) for part in (own.rule, own.step, own.lens)}
    parts = {}
    for part in ("rule", "step", "lens"):
        settings = dict(content.pop(part))
        kind = settings.pop("kind")
        if kind not in known:
            raise UsageError(
                f"this run's algorithm {name!r} has a {part} of the user's own, {kind}; allow its import by naming it: "
                "--algorithm MODULE:NAME (algorithm=… in Python)"
            )
        parts[part] = _build(known[kind], settings)
    return Algorithm(**parts, learner=_build(Learner, content.pop("learner")))


def _build(kind: Any, content: Any) -> Any:
    """Build a value of type `kind` from what JSON made of it, every field required and none unknown."""
    if dataclasses.is_dataclass(kind):
        if isinstance(content, kind):  # type: ignore[arg-type]
            return content
        hints = typing.get_type_hints(kind)
        names = {f.name for f in dataclasses.fields(kind)}
        if names != set(content):
            raise ValueError(f"fields {', '.join(sorted(names ^ set(content)))}")
        return kind(**{name: _build(hints[name], value) for name, value in content.items()})  # type: ignore[operator]
    if typing.get_origin(kind) is tuple:
        return tuple(_build(typing.get_args(kind)[0], item) for item in content)
    if typing.get_origin(kind) is typing.Literal:
        if content not in typing.get_args(kind):
            raise ValueError(f"{content!r} is none of {typing.get_args(kind)}")
        return content
    if isinstance(kind, types.UnionType):
        return None if content is None else _build(typing.get_args(kind)[0], content)
    return kind(content) if kind in (int, float, str) else content


def check_choices(settings: Any, prefix: str = "") -> None:
    """Raise `UsageError`, naming the nearest choice, for a setting that is none of those its type lists."""
    hints = typing.get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        value, kind = getattr(settings, field.name), hints[field.name]
        if dataclasses.is_dataclass(value):
            check_choices(value, f"{prefix}{field.name}.")
        elif typing.get_origin(kind) is typing.Literal and value not in typing.get_args(kind):
            raise unknown(f"{prefix}{field.name}", str(value), typing.get_args(kind))


Environment = EnvFactory | str
"""A user's own environment: what makes one, or its Gymnasium id, as MODULE:ID if it has to be imported first."""


def make_simulator(
    config: Config, threads: int = 0, environment: Environment | None = None, render_mode: str | None = None
) -> Simulator:
    """Make the simulator for `config.task`, or `num_envs` of the user's own `environment`.

    A `render_mode` lets an environment that is not of this library draw itself.
    """
    return observed(_task_itself(config, threads, environment, render_mode), config.algorithm.lens)


def _task_itself(config: Config, threads: int, environment: Environment | None, render_mode: str | None) -> Simulator:
    if environment is None and config.task in TASKS:
        if config.cost_names or config.horizon is not None:
            raise UsageError(f"{config.task} states its own costs and horizon; leave out cost_names and horizon")
        return NativePhysics(find_task(config.task), config.num_envs, threads)
    if config.horizon is not None and config.horizon < 1:
        raise UsageError(f"horizon is {config.horizon}; allowed: 1 or more")
    make = environment if callable(environment) else _named_environment(environment or config.task, render_mode)
    return ForeignEnvironments(make, config.num_envs, config.task, config.cost_names or ("cost",), config.horizon)


def reopen_simulator(
    config: Config, threads: int, environment: Environment | None, render_mode: str | None = None
) -> Simulator:
    """Make the simulator of a run read from disk. No module is imported because a file on disk names it.

    So a task MODULE:ID has to be given again as `environment`, and so does an environment that was a callable.
    """
    if environment is None and config.task not in TASKS and ":" in config.task:
        raise UsageError(
            f"this run imports {config.task.split(':')[0]!r}; allow that by naming it: --environment {config.task}"
        )
    if environment is None and config.task not in TASKS and config.task not in gymnasium.registry:
        raise UsageError(
            f"this run's environment {config.task!r} was a user's own; give it again (environment=… in Python)"
        )
    if isinstance(environment, str) and environment != config.task:
        raise UsageError(f"this run is of {config.task}, not of {environment}")
    return make_simulator(config, threads, environment, render_mode)


def _named_environment(task: str, render_mode: str | None) -> EnvFactory:
    """Return the factory of a Gymnasium environment; for an unknown name, suggest the nearest of our tasks."""
    try:
        return gymnasium_factory(task, render_mode)
    except UsageError as error:
        near = unknown("task", task, TASKS)
        raise near if "did you mean" in str(near) else error from None
