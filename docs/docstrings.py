"""The library's docstrings, which are plain text with formulas, as reStructuredText for the reference."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

INDENT = "    "
REFERENCE = re.compile(r"[A-Za-z_][\w.]*(\(\))?")
"""What in backticks may be the name of something documented; everything else in them is code."""


def as_rst(lines: Sequence[str]) -> list[str]:
    """Return a docstring's lines with indented blocks as literal ones, and no mark-up except for names and lists."""
    return list(_rewritten(lines))


def _rewritten(lines: Sequence[str]) -> Iterator[str]:
    formula = section = False
    for number, line in enumerate(lines):
        before = lines[number - 1] if number else ""
        if line in ("Args:", "Returns:", "Raises:"):
            section = True
        elif line and not line.startswith(" "):
            section = False
        if section:
            yield from _section(line)
            continue
        starts = line.startswith(INDENT) and not before.strip() and not formula
        formula = starts or (formula and (line.startswith(INDENT) or not line.strip()))
        if starts:
            yield from ("::", "")
        if line.startswith("- ") and before.strip() and not before.startswith(("- ", "  ")):
            yield ""  # a list is a paragraph of its own
        yield line if formula else _plain(line)


def _section(line: str) -> Iterator[str]:
    """Yield the lines of Google's sections as lists of fields."""
    argument = re.match(r" +(\w+): (.*)", line)
    if argument:
        yield f":param {argument[1]}: {_plain(argument[2])}"
    elif line.startswith(" "):
        yield f"    {_plain(line.strip())}"
    else:
        yield ""


def _plain(line: str) -> str:
    """Return a line of text in which only what is in backticks means anything to Sphinx."""
    parts = re.split(r"`([^`]+)`", line)
    words = [re.sub(r"([*|_\\])", r"\\\1", part) for part in parts[::2]]
    code = [f"`{part}`" if REFERENCE.fullmatch(part) else f"``{part}``" for part in parts[1::2]]
    # A backslash and a blank end a name before a letter that follows it, and are not shown.
    ended = [f"{name}\\ " if following[:1].isalnum() else name for name, following in zip(code, words[1:], strict=True)]
    return "".join([words[0], *(name + word for name, word in zip(ended, words[1:], strict=True))])
