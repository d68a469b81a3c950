"""Parts of a video as files of their own, cut without encoding anything again."""

import os
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import files
from cleannet_jax.features import containers
from cleannet_jax.features import video as video_lib

# How a clip of a container is stored, by the name that FFmpeg has for it; others are in
# Matroska, which takes nearly all codecs.
_SAME = {"mov": ".mp4", "mpegts": ".ts", "avi": ".avi"}
_FORMATS = {".mp4": "mp4", ".ts": "mpegts", ".avi": "avi", ".mkv": "matroska"}
# Audio stands up to this long before the pictures of its time in a file.
_AHEAD = 2.0


class Clip(NamedTuple):
    """What a clip really has, in seconds of the video that it is cut from."""

    start: float
    end: float


def suffix(video: video_lib.Video) -> str:
    """Returns how the name of a clip ends: .mp4, .ts or .avi as its video, or .mkv.

    Raises:
      InputError: the video is gone.
    """
    with containers.opened(video.path) as container:
        return _SAME.get(container.format.name.split(",")[0], ".mkv")


def cut(
    video: video_lib.Video, start: float, end: float, path: str | os.PathLike
) -> Clip:
    """Writes a part of a video, pictures and sound as they are, and says what it has.

    Frames follow from one before them, so that it begins at the last keyframe that is
    not after `start`, and it may end a few frames after `end`. The file appears whole or
    not at all, and starts at 0. It is turned as the video is, where PyAV can say so.

    Args:
      video: from `video.open_video`.
      start: seconds.
      end: seconds, after the start.
      path: of the clip; it ends as `suffix` says, or in another of its names.

    Raises:
      InputError: the video cannot be read, has no time stamps, or does not go into such
        a file.
      OSError: the clip cannot be written.
    """
    name = os.fspath(path)
    kind = _FORMATS.get(os.path.splitext(name)[1].lower())
    if kind is None:
        raise ValueError(f"expected a name in {', '.join(_FORMATS)}, found {name!r}")
    if not start < end or start >= video.duration or end <= 0:
        raise ValueError(
            f"expected a part of 0 .. {video.duration:.3f} s, found {start} .. {end}"
        )
    if video.places.is_counted:
        raise errors.InputError(
            f"{video.path}: found frames without time stamps, expected a video that can"
            " be cut"
        )
    part = _part(video, start, end)
    with files.open_atomic(path, "wb") as file:
        try:
            _copy(video, part, kind, file)
        except _LostError:
            # The container seeks past the keyframe: from the start then.
            file.seek(0)
            file.truncate()
            _copy(video, part._replace(seek=None), kind, file)
    return Clip(part.start, part.end)


class _Part(NamedTuple):
    """What is copied.

    Attributes:
      start, end: seconds.
      first: time stamp of the keyframe it begins with.
      length: how many packets of pictures from there on.
      skip: packets before it in the file, where it is read from the start.
      seek: time stamp to seek to; None to read from the start.
    """

    start: float
    end: float
    first: int
    length: int
    skip: int
    seek: int | None


class _LostError(Exception):
    """The keyframe is not where the container was sought."""


def _part(video: video_lib.Video, start: float, end: float) -> _Part:
    """The packets from the keyframe before one time to another."""
    places = video.places
    numbers = video_lib.number_at(video, np.array([start, end]))
    # A frame that begins at the end is not part of it.
    last = max(np.searchsorted(video.times, end - 1e-6) - 1, numbers[0])
    key = int(places.keys[numbers[0]])
    first, skip = int(places.key_stamps[key]), int(places.key_positions[key])
    begin = min(np.searchsorted(places.stamps, first), numbers[0])
    stop = int(places.positions[begin : last + 1].max())
    copied = (places.positions >= skip) & (places.positions <= stop)
    copied &= places.stamps >= first
    final = int(np.flatnonzero(copied)[-1])
    return _Part(
        start=float(video.times[begin]),
        end=float(np.append(video.times, video.duration)[final + 1]),
        first=first,
        length=stop - skip + 1,
        skip=skip,
        seek=int(places.key_seeks[key]) if key else None,
    )


def _copy(video: video_lib.Video, part: _Part, kind: str, file: Any) -> None:
    """Copies packets into a file of some container."""
    import av

    with containers.opened(video.path) as source:
        try:
            with av.open(file, mode="w", format=kind) as target:
                _copy_packets(video, source, target, part)
        except (av.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise errors.InputError(
                f"{video.path}: found streams that cannot be copied into {kind}"
                f" ({reason}), expected ones that can"
            ) from None


def _copy_packets(
    video: video_lib.Video, source: Any, target: Any, part: _Part
) -> None:
    """Copies the packets of a part, their times counted from its start."""
    import av

    pictures = containers.best_stream(source, video.path)
    sound = source.streams.best("audio")
    if sound is not None and sound.codec_context is None:
        sound = None  # FFmpeg does not know what it is.
    into = {pictures.index: target.add_stream_from_template(pictures)}
    if sound is not None:
        into[sound.index] = target.add_stream_from_template(sound)
    is_turned = video.rotation or video.is_mirrored
    if is_turned and hasattr(pictures, "set_display_rotation"):
        into[pictures.index].set_display_rotation(
            video.rotation, hflip=video.is_mirrored
        )
    if part.seek is not None:
        ahead = round(_AHEAD / pictures.time_base)
        try:
            source.seek(part.seek - ahead, stream=pictures)
        except av.FFmpegError:
            raise _LostError from None
    chosen = [pictures] if sound is None else [pictures, sound]
    zero = part.first * pictures.time_base
    seconds = part.end - part.start
    seen, done = 0, 0
    for packet in containers.read_packets(source, *chosen):
        if packet.pts is None and packet.dts is None:
            continue
        stamp = packet.pts if packet.pts is not None else packet.dts
        at = float(stamp * packet.time_base - zero)
        if packet.stream_index != pictures.index:
            is_wanted = 0 <= at < seconds
            if at >= seconds and done >= part.length:
                break
        else:
            done = _advanced(packet, part, seen, done)
            seen += 1
            is_wanted = 0 < done <= part.length and stamp >= part.first
            if done > part.length and sound is None:
                break
        if is_wanted:
            offset = round(zero / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts - offset
            packet.dts = None if packet.dts is None else packet.dts - offset
            packet.stream = into[packet.stream_index]
            target.mux(packet)
    if done < part.length:
        raise _LostError


def _advanced(packet: Any, part: _Part, seen: int, done: int) -> int:
    """How many packets of pictures from the keyframe on there are with this one."""
    if done:
        return done + 1
    if part.seek is None:
        return int(seen == part.skip)
    if packet.is_keyframe and packet.pts is not None and packet.pts > part.first:
        raise _LostError
    return int(packet.is_keyframe and packet.pts == part.first)
