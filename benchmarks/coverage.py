"""How often a confidence sequence misses the mean at any time, for values of several kinds (docs/choosing.md).

    python benchmarks/coverage.py [STREAMS]

Each stream has 400 values and is looked at after 40, 60, 80, …, as `equipoise select` looks. Beside it: intervals of
Student's, looked at as often, which are right at one time each and not at all of them.
"""

from __future__ import annotations

import math
import sys

import numpy as np
from scipy import stats

from equipoise.selection.race import FEWEST, TIGHTEST
from equipoise.statistics.sequences import standard_errors

KINDS = {
    "normal": (lambda random, shape: random.normal(3.0, 2.0, shape), 3.0),
    "Poisson, mean 2": (lambda random, shape: random.poisson(2.0, shape), 2.0),
    "exponential": (lambda random, shape: random.exponential(1.0, shape), 1.0),
    "log-normal, σ = 1": (lambda random, shape: random.lognormal(0.0, 1.0, shape), math.exp(0.5)),
    "1 in a fifth, else 0": (lambda random, shape: random.random(shape) < 0.2, 0.2),
    "1 in a twentieth, else 0": (lambda random, shape: random.random(shape) < 0.05, 0.05),
}
"""How values of each kind are drawn, and their mean."""
LOOKS = np.arange(FEWEST, 401, 20)
"""Numbers of values at which a stream is looked at."""


def missed(values: np.ndarray, mean: float, factors: np.ndarray) -> float:
    """Return the share of streams whose interval, so many standard errors wide, leaves out the mean at any look."""
    totals, squares = (power.cumsum(1)[:, LOOKS - 1] for power in (values, values**2))
    means = totals / LOOKS
    deviations = np.sqrt(np.maximum(squares - LOOKS * means**2, 0.0) / (LOOKS - 1))
    # As the race does, wait with values that are all alike.
    return float(((np.abs(means - mean) > factors * deviations / np.sqrt(LOOKS)) & (deviations > 0)).any(1).mean())


def main(streams: int) -> None:
    """Print the table."""
    print("| values | 95 %: sequence | Student | 99.75 %: sequence | Student |\n|---|---|---|---|---|")
    for kind, (draw, mean) in KINDS.items():
        values = draw(np.random.default_rng(0), (streams, 400)).astype(float)
        cells = []
        for error in (0.05, 0.0025):
            sequence = np.array([standard_errors(int(n), error, TIGHTEST) for n in LOOKS])
            cells += [missed(values, mean, sequence), missed(values, mean, stats.t.ppf(1 - error / 2, LOOKS - 1))]
        print(f"| {kind} | {' | '.join(f'{100 * cell:.2g} %' for cell in cells)} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
