"""Proposal lists of SSN (structured segment networks), as segments to be scored.

A list is text, a block a video: `# index`; the video's id, or the path of its frames;
two numbers that say how long the video is in the unit of the times below; the number of
annotated instances and a line `class start end` for each; the number of proposals and a
line `class best_tiou overlap_self start end` for each. Classes count from 1. Segments
leave here in seconds.

The two numbers have two meanings in the field. Their product is the length, 1 and 1 in a
normalised list; or they are the number of frames and the frames a second, and the first
alone is the length. Which one it is shows: frames divided by frames a second are the
duration, and no time is larger than the first number.
"""

import itertools
import math
import os
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import text

# Ends that rounding moved past the end of the video are no mistake in the unit.
_LATEST = 1.01
# The blocks that say which meaning the two numbers have: it is one in all of a list.
_PROBED = 200
# Frames divided by frames a second differ by less from durations that were rounded.
_SAME_DURATION = 0.05
# So many rows do not all lie in the first part of their videos by chance.
_MANY_ROWS = 10


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


class _Probe(NamedTuple):
    """What the two numbers of one block look like.

    Attributes:
      video: the video's id.
      numbers: the two numbers, of which the second is not 1.
      latest: the largest time of the rows.
      rows: their number.
      duration: seconds of the video.
    """

    video: str
    numbers: tuple[float, float]
    latest: float
    rows: int
    duration: float

    @property
    def is_frames(self) -> bool:
        """Whether frames divided by frames a second are the duration."""
        frames, fps = self.numbers
        off = abs(frames / fps / self.duration - 1)
        return off < _SAME_DURATION and self.latest <= _LATEST * frames


class _Block(NamedTuple):
    """The lines of one video, after the one that starts with #."""

    place: str
    lines: list[text.Line]


def read_proposals(
    path: str | os.PathLike,
    *,
    durations: Mapping[str, float | None],
    categories: Sequence[str],
    warn: Callable[[str], None] | None = None,
) -> Iterator[Proposals]:
    """Yields the proposals of each video, in the order of the list, one at a time.

    Args:
      path: the list.
      durations: seconds of each video by id, which lists do not have.
      categories: names of the N categories in the order that classes are counted.
      warn: is given a line where the two numbers are read as frames and frames a second.

    Raises:
      InputError: it cannot be told what the two numbers of blocks mean; a block has more or fewer lines than it says, a line is not what it
        should be, a class is unknown, a video is there twice or has no duration; the
        message names the line.
    """
    seen = set()
    note = _frames_and_rate(path, durations)
    if note and warn:
        warn(note)
    for block in _blocks(path):
        proposals = _proposals(block, durations, categories, is_frames=bool(note))
        if proposals.video in seen:
            raise errors.InputError(
                f"{block.place}: video {proposals.video!r} has a block above already"
            )
        seen.add(proposals.video)
        yield proposals


def _frames_and_rate(
    path: str | os.PathLike, durations: Mapping[str, float | None]
) -> str:
    """What to say of a list whose blocks begin with frames and frames a second.

    Empty where the product of the two numbers is the length.
    """
    probes = []
    try:
        for block in itertools.islice(_blocks(path), _PROBED):
            found = _probe(block, durations)
            if found:
                probes.append(found)
    except errors.InputError:
        pass  # It is raised again where the rows are read.
    if not probes:
        return ""
    shown = max(probes, key=lambda probe: (probe.is_frames, probe.rows))
    frames, fps = shown.numbers
    place = f"{path}: the two numbers of {shown.video!r}, {frames:g} and {fps:g}"
    count = sum(probe.is_frames for probe in probes)
    if 2 * count <= len(probes):
        is_early = all(
            fps > 1 and probe.latest <= _LATEST * probe.numbers[0] for probe in probes
        )
        if is_early and sum(probe.rows for probe in probes) >= _MANY_ROWS:
            raise errors.InputError(
                f"{place}: found all rows within the first 1/{fps:g} of their product:"
                f" are these frames and fps? Expected {shown.duration:g} s then"
            )
        return ""
    if all(probe.latest <= _LATEST * probe.duration for probe in probes):
        raise errors.InputError(
            f"{place}: frames and fps of a video of {shown.duration:g} s, whose rows end"
            f" by {shown.latest:g}: found no time that cannot be seconds, expected frames"
        )
    return (
        f"{place}, are frames and fps, not factors of a length: {frames / fps:.4g} s is"
        f" its duration; times of the list are read as frames ({count} of {len(probes)}"
        " blocks looked at)"
    )


def _probe(block: _Block, durations: Mapping[str, float | None]) -> _Probe | None:
    """What a block says; None where it says nothing or cannot be read."""
    try:
        numbers = tuple(text.finite(*line) for line in block.lines[1:3])
        _, rest = _counted(block, block.lines[3:], "class start end")
        rows, _ = _counted(block, rest, "class best_tiou overlap_self start end")
        latest = max(text.segment(row[3], row[4], place)[1] for row, place in rows)
    except (errors.InputError, ValueError):
        return None
    video = _video(block)
    duration = durations.get(video)
    if not duration or min(numbers) <= 0 or numbers[1] == 1:
        return None
    return _Probe(video, numbers, latest, len(rows), duration)


def _video(block: _Block) -> str:
    """The id of a block's video."""
    return block.lines[0].text.rstrip("/").rpartition("/")[2]


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
    block: _Block,
    durations: Mapping[str, float | None],
    categories: Sequence[str],
    *,
    is_frames: bool,
) -> Proposals:
    """The proposals of one block."""
    if len(block.lines) < 5:
        raise errors.InputError(
            f"{block.place}: found a block of {len(block.lines)} lines, expected an id,"
            " two numbers and two counts at least"
        )
    video = _video(block)
    numbers = [text.finite(*line) for line in block.lines[1:3]]
    length = numbers[0] if is_frames else math.prod(numbers)
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
