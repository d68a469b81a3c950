"""Text files that hold one record a line, and where each record stands.

Files are UTF-8, with or without a byte order mark, with the line ends of any system,
and are read a line at a time, of which none may be longer than records are. A place is what a message names: "FILE: line 3".
"""

import contextlib
import math
import os
import re
import reprlib
from collections.abc import Iterator
from typing import NamedTuple, TextIO

from cleannet_jax import errors

# Characters of a name that a message shows.
_SHOWN = 100
_HALF = re.compile("[\ud800-\udfff]")
# Characters of a line: no record of a video, a segment or a class is as long.
_LONGEST = 1 << 16


class Line(NamedTuple):
    """A line that is not blank.

    Attributes:
      text: its content without the spaces around it.
      place: the file and the number of the line, counted from 1.
    """

    text: str
    place: str

    @property
    def number(self) -> int:
        """The number of the line, counted from 1."""
        return int(self.place.rpartition(" ")[2])


def read_lines(path: str | os.PathLike, *, longest: int = _LONGEST) -> Iterator[Line]:
    """Yields the lines of a file, blank ones left out.

    Args:
      path: of the file.
      longest: characters that a line may have.

    Raises:
      InputError: the file is absent or is not UTF-8, or a line is longer.
    """
    with opened(path) as file:
        for number, text in enumerate(bounded(file, str(path), longest), start=1):
            if text.strip():
                yield Line(text.strip(), f"{path}: line {number}")


def bounded(file: TextIO, path: str, longest: int = _LONGEST) -> Iterator[str]:
    """Yields the lines of an open file as they are.

    Args:
      file: that is open.
      path: what messages call it.
      longest: characters that a line may have.

    Raises:
      InputError: a line is longer.
    """
    number = 0
    while text := file.readline(longest + 1):
        number += 1
        if len(text) > longest:
            raise errors.InputError(
                f"{path}: line {number}: found more than {longest} characters, expected"
                " a shorter line"
            )
        yield text


@contextlib.contextmanager
def opened(path: str | os.PathLike, *, newline: str | None = None) -> Iterator[TextIO]:
    """Opens a file of text to be read.

    Args:
      path: of the file.
      newline: as for `open`.

    Raises:
      InputError: the file is absent or, where it is read, is not UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig", newline=newline) as file:
            yield file
    except FileNotFoundError:
        raise errors.InputError(f"{path}: no such file") from None
    except OSError as error:
        raise errors.InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise errors.InputError(f"{path}: not UTF-8 text: {error.reason}") from None


def quoted(name: str) -> str:
    """Returns a name in quotes for a message, escaped; cut where no name is as long."""
    shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
    return repr(shown)


def check_writable(name: str) -> None:
    """Raises an InputError if a name has half of a surrogate pair, which no file can."""
    if _HALF.search(name):
        raise errors.InputError(
            f"{quoted(name)}: found half of a surrogate pair, expected text that can be"
            " written"
        )


def columns(line: Line, names: str) -> list[str]:
    """Returns the columns of a line, which white space separates.

    Args:
      line: the line.
      names: the columns that it must have, separated by spaces.

    Raises:
      InputError: there are more columns or fewer.
    """
    found, expected = line.text.split(), names.split()
    if len(found) != len(expected):
        raise errors.InputError(
            f"{line.place}: found {len(found)} columns, {reprlib.repr(line.text)},"
            f" expected {len(expected)}: {names}"
        )
    return found


def finite(value: str, place: str) -> float:
    """Returns the number that a text spells, which must be finite.

    Raises:
      InputError: it is anything else.
    """
    number = _parsed(float, value)
    if number is None or not math.isfinite(number):
        raise errors.InputError(
            f"{place}: found {reprlib.repr(value)}, expected a finite number"
        )
    return number


def count(value: str, place: str) -> int:
    """Returns the whole number, 0 or above, that a text spells.

    Raises:
      InputError: it is anything else.
    """
    number = _parsed(int, value)
    if number is None or number < 0:
        raise errors.InputError(
            f"{place}: found {reprlib.repr(value)}, expected a whole number, 0 or above"
        )
    return number


def score(value: str, place: str) -> float:
    """Returns the score that a text spells; infinite ones have an order too.

    Raises:
      InputError: it is anything else.
    """
    number = _parsed(float, value)
    if number is None or math.isnan(number):
        raise errors.InputError(
            f"{place}: found the score {reprlib.repr(value)}, expected a number"
        )
    return number


def segment(start: str, end: str, place: str) -> tuple[float, float]:
    """Returns the two times that texts spell, of which the second is not before.

    Raises:
      InputError: one is not a finite number, or the end is before the start.
    """
    pair = finite(start, place), finite(end, place)
    if pair[1] < pair[0]:
        raise errors.InputError(
            f"{place}: found the segment {list(pair)}, expected an end that is not"
            " before the start"
        )
    return pair


def _parsed(kind: type, value: str) -> int | float | None:
    """The number of that kind that a text spells, None if it spells none."""
    try:
        return kind(value)
    except ValueError:
        return None
