"""Seconds and the frames of tools that count them from 1, both ends included.

Frame n of a video covers the seconds [(n - 1) / fps, n / fps), so that the frames `first`
to `last` are the segment [(first - 1) / fps, last / fps]. Seconds that are no whole
number of frames move by half a frame at most; a segment that would have none becomes the
frame that its middle is in, and moves by a frame at most. Frames that become seconds
become the same frames again.
"""

import math


def of_seconds(segment: tuple[float, float], fps: float) -> tuple[int, int]:
    """Returns the first and the last frame, from 1, of a segment in seconds.

    first = ⌊start fps + 1/2⌋ + 1, last = ⌊end fps + 1/2⌋

    Args:
      segment: (start, end), the end not before the start; what is before 0 is not shown
        by any frame, and counts as 0.
      fps: frames a second, above 0.
    """
    start, end = (max(time, 0.0) * fps for time in segment)
    first, last = (math.floor(frames + 0.5) for frames in (start, end))
    if last <= first:
        first = math.floor((start + end) / 2)
        return first + 1, first + 1
    return first + 1, last


def to_seconds(first: float, last: float, fps: float) -> tuple[float, float]:
    """Returns the segment in seconds of the frames from `first` to `last`, from 1."""
    return (first - 1) / fps, last / fps
