"""Compiled sums are right: versions of jaxlib have got some wrong, in silence, from some ten thousand samples on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from equipoise import xla

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_sums_are_right_as_users_compile_them():
    command = [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", "tests/sums.py"]
    ran = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"XLA_FLAGS": ""}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


# Versions of jaxlib that get them wrong

PROGRAM = """
import jax, sys
if {late}:
    jax.jit(lambda x: x + 1)(1.0)
import equipoise, os
from equipoise.training.jax_doors import uses_jax
print(os.environ.get("XLA_FLAGS", ""))
uses_jax(lambda: print("used"))()
"""


def ran(late, flags=None):
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    if flags is not None:
        environment["XLA_FLAGS"] = flags
    command = [sys.executable, "-c", PROGRAM.format(late=late)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("flags", [None, "--xla_cpu_multi_thread_eigen=false", xla.CURE, f"{xla.CURE}-reduce"])
def test_xla_is_told_before_it_starts_and_other_flags_are_kept(flags):
    said = ran(late=False, flags=flags)
    assert said.returncode == 0, said.stderr
    found, used = said.stdout.splitlines()
    assert used == "used" and found.startswith(flags or "")
    assert (xla.CURE in found) == (xla.is_affected() or xla.CURE in (flags or ""))


@pytest.mark.slow
@pytest.mark.skipif(not xla.is_affected(), reason="this version of jaxlib is sound")
def test_where_it_had_started_before_it_is_refused():
    said = ran(late=True)
    assert said.returncode != 0 and "import equipoise first, or set XLA_FLAGS" in said.stderr


@pytest.mark.parametrize(("installed", "told"), [("0.10.2", True), ("0.11.0", True), ("0.10.1", False), ("1.0", False)])
def test_only_versions_that_need_it_are_told(installed, told, monkeypatch):
    monkeypatch.setattr(xla, "version", lambda name: installed)
    monkeypatch.setenv("XLA_FLAGS", "--other")
    for _ in range(2):
        xla.leave_out_what_is_wrong()
    assert os.environ["XLA_FLAGS"] == (f"--other {xla.CURE}" if told else "--other")
