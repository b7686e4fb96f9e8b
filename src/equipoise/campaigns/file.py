"""A campaign's file: algorithms × tasks × seeds × limits × settings, as TOML."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from equipoise.algorithms import ALGORITHMS
from equipoise.campaigns.check import begin, check
from equipoise.campaigns.job import Job
from equipoise.campaigns.options import values_of
from equipoise.errors import UsageError, unknown
from equipoise.training.options import flat

KEYS = (
    "name",
    "algorithms",
    "tasks",
    "seeds",
    "total_steps",
    "evaluation_episodes",
    "limits_scale",
    "settings",
    "algorithm",
)
"""What a campaign's file can say."""


@dataclass(frozen=True)
class Campaign:
    """A campaign's file, read and checked."""

    name: str
    """The campaign's name."""
    jobs: tuple[Job, ...]
    """Its runs, the most informative first: one seed of everything before the second of anything."""
    text: str
    """The file as it was written."""


@dataclass(frozen=True)
class Variant:
    """An algorithm with settings."""

    name: str
    """What the campaign calls it."""
    base: str
    """What is trained."""
    preset: str | None
    """The preset that settings begin from."""
    settings: dict[str, Any]
    """Options by name; a list where several values are wanted."""


def read_campaign(path: Path) -> Campaign:
    """Read and check the whole of a campaign's file; `UsageError`, in one line, for the first thing that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
        return parse_campaign(text)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    except ValueError as error:
        raise UsageError(f"{path} is no TOML: {error}") from None


def parse_campaign(text: str) -> Campaign:
    """Read and check what a campaign's file says; ValueError where it is no TOML, `UsageError` as `read_campaign`."""
    content = tomllib.loads(text)
    jobs = tuple(_jobs(content))
    check(jobs)
    return Campaign(content["name"], jobs, text)


def _jobs(content: dict[str, Any]) -> Iterator[Job]:
    for key in content:
        if key not in KEYS:
            raise unknown("key", key, KEYS)
    name = _required(content, "name", str, "a text")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageError(f"name is {name!r}; allowed: letters, digits, '-', '_' and '.', as in a folder's name")
    steps = _required(content, "total_steps", int, "a whole number")
    episodes = _of_type("evaluation_episodes", content.get("evaluation_episodes", 100), int, "a whole number")
    settings = flat(_of_type("settings", content.get("settings", {}), dict, "a table"))
    in_settings = settings.pop("limits_scale", None)
    if in_settings is not None and "limits_scale" in content:
        raise UsageError("limits_scale is given twice; give it once")
    scales = _scales(content.get("limits_scale", 1.0 if in_settings is None else in_settings))
    variants = list(_variants(content, settings))
    tasks = _names(content, "tasks")
    for seed, scale, task, variant in product(_seeds(content), scales, tasks, variants):
        for chosen, varied in _choices(variant):
            yield Job(
                task=task,
                algorithm=variant.name,
                base=variant.base,
                seed=seed,
                total_steps=steps,
                evaluation_episodes=episodes,
                preset=variant.preset,
                settings=chosen,
                limits_scale=scale,
                varied=varied,
            )


def _variants(content: dict[str, Any], shared: dict[str, Any]) -> Iterator[Variant]:
    """Yield the algorithms of the file, each with the settings of all runs and its own."""
    tables = _of_type("algorithm", content.get("algorithm", {}), dict, "tables [algorithm.NAME]")
    names = _names(content, "algorithms")
    for name, table in tables.items():
        if name in ALGORITHMS:
            raise UsageError(f"[algorithm.{name}] has the name of one of the library's; choose another name")
        if name not in names:
            raise UsageError(f"[algorithm.{name}] is not trained: algorithms does not name it")
        if "base" not in _of_type(f"algorithm.{name}", table, dict, "a table"):
            raise UsageError(f'[algorithm.{name}] has no base; give the algorithm that it changes: base = "pcrpo"')
    for name in names:
        if ":" not in name and name not in tables and name not in ALGORITHMS:
            raise unknown("algorithm", name, [*ALGORITHMS, *tables])
        own = flat(tables.get(name, {}))
        base = own.pop("base", name)
        settings = shared | own
        preset = settings.pop("preset", None)
        begin(base, preset)
        yield Variant(name, base, preset, settings)


def _choices(variant: Variant) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every combination of the values that a variant's settings list, and what tells it from the others."""
    config = begin(variant.base, variant.preset)
    try:
        values = {name: values_of(config, name, value) for name, value in variant.settings.items()}
    except UsageError as error:
        raise UsageError(f"{variant.name}: {error}") from None
    several = [name for name, listed in values.items() if len(listed) > 1]
    for choice in product(*values.values()):
        chosen = dict(zip(values, choice, strict=True))
        yield chosen, ",".join(f"{name}={_written(chosen[name])}" for name in several)


def _written(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _required(content: dict[str, Any], key: str, kind: type, words: str) -> Any:
    if key not in content:
        raise UsageError(f"{key} is missing; give {words}")
    return _of_type(key, content[key], kind, words)


def _of_type(key: str, value: Any, kind: type, words: str) -> Any:
    if type(value) is not kind:
        raise UsageError(f"{key} is {value!r}; allowed: {words}")
    return value


def _names(content: dict[str, Any], key: str) -> list[str]:
    names = _required(content, key, list, "a list of names")
    if not names or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{key} is {names!r}; allowed: a list of names")
    return _once(key, names)


def _once(key: str, values: list[Any]) -> list[Any]:
    for value in values:
        if values.count(value) > 1:
            raise UsageError(f"{key} has {value!r} twice; name it once")
    return values


def _seeds(content: dict[str, Any]) -> list[int]:
    seeds = content.get("seeds")
    if type(seeds) is int and seeds > 0:
        return list(range(seeds))
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise UsageError(f"seeds is {seeds!r}; allowed: how many, as in 3, or which, as in [0, 1, 2]")
    return _once("seeds", seeds)


def _scales(scales: Any) -> list[float]:
    scales = scales if isinstance(scales, list) else [scales]
    if not scales or not all(type(scale) in (int, float) and scale >= 0 for scale in scales):
        raise UsageError(f"limits_scale is {scales!r}; allowed: multiples of the task's own limits, 0 or more")
    return _once("limits_scale", [float(scale) for scale in scales])
