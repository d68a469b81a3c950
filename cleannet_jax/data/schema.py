"""Values in ActivityNet's JSON schema, checked.

`where` is what a message calls the entry that a value is in or, of `rows`, the value
itself: "results['some video'][2]" is the third entry of that video. Every function
raises an InputError that names it, what was found and what was expected.
"""

import math
import reprlib
from collections.abc import Sequence
from typing import Any

from cleannet_jax import errors


def field(entry: Any, key: str, where: str) -> Any:
    """Returns the value under a key that must be there."""
    if not isinstance(entry, dict):
        raise errors.InputError(
            f"{where}: expected an object with the key {key!r}, found"
            f" {reprlib.repr(entry)}"
        )
    if key not in entry:
        raise errors.InputError(
            f"{where}: expected the key {key!r}, found only {reprlib.repr(list(entry))}"
        )
    return entry[key]


def rows(value: Any, where: str) -> Sequence[Any]:
    """Returns the value, which must be a list."""
    if not isinstance(value, list):
        raise errors.InputError(
            f"{where}: expected a list, found {reprlib.repr(value)}"
        )
    return value


def text(entry: Any, key: str, where: str) -> str:
    """Returns the text under a key that must be there."""
    value = field(entry, key, where)
    if not isinstance(value, str) or not value:
        raise errors.InputError(
            f"{where}: {key}: expected a name, found {reprlib.repr(value)}"
        )
    return value


def label(entry: Any, where: str) -> str:
    """Returns the label of an annotation or a detection; a whole number as its digits."""
    value = field(entry, "label", where)
    if type(value) is int and 0 <= value < 10**9:
        return str(value)
    return text(entry, "label", where)


def positive(entry: dict[str, Any], key: str, where: str) -> float | None:
    """Returns the number above zero under a key, None where there is none."""
    if entry.get(key) is None:
        return None
    value = _number(entry[key])
    if not 0 < value < math.inf:
        raise errors.InputError(
            f"{where}: {key}: expected a number above 0, found"
            f" {reprlib.repr(entry[key])}"
        )
    return value


def ends(entry: Any, where: str) -> tuple[float, float]:
    """Returns the ends of a segment in seconds, of which the second may be before."""
    value = field(entry, "segment", where)
    return pair(value, f"{where}: segment")


def pair(value: Any, where: str) -> tuple[float, float]:
    """Returns the value, which must be two finite numbers, as seconds."""
    numbers = [_number(end) for end in value] if isinstance(value, list) else []
    if len(numbers) != 2 or not all(map(math.isfinite, numbers)):
        raise errors.InputError(
            f"{where}: expected [start, end] in seconds, found {reprlib.repr(value)}"
        )
    return numbers[0], numbers[1]


def segment(entry: Any, where: str) -> tuple[float, float]:
    """Returns the segment of an annotation or a detection, in seconds."""
    start, end = ends(entry, where)
    if end < start:
        raise errors.InputError(
            f"{where}: segment: expected an end that is not before the start, found"
            f" {reprlib.repr(entry['segment'])}"
        )
    return start, end


def score(entry: Any, where: str) -> float:
    """Returns the score of a detection."""
    value = field(entry, "score", where)
    number = math.nan if isinstance(value, str) else _number(value)
    if math.isnan(number):
        is_quoted = isinstance(value, str) and not math.isnan(_number(value))
        hint = ", which is text: write it without the quotes" if is_quoted else ""
        raise errors.InputError(
            f"{where}: score: expected a number, found {reprlib.repr(value)}{hint}"
        )
    return number


def _number(value: Any) -> float:
    """A number, or text that is one, as a float; NaN for anything else."""
    if isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except (OverflowError, TypeError, ValueError):
        return math.nan
