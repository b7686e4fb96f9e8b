"""A picture as inline SVG: in the colours of the page, light or dark, and in parts that the page can show and hide."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from xml.etree import ElementTree

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from equipoise.palette import INK, INSIDE, MODE_COLOURS, RULE

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
"""Names of the XML languages."""

VARIABLES = {INK: "--ink", RULE: "--rule", INSIDE: "--inside"} | {
    colour: f"--mode-{mode}" for mode, colour in MODE_COLOURS.items()
}
"""Colours that the page decides, by the name of its variable."""

MARKED = re.compile(r"method-(\d+)")
"""How panels.py names what belongs to an algorithm."""


def inline_svg(figure: Figure, label: str, prefix: str, methods: Sequence[str]) -> str:
    """Return a figure as an SVG element to stand in a page.

    Args:
        figure: The figure.
        label: What it shows, for readers who do not see it.
        prefix: Begins the names of its parts, so that they are unique in the page.
        methods: The algorithms; what is drawn of number i gets the class `m i`, and its name as a hint.
    """
    FigureCanvasSVG(figure)
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(content.getvalue())
    for child in [*root.findall(f"{{{SVG}}}metadata"), *root.findall(f"{{{SVG}}}defs")[:1]]:
        root.remove(child)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": label}
    used = set(re.findall(rb"(?:url\(|href=\")#([\w.-]+)", content.getvalue()))
    for element in root.iter():
        _adapt(element, prefix, {name.decode() for name in used}, methods)
    ElementTree.register_namespace("", SVG)
    return ElementTree.tostring(root, encoding="unicode").replace("\n", " ")


def _adapt(element: ElementTree.Element, prefix: str, used: set[str], methods: Sequence[str]) -> None:
    """Give an element the page's colours and font, and a name that is unique, or none."""
    if element.tail is not None:
        element.tail = element.tail.strip()
    if element.text is not None and not element.text.strip():
        element.text = None
    name = element.attrib.pop("id", "")
    if found := MARKED.fullmatch(name):
        element.set("class", f"m m{found[1]}")
        hint = ElementTree.Element(f"{{{SVG}}}title")
        hint.text = methods[int(found[1])]
        element.insert(0, hint)
    elif name in used:
        element.set("id", f"{prefix}{name}")
    if link := element.attrib.pop(f"{{{XLINK}}}href", ""):
        element.set("href", f"#{prefix}{link[1:]}")
    if clip := element.get("clip-path"):
        element.set("clip-path", clip.replace("#", f"#{prefix}"))
    if style := element.get("style"):
        style = re.sub(r"font-family:[^;]*;? ?", "", style)
        element.set("style", re.sub(r"#[0-9a-f]{6}", lambda c: _colour(c[0]), style))
    for attribute in ("d", "x", "y", "transform"):
        if value := element.get(attribute):
            value = re.sub(r"-?\d+\.\d+", lambda n: f"{float(n[0]):.1f}".removesuffix(".0"), value)
            element.set(attribute, value.strip())


def _colour(colour: str) -> str:
    return f"var({VARIABLES[colour]})" if colour in VARIABLES else colour
