"""An environment that Gymnasium knows by its id, as something that makes it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import VectorEnv

from equipoise.environments.arguments import Argument, demand_taken
from equipoise.errors import UsageError, unknown
from equipoise.modules import import_named


class Registered:
    """Makes the Gymnasium environment `env_id` (`module:Id` imports the module first), here or in another process.

    With a `render_mode` its environments draw themselves; `UsageError` where they cannot. They are made with
    `arguments` beside those that the id was registered with; `UsageError` for one that they do not take, and for an id
    that nobody registered.
    """

    def __init__(
        self, env_id: str, render_mode: str | None = None, arguments: Mapping[str, Argument] | None = None
    ) -> None:
        self._id, self._render_mode, self._arguments = env_id, render_mode, dict(arguments or {})
        spec = _spec_of(env_id)
        self.is_vectorised = spec.entry_point is None or (
            spec.vector_entry_point is not None and render_mode is None and not spec.additional_wrappers
        )
        """Whether the id has a vector environment of its own that will do: it is drawn and wrapped only one by one."""
        self._made: EnvSpec | str = env_id.rpartition(":")[2]
        if self._arguments:
            self._made = _with_arguments(env_id, spec, self._arguments, self.is_vectorised)

    def __reduce__(self) -> tuple[type[Registered], tuple[Any, ...]]:
        """Be made anew in another process, where the module has to be imported, too."""
        return Registered, (self._id, self._render_mode, self._arguments)

    def __call__(self) -> gymnasium.Env:
        """Make one environment."""
        env = self._make(gymnasium.make)
        if self._render_mode is None:
            return env
        modes = env.metadata.get("render_modes", [])
        env.close()
        if self._render_mode not in modes:
            there = ", ".join(modes) or "none"
            raise UsageError(f"{self._id} cannot be seen: its render_modes are {there}; needed: {self._render_mode}")
        return gymnasium.make(self._made, render_mode=self._render_mode)

    def vectorised(self, num_envs: int) -> VectorEnv:
        """Make the id's own vector environment of `num_envs`."""
        drawn = {} if self._render_mode is None else {"render_mode": self._render_mode}
        mode = {"vectorization_mode": "vector_entry_point"}
        return self._make(gymnasium.make_vec, num_envs=num_envs, **mode, **drawn)

    def _make(self, make: Any, **options: Any) -> Any:
        try:
            return make(self._made, **options)
        except (gymnasium.error.Error, ImportError) as error:  # something it needs is not installed, say
            raise _not_made(self._id, error) from error
        except TypeError as error:
            if not any(f"'{argument}'" in str(error) for argument in self._arguments):
                raise
            raise _not_made(self._id, error) from error


def _spec_of(env_id: str) -> EnvSpec:
    module, _, name = env_id.rpartition(":")
    if module:
        import_named(module, f"task {env_id!r}")
    try:
        spec = gymnasium.spec(name)
    except gymnasium.error.Error as error:
        if not module:
            raise UsageError(f"unknown task {env_id!r}: {str(error).splitlines()[0]}") from None
        there = [known for known, spec in gymnasium.registry.items() if _home(spec) == module.split(".")[0]]
        raise (
            unknown(f"id in {module}", name, there)
            if there
            else UsageError(f"{module} registers no id {name!r}, nor any other of its own")
        ) from None
    for entry in (spec.entry_point, spec.vector_entry_point):
        if module and isinstance(entry, str):
            import_named(entry.partition(":")[0], f"task {env_id!r}")
    return spec


def _home(spec: EnvSpec) -> str:
    """Return the package that an environment comes from."""
    entry = spec.entry_point or spec.vector_entry_point
    return (entry if isinstance(entry, str) else getattr(entry, "__module__", "")).split(":")[0].split(".")[0]


def _with_arguments(env_id: str, spec: EnvSpec, arguments: Mapping[str, Argument], vectorised: bool) -> EnvSpec:
    """Return `spec` with further arguments of the environment's own."""
    entry: Any = spec.vector_entry_point if vectorised else spec.entry_point
    try:
        demand_taken(env_id, load_env_creator(entry) if isinstance(entry, str) else entry, arguments)
    except (gymnasium.error.Error, ImportError) as error:
        raise _not_made(env_id, error) from error
    # In the specification, since `gymnasium.make` has parameters of its own, which an argument could be called like.
    changed = copy.deepcopy(spec)
    changed.kwargs.update(arguments)
    return changed


def _not_made(env_id: str, error: Exception) -> UsageError:
    return UsageError(f"{env_id} cannot be made: {str(error).splitlines()[0]}")
