"""The device that updates are computed on, on a machine that JAX is told has two."""

import os
import subprocess
import sys
import textwrap

import pytest

from equipoise.errors import UsageError
from equipoise.training.device import find_device

XLA_FLAGS = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
TWO = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": XLA_FLAGS}
TRAIN = """
    import jax, numpy as np, sys
    import equipoise
    from equipoise.training import update

    places = []

    def noting(compiled):
        def inside(*arguments):
            results = compiled(*arguments)
            places.extend(device for leaf in jax.tree.leaves(results) for device in leaf.devices())
            return results
        return inside

    for piece in ("compiled_prepare", "compiled_improve", "compiled_fit", "compiled_join"):
        setattr(update, piece, noting(getattr(update, piece)))

    def train(device, **options):
        return equipoise.train("pcrpo", "SafetyReacher-v4", steps_per_iteration=2000, num_envs=2, total_steps=4000,
            device=device, run_dir=f"run-{device}", **options)

    first = train(None, watch=None)
    assert set(places) == {jax.devices()[0]}, places
    places.clear()
    stopped = train("cpu:1", watch=lambda row: False)
    assert set(places) == {jax.devices()[1]}, places
    places.clear()
    second = equipoise.resume(stopped.path, device="cpu:1")
    assert set(places) == {jax.devices()[1]}, places
    for one, other in zip(jax.tree.leaves(first.state), jax.tree.leaves(second.state), strict=True):
        np.testing.assert_array_equal(one, other)
"""


@pytest.mark.slow
def test_everything_is_computed_where_it_was_asked_for(tmp_path):
    """Both threads of an update, from the start and after a stop; and on an equal device the results are equal."""
    command = [sys.executable, "-c", textwrap.dedent(TRAIN)]
    done = subprocess.run(command, cwd=tmp_path, env=TWO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["gpu:99", "cpu:1000000", "cpu:-1", "cpu:x", "", "CPU", "cpu 1", "nonsense"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(name):
    with pytest.raises(UsageError, match=r"JAX has cpu:0"):
        find_device(name)


@pytest.mark.slow
def test_the_command_line_says_it_in_one_line_and_writes_nothing(tmp_path):
    command = [sys.executable, "-m", "equipoise", "train", "trpo", "SafetyReacher-v4", "--device", "gpu:99"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("equipoise: device is 'gpu:99'; JAX has cpu:0") and done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.slow
@pytest.mark.parametrize("platforms", ["cuda", "nonsense"])
def test_a_platform_that_is_not_there_is_one_line_too(tmp_path, platforms):
    """JAX_PLATFORMS=cuda without its plugin ended in a bare AssertionError."""
    command = [sys.executable, "-m", "equipoise", "train", "trpo", "SafetyReacher-v4"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "JAX_PLATFORMS": platforms}, capture_output=True, text=True
    )
    if platforms == "cuda" and done.returncode == 0:
        pytest.skip("there is a GPU")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"JAX_PLATFORMS is '{platforms}'; allowed: cpu" in done.stderr and done.stderr.count("\n") == 1
