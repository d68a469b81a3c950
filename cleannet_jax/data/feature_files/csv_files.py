"""Features as text: a row a snippet, a number a column, separated by commas.

Text is slow: every value is parsed to learn how many rows there are, once a file, and
again when the file is read.
"""

import functools
import os
import reprlib
from collections.abc import Iterator

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import arrays, text
from cleannet_jax.data.feature_files import found as found_lib

_REMEMBERED = 1 << 17
# Characters of a row: thousands of columns of some 25.
_LONGEST = 1 << 21
# From so many columns on, a first line 0,1,2,... is taken for their numbers.
_NUMBERED_COLUMNS = 16


def open_csv(path: str | os.PathLike, name: str) -> found_lib.Found:
    """Returns the array of a .csv file, (rows, columns) of float32.

    A first line without any number in it is a header and skipped, and so is one that
    numbers 16 columns or more from 0, as pandas writes it. "nan" and "inf" are numbers.

    Args:
      path: of the file.
      name: empty, since its array has none.

    Raises:
      ArrayError: the file is absent, empty, or not UTF-8; a row has more columns or
        fewer than the first, or something in it is no number.
    """
    del name
    shape = _shape(found_lib.stamp(path))
    read = functools.partial(_read, path)
    return found_lib.Found(str(path), shape, np.dtype(np.float32), read)


@functools.lru_cache(maxsize=_REMEMBERED)
def _shape(stamp: found_lib.Stamp) -> tuple[int, int]:
    """Rows and columns of a file, all of which is parsed."""
    rows = _rows(stamp.path)
    width = len(next(rows))
    return 1 + sum(1 for _ in rows), width


def _read(path: str | os.PathLike) -> np.ndarray:
    """The numbers of a file, (rows, columns) float32."""
    shape = _shape(found_lib.stamp(path))
    values = np.empty(shape, np.float32)
    for index, row in enumerate(_rows(path)):
        values[index] = row
    return values


def _rows(path: str | os.PathLike) -> Iterator[np.ndarray]:
    """Yields the rows of a file, (columns,) float32, at least one."""
    width = 0
    for index, line in enumerate(_lines(path)):
        fields = line.text.split(",")
        if index == 0 and _is_header(fields):
            continue
        row = _numbers(fields, line.place)
        width = width or len(row)
        if len(row) != width:
            raise arrays.ArrayError(
                "ragged rows",
                f"{line.place}: found {len(row)} columns, expected {width} as in the"
                " rows above",
            )
        yield row
    if not width:
        raise arrays.ArrayError(
            "unreadable file",
            f"{path}: found no row of numbers, expected one a snippet",
        )


def _lines(path: str | os.PathLike) -> Iterator[text.Line]:
    """Yields the lines of a file that are not blank."""
    try:
        yield from text.read_lines(path, longest=_LONGEST)
    except errors.InputError as error:
        raise arrays.ArrayError("unreadable file", str(error)) from None


def _is_header(fields: list[str]) -> bool:
    """Whether the first line names the columns."""
    if len(fields) >= _NUMBERED_COLUMNS and fields == list(
        map(str, range(len(fields)))
    ):
        return True
    return not any(map(_is_number, fields))


def _numbers(fields: list[str], place: str) -> np.ndarray:
    """The numbers of a row, (columns,) float32."""
    try:
        row = np.fromiter(map(float, fields), np.float64, len(fields))
    except ValueError:
        column, value = next(
            (column, value)
            for column, value in enumerate(fields, start=1)
            if not _is_number(value)
        )
        raise arrays.ArrayError(
            "wrong type",
            f"{place}: column {column}: found {reprlib.repr(value)}, expected a number;"
            " numbers are separated by commas",
        ) from None
    # Values beyond float32 become infinite, which validation reports.
    with np.errstate(over="ignore"):
        return row.astype(np.float32)


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
