"""How every picture is drawn, whatever the user's or the working folder's settings of Matplotlib are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from matplotlib import style


@contextlib.contextmanager
def house_style(mathematics: bool = False) -> Iterator[None]:
    """Draw with Matplotlib's own defaults meanwhile.

    A `$` is a dollar, as names of costs may have some, except where the picture's own text has `mathematics`.
    """
    with style.context(["default", {"text.parse_math": mathematics}]):
        yield
