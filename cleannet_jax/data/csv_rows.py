"""CSV files with a header, as spreadsheets and data frames write them.

Columns may stand in any order and under any of the names that are given for them, in
either case; what other columns there are is not read. Files are UTF-8, with or without
a byte order mark, with the line ends of any system; cells may be in quotes, and spaces
around them do not count.
"""

import csv
import os
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, NamedTuple

from cleannet_jax import errors
from cleannet_jax.data import text

# Characters of a record, whose quoted cells may have line ends in them.
_LONGEST = 1 << 16


class Row(NamedTuple):
    """A row that is not blank.

    Attributes:
      cells: its text by column; an optional column that is absent is "".
      line: number of its last line in the file, counted from 1.
    """

    cells: dict[str, str]
    line: int


def read(
    path: str | os.PathLike,
    columns: Mapping[str, Sequence[str]],
    *,
    optional: Mapping[str, Sequence[str]] | None = None,
    spills: str = "",
) -> Iterator[Row]:
    """Yields the rows of a file.

    Args:
      path: of the file, whose first line has the names of the columns.
      columns: the names, in lower case, that each column may have; all must be there.
      optional: the same of columns that may be absent.
      spills: a column that may have more cells than one where it is the last; they come
        with a semicolon between them.

    Raises:
      InputError: the file is absent or no CSV, lacks a column or has one twice, or a
        row has more or fewer cells than the header; the message names the line.
    """
    spellings = {**columns, **(optional or {})}
    with text.opened(path, newline="") as file:
        yield from _rows(file, f"{path}", columns, spellings, spills)


def _rows(
    file: IO[str],
    path: str,
    columns: Mapping[str, Sequence[str]],
    spellings: Mapping[str, Sequence[str]],
    spills: str,
) -> Iterator[Row]:
    """The rows of an open file."""
    lines = text.bounded(file, path)
    reader = csv.reader(_limited(lines, path, lambda: after), strict=True)
    header: list[str] | None = None
    places: dict[str, int] = {}
    after = 0
    try:
        for record in reader:
            after = reader.line_num
            cells = [cell.strip() for cell in record]
            if not any(cells):
                continue
            place = f"{path}: line {reader.line_num}"
            if header is None:
                header = cells
                places = _places(header, columns, spellings, place)
                continue
            last = len(header) - 1
            if places.get(spills) == last and len(cells) > last:
                cells[last:] = [";".join(filter(None, cells[last:]))]
            if len(cells) != len(header):
                raise errors.InputError(
                    f"{place}: found {len(cells)} cells, {reprlib.repr(record)},"
                    f" expected {len(header)} as in the header"
                )
            else:
                values = {name: "" for name in spellings}
                values |= {name: cells[at] for name, at in places.items()}
                yield Row(values, reader.line_num)
    except csv.Error as error:
        raise errors.InputError(
            f"{path}: line {reader.line_num}: not CSV: {error}"
        ) from None
    if header is None:
        raise errors.InputError(
            f"{path}: found no line, expected a header with {', '.join(columns)}"
        )


def _limited(lines: Iterator[str], path: str, last: Callable[[], int]) -> Iterator[str]:
    """The lines while no record is too long; `last` is that of the record before."""
    size = 0
    for number, line in enumerate(lines, start=1):
        size = len(line) + (0 if last() == number - 1 else size)
        if size > _LONGEST:
            raise errors.InputError(
                f"{path}: line {number}: found a record of more than {_LONGEST}"
                " characters: is a quote missing?"
            )
        yield line


def _places(
    header: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    spellings: Mapping[str, Sequence[str]],
    place: str,
) -> dict[str, int]:
    """The position of every column that is there."""
    found = {
        name: [at for at, cell in enumerate(header) if cell.lower() in names]
        for name, names in spellings.items()
    }
    for name, at in found.items():
        if len(at) > 1 or (not at and name in columns):
            what = f"{len(at)} columns" if at else "no column"
            raise errors.InputError(
                f"{place}: found {what} {' or '.join(map(repr, spellings[name]))} in"
                f" the header {reprlib.repr(','.join(header))}, expected"
                f" {', '.join(columns)}, each once"
            )
    return {name: at[0] for name, at in found.items() if at}
