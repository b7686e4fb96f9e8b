"""A place in a notebook's output whose content is replaced, as a terminal's is redrawn."""

from __future__ import annotations

import base64
import importlib
import io
import sys
from typing import Any

from rich.console import Console, RenderableType

WIDE = 100
"""Columns of what is shown in a notebook."""


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, whose pages somebody looks at."""
    shell = sys.modules.get("IPython")  # whoever is in a notebook has imported it
    made = shell.get_ipython() if shell is not None and hasattr(shell, "get_ipython") else None
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in type(made).__mro__)  # Colab derives its own from it


class Output:
    """One output of a cell; the first `show` makes it, and each later one replaces what it shows."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, content: RenderableType) -> None:
        """Show text, or a table or a bar of rich's: in colour where the notebook has HTML, and else as plain text."""
        console = Console(file=io.StringIO(), record=True, width=WIDE, force_jupyter=False, color_system="truecolor")
        console.print(content)
        text = console.export_text(clear=False)
        html = console.export_html(inline_styles=True, code_format='<pre style="line-height: normal">{code}</pre>')
        self._replace({"text/plain": text, "text/html": html})

    def show_png(self, content: bytes, name: str) -> None:
        """Show a picture; `name` stands for it where a notebook shows text only."""
        self._replace({"text/plain": name, "image/png": base64.b64encode(content).decode()})

    def _replace(self, bundle: dict[str, str]) -> None:
        if self._handle is None:
            display = importlib.import_module("IPython.display").display
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)
