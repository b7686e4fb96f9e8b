"""Lenses: how the learner sees the task. Ĵ always stays the task's own."""

from equipoise.algorithms.lenses.lens import Lens, Plain

__all__ = ["Lens", "Plain"]
