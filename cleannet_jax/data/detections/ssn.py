"""Proposal lists of SSN (structured segment networks), as segments to be scored.

A list is text, a block a video: `# index`; the video's id, or the path of its frames;
two numbers whose product is the video's length in the unit of the times below, 1 and 1
in a normalised list; the number of annotated instances and a line `class start end`
for each; the number of proposals and a line `class best_tiou overlap_self start end`
for each. Classes count from 1. Segments leave here in seconds.
"""

import math
import os
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import text

# Ends that rounding moved past the end of the video are no mistake in the unit.
_LATEST = 1.01


class Proposals(NamedTuple):
    """The proposals of one video.

    Attributes:
      video: the video's id.
      segments: [P, 2] float64 (start, end) in seconds.
      labels: [P] category of the annotated instance that the proposal overlaps most,
        None where the list calls it background. This is knowledge of the ground
        truth: a result on labels from here is not a detector's.
    """

    video: str
    segments: np.ndarray
    labels: tuple[str | None, ...]


class _Block(NamedTuple):
    """The lines of one video, after the one that starts with #."""

    place: str
    lines: list[text.Line]


def read_proposals(
    path: str | os.PathLike,
    *,
    durations: Mapping[str, float | None],
    categories: Sequence[str],
) -> Iterator[Proposals]:
    """Yields the proposals of each video, in the order of the list, one at a time.

    Args:
      path: the list, normalised or in frames.
      durations: seconds of each video by id, which lists do not have.
      categories: names of the N categories in the order that classes are counted.

    Raises:
      InputError: a block has more or fewer lines than it says, a line is not what it
        should be, a class is unknown, a video is there twice or has no duration; the
        message names the line.
    """
    seen = set()
    for block in _blocks(path):
        proposals = _proposals(block, durations, categories)
        if proposals.video in seen:
            raise errors.InputError(
                f"{block.place}: video {proposals.video!r} has a block above already"
            )
        seen.add(proposals.video)
        yield proposals


def _blocks(path: str | os.PathLike) -> Iterator[_Block]:
    """The blocks of a list."""
    block = None
    for line in text.read_lines(path):
        if line.text.startswith("#"):
            if block:
                yield block
            block = _Block(line.place, [])
        elif block:
            block.lines.append(line)
        else:
            raise errors.InputError(
                f"{line.place}: found {reprlib.repr(line.text)}, expected a block that"
                " starts with #"
            )
    if block is None:
        raise errors.InputError(f"{path}: found no block, expected one that starts #")
    yield block


def _proposals(
    block: _Block, durations: Mapping[str, float | None], categories: Sequence[str]
) -> Proposals:
    """The proposals of one block."""
    if len(block.lines) < 5:
        raise errors.InputError(
            f"{block.place}: found a block of {len(block.lines)} lines, expected an id,"
            " two numbers and two counts at least"
        )
    video = block.lines[0].text.rstrip("/").rpartition("/")[2]
    length = math.prod(text.finite(*line) for line in block.lines[1:3])
    duration = durations.get(video)
    if length <= 0 or duration is None:
        found = f"no duration of video {video!r}" if length > 0 else f"length {length}"
        raise errors.InputError(f"{block.place}: found {found}, expected one above 0")
    _, rest = _counted(block, block.lines[3:], "class start end")
    rows, rest = _counted(block, rest, "class best_tiou overlap_self start end")
    if rest:
        raise errors.InputError(
            f"{rest[0].place}: found {reprlib.repr(rest[0].text)}, expected the end of"
            f" the block after {len(rows)} proposals"
        )
    ratios = [_ratios(row, place, length) for row, place in rows]
    return Proposals(
        video=video,
        segments=duration * np.array(ratios, float).reshape(-1, 2),
        labels=tuple(_label(row[0], place, categories) for row, place in rows),
    )


def _counted(
    block: _Block, lines: list[text.Line], names: str
) -> tuple[list[tuple[list[str], str]], list[text.Line]]:
    """The rows that a count announces, each with its place, and the lines after."""
    if not lines:
        raise errors.InputError(
            f"{block.place}: the block ends before the count of the rows: {names}"
        )
    count, rows = text.count(*lines[0]), lines[1:]
    if len(rows) < count:
        raise errors.InputError(
            f"{lines[0].place}: found {len(rows)} lines to the end of the block,"
            f" expected {count}: {names}"
        )
    return [(text.columns(row, names), row.place) for row in rows[:count]], rows[count:]


def _ratios(row: list[str], place: str, length: float) -> tuple[float, float]:
    """The segment of a proposal as fractions of the video."""
    start, end = (time / length for time in text.segment(row[3], row[4], place))
    if start < 0 or end > _LATEST:
        raise errors.InputError(
            f"{place}: found the segment {row[3:]} of a video of length {length:g},"
            " expected one inside the video"
        )
    return start, end


def _label(value: str, place: str, categories: Sequence[str]) -> str | None:
    """The name of a class, None for background."""
    number = text.count(value, place)
    if number > len(categories):
        raise errors.InputError(
            f"{place}: found class {number}, expected 0 to {len(categories)}"
        )
    return categories[number - 1] if number else None
