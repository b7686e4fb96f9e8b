"""How Sphinx builds the site, `make docs`: from the Markdown files as they are, the repository's root being its source.

So README.md, CONTRIBUTING.md and the others at the root are pages too, and every link between documents is the same on
the site as it is in the repository.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

from equipoise.algorithms import algorithm
from equipoise.training.config_file import VERSION

sys.path.insert(0, str(Path(__file__).parent))
from docstrings import as_rst

project = "equipoise"
author = "The equipoise maintainers"
copyright = "the equipoise maintainers, Apache-2.0"
version = release = VERSION

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_copybutton"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md", "docs/**/*.md"]
exclude_patterns = [".*", "build", "dist", "runs", "campaigns"]

myst_heading_anchors = 4
"""Headings have the anchors that GitHub gives them."""

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_default_options = {"no-value": True}
python_maximum_signature_line_length = 80
default_role = "py:obj"

html_theme = "furo"
html_title = f"equipoise {VERSION}"
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
html_additional_pages = {"index": "to_the_first_page.html"}
templates_path = ["_templates"]

copybutton_prompt_text = "$ "
linkcheck_anchors_ignore_for_url = ["https://github.com/.*"]
linkcheck_timeout = 20

PAGES = ["two-gradients.html"]
"""Pages that are finished as they are."""


def copy_pages(app: Sphinx, exception: Exception | None) -> None:
    """Put the finished pages where their links lead, among the pages made of docs/."""
    if exception is None and app.builder.format == "html":
        for page in PAGES:
            shutil.copy(Path(__file__).parent / page, Path(app.outdir) / "docs" / page)


def list_folder(app: Sphinx, page: str, content: list[str]) -> None:
    """Let the README of a folder be above the folder's other pages in the site's contents."""
    if page.endswith("/README"):
        content[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n"


def read_docstring(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Rewrite a docstring, which is plain text, as what Sphinx reads."""
    lines[:] = as_rst(lines)


class Plainly:
    """Stands for `typing.Annotated`: what is annotated, without the words for the command line."""

    def __class_getitem__(cls, written: tuple[object, ...]) -> object:
        return written[0]


algorithm.Annotated = Plainly  # type: ignore[attr-defined]


def name_arrays(app: Sphinx, domain: str, kind: str, described: nodes.Element) -> None:
    """Call an array in a signature `Array`, and not by the place where JAX keeps it."""
    for text in list(described.findall(nodes.Text)):
        if text == "jaxlib._jax.Array":
            text.parent.replace(text, nodes.Text("Array"))


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("source-read", list_folder)
    app.connect("build-finished", copy_pages)
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("object-description-transform", name_arrays)
