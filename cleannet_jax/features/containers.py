"""Containers of video, opened so that nothing but the file itself is read.

A file is handed to FFmpeg as an open file without a name, so that no path is taken for
an address, and no protocol is allowed, so that nothing is opened that its content points
at (playlists, parts in other files, streams of a network). FFmpeg, which PyAV keeps
silent, prints nothing.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO

from cleannet_jax import errors

MAX_SIDE, MAX_PIXELS = 16384, 64_000_000  # Of a frame.
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
                options={"max_pixels": str(MAX_PIXELS)},
                **_lenient(av),
                buffer_size=_BUFFER,
                container_options={"protocol_whitelist": "none"},
            ) as container:
                yield container
        except av.FFmpegError as error:
            raise errors.InputError(
                f"{path}: found no video that can be read, expected one"
                f" ({error.strerror})"
            ) from None


def _lenient(av: Any) -> dict[str, str]:
    """What lets titles be no UTF-8; since PyAV 19 they always may."""
    is_old = int(av.__version__.split(".")[0]) < 19
    return {"metadata_errors": "replace"} if is_old else {}


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
            f"{path}: found frames of no known size, or of more than {MAX_PIXELS}"
            " pixels, expected a video"
        )
    check_size(width, height, path)
    return stream


def read_packets(container: Any, *streams: Any) -> Iterator[Any]:
    """Yields the packets of some streams, in the order of the file, of PyAV."""
    # At the end PyAV flushes decoders, also of streams that began after the start of
    # the file, which it does not have.
    with contextlib.suppress(IndexError):
        for packet in container.demux(*streams):
            is_flush = packet.pts is None and packet.dts is None and not packet.size
            if not is_flush:
                yield packet


def check_size(width: int, height: int, path: str) -> None:
    """Raises InputError where frames of a file are absurdly large."""
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise errors.InputError(
            f"{path}: found frames of {width}x{height}, expected at most {MAX_SIDE} a"
            f" side and {MAX_PIXELS} pixels"
        )


def _is_cover(stream: Any) -> bool:
    import av

    covers = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    return bool(stream.disposition & covers)


def _tag(stream: Any) -> str:
    """Four letters for a codec that has no name here."""
    tag = str(getattr(stream, "codec_tag", "") or "unknown")
    return tag if tag.isprintable() else "unknown"
