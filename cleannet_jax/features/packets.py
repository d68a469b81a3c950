"""The packets of a video: where its frames are, and whether all are there.

Nothing is decoded. Time stamps are integers, in the time base of the stream.
"""

import re
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.features import containers

# Where neither a frame nor its file says how long it is shown.
FRAME_SECONDS = Fraction(1, 25)
# A gap between two frames that only a broken time stamp makes.
LONGEST_GAP = 86400.0
# Decoders reorder over half as many frames; a time that runs back further begins
# another recording.
_REORDERED = 32
# What DivX and its likes write into the first picture where two are in one packet, so
# that the times of packets are not those of frames.
_PACKED = re.compile(rb"DivX\d+(Build|b)\d+p")
_HEAD_BYTES = 4096
# A file is cut short where it lacks more than both of what its header claims.
_CUT_SECONDS, _CUT_SHARE = 1.0, 0.02
# Containers whose header says how long they are; for others FFmpeg guesses.
_CLAIMING = ("mov", "matroska", "avi", "flv", "asf")


class About(NamedTuple):
    """What a container says of its video."""

    rate: Fraction | None
    base: Fraction
    aspect: Fraction | None
    start: int | None
    has_audio: bool


class Scan(NamedTuple):
    """All packets of the video, in the order of the file.

    Attributes:
      presented: time stamps, None where there is none.
      decoded: the same of decoding.
      are_keys: whether frames can be decoded from here on.
      are_shown: whether no edit list drops them.
      last_ticks: how long the last one of all that are shown is shown, 0 if unknown.
      is_packed: whether some have two frames, and others none for it.
    """

    presented: list[int | None]
    decoded: list[int | None]
    are_keys: list[bool]
    are_shown: list[bool]
    last_ticks: int
    is_packed: bool


class Places(NamedTuple):
    """Where the frames of a file are.

    Attributes:
      stamps: [F] time stamp of each frame, increasing; its number where it has none.
      is_counted: whether stamps are numbers, so that frames are counted from the start.
      positions: [F] packet of each frame, counted in the order of the file.
      keys: [F] the last keyframe from which each frame can be decoded.
      key_positions: [K] packet of each keyframe; the first is where decoding begins.
      key_stamps: [K] time stamp of each.
      key_seeks: [K] time stamp to seek to, which comes before it.
    """

    stamps: np.ndarray
    is_counted: bool
    positions: np.ndarray
    keys: np.ndarray
    key_positions: np.ndarray
    key_stamps: np.ndarray
    key_seeks: np.ndarray


def scanned(container: Any, stream: Any, path: str) -> Scan:
    """Returns all packets of the video in a container.

    Raises:
      InputError: none of them is shown.
      DamagedError: one cannot be read, or the header claims more of them.
    """
    import av

    presented: list[int | None] = []
    decoded: list[int | None] = []
    are_keys: list[bool] = []
    are_shown: list[bool] = []
    last, last_ticks = None, 0
    head = (stream.codec_context.extradata or b"")[:_HEAD_BYTES]
    chosen = stream.index
    others = [s for s in container.streams if s.type in ("audio", "subtitle")]
    ends: dict[int, int] = {}  # Time stamp at which each stream ends.
    try:
        for packet in containers.read_packets(container, stream, *others):
            stamp = packet.pts if packet.pts is not None else packet.dts
            ticks = packet.duration or 0
            index, is_shown = packet.stream_index, not packet.is_discard
            if stamp is not None and is_shown:
                ends[index] = max(stamp + ticks, ends.get(index, stamp))
            if index != chosen:
                continue
            if stamp is not None and is_shown and (last is None or stamp >= last):
                last, last_ticks = stamp, ticks
            if not presented:
                head += bytes(packet)[:_HEAD_BYTES]
            presented.append(packet.pts)
            decoded.append(packet.dts)
            are_keys.append(packet.is_keyframe)
            are_shown.append(is_shown)
    except av.FFmpegError as error:
        end = float(ends.get(chosen, 0) * stream.time_base)
        readable = max(end - (container.start_time or 0) / 1e6, 0.0)
        duration = (container.duration or 0) / 1e6
        raise containers.DamagedError(
            f"{path}: damaged: found {readable:.1f} s that can be read"
            f" ({error.strerror}), expected {max(duration, readable):.1f} s",
            readable,
            duration,
        ) from None
    if not any(are_shown):
        raise errors.InputError(f"{path}: found 0 frames, expected a video with frames")
    seconds = {
        index: float(end * container.streams[index].time_base)
        for index, end in ends.items()
    }
    _check_whole(container, stream, seconds, path)
    is_packed = (
        stream.codec_context.name == "mpeg4" and _PACKED.search(head) is not None
    )
    return Scan(presented, decoded, are_keys, are_shown, last_ticks, is_packed)


def _check_whole(
    container: Any, stream: Any, ends: dict[int, float], path: str
) -> None:
    """Raises where the header claims more than there is.

    Args:
      container: of the video.
      stream: that is chosen.
      ends: seconds at which each stream ends.
      path: of the file.
    """
    if container.format.name.split(",")[0] not in _CLAIMING:
        return
    start = (container.start_time or 0) / 1e6
    if stream.duration is not None and stream.time_base:
        begin = (stream.start_time or 0) * stream.time_base
        claimed = float(begin + stream.duration * stream.time_base)
        if container.format.name == "avi" and stream.average_rate:
            # FFmpeg has corrected the duration by what it found, but not the number.
            claimed = max(claimed, float(begin + stream.frames / stream.average_rate))
        end = ends.get(stream.index, claimed)
    elif container.duration is not None:
        claimed = start + container.duration / 1e6
        end = max(ends.values(), default=claimed)
    else:
        return
    found, claimed = end - start, claimed - start
    if claimed - found > max(_CUT_SECONDS, _CUT_SHARE * claimed):
        raise containers.DamagedError(
            f"{path}: cut short: found {found:.1f} s, expected {claimed:.1f} s",
            found,
            claimed,
        )


def places_of(scan: Scan, path: str, about: About) -> Places:
    """Returns where the frames are, from the first keyframe on.

    Raises:
      InputError: their times are of no one recording.
    """
    are_keys = np.array(scan.are_keys)
    if not are_keys.any():
        are_keys[0] = True
    first = int(np.argmax(are_keys))
    shown = np.array(scan.are_shown)
    shown[:first] = False
    if not shown.any():
        shown = np.array(scan.are_shown)
        first = 0
        are_keys[0] = True
    positions = np.flatnonzero(shown)
    presented = [scan.presented[p] for p in positions]
    if scan.is_packed or any(stamp is None for stamp in presented):
        return _counted(first, positions)
    stamps = np.array(presented, np.int64)
    _check_times(stamps, path, about)
    # A keyframe without a time cannot be told from others after a seek.
    keys = [
        p
        for p in np.flatnonzero(are_keys)
        if p == first or scan.presented[p] is not None
    ]
    key_positions = np.array(keys)
    lowest = int(stamps.min())
    key_stamps = np.array(
        [lowest if scan.presented[p] is None else scan.presented[p] for p in keys],
        np.int64,
    )
    decoded = [scan.decoded[p] for p in keys]
    seeks = [
        int(stamp) if ticks is None else min(int(stamp), ticks)
        for ticks, stamp in zip(decoded, key_stamps, strict=True)
    ]
    order = np.argsort(stamps, kind="stable")
    stamps, positions = stamps[order], positions[order]
    is_new = np.diff(stamps, prepend=stamps[0] - 1) > 0
    stamps, positions = stamps[is_new], positions[is_new]
    return Places(
        stamps=stamps,
        is_counted=False,
        positions=positions,
        keys=_keys(stamps, positions, key_positions, key_stamps),
        key_positions=key_positions,
        key_stamps=key_stamps,
        key_seeks=np.array(seeks, np.int64),
    )


def _counted(first: int, positions: np.ndarray) -> Places:
    """Places of frames that have no time stamps: their order is all that is known."""
    count = len(positions)
    return Places(
        stamps=np.arange(count),
        is_counted=True,
        positions=positions,
        keys=np.zeros(count, np.int64),
        key_positions=np.array([first]),
        key_stamps=np.zeros(1, np.int64),
        key_seeks=np.zeros(1, np.int64),
    )


def _keys(
    stamps: np.ndarray,
    positions: np.ndarray,
    key_positions: np.ndarray,
    key_stamps: np.ndarray,
) -> np.ndarray:
    """The keyframe to decode each frame from, [F].

    A frame behind a keyframe that is shown before it needs the keyframe before that.
    """
    keys = np.searchsorted(key_positions, positions, side="right") - 1
    leads = key_stamps[keys] > stamps
    keys = np.maximum(keys - leads, 0)
    return np.where(key_stamps[keys] > stamps, 0, keys)


def _check_times(stamps: np.ndarray, path: str, about: About) -> None:
    """Raises where time stamps, in the order of the file, are of no one recording."""
    seconds = stamps.astype(np.float64) * float(about.base)
    ordered = np.sort(seconds)
    if len(ordered) > 1:
        gap = float(np.max(np.diff(ordered)))
        if not gap <= LONGEST_GAP:
            raise errors.InputError(
                f"{path}: found times of frames that leap by {gap:.0f} s, expected at"
                f" most {LONGEST_GAP:.0f} s"
            )
    rank = np.empty(len(seconds), np.int64)
    rank[np.argsort(stamps, kind="stable")] = np.arange(len(seconds))
    places = np.flatnonzero(np.abs(rank - np.arange(len(seconds))) > _REORDERED)
    if len(places):
        raise errors.InputError(
            f"{path}: found times of frames in no order, {seconds[places[0]]:.1f} s for"
            f" frame {places[0]}, expected those of one recording"
        )


def shown_from(places: Places, stamp: int) -> Places:
    """Returns places of the frames that are not shown before some time stamp."""
    keep = places.stamps >= stamp
    if not keep.any():
        return places
    return places._replace(
        stamps=places.stamps[keep],
        positions=places.positions[keep],
        keys=places.keys[keep],
    )


def times_of(scan: Scan, places: Places, about: About) -> np.ndarray:
    """Returns the time of each frame, [F] float64, seconds from the container's start."""
    if places.is_counted:
        return _counted_times(scan, places, about)
    stamps = places.stamps
    first = int(stamps[0]) * about.base
    start = first
    if about.start is not None:
        said = Fraction(about.start, 10**6)
        # It is rounded to microseconds, and no later than the first frame.
        start = said if said < first - Fraction(1, 10**6) else first
    ticks = (stamps - stamps[0]).astype(np.float64) * about.base.numerator
    return ticks / about.base.denominator + float(first - start)


def _counted_times(scan: Scan, places: Places, about: About) -> np.ndarray:
    """Seconds of frames without time stamps: of decoding, or by the rate."""
    decoded = [scan.decoded[p] for p in places.positions]
    seconds = np.array([-1 if t is None else t for t in decoded], np.float64)
    seconds = (seconds - seconds[0]) * float(about.base)
    gaps = np.diff(seconds)
    has_all = None not in decoded
    if has_all and np.all(gaps > 0) and np.all(gaps <= LONGEST_GAP):
        return seconds
    rate = about.rate or (1 / FRAME_SECONDS)
    return np.arange(len(decoded)) / float(rate)
