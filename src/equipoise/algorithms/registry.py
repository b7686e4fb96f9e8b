"""Every algorithm of the library by name."""

from __future__ import annotations

from equipoise.algorithms.entry import Entry
from equipoise.algorithms.families import constrained_region, lagrangian, lensed, penalty, switching, unconstrained
from equipoise.registry import Registry

FAMILIES: dict[str, dict[str, Entry]] = {
    "unconstrained": unconstrained.ENTRIES,
    "switching": switching.ENTRIES,
    "primal-dual": lagrangian.ENTRIES,
    "constrained trust region": constrained_region.ENTRIES,
    "penalty": penalty.ENTRIES,
    "lens": lensed.ENTRIES,
}
"""The algorithms by family."""

ALGORITHMS: Registry[Entry] = Registry(
    "algorithm", {name: entry for family in FAMILIES.values() for name, entry in family.items()}
)
"""Every algorithm of the library by name. The tests run over this registry, so nothing in it can opt out."""

PARTS: dict[str, type] = {
    type(part).__name__: type(part)
    for entry in ALGORITHMS.values()
    for algorithm in (entry.algorithm, *entry.presets.values())
    for part in (algorithm.rule, algorithm.step, algorithm.lens)
}
"""Every class of rule, step and lens that the library's algorithms are made of, by name."""


def find_algorithm(name: str) -> Entry:
    """Return the entry of the algorithm `name`; `UsageError` naming the nearest if there is none."""
    return ALGORITHMS.find(name)
