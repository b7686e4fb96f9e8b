"""Every test runs with the library's shapes and types checked at run time, and shares compiled updates."""

import gc
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

from compiling import quick_compiling
from thinning import pytest_addoption, pytest_collection_modifyitems, pytest_configure  # noqa: F401

# One cache of compiled code for all tests and the processes they start, empty at first.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="equipoise-tests-"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# A shell starts what it puts into the background deaf to Ctrl-C, and so would be the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Most of a test's time would go into optimising code that then runs for moments. Where XLA_FLAGS is set, even to
# nothing, it is left as it is: `XLA_FLAGS= make test` compiles as users do.
os.environ.setdefault("XLA_FLAGS", quick_compiling())

install_import_hook("equipoise", "beartype.beartype")


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_code():
    """Compiled functions are memory maps, of which Linux allows a process 65 530: a whole run of the tests has more."""
    yield
    import jax  # not above: it reads the environment when it is imported

    jax.clear_caches()
    gc.collect()


@pytest.fixture
def run(finished, tmp_path):
    """A copy of `finished`, the folder of a run that a file of tests trains once, for a test to do with as it likes."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


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


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window; the test is skipped where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install --group dev)"
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium here (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, address):
    """Open the page at `address` on a screen; in the end nothing may have been complained of, and nothing fetched."""
    said, fetched, contexts = [], [], []

    def open_(width=1280, height=900, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: fetched.append(request.url))
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert said == []
    assert {url for url in fetched if not url.startswith("data:")} == {address}
