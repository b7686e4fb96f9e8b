"""Every test runs with the library's shapes and types checked at run time, and shares compiled updates."""

import gc
import os
import signal
import tempfile

import pytest
from jaxtyping import install_import_hook

# One cache of compiled code for all tests and the processes they start, empty at first.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="equipoise-tests-"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# A shell starts what it puts into the background deaf to Ctrl-C, and so would be the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

install_import_hook("equipoise", "beartype.beartype")


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_code():
    """Compiled functions are memory maps, of which Linux allows a process 65 530: a whole run of the tests has more."""
    yield
    import jax  # not above: it reads the environment when it is imported

    jax.clear_caches()
    gc.collect()


@pytest.fixture
def drawing(tmp_path, monkeypatch):
    """Skip the test where no picture can be drawn; MuJoCo writes its warnings into the folder of the test."""
    from equipoise.errors import UsageError
    from equipoise.rendering.backend import choose_backend

    monkeypatch.chdir(tmp_path)
    try:
        choose_backend()
    except UsageError as error:
        pytest.skip(str(error))
