"""What can draw here: one of MuJoCo's OpenGL backends for pictures, a display for a window."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import warnings

from equipoise.errors import UsageError

BACKENDS = ("egl", "glfw", "osmesa")
"""MuJoCo's backends in the order in which they are tried: EGL and OSMesa need no display, EGL may use a GPU."""

PROBE = """
import mujoco
from mujoco.{backend} import GLContext
context = GLContext(8, 8)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_150)
print("drawn")
"""


@functools.cache
def choose_backend() -> None:
    """Set MUJOCO_GL, where the user has not, to the first backend that works; `UsageError` if none does.

    On Linux only: elsewhere the default one works.
    """
    if not sys.platform.startswith("linux"):
        return
    chosen = os.environ.get("MUJOCO_GL", "").strip().lower()
    if chosen and chosen not in BACKENDS:
        raise UsageError(f"MUJOCO_GL is {chosen!r}, which draws nothing; allowed: {', '.join(BACKENDS)}, or not set")
    for backend in [chosen] if chosen else BACKENDS:
        if _works(backend):
            os.environ["MUJOCO_GL"] = backend
            return
    if chosen:
        raise UsageError(f"MUJOCO_GL is {chosen!r}, which does not work here; unset it to have another one chosen")
    raise UsageError(
        "no picture can be drawn here: there is neither EGL nor OSMesa nor a display; on Debian or Ubuntu, "
        "`apt-get install libegl1 libgl1-mesa-dri` gives EGL, and `apt-get install libosmesa6` gives OSMesa"
    )


def _works(backend: str) -> bool:
    """Draw with `backend` in a process of its own: one that does not work can abort, and keeps others from working.

    With -P, since otherwise it would import from the working folder.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROBE.format(backend=backend)],
        env={**os.environ, "MUJOCO_GL": backend},
        capture_output=True,
        check=False,
    )
    return b"drawn" in done.stdout


def require_display() -> None:
    """Raise `UsageError` unless a window can be opened; without this check, GLFW ends the process."""
    import glfw

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        works = glfw.init()
    if not works:
        display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        reason = f"the display {display!r} does not answer" if display else "DISPLAY is not set"
        raise UsageError(f"no window can be opened here: {reason}; a film needs no display: equipoise render RUN")
