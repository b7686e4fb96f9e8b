"""Lenses: how the learner sees the task. Ĵ always stays the task's own."""

from equipoise.algorithms.lenses.early_termination import EarlyTermination
from equipoise.algorithms.lenses.lens import Lens, Plain
from equipoise.algorithms.lenses.saute import Saute
from equipoise.algorithms.lenses.simmer import Simmer

__all__ = ["EarlyTermination", "Lens", "Plain", "Saute", "Simmer"]
