"""Segments that end before they start: named all at once, the first few by their place."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from cleannet_jax import errors

_SHOWN = 3


class Fault(NamedTuple):
    """A row of a file whose segment ends before it starts.

    Attributes:
      place: of the row, its file included.
      label: the category that it has.
      segment: (start, end) in seconds.
    """

    place: str
    label: str
    segment: tuple[float, float]


def check_order(
    path: str, segments: np.ndarray, place_of: Callable[[int], str]
) -> None:
    """Raises if a segment of a file ends before it starts.

    Args:
      path: of the file.
      segments: [M, 2] (start, end).
      place_of: what a message calls a row within the file.

    Raises:
      InputError: there are such; the message counts them and names the first.
    """
    rows = np.flatnonzero(segments[:, 1] < segments[:, 0])
    if rows.size:
        shown = [(place_of(row), segments[row].tolist()) for row in rows[:_SHOWN]]
        raise errors.InputError(f"{path}: {_listed(shown, rows.size)}")


def check(path: str, faults: Sequence[Fault], *, where: str) -> None:
    """Raises if there are faults in what is asked for.

    Args:
      path: of the file that they are in.
      faults: of the rows that are asked for.
      where: what the message calls these rows.

    Raises:
      InputError: there are some; the message counts them and names the first.
    """
    if faults:
        shown = [
            (fault.place.removeprefix(f"{path}: "), list(fault.segment))
            for fault in faults[:_SHOWN]
        ]
        raise errors.InputError(f"{path}: {where}: {_listed(shown, len(faults))}")


def _listed(shown: Sequence[tuple[str, list[float]]], count: int) -> str:
    """The first rows with their segments, and how many more there are."""
    if count == 1:
        ((place, segment),) = shown
        return (
            f"{place}: found the segment {segment}, expected an end that is not before"
            " the start"
        )
    rows = "; ".join(f"{place}: {segment}" for place, segment in shown)
    more = f" and {count - len(shown)} more" if count > len(shown) else ""
    return f"found {count} segments that end before they start: {rows}{more}"
