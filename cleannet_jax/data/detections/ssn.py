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

import array
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
_PROPOSAL = "class best_tiou overlap_self start end"
# No list has as many; numbers of any length are kept as this one.
_LARGEST_CLASS = 2**31


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
      latest: the largest time of the proposals.
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
    """One video of a list, as it is written there.

    Attributes:
      place: of the line that starts with #.
      video: the video's id.
      numbers: the two numbers, which say how long it is.
      classes: [P] int, of the proposals.
      segments: [P, 2] in the unit of the list.
      rows: [P] number of the line of each.
      latest: the largest time of the proposals.
    """

    place: str
    video: str
    numbers: tuple[float, float]
    classes: array.array
    segments: np.ndarray
    rows: array.array
    latest: float


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
        proposals = _proposals(
            block, durations, categories, path=path, is_frames=bool(note)
        )
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
    """What a block says; None where it says nothing."""
    duration, rows = durations.get(block.video), len(block.classes)
    if not duration or not rows or min(block.numbers) <= 0 or block.numbers[1] == 1:
        return None
    return _Probe(block.video, block.numbers, block.latest, rows, duration)


class _Lines:
    """The lines of a list, of which the next can be looked at."""

    def __init__(self, path: str | os.PathLike) -> None:
        self._lines = text.read_lines(path)
        self.next = next(self._lines, None)

    def take(self) -> text.Line:
        """The next line, which must be there and be no start of a block."""
        line = self.next
        assert line is not None
        self.next = next(self._lines, None)
        return line

    @property
    def has_more(self) -> bool:
        """Whether the block goes on."""
        return self.next is not None and not self.next.text.startswith("#")


def _blocks(path: str | os.PathLike) -> Iterator[_Block]:
    """The blocks of a list."""
    lines = _Lines(path)
    if lines.next is None:
        raise errors.InputError(f"{path}: found no block, expected one that starts #")
    while lines.next is not None:
        start = lines.take()
        if not start.text.startswith("#"):
            raise errors.InputError(
                f"{start.place}: found {reprlib.repr(start.text)}, expected a block that"
                " starts with #"
            )
        yield _block(lines, start.place)


def _block(lines: _Lines, place: str) -> _Block:
    """The block whose first line was taken."""
    head: list[text.Line] = []
    while lines.has_more and len(head) < 4:
        head.append(lines.take())
    if len(head) < 4 or not lines.has_more:
        raise errors.InputError(
            f"{place}: found a block of {len(head)} lines, expected an id, two numbers"
            " and two counts at least"
        )
    video = head[0].text.rstrip("/").rpartition("/")[2]
    numbers = text.finite(*head[1]), text.finite(*head[2])
    for _ in _rows(lines, head[3], "class start end"):
        pass
    if not lines.has_more:
        raise errors.InputError(
            f"{place}: the block ends before the count of the rows: {_PROPOSAL}"
        )
    classes, times, rows = array.array("q"), array.array("d"), array.array("q")
    for row, line in _rows(lines, lines.take(), _PROPOSAL):
        classes.append(min(text.count(row[0], line.place), _LARGEST_CLASS))
        times.extend(text.segment(row[3], row[4], line.place))
        rows.append(line.number)
    if lines.has_more:
        rest = lines.take()
        raise errors.InputError(
            f"{rest.place}: found {reprlib.repr(rest.text)}, expected the end of the"
            f" block after {len(classes)} proposals"
        )
    segments = np.array(times, float).reshape(-1, 2)
    latest = float(segments[:, 1].max(initial=-math.inf))
    return _Block(place, video, numbers, classes, segments, rows, latest)


def _rows(
    lines: _Lines, counted: text.Line, names: str
) -> Iterator[tuple[list[str], text.Line]]:
    """The rows that a count announces, each with its line."""
    count = text.count(*counted)
    for found in range(count):
        if not lines.has_more:
            raise errors.InputError(
                f"{counted.place}: found {found} lines to the end of the block, expected"
                f" {reprlib.repr(count)}: {names}"
            )
        row = lines.take()
        yield text.columns(row, names), row


def _proposals(
    block: _Block,
    durations: Mapping[str, float | None],
    categories: Sequence[str],
    *,
    path: str | os.PathLike,
    is_frames: bool,
) -> Proposals:
    """The proposals of one block."""
    length = block.numbers[0] if is_frames else math.prod(block.numbers)
    duration = durations.get(block.video)
    if not 0 < length < math.inf or duration is None:
        found = f"no duration of video {text.quoted(block.video)}"
        found = f"length {length}" if duration is not None else found
        raise errors.InputError(f"{block.place}: found {found}, expected one above 0")
    with np.errstate(over="ignore"):
        ratios = block.segments / length
    wrong = np.flatnonzero((ratios[:, 0] < 0) | (ratios[:, 1] > _LATEST))
    if wrong.size:
        raise errors.InputError(
            f"{path}: line {block.rows[wrong[0]]}: found the segment"
            f" {block.segments[wrong[0]].tolist()} of a video of length {length:g},"
            " expected one inside the video"
        )
    largest = max(block.classes, default=0)
    if largest > len(categories):
        raise errors.InputError(
            f"{path}: line {block.rows[block.classes.index(largest)]}: found class"
            f" {largest}, expected 0 to {len(categories)}"
        )
    names = (None, *categories)
    return Proposals(
        video=block.video,
        segments=duration * ratios,
        labels=tuple(names[number] for number in block.classes),
    )
