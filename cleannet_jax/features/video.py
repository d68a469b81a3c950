"""Video files: the time of every frame, and frames as RGB images.

Times are seconds, 0 where a player shows 0: at the start of the container. A file is
scanned packet by packet without decoding; frames are then found by their time stamps,
so that a frame is the same whichever were asked for with it. What would have to be made
up is an error.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from cleannet_jax import errors
from cleannet_jax.features import containers, decoding, images, packets

# A time given as a sum of floats means the frame that begins there.
_TOLERANCE = 1e-6

DamagedError = containers.DamagedError
Size = images.Size


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
    places: packets.Places = dataclasses.field(repr=False)


def open_video(path: str | os.PathLike) -> Video:
    """Returns what a video file holds, after a scan without decoding.

    One frame is decoded to see that the codec works and how frames are turned; frames
    in front of it that cannot be decoded, as after a cut of a broadcast, do not count.
    Packets that an edit list drops do not count either, and of two with the same time
    one does. Times are sorted. Where packets have no presentation time their decoding
    times are used in its place, and where they have neither, the frame rate; then, and
    where packets are of two frames ("packed B-frames"), frames are counted from the
    start, so that late ones take long.

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
    with containers.opened(name) as container:
        stream = containers.best_stream(container, name)
        scan = packets.scanned(container, stream, name)
        about = packets.About(
            rate=stream.average_rate or stream.guessed_rate,
            base=stream.time_base,
            aspect=stream.sample_aspect_ratio,
            start=container.start_time,
            has_audio=bool(container.streams.audio),
        )
    places = packets.places_of(scan, name, about)
    first = decoding.first_frame(name, places)
    if not places.is_counted and first.pts is not None:
        places = packets.shown_from(places, first.pts)
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
    width, height = images.scaled_size(video.width, video.height, size)
    if width * height > containers.MAX_PIXELS:
        raise errors.InputError(
            f"{video.path}: found frames that would be scaled to {width}x{height},"
            f" expected at most {containers.MAX_PIXELS} pixels"
        )
    crop_width, crop_height = size.crop or (width, height)
    if crop_width > width or crop_height > height:
        raise ValueError(
            f"expected a crop within {width}x{height}, found {crop_width}x{crop_height}"
        )
    result = np.empty((len(numbers), crop_height, crop_width, 3), np.uint8)
    made = images.Images(
        video.rotation, video.is_mirrored, (width, height), (crop_width, crop_height)
    )
    try:
        for number, frame in decoding.found(
            video.path, video.places, np.unique(numbers)
        ):
            begin, end = np.searchsorted(numbers, [number, number + 1])
            result[begin:end] = made.of(frame)
    except decoding.UncleanError as error:
        raise _damaged(video, error) from None
    return result


def _video(
    path: str,
    scan: packets.Scan,
    places: packets.Places,
    about: packets.About,
    first: Any,
) -> Video:
    """All that is known of a file, in seconds and as it is shown."""
    rate = about.rate or (1 / packets.FRAME_SECONDS)
    times = packets.times_of(scan, places, about)
    if not times[0] <= packets.LONGEST_GAP:
        raise errors.InputError(
            f"{path}: found a first frame at {times[0]:.0f} s, expected at most"
            f" {packets.LONGEST_GAP:.0f} s"
        )
    last = float(scan.last_ticks * about.base)
    seconds = last if 0 < last <= packets.LONGEST_GAP else 0.0
    if len(times) > 1:
        fps = float((len(times) - 1) / (times[-1] - times[0]))
    else:
        fps = 1 / seconds if seconds else float(rate)
    seconds = seconds or 1 / fps
    rotation, is_mirrored = images.orientation(first)
    width, height = images.shown_size(first.width, first.height, about.aspect)
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


def _damaged(video: Video, error: decoding.UncleanError) -> DamagedError:
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
