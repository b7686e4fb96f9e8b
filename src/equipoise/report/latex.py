"""Tables as LaTeX, for a paper."""

from __future__ import annotations

from equipoise.report.table import Table

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": r"$-$",
    "×": r"$\times$",
    "≤": r"$\le$",
    "∞": r"$\infty$",
    "⁺": r"$^+$",
    "Ĵ": r"$\hat{J}$",
    "φ": r"$\varphi$",
    "–": "--",
}
"""Letters that mean something else to LaTeX, or that its fonts lack."""


def escaped(text: str) -> str:
    """Return a text as LaTeX writes it."""
    return "".join(SPECIAL.get(letter, letter) for letter in text)


def latex(table: Table) -> str:
    """Write a table for `booktabs`, with its caption as a comment."""
    kinds = "".join("r" if column.numeric else "l" for column in table.columns)
    lines = [
        f"% {table.caption}".replace("\n", " "),
        r"% \usepackage{booktabs}",
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        _row([column.name for column in table.columns]),
        r"\midrule",
        *(_row([entry.text for entry in row]) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _row(texts: list[str]) -> str:
    row = " & ".join(escaped(text) for text in texts) + r" \\"
    return "{}" + row if row.startswith("[") else row  # or the line break before would read an option
