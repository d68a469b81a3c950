"""Frames of a video by their time stamps, whichever were asked for with them.

A frame that the decoder would have to make up is an error, not a picture: features of
a concealed frame say nothing of the video. So FFmpeg stops at damage (`err_detect
explode`), packets that are marked as corrupt are not decoded, and `UncleanError` says
what is wrong. Decoding takes one thread, since processes are the parallelism.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from cleannet_jax.features import containers, packets

# Packets without a wanted frame that are decoded rather than sought over.
_LONGEST_WAY = 64


class UncleanError(Exception):
    """Decoding from some keyframe does not give the frames that are wanted.

    Attributes:
      stamp: of the last frame that it gave.
    """

    stamp: int | None = None


def first_frame(path: str, places: packets.Places) -> Any:
    """Returns the first frame that comes out of the decoder, of PyAV.

    Raises:
      DamagedError: none does.
    """
    try:
        for frame in _decoded(path, places, 0):
            return frame
        reason = "no frame comes out of it"
    except UncleanError as error:
        reason = str(error)
    raise containers.DamagedError(
        f"{path}: found no frame that can be decoded ({reason}), expected a video",
        0.0,
        0.0,
    )


def found(
    path: str, places: packets.Places, numbers: np.ndarray
) -> Iterator[tuple[int, Any]]:
    """Yields number and frame, of PyAV, of each of some frames.

    Args:
      path: of the video.
      places: of its frames.
      numbers: [M], increasing.

    Raises:
      UncleanError: one cannot be decoded, from the start of the file either.
    """
    if len(numbers) and not places.is_counted:
        # Over a long way to the next frame it pays to seek.
        ways = places.key_positions[places.keys[numbers[1:]]]
        ways = ways - places.positions[numbers[:-1]]
        groups = np.split(numbers, np.flatnonzero(ways > _LONGEST_WAY) + 1)
    else:
        groups = [numbers]
    for group in groups:
        yield from _group(path, places, group)


def _group(
    path: str, places: packets.Places, numbers: np.ndarray
) -> Iterator[tuple[int, Any]]:
    """`found` for frames that are near each other.

    Some containers seek past what was asked for, and some keyframes are none: so it
    goes further back each time, in the end to the start.
    """
    done, back = 0, 0
    while done < len(numbers):
        key = max(int(places.keys[numbers[done]]) - back, 0)
        before = done
        try:
            for number, frame in _run(path, places, key, numbers[done:]):
                yield number, frame
                done += 1
        except UncleanError:
            if done > before:
                back = 0
            elif key > 0:
                back = max(2 * back, 1)
            else:
                raise


def _run(
    path: str, places: packets.Places, key: int, numbers: np.ndarray
) -> Iterator[tuple[int, Any]]:
    """Number and frame of each of some frames, decoded from one keyframe.

    Raises:
      UncleanError: a frame cannot be had so.
    """
    stamps = places.stamps[numbers]
    at, last = 0, None
    try:
        coming: Iterator[Any] = _decoded(path, places, key)
        while (frame := next(coming, None)) is not None:
            if stamps[at] < frame.pts:
                # Is it really later, or is its time wrong? The next one shows it.
                following = next(coming, None)
                if following is not None:
                    coming = itertools.chain([following], coming)
            while at < len(numbers) and stamps[at] <= frame.pts:
                # Nothing came out at an earlier time. Before the first frame that does,
                # the decoder may have lacked what it refers to.
                shown = frame if stamps[at] == frame.pts else last
                if shown is None:
                    raise UncleanError("a frame does not come out of the decoder")
                if shown.is_corrupt:
                    raise UncleanError("a frame is marked as corrupt")
                yield int(numbers[at]), shown
                at += 1
            if at == len(numbers):
                return
            last = frame
        if last is None:
            raise UncleanError("no frame comes out of the decoder")
    except UncleanError as error:
        error.stamp = None if last is None else last.pts
        raise
    for number in numbers[at:]:
        yield int(number), last


def _decoded(path: str, places: packets.Places, key: int) -> Iterator[Any]:
    """Frames from a keyframe on, with time stamps as `packets.Places` has them."""
    with containers.opened(path) as container:
        stream = containers.best_stream(container, path)
        for frame in _frames(container, stream, places, key):
            containers.check_size(frame.width, frame.height, path)
            yield frame


def _frames(
    container: Any, stream: Any, places: packets.Places, key: int
) -> Iterator[Any]:
    """`_decoded` in an open container."""
    import av

    context = stream.codec_context
    context.thread_count, context.thread_type = 1, "NONE"
    context.options = {
        "err_detect": "explode",
        "max_pixels": str(containers.MAX_PIXELS),
    }
    count, last = 0, None
    for packet, is_leading in _packets(container, stream, places, key):
        # Frames that are shown before the keyframe may refer to what is before it.
        if packet is not None and packet.is_corrupt and not is_leading:
            raise UncleanError("a packet is marked as corrupt")
        try:
            out = context.decode(packet)
        except av.FFmpegError as error:
            if is_leading:
                continue
            # What the decoder holds back is dropped: the frame itself is among it.
            raise UncleanError(error.strerror) from None
        for frame in out:
            if places.is_counted:
                frame.pts = count
                count += 1
            if frame.pts is not None:
                # Where a time is wrong, others are taken for frames that they are not.
                if last is not None and frame.pts < last:
                    raise UncleanError("frames are in no order of time")
                last = frame.pts
                yield frame


def _packets(
    container: Any, stream: Any, places: packets.Places, key: int
) -> Iterator[tuple[Any, bool]]:
    """Packets from a keyframe on, and whether each is shown before the keyframe.

    The last one, which is None, flushes the decoder.

    Raises:
      UncleanError: the keyframe is not found, or the file ends before its last frame.
    """
    import av

    stamp = int(places.key_stamps[key])
    highest = stamp
    count, has_begun = 0, False
    try:
        if key > 0:
            container.seek(int(places.key_seeks[key]), stream=stream)
        for packet in containers.read_packets(container, stream):
            if not has_begun:
                if key == 0:
                    has_begun = count == places.key_positions[0]
                elif packet.is_keyframe and packet.pts is not None:
                    has_begun = packet.pts == stamp
                    if packet.pts > stamp:
                        raise UncleanError("it cannot be sought")
            count += 1
            if has_begun:
                if packet.pts is not None:
                    highest = max(packet.pts, highest)
                is_leading = packet.pts is not None and packet.pts < stamp
                yield packet, is_leading and not places.is_counted
    except av.FFmpegError as error:
        raise UncleanError(error.strerror or "it cannot be read") from None
    if not has_begun:
        raise UncleanError("it cannot be sought")
    yield None, False
    if highest < places.stamps[-1] and not places.is_counted:
        raise UncleanError("the file ends before it")
