"""Markdown, as the generated pages have it."""

from __future__ import annotations


def table(heading: list[str], rows: list[list[str]]) -> str:
    """Write a Markdown table; nothing if it has no rows."""
    if not rows:
        return ""
    lines = [" | ".join(cell.replace("|", r"\|") for cell in row) for row in [heading, *rows]]
    lines.insert(1, "|".join("---" for _ in heading))
    return "\n".join(f"|{line}|" if line.startswith("---") else f"| {line} |" for line in lines)
