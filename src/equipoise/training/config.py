"""A run's configuration: what the command line, the Python API and `config.json` all say."""

from __future__ import annotations

import dataclasses
import itertools
import json
import typing
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import gymnasium
import tyro

from equipoise.algorithms.algorithm import Algorithm
from equipoise.algorithms.learner import Learner
from equipoise.algorithms.registry import PARTS
from equipoise.environments.arguments import read_arguments, texts_in, write_arguments
from equipoise.environments.foreign import EnvFactory, ForeignEnvironments
from equipoise.environments.gymnasium_env import SafetyEnv
from equipoise.environments.opening import open_environments
from equipoise.environments.registered import Registered
from equipoise.errors import Notice, UsageError, described, printable, unknown
from equipoise.modules import import_named
from equipoise.physics import NativePhysics, Simulator
from equipoise.problem import Problem, check_limits
from equipoise.settings import plain
from equipoise.tasks import TASKS, find_task, is_own
from equipoise.training.budget import observed
from equipoise.training.config_file import FORMAT, VERSION, ConfigFile, check_problem, parse_config
from equipoise.training.restore import build, demand_range


@dataclass(frozen=True)
class Config:
    """Everything that decides a run, except the number of physics threads, which decides nothing."""

    task: Annotated[str, tyro.conf.Positional]
    """A task of the library (`equipoise tasks`), or one of your own, or the id of any Gymnasium environment whose info
    has a cost; the last two as MODULE:ID if they have to be imported first."""
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
    env_args: tuple[str, ...] = ()
    """For an environment that Gymnasium makes by its id, or a task of your own: arguments of its own, as in
    `friction=0.3 terrain=hills`. What is no number, True, False or None is a text."""

    start_from: Annotated[str, tyro.conf.arg(name="from", metavar="RUN")] = ""
    """Folder of a run whose policy training starts from, with its normaliser and its critics; on the command line
    --from. By default networks are drawn from the seed."""
    keep_policies: int = 50
    """Policies kept along the run for `equipoise select` to choose from, evenly spaced: small files without critics or
    optimisers. 0 for none."""
    extended_at: Annotated[tuple[int, ...], tyro.conf.Suppress] = ()
    """Steps at which `resume` was given a later end while a setting followed the share of training done, which makes
    the run another than one that was as long from the start."""

    def __repr__(self) -> str:
        return f"<Config of {self.algorithm_name} on {self.task}: {self.total_steps:,} steps, seed {self.seed}>"

    @property
    def iterations(self) -> int:
        """Number of updates, where every iteration has as many steps."""
        return -(-self.total_steps // max(1, self.steps_per_iteration))  # 0 is refused, but may be looked at before

    @property
    def planned_steps(self) -> int:
        """Steps of training: `total_steps`, rounded up to whole iterations."""
        return self.iterations * self.steps_per_iteration

    @property
    def steps_per_env(self) -> int:
        """Steps of an iteration in each environment."""
        return self.steps_per_iteration // self.num_envs

    def plain(self) -> Config:
        """Return the same configuration in Python's own numbers and strings, and a task of the library by its own id.

        Gymnasium's id of such a task (equipoise/ID) would step it one environment after the other. Raises `UsageError`
        naming the first option that is of another kind.
        """
        task = self.task.rpartition(":")[2].removeprefix("equipoise/")
        ours = task in TASKS and f"equipoise/{task}" == self.task.rpartition(":")[2]
        return plain(dataclasses.replace(self, task=task) if ours else self)

    def check(self, problem: Problem, own_aggregator: bool = False) -> None:
        """Raise `UsageError` naming the first thing that is not allowed for `problem`.

        With `own_aggregator`, a rule may name an aggregator MODULE:NAME that is not there yet.
        """
        plain(self)
        read_arguments(self.env_args)
        if self.num_envs < 2:
            raise UsageError(f"num_envs is {self.num_envs}; allowed: 2 or more")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed is {self.seed}; allowed: 0 to 2**63 - 1")
        if self.keep_policies < 0:
            raise UsageError(f"keep_policies is {self.keep_policies}; allowed: 0 or more")
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
        if own_aggregator and ":" in balance_of(self.algorithm):
            for part in (self.algorithm.step, self.algorithm.lens, self.algorithm.learner):
                part.check()
        else:
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
        return cls.from_file(parse_config(text, path), own)

    @classmethod
    def from_file(cls, file: ConfigFile, own: Algorithm | None = None) -> tuple[Config, Problem]:
        """Build what a `config.json` says; `UsageError` for a setting of the wrong kind or a size out of bounds."""
        try:
            name, content = file.algorithm_name, dict(file.content)
            algorithm = _restored(content.pop("algorithm", None), name, own)
            rest = build(_Rest, ADDED | content)
            config = cls(algorithm=algorithm, **dataclasses.asdict(rest))
            check_sizes(config, file.problem)
        except NotAllowedError as error:
            raise UsageError(f"{file.path}: {error}") from None
        except UsageError as error:
            raise file.refusal(error) from None
        return config, file.problem


def _described(algorithm: Algorithm) -> dict[str, Any]:
    """Return an algorithm's settings, and of which class each part is."""
    parts = {name: getattr(algorithm, name) for name in ("rule", "step", "lens")}
    named = {name: {"kind": type(part).__name__, **dataclasses.asdict(part)} for name, part in parts.items()}
    return {**named, "learner": dataclasses.asdict(algorithm.learner)}


_Rest = dataclasses.make_dataclass(
    "_Rest",
    [(name, hint) for name, hint in typing.get_type_hints(Config).items() if name != "algorithm"],
    frozen=True,
)
"""The fields of `Config` that JSON holds as they are."""


ADDED: dict[str, Any] = {"start_from": "", "keep_policies": 50, "extended_at": []}
"""Fields that the configurations of older runs lack, and what they mean for those."""


class NotAllowedError(UsageError):
    """A file needs a module of the user's own, whose import the user has not allowed."""


def _restored(content: Any, name: str, own: Algorithm | None) -> Algorithm:
    """Build an algorithm from what `_described` made of it."""
    known = dict(PARTS)
    if own is not None:
        known |= {type(part).__name__: type(part) for part in (own.rule, own.step, own.lens)}
    if not isinstance(content, dict) or set(content) - {"rule", "step", "lens", "learner"}:
        raise UsageError(f"algorithm is {described(content)}; allowed: a table of rule, step, lens and learner")
    parts = {}
    for part in ("rule", "step", "lens"):
        settings, place = content.get(part), f"algorithm.{part}"
        if not isinstance(settings, dict):
            raise UsageError(f"{place} is {described(settings)}; allowed: a table")
        kind = build(str, settings.get("kind"), f"{place}.kind")
        if kind not in known:
            raise NotAllowedError(
                f"this run's algorithm {name!r} has a {part} of the user's own, {kind}; allow its import by naming it: "
                "--algorithm MODULE:NAME (algorithm=… in Python)"
            )
        parts[part] = build(known[kind], {k: v for k, v in settings.items() if k != "kind"}, place)
    return Algorithm(**parts, learner=build(Learner, content.get("learner"), "algorithm.learner"))


MOST_PARAMETERS = 5 * 10**7
"""Parameters of a network of a run that is read from disk."""
MOST_LAYERS = 50
"""Hidden layers of a network of a run that is read from disk."""
MOST_NUMBERS = 10**10
"""Numbers that an iteration of a run that is read from disk may hold."""


def check_sizes(config: Config, problem: Problem) -> None:
    """Raise `UsageError` for sizes in a file that would take all memory or time before anything else is noticed."""
    demand_range(config.num_envs, "num_envs", 2, 10**6)
    demand_range(config.steps_per_iteration, "steps_per_iteration", 2, 10**9)
    demand_range(config.total_steps, "total_steps", 1, 10**15)
    demand_range(config.keep_policies, "keep_policies", 0, 10**6)
    if config.horizon is not None:
        demand_range(config.horizon, "horizon", 1, 10**8)
    outputs = sum(problem.action_choices) or problem.action_size
    width = problem.observation_size + problem.action_size + outputs + 2 * len(problem.cost_names)
    demand_range(config.steps_per_iteration * width, "numbers in an iteration", 1, MOST_NUMBERS)
    demand_range(len(config.algorithm.learner.hidden), "the length of algorithm.learner.hidden", 0, MOST_LAYERS)
    widths = (problem.observation_size + len(problem.cost_names), *config.algorithm.learner.hidden, outputs)
    for i, hidden in enumerate(config.algorithm.learner.hidden):
        demand_range(hidden, f"algorithm.learner.hidden[{i}]", 1, 10**6)
    parameters = sum(a * b for a, b in itertools.pairwise(widths))
    if parameters > MOST_PARAMETERS:
        raise UsageError(
            f"algorithm.learner.hidden is {list(config.algorithm.learner.hidden)[:9]}: {parameters} parameters; "
            f"allowed: at most {MOST_PARAMETERS}"
        )
    check_problem(problem)


def balance_of(algorithm: Algorithm) -> str:
    """Return the name of the aggregator that a rule balances with; empty if it has none."""
    balance = getattr(getattr(algorithm.rule, "switch", algorithm.rule), "balance", None)
    return "" if balance is None else str(balance.aggregator)


Environment = EnvFactory | str
"""A user's own environment: what makes one (or a vector environment of several), or its Gymnasium id, as MODULE:ID if
it has to be imported first."""


def make_simulator(
    config: Config,
    threads: int = 0,
    environment: Environment | None = None,
    render_mode: str | None = None,
    workers: int = 0,
) -> Simulator:
    """Make the simulator for `config.task`, or `num_envs` of the user's own `environment`.

    A `render_mode` lets an environment that is not of this library draw itself. Its environments are shared out among
    `workers` processes; 0 for this process alone.
    """
    if workers < 0:
        raise UsageError(f"workers is {workers}; allowed: 0 (this process alone) or more")
    return observed(_task_itself(config, threads, environment, render_mode, workers), config.algorithm.lens)


def _task_itself(
    config: Config, threads: int, environment: Environment | None, render_mode: str | None, workers: int
) -> Simulator:
    task = None if callable(environment) else _native(environment or config.task)
    if task is not None:
        if workers:
            raise UsageError(f"{config.task} is stepped on threads (--threads), and needs no workers; leave them out")
        if config.cost_names or config.horizon is not None:
            raise UsageError(f"{config.task} states its own costs and horizon; leave out cost_names and horizon")
        return NativePhysics(find_task(task, read_arguments(config.env_args)), config.num_envs, threads)
    if config.horizon is not None and config.horizon < 1:
        raise UsageError(f"horizon is {config.horizon}; allowed: 1 or more")
    if callable(environment) and config.env_args:
        raise UsageError(
            "env_args are for an environment that Gymnasium makes by its id; give them where this one is made, as in "
            "lambda: MyEnv(friction=0.3)"
        )
    make = environment if callable(environment) else _named_environment(config, environment, render_mode)
    names = config.cost_names or ("cost",)
    made = open_environments(make, config.num_envs, config.task, names, config.horizon, workers)
    if isinstance(made, ForeignEnvironments) and isinstance(made.envs[0].unwrapped, SafetyEnv):
        task = made.envs[0].unwrapped.task_id
        whose = "your" if is_own(TASKS[task]) else "the library's"
        warnings.warn(
            f"{config.task} makes {whose} own {task}, which is stepped here one environment after the other; "
            f"by its id, train(…, {task!r}), it trains several times faster, without what is wrapped around it",
            Notice,
            stacklevel=2,
        )
    return made


def _native(name: str) -> str | None:
    """Return the id of the task that `name` stands for, ID or MODULE:ID of one that MODULE registers; None if none."""
    module, _, task = name.rpartition(":")
    if module:
        import_named(module, f"task {name!r}")
    task = task.removeprefix("equipoise/") if module else task
    return task if task in TASKS and (not module or is_own(TASKS[task])) else None


def as_words(env_args: Any) -> Any:
    """Return `Config.env_args` as a configuration holds them, where they are given as a dictionary."""
    return write_arguments(env_args) if isinstance(env_args, Mapping) else env_args


def name_to_repeat(config: Config) -> str | None:
    """Return the name of the environment that whoever reopens a run has to give again; None where that is not needed.

    Whoever made the run's folder could name a module there, or give a text that leads an environment to one.
    """
    return config.task if ":" in config.task or texts_in(config.env_args) else None


SAME = (
    "observation_size",
    "action_size",
    "horizon",
    "cost_names",
    "action_middle",
    "action_unit",
    "action_choices",
    "action",
)
"""What of a problem has to be as it was where a run is reopened."""


def reopen_simulator(
    config: Config,
    problem: Problem,
    threads: int,
    environment: Environment | None,
    render_mode: str | None = None,
    workers: int = 0,
) -> Simulator:
    """Make the simulator of a run read from disk. No module is imported because a file on disk names it.

    So a task MODULE:ID has to be given again as `environment`, and so does an environment that was a callable. It has
    to be of the `problem` that the run met.
    """
    if environment is None and config.task not in TASKS and ":" in config.task:
        raise UsageError(
            f"this run imports {config.task.split(':')[0]!r}; allow that by naming it: --environment {config.task}"
        )
    if environment is None and config.task not in TASKS and config.task not in gymnasium.registry:
        raise UsageError(
            f"this run's environment {config.task!r} was a user's own; give it again (environment=… in Python)"
        )
    if environment is None and (texts := texts_in(config.env_args)):
        raise UsageError(
            f"this run makes its environment with {printable(', '.join(texts), 200)}, and a text can name a file or a "
            f"module; allow that by naming the environment: --environment {config.task}"
        )
    if isinstance(environment, str) and environment != config.task:
        raise UsageError(f"this run is of {config.task}, not of {environment}")
    simulator = make_simulator(config, threads, environment, render_mode, workers)
    for name in SAME:
        was, now = getattr(problem, name), getattr(simulator.problem, name)
        if was != now:
            simulator.close()
            raise UsageError(
                f"{config.task} has {name} {printable(str(now), 100)}, and this run was trained with "
                f"{printable(str(was), 100)}: it is another environment by now, or config.json was changed"
            )
    return simulator


def _named_environment(config: Config, environment: str | None, render_mode: str | None) -> EnvFactory:
    """Return the factory of a Gymnasium environment; for an unknown name, suggest the nearest of our tasks."""
    task = environment or config.task
    try:
        return Registered(task, render_mode, read_arguments(config.env_args))
    except UsageError as error:
        near = unknown("task", task, TASKS)
        raise near if ":" not in task and "did you mean" in str(near) else error from None
