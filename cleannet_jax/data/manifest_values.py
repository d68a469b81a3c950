"""The values of a manifest's keys: what each may be, and one line where it is not.

Each reader takes a value as JSON has it and the place that messages call it, and
returns it as `manifest.Manifest` has it.
"""

import pathlib
import re
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

from cleannet_jax import errors
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import text as text_lib
from cleannet_jax.data.feature_files import table

VERSION = 1

# What stands for a name in a pattern.
FIELD = re.compile(r"\{(id|stream)\}")


def is_path_part(text: str) -> bool:
    """Returns whether `text` can stand in a path without leading anywhere else."""
    return (
        text not in ("", ".", "..")
        and text.isprintable()
        and "/" not in text
        and "\\" not in text
        and len(text.encode()) <= 200
    )


def wrong(place: str | pathlib.Path, found: Any, expected: str) -> errors.InputError:
    """Returns the error of a value that is not what its place asks for."""
    return errors.InputError(
        f"{place}: found {reprlib.repr(found)}, expected {expected}"
    )


def _number(value: Any, place: str) -> float:
    """`value` if it is a number; the bounds also refuse NaN and infinities."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not -1e9 < value < 1e9:
        raise wrong(place, value, "a number")
    return value


def _positive(value: Any, place: str) -> float:
    if _number(value, place) <= 0:
        raise wrong(place, value, "a number above 0")
    return value


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise wrong(place, value, "text that is not empty")
    return value


def _notes(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise wrong(place, value, "text")
    return value


def _texts(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise wrong(place, value, "a list of texts")
    return tuple(_text(item, f"{place}[{row}]") for row, item in enumerate(value))


def _flag(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise wrong(place, value, "true or false")
    return value


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong(place, value, "an object")
    return value


def _version(value: Any, place: str) -> int:
    if type(value) is not int or value != VERSION:
        raise wrong(place, value, str(VERSION))
    return value


def _fps(value: Any, place: str) -> float | dict[str, float] | str:
    if value == "annotations":
        return value
    if isinstance(value, dict):
        return {
            key: _positive(rate, f"{place}[{text_lib.quoted(key)}]")
            for key, rate in value.items()
        }
    if isinstance(value, int | float):
        return _positive(value, place)
    raise wrong(place, value, 'a number, an object {id: number} or "annotations"')


def _relative_path(value: Any, place: str) -> str:
    parts = _text(value, place).split("/")
    if not all(is_path_part(part) for part in parts):
        raise wrong(place, value, "a relative path with / between parts and no '..'")
    return value


def _file_pattern(value: Any, place: str) -> str:
    _check_braces(_relative_path(value, place), place)
    if table.kind_of(value) is None:
        raise wrong(place, value, f"one of {' '.join(table.KINDS)} last")
    return value


def _array(value: Any, place: str) -> str:
    _check_braces(_relative_path(value, place), place)
    return value


def _check_braces(value: str, place: str) -> None:
    rest = FIELD.sub("", value)
    if "{" in rest or "}" in rest:
        raise wrong(place, value, "{stream} and {id}, no other braces")


def _trim(value: Any, place: str) -> int:
    if type(value) is not int or not 0 <= value <= 1_000_000:
        raise wrong(place, value, "a whole number of snippets, 0 or above")
    return value


def _stream(value: Any, place: str) -> tuple[str, int]:
    if not isinstance(value, dict) or set(value) != {"name", "width"}:
        raise wrong(place, value, 'an object {"name": text, "width": number}')
    name, width = _text(value["name"], f"{place}.name"), value["width"]
    if not is_path_part(name):
        raise wrong(f"{place}.name", name, "text that can be part of a file name")
    if type(width) is not int or not 0 < width <= 1_000_000:
        raise wrong(f"{place}.width", width, "a whole number above 0")
    return name, width


def _streams(value: Any, place: str) -> streams_lib.Streams:
    if not isinstance(value, list) or not value:
        raise wrong(place, value, 'a list of {"name", "width"}, one for each stream')
    pairs = [_stream(item, f"{place}[{row}]") for row, item in enumerate(value)]
    names, widths = zip(*pairs, strict=True)
    # On some disks names that differ in case alone are one folder.
    if len({name.casefold() for name in names}) < len(names):
        raise wrong(place, list(names), "different names")
    return streams_lib.Streams(names, widths)


READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "version": _version,
    "name": _text,
    "streams": _streams,
    "file_pattern": _file_pattern,
    "array": _array,
    "trim_snippets": _trim,
    "annotations": _relative_path,
    "stride_frames": _positive,
    "window_frames": _positive,
    "offset_frames": _number,
    "fps": _fps,
    "trust_timebase": _flag,
    "train_subset": _text,
    "evaluation_subset": _text,
    "source": _text,
    "backbone_trained_on": _texts,
    "generated": _flag,
    "notes": _notes,
    "extraction": _object,
}
_OPTIONAL = (
    "file_pattern",
    "array",
    "trim_snippets",
    "trust_timebase",
    "annotations",
    "generated",
    "notes",
    "extraction",
)
REQUIRED = tuple(key for key in READERS if key not in _OPTIONAL)
