"""Gradient manipulation: conflict measures, metrics, and the aggregators that combine gradients into one direction."""

from equipoise.gradients.aggregation import Aggregated, aggregate, aggregated_combination, euclidean, fisher
from equipoise.gradients.aggregators import AGGREGATORS, ALWAYS, NEVER, Aggregator, Properties, find, load, register

__all__ = [
    "AGGREGATORS",
    "ALWAYS",
    "NEVER",
    "Aggregated",
    "Aggregator",
    "Properties",
    "aggregate",
    "aggregated_combination",
    "euclidean",
    "find",
    "fisher",
    "load",
    "register",
]
