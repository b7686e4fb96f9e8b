"""Files that are either whole or not there, and lines that are either added or not."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path`: whoever looks finds the old file or the whole new one, also after a crash.

    Raises `OSError` (a full disk, say), and then leaves nothing behind.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def append_or_nothing(path: Path, content: bytes) -> None:
    """Add `content` to the end of `path`. Raises `OSError` if it does not fit on the disk, and then adds nothing."""
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as file:
            file.write(content)
    except OSError:
        if path.exists():
            os.truncate(path, size)
        raise
