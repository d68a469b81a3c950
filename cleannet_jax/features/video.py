"""Video files: the time of every frame, and frames as RGB images.

Times are seconds, 0 where a player shows 0: at the start of the container. A file is
scanned packet by packet without decoding; frames are then found by their time stamps,
so that a frame is the same whichever were asked for with it.

A frame that the decoder would have to make up is an error, not a picture: features of
a concealed frame say nothing of the video. So FFmpeg stops at damage (`err_detect
explode`) and `DamagedError` says where.

Only what is in the file itself is read: it is handed to FFmpeg as an open file without a
name, so that no path is taken for an address, and whatever its content points at
(playlists, parts in other files) is refused. FFmpeg, which PyAV keeps silent, prints
nothing.
"""

import contextlib
import dataclasses
import math
import os
import stat
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from cleannet_jax import errors

_MAX_SIDE, _MAX_PIXELS = 16384, 64_000_000
# Where neither a frame nor its file says how long it is shown.
_FRAME_SECONDS = Fraction(1, 25)
# A gap between two frames that only a broken time stamp makes.
_LONGEST_GAP = 86400.0
# Decoders reorder over half as many frames; a time that runs back further begins
# another recording.
_REORDERED = 32
# A file is cut short where it lacks more than both of what its header claims.
_CUT_SECONDS, _CUT_SHARE = 1.0, 0.02
# Containers whose header says how long they are; for others FFmpeg guesses.
_CLAIMING = ("mov", "matroska", "avi", "flv", "asf")
# Packets without a wanted frame that are decoded rather than sought over.
_LONGEST_WAY = 64
# A time given as a sum of floats means the frame that begins there.
_TOLERANCE = 1e-6
_BUFFER = 1 << 18


class DamagedError(errors.InputError):
    """A video that cannot be read to its end.

    Attributes:
      readable: seconds up to which it can be read.
      duration: seconds that it should have.
    """

    def __init__(self, message: str, readable: float, duration: float) -> None:
        super().__init__(message)
        self.readable = readable
        self.duration = duration

    def __reduce__(self) -> tuple[Any, ...]:
        """What pickles it, to bring it back from another process."""
        return type(self), (str(self), self.readable, self.duration)


class _Places(NamedTuple):
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


@dataclasses.dataclass(frozen=True, eq=False)
class Video:
    """A video file that was scanned; it can be pickled.

    Attributes:
      path: of the file.
      times: [F] float64, seconds at which each frame is shown, increasing.
      duration: seconds at which the last frame ends.
      fps: frames a second, on average.
      width, height: of a frame as shown: turned, and with square pixels.
      rotation: degrees by which a coded frame is turned, counter-clockwise: 0, 90, 180
        or 270; other angles are rounded to these.
      is_mirrored: whether left and right of a coded frame are exchanged before that.
      has_audio: whether there is sound as well.
      places: where the frames are in the file.
    """

    path: str
    times: np.ndarray = dataclasses.field(repr=False)
    duration: float
    fps: float
    width: int
    height: int
    rotation: int
    is_mirrored: bool
    has_audio: bool
    places: _Places = dataclasses.field(repr=False)


class Size(NamedTuple):
    """How frames are scaled and cropped; by default they stay as shown.

    Attributes:
      shorter: of the shorter side, in pixels; the aspect stays as shown. 0 for any.
      exact: (width, height) whatever the aspect; excludes `shorter`.
      crop: (width, height) that is cut out of the centre of what was scaled.
    """

    shorter: int = 0
    exact: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None


def open_video(path: str | os.PathLike) -> Video:
    """Returns what a video file holds, after a scan without decoding.

    One frame is decoded to see that the codec works and how frames are turned; frames
    in front of it that cannot be decoded, as after a cut of a broadcast, do not count.
    Packets that an edit list drops do not count either, and of two with the same time
    one does. Times are sorted. Where packets have no presentation time their decoding
    times are used in its place, and where they have neither, the frame rate.

    The video is the one that FFmpeg takes for the best of a file; a cover is none. A
    still image is a video of one frame.

    Raises:
      InputError: there is no such file, it is no video, has audio or covers only, no
        frames, or frames of more than 16384 pixels a side or 64 million in all; it
        cannot be decoded; its times leap by more than a day or run backwards.
      DamagedError: it is cut short: its header claims more than 1 s and 2 % beyond the
        last packet; or it cannot be read to the end.
    """
    name = os.fspath(path)
    with opened(name) as container:
        stream = best_stream(container, name)
        scan = _scan(container, stream, name)
        about = _About(
            rate=stream.average_rate or stream.guessed_rate,
            base=stream.time_base,
            aspect=stream.sample_aspect_ratio,
            start=container.start_time,
            has_audio=bool(container.streams.audio),
        )
    places = _places(scan, name, about)
    first = _first_frame(name, places)
    if not places.is_counted and first.pts is not None:
        places = _from(places, first.pts)
    return _video(name, scan, places, about, first)


def number_at(video: Video, seconds: np.ndarray) -> np.ndarray:
    """Returns which frame is shown at each time, [M] int.

    It is the last one whose time is not later (by more than a microsecond, since times
    are sums), and the first one before that.

    Args:
      video: any.
      seconds: [M] times, in any order.
    """
    seconds = np.asarray(seconds, np.float64)
    after = np.searchsorted(video.times, seconds + _TOLERANCE, side="right")
    return np.maximum(after - 1, 0)


def frames(video: Video, numbers: Sequence[int] | np.ndarray, size: Size) -> np.ndarray:
    """Returns frames as RGB images, [M, h, w, 3] uint8.

    Scaled by libswscale, bilinear over the area that a pixel comes from, accurately
    rounded. What was decoded before does not change a frame. A packet that gives no
    frame, as some codecs have, shows the one before it.

    Args:
      video: from `open_video`; the file is still the same.
      numbers: [M] of frames, nondecreasing, 0 to F - 1.
      size: of the images.

    Raises:
      DamagedError: a frame cannot be decoded.
      InputError: the file is gone, or frames of this shape would be too large.
    """
    numbers = np.asarray(numbers, np.int64)
    if numbers.ndim != 1 or np.any(np.diff(numbers) < 0):
        raise ValueError(f"expected nondecreasing numbers [M], found {numbers}")
    if len(numbers) and not 0 <= numbers[0] <= numbers[-1] < len(video.times):
        raise ValueError(
            f"expected numbers of {len(video.times)} frames, found {numbers[0]} to"
            f" {numbers[-1]}"
        )
    width, height = _scaled(video, size)
    crop_width, crop_height = size.crop or (width, height)
    if crop_width > width or crop_height > height:
        raise ValueError(
            f"expected a crop within {width}x{height}, found {crop_width}x{crop_height}"
        )
    result = np.empty((len(numbers), crop_height, crop_width, 3), np.uint8)
    image = _Image(video, (width, height), (crop_width, crop_height))
    for number, frame in _found(video, np.unique(numbers)):
        begin, end = np.searchsorted(numbers, [number, number + 1])
        result[begin:end] = image.of(frame)
    return result


class _About(NamedTuple):
    """What a container says of its video."""

    rate: Fraction | None
    base: Fraction
    aspect: Fraction | None
    start: int | None
    has_audio: bool


class _Scan(NamedTuple):
    """All packets of the video, in the order of the file.

    Attributes:
      presented: time stamps, None where there is none.
      decoded: the same of decoding.
      are_keys: whether frames can be decoded from here on.
      are_shown: whether no edit list drops them.
      last_ticks: how long the last one of all that are shown is shown, 0 if unknown.
    """

    presented: list[int | None]
    decoded: list[int | None]
    are_keys: list[bool]
    are_shown: list[bool]
    last_ticks: int


@contextlib.contextmanager
def opened(path: str) -> Iterator[Any]:
    """Opens the container of a file, for PyAV.

    Raises:
      InputError: PyAV or the file is absent, or what FFmpeg refuses in the block.
    """
    try:
        import av
    except ImportError:
        raise errors.InputError(
            f"{path}: reading videos needs PyAV: pip install 'cleannet_jax[video]'"
        ) from None
    with _file(path) as file:
        try:
            with av.open(
                _Nameless(file),
                mode="r",
                options={"max_pixels": str(_MAX_PIXELS)},
                metadata_errors="replace",
                buffer_size=_BUFFER,
                container_options={"protocol_whitelist": "none"},
            ) as container:
                yield container
        except av.FFmpegError as error:
            raise errors.InputError(
                f"{path}: found no video that can be read, expected one"
                f" ({error.strerror})"
            ) from None


@contextlib.contextmanager
def _file(path: str) -> Iterator[BinaryIO]:
    """An open regular file."""
    try:
        # A pipe would wait for a writer.
        if not stat.S_ISREG(os.stat(path).st_mode):
            what = "a folder" if os.path.isdir(path) else "no regular file"
            raise errors.InputError(f"{path}: found {what}, expected a video file")
        file = open(path, "rb", buffering=0)  # noqa: SIM115
    except FileNotFoundError:
        raise errors.InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        if isinstance(error, errors.InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise errors.InputError(f"{path}: cannot be read: {reason}") from None
    with file:
        yield file


class _Nameless:
    """A file without its name, by which FFmpeg would take text for a video."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def best_stream(container: Any, path: str) -> Any:
    """Returns the video of a container, after a look at what it claims.

    Raises:
      InputError: there is none, or it is none that can be decoded.
    """
    pictures = container.streams.video
    streams = [s for s in pictures if not _is_cover(s)]
    if not streams:
        what = "no video"
        if container.streams.audio:
            what = "audio only" if not pictures else "audio and a cover only"
        raise errors.InputError(f"{path}: found {what}, expected a video stream")
    best = container.streams.best("video")
    stream = streams[0] if best is None or _is_cover(best) else best
    if stream.codec_context is None:
        raise errors.InputError(
            f"{path}: found a codec that FFmpeg cannot decode"
            f" ({_tag(stream)}), expected one that it can"
        )
    width, height = stream.codec_context.width, stream.codec_context.height
    if not width or not height:
        raise errors.InputError(
            f"{path}: found frames of no known size, or of more than {_MAX_PIXELS}"
            " pixels, expected a video"
        )
    if max(width, height) > _MAX_SIDE or width * height > _MAX_PIXELS:
        raise errors.InputError(
            f"{path}: found frames of {width}x{height}, expected at most {_MAX_SIDE} a"
            f" side and {_MAX_PIXELS} pixels"
        )
    return stream


def _is_cover(stream: Any) -> bool:
    import av

    covers = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    return bool(stream.disposition & covers)


def _tag(stream: Any) -> str:
    """Four letters for a codec that has no name here."""
    tag = str(getattr(stream, "codec_tag", "") or "unknown")
    return tag if tag.isprintable() else "unknown"


def _scan(container: Any, stream: Any, path: str) -> _Scan:
    """All packets, and a check that there are as many as the header claims."""
    import av

    presented, decoded, are_keys, are_shown = [], [], [], []
    last, last_ticks = None, 0
    ends: dict[int, float] = {}
    chosen = stream.index
    others = [s for s in container.streams if s.type in ("audio", "subtitle")]
    try:
        for packet in container.demux(stream, *others):
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is None and not packet.size:
                continue  # What flushes a decoder at the end.
            ticks = packet.duration or 0
            if stamp is not None and not packet.is_discard:
                end = float((stamp + ticks) * packet.time_base)
                index = packet.stream_index
                ends[index] = max(end, ends.get(index, end))
            if packet.stream_index != chosen:
                continue
            is_timed = stamp is not None and not packet.is_discard
            if is_timed and (last is None or stamp >= last):
                last, last_ticks = stamp, ticks
            presented.append(packet.pts)
            decoded.append(packet.dts)
            are_keys.append(packet.is_keyframe)
            are_shown.append(not packet.is_discard)
    except av.FFmpegError as error:
        readable = max(ends.get(chosen, 0.0) - (container.start_time or 0) / 1e6, 0.0)
        duration = (container.duration or 0) / 1e6
        raise DamagedError(
            f"{path}: damaged: found {readable:.1f} s that can be read"
            f" ({error.strerror}), expected {max(duration, readable):.1f} s",
            readable,
            duration,
        ) from None
    if not any(are_shown):
        raise errors.InputError(f"{path}: found 0 frames, expected a video with frames")
    _check_whole(container, stream, ends, path)
    return _Scan(presented, decoded, are_keys, are_shown, last_ticks)


def _check_whole(
    container: Any, stream: Any, ends: dict[int, float], path: str
) -> None:
    """Raises where the header claims more than there is."""
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
        raise DamagedError(
            f"{path}: cut short: found {found:.1f} s, expected {claimed:.1f} s",
            found,
            claimed,
        )


def _places(scan: _Scan, path: str, about: _About) -> _Places:
    """Where the frames are, from the first keyframe on."""
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
    if any(stamp is None for stamp in presented):
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
    return _Places(
        stamps=stamps,
        is_counted=False,
        positions=positions,
        keys=_keys(stamps, positions, key_positions, key_stamps),
        key_positions=key_positions,
        key_stamps=key_stamps,
        key_seeks=np.array(seeks, np.int64),
    )


def _counted(first: int, positions: np.ndarray) -> _Places:
    """Places of frames that have no time stamps: their order is all that is known."""
    count = len(positions)
    return _Places(
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


def _check_times(stamps: np.ndarray, path: str, about: _About) -> None:
    """Raises where time stamps, in the order of the file, are of no one recording."""
    seconds = stamps.astype(np.float64) * float(about.base)
    ordered = np.sort(seconds)
    if len(ordered) > 1:
        gap = float(np.max(np.diff(ordered)))
        if not gap <= _LONGEST_GAP:
            raise errors.InputError(
                f"{path}: found times of frames that leap by {gap:.0f} s, expected at"
                f" most {_LONGEST_GAP:.0f} s"
            )
    rank = np.empty(len(seconds), np.int64)
    rank[np.argsort(stamps, kind="stable")] = np.arange(len(seconds))
    places = np.flatnonzero(np.arange(len(seconds)) - rank > _REORDERED)
    if len(places):
        raise errors.InputError(
            f"{path}: found times of frames that run back to {seconds[places[0]]:.1f} s"
            f" after {seconds[places[0] - 1]:.1f} s, expected one recording"
        )


def _from(places: _Places, stamp: int) -> _Places:
    """Places of the frames that are not shown before some time stamp."""
    keep = places.stamps >= stamp
    if not keep.any():
        return places
    return places._replace(
        stamps=places.stamps[keep],
        positions=places.positions[keep],
        keys=places.keys[keep],
    )


def _first_frame(path: str, places: _Places) -> Any:
    """The first frame that comes out of the decoder."""
    try:
        with opened(path) as container:
            for frame in _decoded(container, path, places, 0):
                return frame
        reason = "no frame comes out of it"
    except _UncleanError as error:
        reason = str(error)
    raise DamagedError(
        f"{path}: found no frame that can be decoded ({reason}), expected a video",
        0.0,
        0.0,
    )


def _video(path: str, scan: _Scan, places: _Places, about: _About, first: Any) -> Video:
    """All that is known of a file, in seconds and as it is shown."""
    rate = about.rate or (1 / _FRAME_SECONDS)
    if places.is_counted:
        times = _counted_times(scan, places, about)
    else:
        times = _times(places.stamps, about)
    if not times[0] <= _LONGEST_GAP:
        raise errors.InputError(
            f"{path}: found a first frame at {times[0]:.0f} s, expected at most"
            f" {_LONGEST_GAP:.0f} s"
        )
    last = float(scan.last_ticks * about.base)
    seconds = last if 0 < last <= _LONGEST_GAP else 0.0
    if len(times) > 1:
        fps = float((len(times) - 1) / (times[-1] - times[0]))
    else:
        fps = 1 / seconds if seconds else float(rate)
    seconds = seconds or 1 / fps
    rotation, is_mirrored = _orientation(first)
    width, height = _shown(first.width, first.height, about.aspect)
    if rotation in (90, 270):
        width, height = height, width
    return Video(
        path=path,
        times=times,
        duration=float(times[-1] + seconds),
        fps=fps,
        width=width,
        height=height,
        rotation=rotation,
        is_mirrored=is_mirrored,
        has_audio=about.has_audio,
        places=places,
    )


def _times(stamps: np.ndarray, about: _About) -> np.ndarray:
    """Seconds of time stamps from the start of their container on."""
    first = int(stamps[0]) * about.base
    start = first
    if about.start is not None:
        said = Fraction(about.start, 10**6)
        # It is rounded to microseconds, and no later than the first frame.
        start = said if said < first - Fraction(1, 10**6) else first
    ticks = (stamps - stamps[0]).astype(np.float64) * about.base.numerator
    return ticks / about.base.denominator + float(first - start)


def _counted_times(scan: _Scan, places: _Places, about: _About) -> np.ndarray:
    """Seconds of frames without time stamps: of decoding, or by the rate."""
    decoded = [scan.decoded[p] for p in places.positions]
    seconds = np.array([-1 if t is None else t for t in decoded], np.float64)
    seconds = (seconds - seconds[0]) * float(about.base)
    gaps = np.diff(seconds)
    has_all = None not in decoded
    if has_all and np.all(gaps > 0) and np.all(gaps <= _LONGEST_GAP):
        return seconds
    rate = about.rate or (1 / _FRAME_SECONDS)
    return np.arange(len(decoded)) / float(rate)


def _orientation(frame: Any) -> tuple[int, bool]:
    """Degrees counter-clockwise, and whether it is mirrored before, of a coded frame."""
    from av.sidedata import sidedata

    kind = sidedata.Type.DISPLAYMATRIX
    try:
        matrix = np.frombuffer(bytes(frame.side_data[kind]), np.int32)
    except KeyError:
        return 0, False
    # Right and down of a coded frame lead to (a, b) and (c, d), right and down.
    a, b, _, c, d = (float(value) for value in matrix[:5])
    is_mirrored = a * d - b * c < 0
    if is_mirrored:
        a, b = -a, -b
    return round(math.degrees(math.atan2(-b, a)) / 90) % 4 * 90, is_mirrored


def _shown(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """The size with square pixels; an aspect of a pixel that no file has is ignored."""
    if aspect is None or not Fraction(1, 16) <= aspect <= 16:
        return width, height
    return max(round(width * aspect), 1), height


def _scaled(video: Video, size: Size) -> tuple[int, int]:
    """Width and height that a frame as shown is scaled to."""
    if size.exact is not None:
        if size.shorter:
            raise ValueError(f"expected a shorter side or an exact size, found {size}")
        return size.exact
    width, height = video.width, video.height
    if size.shorter:
        ratio = Fraction(size.shorter, min(width, height))
        width, height = round(width * ratio), round(height * ratio)
    if width * height > _MAX_PIXELS:
        raise errors.InputError(
            f"{video.path}: found frames that would be scaled to {width}x{height},"
            f" expected at most {_MAX_PIXELS} pixels"
        )
    return width, height


class _Image:
    """Makes images of frames, all of one size.

    Args:
      video: theirs.
      size: (width, height) as shown.
      crop: (width, height) of the centre to cut out.
    """

    def __init__(
        self, video: Video, size: tuple[int, int], crop: tuple[int, int]
    ) -> None:
        from av.video import reformatter

        self._turns = video.rotation // 90
        self._is_mirrored = video.is_mirrored
        self._size = size if self._turns % 2 == 0 else size[::-1]
        self._crop = crop
        self._left, self._top = (size[0] - crop[0]) // 2, (size[1] - crop[1]) // 2
        self._reformatter = reformatter.VideoReformatter()
        how = reformatter.Interpolation
        self._how = how.BILINEAR | how.ACCURATE_RND | how.FULL_CHR_H_INT

    def of(self, frame: Any) -> np.ndarray:
        """The image [h, w, 3] of a decoded frame."""
        scaled = self._reformatter.reformat(
            frame, *self._size, format="rgb24", interpolation=self._how, threads=1
        )
        image = scaled.to_ndarray()
        if self._is_mirrored:
            image = image[:, ::-1]
        image = np.rot90(image, self._turns)
        width, height = self._crop
        return image[self._top : self._top + height, self._left : self._left + width]


class _UncleanError(Exception):
    """Decoding from some keyframe does not give the frames that are wanted.

    Attributes:
      stamp: of the last frame that it gave.
    """

    stamp: int | None = None


def _found(video: Video, numbers: np.ndarray) -> Iterator[tuple[int, Any]]:
    """Number and frame of each of some frames, increasing."""
    places = video.places
    if len(numbers) and not places.is_counted:
        # Over a long way to the next frame it pays to seek.
        ways = places.key_positions[places.keys[numbers[1:]]]
        ways = ways - places.positions[numbers[:-1]]
        groups = np.split(numbers, np.flatnonzero(ways > _LONGEST_WAY) + 1)
    else:
        groups = [numbers]
    for group in groups:
        yield from _group(video, group)


def _group(video: Video, numbers: np.ndarray) -> Iterator[tuple[int, Any]]:
    """`_found` for frames that are near each other.

    Some containers seek past what was asked for, and some keyframes are none: so it
    goes further back each time, in the end to the start.
    """
    done, back = 0, 0
    while done < len(numbers):
        key = max(int(video.places.keys[numbers[done]]) - back, 0)
        before = done
        try:
            with opened(video.path) as container:
                for number, frame in _run(container, video, key, numbers[done:]):
                    yield number, frame
                    done += 1
        except _UncleanError as error:
            if done > before:
                back = 0
            elif key > 0:
                back = max(2 * back, 1)
            else:
                raise _damaged(video, error) from None


def _damaged(video: Video, error: "_UncleanError") -> DamagedError:
    """The error of a video that cannot be decoded from its start either."""
    readable = 0.0
    if error.stamp is not None:
        number = np.searchsorted(video.places.stamps, error.stamp, side="right")
        readable = float(np.append(video.times, video.duration)[number])
    return DamagedError(
        f"{video.path}: damaged: found {readable:.1f} s that can be decoded ({error}),"
        f" expected {video.duration:.1f} s",
        readable,
        video.duration,
    )


def _run(
    container: Any, video: Video, key: int, numbers: np.ndarray
) -> Iterator[tuple[int, Any]]:
    """Number and frame of each of some frames, decoded from one keyframe.

    Raises:
      _UncleanError: a frame cannot be had so.
    """
    stamps = video.places.stamps[numbers]
    at, last = 0, None
    try:
        for frame in _decoded(container, video.path, video.places, key):
            while at < len(numbers) and stamps[at] <= frame.pts:
                # Nothing came out at an earlier time. Before the first frame that does,
                # the decoder may have lacked what it refers to.
                shown = frame if stamps[at] == frame.pts else last
                if shown is None:
                    raise _UncleanError("a frame does not come out of the decoder")
                if shown.is_corrupt:
                    raise _UncleanError("a frame is marked as corrupt")
                yield int(numbers[at]), shown
                at += 1
            if at == len(numbers):
                return
            last = frame
        if last is None:
            raise _UncleanError("no frame comes out of the decoder")
    except _UncleanError as error:
        error.stamp = None if last is None else last.pts
        raise
    for number in numbers[at:]:
        yield int(number), last


def _decoded(container: Any, path: str, places: _Places, key: int) -> Iterator[Any]:
    """Frames from a keyframe on, with time stamps as `_Places` has them."""
    import av

    stream = best_stream(container, path)
    context = stream.codec_context
    context.thread_count, context.thread_type = 1, "NONE"
    context.options = {"err_detect": "explode", "max_pixels": str(_MAX_PIXELS)}
    count = 0
    for packet, is_leading in _packets(container, stream, places, key):
        # Frames that are shown before the keyframe may refer to what is before it.
        if packet is not None and packet.is_corrupt and not is_leading:
            raise _UncleanError("a packet is marked as corrupt")
        try:
            out = context.decode(packet)
        except av.FFmpegError as error:
            if is_leading:
                continue
            # What the decoder holds back is dropped: the frame itself is among it.
            raise _UncleanError(error.strerror) from None
        for frame in out:
            _check_size(frame, path)
            if places.is_counted:
                frame.pts = count
                count += 1
            if frame.pts is not None:
                yield frame


def _check_size(frame: Any, path: str) -> None:
    """Raises where a frame is larger than its container said."""
    if max(frame.width, frame.height) > _MAX_SIDE:
        raise errors.InputError(
            f"{path}: found a frame of {frame.width}x{frame.height}, expected at most"
            f" {_MAX_SIDE} a side"
        )


def _packets(
    container: Any, stream: Any, places: _Places, key: int
) -> Iterator[tuple[Any, bool]]:
    """Packets from a keyframe on, and whether each is shown before the keyframe.

    The last one, which is None, flushes the decoder.

    Raises:
      _UncleanError: the keyframe is not found, or the file ends before its last frame.
    """
    import av

    stamp = int(places.key_stamps[key])
    highest = None
    count, has_begun = 0, False
    try:
        if key > 0:
            container.seek(int(places.key_seeks[key]), stream=stream)
        for packet in container.demux(stream):
            if packet.pts is None and packet.dts is None and not packet.size:
                continue
            if not has_begun:
                if key == 0:
                    has_begun = count == places.key_positions[0]
                elif packet.is_keyframe and packet.pts is not None:
                    has_begun = packet.pts == stamp
                    if packet.pts > stamp:
                        raise _UncleanError("it cannot be sought")
            count += 1
            if has_begun:
                if packet.pts is not None:
                    highest = max(packet.pts, highest or packet.pts)
                is_leading = packet.pts is not None and packet.pts < stamp
                yield packet, is_leading and not places.is_counted
    except av.FFmpegError as error:
        raise _UncleanError(error.strerror or "it cannot be read") from None
    if not has_begun:
        raise _UncleanError("it cannot be sought")
    yield None, False
    is_short = highest is None or highest < places.stamps[-1]
    if is_short and not places.is_counted:
        raise _UncleanError("the file ends before it")
