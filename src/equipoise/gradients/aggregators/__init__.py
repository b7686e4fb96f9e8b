"""Aggregators: ways to combine the gradients of several objectives into one direction, by name."""

from __future__ import annotations

from equipoise.errors import UsageError, unknown
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

__all__ = ["AGGREGATORS", "ALWAYS", "NEVER", "Aggregator", "Properties", "find", "register"]

AGGREGATORS: dict[str, Aggregator] = {}
"""Every aggregator by name."""


def register(aggregator: Aggregator) -> Aggregator:
    """Make an aggregator known by its name; a name that is taken is an error."""
    if not isinstance(aggregator.properties, Properties):
        raise UsageError(f"aggregator {aggregator.name!r} declares no Properties")
    if aggregator.name in AGGREGATORS:
        raise UsageError(f"there is an aggregator {aggregator.name!r} already; choose another name")
    AGGREGATORS[aggregator.name] = aggregator
    return aggregator


def find(name: str) -> Aggregator:
    """Return the aggregator of that name; raise `UsageError` with the nearest name if there is none."""
    if name not in AGGREGATORS:
        raise unknown("aggregator", name, AGGREGATORS)
    return AGGREGATORS[name]


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
