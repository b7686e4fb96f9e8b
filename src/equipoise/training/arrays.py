"""The door to a checkpoint's file: nothing else reads it, and all that its headers claim is checked before the arrays.

A checkpoint is what `numpy.savez` writes: a zip archive, not compressed, of one .npy file for each array.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from equipoise.errors import UsageError, described
from equipoise.files import open_file
from equipoise.training.config_file import FORMAT, known_version

HEADER = "header"
"""The array that holds the format and the version, as JSON in bytes."""
MOST_HEADER = 2**12
"""Bytes of the header, and of what says an array's shape and type."""


def read_arrays(path: Path, expected: Mapping[str, Any], instead: str = "") -> dict[str, np.ndarray]:
    """Read the arrays of `expected` (anything with a shape and a dtype, by name) from the checkpoint `path`.

    Raises `UsageError` for a file that is damaged, has another format, or holds anything else than those arrays; it
    ends with what can be done `instead`.
    """
    room = sum(_bytes(array) + 2 * MOST_HEADER for array in expected.values()) + 8 * MOST_HEADER
    with open_file(path, "rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        if size > room:
            raise UsageError(f"{_another(path)}: it has {size} bytes; allowed: at most {room}{instead}")
        try:
            return _read(path, file, expected)
        except UsageError as error:
            raise UsageError(f"{error}{instead}") from None
        except Exception as error:  # whatever NumPy, zipfile and tokenize raise about a damaged file
            why = str(error) or type(error).__name__
            raise UsageError(f"{path} is truncated or no checkpoint of equipoise{instead} ({why})") from None


def _read(path: Path, file: IO[bytes], expected: Mapping[str, Any]) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        if len(entries) != len(archive.infolist()):
            raise ValueError("an array is there twice")
        for name, entry in entries.items():
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise ValueError(f"{described(name)} is compressed or encrypted; allowed: neither")
        if HEADER not in entries:
            raise ValueError("it has no header")
        _check_format(path, archive, entries.pop(HEADER))
        for name in sorted(set(entries) ^ set(expected)):
            which = "lacks" if name in expected else "has"
            raise UsageError(f"{_another(path)}: it {which} an array {described(name)}")
        for name, array in expected.items():  # every header before the first array
            with archive.open(entries[name]) as member:
                shape, dtype, _ = _claims(member)
                if shape != tuple(array.shape) or dtype != array.dtype:
                    raise UsageError(
                        f"{_another(path)}: {name} has shape {shape} and type {dtype}; allowed: {tuple(array.shape)} "
                        f"and {array.dtype}"
                    )
        return {name: _array(archive, entries[name]) for name in expected}


def _another(path: Path) -> str:
    return f"{path} belongs to another run: its arrays are not those of this configuration"


def _bytes(array: Any) -> int:
    return int(np.prod(array.shape, dtype=object)) * np.dtype(array.dtype).itemsize


def _check_format(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    if entry.file_size > MOST_HEADER:
        raise ValueError(f"its header has {entry.file_size} bytes; allowed: at most {MOST_HEADER}")
    header = json.loads(_array(archive, entry).tobytes())
    if not isinstance(header, dict) or type(header.get("format")) is not int:
        raise ValueError(f"its header is {described(header)}; allowed: a table with format and equipoise")
    if header["format"] != FORMAT:
        version = known_version(header.get("equipoise"))
        raise UsageError(f"{path} has format {header['format']}, written by equipoise {version}; allowed: {FORMAT}")


def _claims(member: Any) -> tuple[tuple[int, ...], np.dtype, Literal["C", "F"]]:
    """Read which shape, type and order an array's file says it has."""
    version = np.lib.format.read_magic(member)
    if version != (1, 0):
        raise ValueError(f"an array of .npy version {version}; allowed: (1, 0)")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(member, max_header_size=MOST_HEADER)
    return shape, dtype, "F" if fortran else "C"


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """Read an array whose headers were checked; its checksum is checked by reading to the end."""
    with archive.open(entry) as member:
        shape, dtype, order = _claims(member)
        if dtype.hasobject:
            raise ValueError("an array of objects")
        content = member.read(entry.file_size)
    if len(content) != int(np.prod(shape, dtype=object)) * dtype.itemsize:
        raise ValueError(f"an array of {len(content)} bytes where {shape} of {dtype} are said to be")
    return np.frombuffer(content, dtype).reshape(shape, order=order).copy()
