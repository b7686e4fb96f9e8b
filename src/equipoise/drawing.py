"""How every picture is drawn, whatever the user's or the working folder's settings of Matplotlib are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib import style


@contextlib.contextmanager
def house_style(mathematics: bool = False, own: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Draw with Matplotlib's own defaults meanwhile, except for what a picture has as its `own`.

    A `$` is a dollar, as names of costs may have some, except where the picture's own text has `mathematics`.
    """
    with style.context(["default", {"text.parse_math": mathematics}, dict(own or {})]):
        yield
