"""Tables as aligned text, CSV and LaTeX. A table is its rows, a row the text of its cells."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any


def aligned(
    rows: Sequence[Sequence[str]], *, widths: Sequence[int] = (), gap: int = 2
) -> list[str]:
    """Returns the rows as lines, the first column to the left and the others to the right.

    Args:
      rows: cells, as many in every row.
      widths: of each column at least, its gap included; the last one is that of the
        columns after it too.
      gap: spaces in front of every column but the first, at least.
    """
    columns = list(zip(*rows, strict=True))
    least = [*widths, *widths[-1:] * len(columns)] or [0] * len(columns)
    needed = [
        max(map(len, cells)) + (gap if column else 0)
        for column, cells in enumerate(columns)
    ]
    full = [max(pair) for pair in zip(needed, least[: len(columns)], strict=True)]
    return [
        "".join(
            text.rjust(width) if column else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, full, strict=True))
        ).rstrip()
        for row in rows
    ]


def as_csv(rows: Iterable[Sequence[Any]]) -> str:
    """Returns the rows as CSV, a line each."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def as_latex(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a tabular that needs no package.

    Args:
      rows: the heads, then what stands below them; cells are LaTeX.
    """
    head, *body = [" & ".join(row) + r" \\" for row in rows]
    columns = "l" + "r" * (len(rows[0]) - 1)
    return [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\hline",
        head,
        r"\hline",
        *body,
        r"\hline",
        r"\end{tabular}",
    ]
