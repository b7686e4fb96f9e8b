"""Files that are either whole or not there, and files from someone else, opened without following links."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import IO

from equipoise.errors import UsageError


def is_full(error: OSError) -> bool:
    """Tell whether an error says that there is no room on the disk, or in the user's share of it."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path`: whoever looks finds the old file or the whole new one, also after a crash.

    Raises `OSError` (a full disk, say), and then leaves nothing behind. What a killed process left of an earlier
    attempt goes. A link of that name is replaced, not followed.
    """
    clear_partial_files(path.parent, re.escape(path.name))
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def clear_partial_files(folder: Path, names: str) -> None:
    """Remove from `folder` what was left of files whose names match `names` by processes that were killed."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        left = re.fullmatch(rf"\.(?:{names})\.([0-9]{{1,9}})", path.name)
        if left and not _at_work(int(left[1])) and not path.is_dir():
            path.unlink(missing_ok=True)


def _at_work(process: int) -> bool:
    """Tell whether another process of that number is running."""
    if process == os.getpid() or os.name == "nt":  # there, signal 0 is not a question
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def open_file(path: Path, mode: str, buffering: int = -1) -> IO[bytes]:
    """Open the regular file `path`; `UsageError` for a link, a folder, a device or a pipe, which are never opened.

    Raises `FileNotFoundError` where there is none, and `OSError` where nothing can be written.
    """
    if path.is_symlink():
        raise UsageError(f"{path} is a symbolic link; allowed: a file of its own")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no file; allowed: a file of its own")

    def opener(name: str, flags: int) -> int:
        # Not only looked at, but opened so: in between it could be exchanged.
        return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)

    try:
        file = open(path, mode, buffering, opener=opener)  # noqa: SIM115 (Path.open takes no opener; the caller closes it)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UsageError(f"{path} is a symbolic link; allowed: a file of its own") from None
        if "r" in mode and not isinstance(error, FileNotFoundError):
            raise UsageError(f"{path} cannot be read: {error.strerror}") from None
        raise
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise UsageError(f"{path} is no file; allowed: a file of its own")
    return file


def read_file(path: Path, most: int) -> bytes:
    """Return the content of the regular file `path`; `UsageError` if it is none, or has more than `most` bytes."""
    with open_file(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise UsageError(f"{path} has {size} bytes; allowed: at most {most}")
        return file.read(size)


def append(path: Path, content: bytes) -> None:
    """Add `content` to the end of the regular file `path`, onto the disk; of what does not fit, nothing stays.

    Raises `OSError` then, and `UsageError` for a link or anything else that is no file.
    """
    with open_file(path, "ab", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), size)
            raise


def own_folder(path: Path) -> bool:
    """Tell whether there is a folder `path`; `UsageError` if it is a link or no folder."""
    if path.is_symlink():
        raise UsageError(f"{path} is a symbolic link; allowed: a folder of its own")
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is no folder; allowed: a folder of its own")
    return path.is_dir()
