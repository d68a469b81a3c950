"""Detections of one video as subtitles, which any player shows over it.

A cue says what was found, and its score, from start to end. Cues are in order of time
and may overlap, which both formats allow: players show them below each other. Times are
in milliseconds; those before 0 are 0, and a cue is a millisecond long at least. What has
no length, or a time that is no finite number, is left out.
"""

import math
import os
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from cleannet_jax import run
from cleannet_jax.data import files
from cleannet_jax.report import plain

# Characters of a label: more do not fit into a line.
_LONGEST = 60

# SubRip has no escapes, and players read HTML's tags and entities, and the braces and
# backslashes of another format. WebVTT has escapes.
_SUBRIP = str.maketrans({"<": "‹", ">": "›", "{": "(", "}": ")", "\\": "/"})
_ENTITY = re.compile(r"&(?=[#\w])")
_WEBVTT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class _Cue(NamedTuple):
    start: int  # milliseconds
    end: int  # milliseconds
    text: str


def write_srt(path: str | os.PathLike, detections: Iterable[run.Detection]) -> None:
    """Writes detections as SubRip, atomically.

    Args:
      path: of the file, by custom with the video's name and the ending .srt.
      detections: of one video, in any order.

    Raises:
      OSError: the file cannot be written.
    """
    blocks = [
        f"{number}\n{_interval(cue, ',')}\n{cue.text}\n"
        for number, cue in enumerate(_cues(detections, _subrip), start=1)
    ]
    with files.open_atomic(path) as file:
        file.write("\n".join(blocks))


def write_vtt(path: str | os.PathLike, detections: Iterable[run.Detection]) -> None:
    """Writes detections as WebVTT, atomically.

    Args:
      path: of the file, by custom with the video's name and the ending .vtt.
      detections: of one video, in any order.

    Raises:
      OSError: the file cannot be written.
    """
    blocks = [
        f"{_interval(cue, '.')}\n{cue.text}\n" for cue in _cues(detections, _webvtt)
    ]
    with files.open_atomic(path) as file:
        file.write("\n".join(["WEBVTT\n", *blocks]))


def _cues(
    detections: Iterable[run.Detection], escaped: Callable[[str], str]
) -> list[_Cue]:
    """The cues by time, at one time the better first."""
    found = []
    for label, start, end, score in detections:
        if not (math.isfinite(1000 * start) and math.isfinite(1000 * end)):
            continue
        if end <= max(start, 0):
            continue
        first = round(1000 * max(start, 0))
        last = max(round(1000 * end), first + 1)
        text = f"{escaped(plain.one_line(label, _LONGEST))}  {plain.score(score)}"
        found.append((-score, _Cue(first, last, text)))
    found.sort(key=lambda pair: (pair[1].start, pair[0], pair[1].end))
    return [cue for _, cue in found]


def _interval(cue: _Cue, point: str) -> str:
    """The line of a cue's times; hours have as many digits as they need."""
    return f"{_clock(cue.start, point)} --> {_clock(cue.end, point)}"


def _clock(milliseconds: int, point: str) -> str:
    """A time as HH:MM:SS and milliseconds."""
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{point}{rest:03d}"


def _subrip(text: str) -> str:
    """Text in which no player finds a tag, by look-alikes."""
    return _ENTITY.sub("& ", text.translate(_SUBRIP))


def _webvtt(text: str) -> str:
    """Text with WebVTT's escapes, which is what it was once they are read."""
    return text.translate(_WEBVTT)
