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


def segment(entry: Any, where: str) -> tuple[float, float]:
    """Returns the segment of an annotation or a detection, in seconds."""
    value = field(entry, "segment", where)
    ends = [_number(end) for end in value] if isinstance(value, list) else []
    if len(ends) != 2 or not all(map(math.isfinite, ends)):
        raise errors.InputError(
            f"{where}: segment: expected [start, end] in seconds, found"
            f" {reprlib.repr(value)}"
        )
    if ends[1] < ends[0]:
        raise errors.InputError(
            f"{where}: segment: expected an end that is not before the start, found"
            f" {reprlib.repr(value)}"
        )
    return ends[0], ends[1]


def score(entry: Any, where: str) -> float:
    """Returns the score of a detection."""
    value = field(entry, "score", where)
    number = math.nan if isinstance(value, str) else _number(value)
    if math.isnan(number):
        raise errors.InputError(
            f"{where}: score: expected a number, found {reprlib.repr(value)}"
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
