"""A user's own algorithm, asked for as MODULE:NAME."""

from __future__ import annotations

from typing import Any

from equipoise.algorithms.algorithm import Algorithm
from equipoise.algorithms.entry import Entry
from equipoise.algorithms.registry import ALGORITHMS
from equipoise.algorithms.rule import Rule
from equipoise.errors import UsageError, unknown
from equipoise.modules import import_named


def as_algorithm(given: Any, name: str) -> Algorithm:
    """Return the algorithm that `given` is: a Rule (class or instance, on the default trust region) or an Algorithm."""
    if isinstance(given, type) and issubclass(given, Rule):
        try:
            given = given()
        except TypeError as error:
            raise UsageError(
                f"{name} cannot be made without arguments ({error}); give every setting a default"
            ) from None
    if isinstance(given, Rule):
        given = Algorithm(given)
    if isinstance(given, Entry):
        given = given.algorithm
    if not isinstance(given, Algorithm):
        raise UsageError(f"{name} is {given!r}; allowed: a Rule, an Algorithm, or the name of one")
    return given


def load_algorithm(name: str, preset: str | None = None) -> Algorithm:
    """Return the algorithm NAME of the library, with one of its presets' settings, or MODULE:NAME of the user's own.

    MODULE is imported: for what a user asks for, never for what a file says. Raises `UsageError` naming the nearest.
    """
    module, _, own = name.rpartition(":")
    if not module:
        entry = ALGORITHMS.find(name)
        if preset is None:
            return entry.algorithm
        if preset not in entry.presets:
            there = ", ".join(sorted(entry.presets)) or "none"
            raise UsageError(f"{name} has no preset {preset!r}; there: {there}")
        return entry.presets[preset]
    if preset is not None:
        raise UsageError(f"{name} has no preset {preset!r}; there: none")
    found = import_named(module, f"algorithm {name!r}")
    if not hasattr(found, own):
        candidates = [key for key, value in vars(found).items() if _usable(value)]
        raise (
            unknown(f"algorithm in {module}", own, candidates)
            if candidates
            else UsageError(f"{module} has no {own!r}, nor any other Rule or Algorithm")
        )
    return as_algorithm(getattr(found, own), name)


def _usable(value: Any) -> bool:
    rule = isinstance(value, type) and issubclass(value, Rule) and value is not Rule
    return rule or isinstance(value, Rule | Algorithm | Entry)
