"""What commands say to scripts: one JSON object a line, on stdout."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any


def say_json(event: str, content: dict[str, Any]) -> None:
    """Print one line: a JSON object of what happened, under `event`, and `content`.

    A number that is not finite is null, as JSON has no word for it.
    """
    print(json.dumps(_plain({"event": event, **content}), ensure_ascii=False, allow_nan=False), flush=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
