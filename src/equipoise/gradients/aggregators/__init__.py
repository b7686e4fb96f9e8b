"""Aggregators: ways to combine the gradients of several objectives into one direction, by name."""

from __future__ import annotations

from equipoise.errors import UsageError
from equipoise.gradients.aggregators.aligned_mtl import ALIGNED_MTL
from equipoise.gradients.aggregators.base import ALWAYS, NEVER, Aggregator, Properties
from equipoise.gradients.aggregators.cagrad import CAGRAD
from equipoise.gradients.aggregators.config import CONFIG
from equipoise.gradients.aggregators.dualproj import DUALPROJ
from equipoise.gradients.aggregators.gradvac import GRADVAC
from equipoise.gradients.aggregators.imtl_g import IMTL_G
from equipoise.gradients.aggregators.mean import MEAN
from equipoise.gradients.aggregators.mgda import MGDA
from equipoise.gradients.aggregators.nash_mtl import NASH_MTL
from equipoise.gradients.aggregators.pcgrad import PCGRAD
from equipoise.gradients.aggregators.pcrpo import PCRPO
from equipoise.gradients.aggregators.sb_trpo import SB_TRPO
from equipoise.gradients.aggregators.upgrad import UPGRAD
from equipoise.gradients.aggregators.weighted_sum import WEIGHTED_SUM
from equipoise.registry import Registry

__all__ = ["AGGREGATORS", "ALWAYS", "NEVER", "Aggregator", "Properties", "find", "load", "register"]

AGGREGATORS: Registry[Aggregator] = Registry("aggregator", option="--aggregator")
"""Every aggregator by name."""


def register(aggregator: Aggregator) -> Aggregator:
    """Make an aggregator known by its name; `UsageError` if the name is taken, or it declares no `Properties`."""
    if not isinstance(aggregator.properties, Properties):
        raise UsageError(f"aggregator {aggregator.name!r} declares no Properties")
    return AGGREGATORS.register(aggregator.name, aggregator)


def find(name: str) -> Aggregator:
    """Return the aggregator NAME, also asked for as MODULE:NAME; raise `UsageError` if there is none.

    Nothing is imported here, so a name that was read from a file can be looked up.
    """
    return AGGREGATORS.find(name)


def load(name: str) -> Aggregator:
    """Return the aggregator NAME or MODULE:NAME, importing MODULE first: for what a user asks for, never for a file."""
    return AGGREGATORS.load(name)


for _aggregator in (
    WEIGHTED_SUM,
    MEAN,
    PCRPO,
    UPGRAD,
    DUALPROJ,
    MGDA,
    NASH_MTL,
    CAGRAD,
    PCGRAD,
    GRADVAC,
    IMTL_G,
    ALIGNED_MTL,
    CONFIG,
    SB_TRPO,
):
    register(_aggregator)
