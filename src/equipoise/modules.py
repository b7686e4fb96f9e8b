"""Modules that are imported because a user named them: the only ones that the working folder may serve."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType

from equipoise.errors import UsageError

_folder: ContextVar[Path | None] = ContextVar("folder", default=None)


@contextlib.contextmanager
def served_from(folder: Path | None) -> Iterator[None]:
    """Let `folder` serve the modules that are named meanwhile, where nothing else has them."""
    before = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(before)


def folder_served() -> Path | None:
    """Return the folder that serves modules now, None where there is none."""
    return _folder.get()


def import_named(module: str, wanted_for: str) -> ModuleType:
    """Import `module`, which a user named for `wanted_for`; `UsageError` with the real cause if that fails.

    A `UsageError` of the module's own is that cause already.
    """
    if not re.fullmatch(r"\w+(\.\w+)*", module):
        raise UsageError(f"cannot import {module!r} for {wanted_for}: MODULE is a name, as in my_package.my_module")
    try:
        with _reachable(module):
            return importlib.import_module(module)
    except UsageError:  # the module's own word for what is to be done
        raise
    except Exception as error:
        raise UsageError(f"cannot import {module!r} for {wanted_for}: {_cause(error, module)}") from error


@contextlib.contextmanager
def _reachable(module: str) -> Iterator[None]:
    """Have the folder on the path while a module is imported that only it has.

    Never longer, and for no other module: libraries look for optional modules and for entry points by name, and a
    folder from someone else could hold such names.
    """
    folder, top = _folder.get(), module.split(".")[0]
    elsewhere = top in sys.modules or importlib.util.find_spec(top) is not None
    if folder is None or (elsewhere and not _is_ours(top, folder)):
        yield
        return
    entry = str(folder)
    sys.path.append(entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _is_ours(top: str, folder: Path) -> bool:
    """Tell whether a module that is imported already came from the folder: then its parts may come from there too."""
    file = getattr(sys.modules.get(top), "__file__", None)
    return file is not None and folder in Path(file).parents


def _cause(error: Exception, module: str) -> str:
    """Say what went wrong; for a mistake inside of a module also where."""
    if isinstance(error, ModuleNotFoundError) and error.name == module.split(".")[0]:
        return str(error)
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({error.filename}, line {error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if len(frames) > 2 else ""
    kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
    return f"{kind}{error}{where}"
