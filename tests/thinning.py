"""What `make test` leaves to `make test-all`, so that it is done in minutes.

A test marked `slow` is left out. Of the cases of a test marked `one_in(n)`, most of them over a registry, about one in
n is run, and one at least: which ones a hash of their names decides, so that they differ from test to test, and every
algorithm and every task is met by some tests. Tests that look at the same trainings are marked
`one_in(n, "of these trainings")`, and choose alike. A case that is asked for by name (`file.py::test[case]`) is run.
"""

from __future__ import annotations

import zlib
from collections import defaultdict

import pytest

MARKS = (
    "slow: takes long and is run by `make test-all` only",
    "one_in(n, together): `make test` runs about one in n of its cases, and `make test-all` every one; "
    "tests of one `together` choose alike",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option with which nothing is left out."""
    parser.addoption("--all-cases", action="store_true", help="run every case of every test, as `make test-all` does")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks."""
    for mark in MARKS:
        config.addinivalue_line("markers", mark)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked."""
    if config.getoption("--all-cases") or any("::" in argument for argument in config.args):
        return
    out = {item.nodeid for item in items if item.get_closest_marker("slow")} | _left_out(items)
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in out])
    items[:] = [item for item in items if item.nodeid not in out]


def _left_out(items: list[pytest.Item]) -> set[str]:
    """Return the names of the cases that are left out because others of their test are run."""
    cases = defaultdict(dict)
    for item in items:
        mark = item.get_closest_marker("one_in")
        if mark is not None:
            test, _, case = item.nodeid.partition("[")
            n, together = (*mark.args, test)[:2]
            cases[test, n][item.nodeid] = zlib.crc32(f"{together}[{case}".encode())
    return {name for (_, n), hashes in cases.items() for name in hashes.keys() - _chosen(n, hashes)}


def _chosen(n: int, hashes: dict[str, int]) -> set[str]:
    """Return the names of the cases that are run."""
    return {name for name, hash_ in hashes.items() if hash_ % n == 0} or {min(hashes, key=hashes.__getitem__)}
