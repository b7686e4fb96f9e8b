"""What an aggregator costs beside the Fisher-vector products of the same update.

    python benchmarks/aggregators.py [--rounds 7] [--objectives 2 3 10] [--hidden 88 990]

For a policy of 17 observations, 6 actions and two hidden layers (88 units each: d ≈ 10⁴ parameters, 990: d ≈ 10⁶) and
20 000 samples, one product of the Fisher matrix with one vector is timed (with the forward pass that it needs), in turn
with every aggregator on m gradients. `weights` is the aggregator alone, from the Gram matrix. `all` adds the Gram
matrix and the direction: everything `aggregate` computes. A policy step takes 10·m such products. Times are of the
processor, all threads together: on a busy machine a long call waits more often than a short one, which no ratio of
waiting times would show. Shares are medians of a round's ratios. Memory is what the compiled function holds beside its
arguments and results; the table has that of `all`.
Prints a table, and one JSON object a line for machines to read.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from rich.console import Console
from rich.table import Table

from equipoise.gradients import AGGREGATORS, Aggregator, euclidean
from equipoise.numerics.fisher import fisher_products
from equipoise.policy import GaussianPolicy

SAMPLES, OBSERVATIONS, ACTIONS = 20_000, 17, 6


class Timed:
    """A compiled function and its arguments."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.compiled = jax.jit(function).lower(*arguments).compile()
        self.arguments = arguments
        self()

    def __call__(self) -> float:
        """Return the processor seconds of one call: the mean of as many as fit into 20 ms."""
        calls, started = 0, time.process_time()
        while calls == 0 or time.process_time() - started < 0.02:
            jax.block_until_ready(self.compiled(*self.arguments))
            calls += 1
        return (time.process_time() - started) / calls

    @property
    def memory(self) -> int:
        """Bytes held beside arguments and results."""
        return int(self.compiled.memory_analysis().temp_size_in_bytes)


def fisher_product(hidden: int) -> tuple[Timed, int]:
    """Return one Fisher-vector product of a policy of that width, and the number of parameters."""
    policy = GaussianPolicy.create(jax.random.key(0), OBSERVATIONS, ACTIONS, (hidden, hidden))
    observation = jax.random.normal(jax.random.key(1), (SAMPLES, OBSERVATIONS))
    vector = ravel_pytree(policy)[0]
    weight = jnp.full(SAMPLES, 1 / SAMPLES)

    def product(policy: GaussianPolicy, observation: jax.Array, vector: jax.Array) -> jax.Array:
        parameters, rebuild = ravel_pytree(policy)
        return fisher_products(lambda p: rebuild(p)(observation), parameters, weight)(vector[None])[0]

    return Timed(product, policy, observation, vector), len(vector)


def gradients_in_conflict(m: int, d: int) -> jax.Array:
    """Draw m gradients that are nearly opposed: the harder case."""
    drawn = jax.random.normal(jax.random.key(2), (m, d))
    return drawn - 0.9 * drawn.mean(0)


def stages(aggregator: Aggregator, gradients: jax.Array) -> dict[str, Timed]:
    """Return what is timed of one aggregator."""
    m = len(gradients)
    preference, wanted = jnp.full(m, 1 / m), jnp.ones(m, bool)

    def everything(gradients: jax.Array) -> jax.Array:
        return aggregator(euclidean(gradients), preference, wanted) @ gradients

    return {
        "weights": Timed(lambda gram: aggregator(gram, preference, wanted), jax.jit(euclidean)(gradients)),
        "all": Timed(everything, gradients),
    }


def measure(hidden: int, objectives: list[int], rounds: int) -> Iterator[dict[str, Any]]:
    """Time every aggregator beside one Fisher-vector product."""
    product, d = fisher_product(hidden)
    yield {"aggregator": "Fisher-vector product", "d": d, "seconds": product(), "bytes": product.memory}
    for m in objectives:
        gradients = gradients_in_conflict(m, d)
        timed = {(name, stage): run for name, a in AGGREGATORS.items() for stage, run in stages(a, gradients).items()}
        seconds: dict[tuple[str, str], list[float]] = {key: [] for key in timed}
        products = []
        for _ in range(rounds):
            products.append(product())
            for key, run in timed.items():
                seconds[key].append(run())
        for (name, stage), run in timed.items():
            shares = [own / whole for own, whole in zip(seconds[name, stage], products, strict=True)]
            yield {
                "aggregator": name,
                "stage": stage,
                "m": m,
                "d": d,
                "seconds": statistics.median(seconds[name, stage]),
                "share_of_product": statistics.median(shares),
                "bytes": run.memory,
            }


def table_of(rows: list[dict[str, Any]]) -> Table:
    """Lay the measurements out, one aggregator and size a line."""
    table = Table("d", "m", "aggregator", "weights, µs", "of a product", "all, µs", "of a product", "KiB")
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        table.add_row(
            f"{first['d']:,}",
            str(first["m"]),
            first["aggregator"],
            *(cell for row in (first, second) for cell in (f"{1e6 * row['seconds']:,.0f}", share(row))),
            f"{second['bytes'] / 2**10:,.0f}",
        )
    return table


def share(row: dict[str, Any]) -> str:
    """Format a share of a product."""
    return f"{100 * row['share_of_product']:.2f} %"


def main() -> None:
    """Measure, and print a table and JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--objectives", type=int, nargs="*", default=[2, 3, 10])
    parser.add_argument("--hidden", type=int, nargs="*", default=[88, 990])
    options = parser.parse_args()

    for hidden in options.hidden:
        product, *rows = measure(hidden, options.objectives, options.rounds)
        milliseconds, mebibytes = 1e3 * product["seconds"], product["bytes"] / 2**20
        print(f"one Fisher-vector product, d = {product['d']:,}: {milliseconds:.1f} ms, {mebibytes:.0f} MiB")
        Console(width=110).print(table_of(rows))
        for row in (product, *rows):
            print(json.dumps(row))


if __name__ == "__main__":
    main()
