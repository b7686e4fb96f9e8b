"""Whatever a user's own environments are made by, as a `Simulator`: looped, in processes, or one vector environment."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

from gymnasium.vector import VectorEnv

from equipoise.environments.foreign import EnvFactory, ForeignEnvironments, needs_no_workers
from equipoise.environments.processes import ProcessEnvironments
from equipoise.environments.registered import Registered
from equipoise.environments.vectorised import VectorisedEnvironments
from equipoise.errors import UsageError

OwnEnvironments = ForeignEnvironments | VectorisedEnvironments | ProcessEnvironments
"""A user's own environments, however they are stepped."""


def open_environments(
    make: EnvFactory,
    num_envs: int,
    name: str,
    cost_names: tuple[str, ...] = ("cost",),
    horizon: int | None = None,
    workers: int = 0,
) -> OwnEnvironments:
    """Make `num_envs` environments, and step them as what `make` makes wants it.

    Args:
        make: makes one environment, or a vector environment; that of `num_envs`, if it takes such an argument.
        num_envs: number of environments.
        name: what the task is called, for messages and files.
        cost_names: the keys of its costs.
        horizon: steps of a full episode, where the environment does not say.
        workers: processes that share the environments out; 0 for this process alone.
    """
    if workers:
        if _makes_vectorised(make):
            raise needs_no_workers(name)
        return ProcessEnvironments(make, num_envs, name, cost_names, horizon, workers)
    made = _first(make, num_envs)
    if isinstance(made, VectorEnv):
        if made.num_envs != num_envs:
            made.close()
            raise UsageError(
                f"{name} makes a vector environment of {made.num_envs}, and {num_envs} are wanted; let it take their "
                "number, as in lambda num_envs: …, or give num_envs"
            )
        return VectorisedEnvironments(made, num_envs, name, cost_names, horizon)
    envs = itertools.chain([made], (make() for _ in itertools.count()))
    return ForeignEnvironments(lambda: next(envs), num_envs, name, cost_names, horizon)


def _makes_vectorised(make: EnvFactory) -> bool:
    """Tell whether `make` is known to make a vector environment before it does."""
    if isinstance(make, Registered):
        return make.is_vectorised
    return isinstance(make, type) and issubclass(make, VectorEnv)


def _first(make: EnvFactory, num_envs: int) -> Any:
    """Return the first environment that `make` makes, or the vector environment."""
    if isinstance(make, Registered):
        return make.vectorised(num_envs) if make.is_vectorised else make()
    if not _takes_num_envs(make):
        return make()
    made: Any = make(num_envs=num_envs)
    if isinstance(made, VectorEnv):
        return made
    made.close()  # what it calls num_envs is something of its own
    return make()


def _takes_num_envs(make: EnvFactory) -> bool:
    try:
        return "num_envs" in inspect.signature(make).parameters
    except (TypeError, ValueError):  # a callable that does not say
        return False
