"""Options that several commands take."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from equipoise.training.run import Run

RunFolder = Annotated[Path, tyro.conf.Positional]
"""The folder of a run, given by position."""

EnvironmentId = Annotated[str | None, tyro.conf.arg(metavar="MODULE:ID")]
"""A user's own environment, named again to allow the import of its module."""

AlgorithmName = Annotated[str | None, tyro.conf.arg(metavar="MODULE:NAME")]
"""A user's own algorithm, named again to allow the import of its module."""

AggregatorName = Annotated[str | None, tyro.conf.arg(metavar="MODULE:NAME")]
"""A user's own aggregator, named again to allow the import of its module."""

TrackerName = Literal["wandb", "trackio", "mlflow"] | None
"""An experiment tracker; each is an extra of that name."""


NUMBERS = tyro.constructors.ConstructorRegistry()
"""How options are read that are not read as tyro does."""


@NUMBERS.primitive_rule
def _whole_number(
    kind: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[int] | None:
    """Read a whole number also as 1e6 or 2_000."""
    if kind.type is not int:
        return None

    def read(words: list[str]) -> int:
        for number in (int, float):
            with contextlib.suppress(ValueError, OverflowError):
                if number(words[0]) == int(number(words[0])):
                    return int(number(words[0]))
        raise ValueError(f"{words[0]!r} is no whole number")

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, int) and not isinstance(value, bool),
        str_from_instance=lambda value: [str(value)],
    )


def open_run(folder: Path, algorithm: str | None, iteration: int | None = None) -> Run:
    """Open a run, by default at its newest checkpoint; its algorithm is imported only if the command line names it."""
    from equipoise.algorithms.own import load_algorithm
    from equipoise.training.run import Run

    return Run.load(folder, None if algorithm is None else load_algorithm(algorithm), iteration)
