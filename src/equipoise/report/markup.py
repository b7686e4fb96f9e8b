"""HTML, piece by piece: every text and every attribute is escaped here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class Markup(str):
    """A piece of HTML; any other text is escaped where it becomes a part of one."""


def element(name: str, *inner: str, **attributes: str | bool | int | float | None) -> Markup:
    """Return an element. Attributes are named as in Python: `class_`, `aria_label`; None and False leave one out."""
    start = name
    for key, value in attributes.items():
        if value is True:
            start += f" {_attribute(key)}"
        elif value is not None and value is not False:
            start += f' {_attribute(key)}="{escape(str(value))}"'
    if name in ("input", "line"):
        return Markup(f"<{start}>" if name == "input" else f"<{start}/>")
    return Markup(f"<{start}>{joined(inner)}</{name}>")


def joined(parts: Iterable[str]) -> Markup:
    """Return pieces of HTML and texts one after another, the texts escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def listing(texts: Iterable[str], **attributes: str) -> Markup:
    """Return a list with a point for each text."""
    return element("ul", *(element("li", text) for text in texts), **attributes)


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
