"""Arrays in .npy and .npz files: checked by their headers, mapped or read.

Nothing is unpickled. A header is bounded, and what it claims is compared with the size
of its file before anything is allocated, so that a small file stays small in memory.
Every mistake is an `ArrayError` of one line: the file, what was found and expected.
"""

import contextlib
import io
import math
import mmap
import os
import re
import threading
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cleannet_jax import errors

# Held while a header is parsed: NumPy has Python parse it as source, and before 3.11.9
# and 3.12.2 two threads that do so at once can fail with a SystemError.
_HEADER_LOCK = threading.Lock()
# NumPy refuses longer ones; 12 bytes stand in front.
_HEADER_BYTES = 10_000 + 12
_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# Deflate makes no more than this of a byte.
_LARGEST_RATIO = 1032
_FLOATS = (np.float16, np.float32, np.float64)


class ArrayError(errors.InputError):
    """An array that cannot be used.

    Attributes:
      kind: what is wrong in a few words, the same for every array it is wrong with.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Header(NamedTuple):
    """What a .npy file says of its content, and where that begins, in bytes."""

    shape: tuple[int, ...]
    dtype: np.dtype
    is_fortran: bool
    start: int

    @property
    def stop(self) -> int:
        """Where the content ends by this header, in bytes; objects have no such end."""
        return self.start + math.prod(self.shape) * self.dtype.itemsize


def read_header(path: str | os.PathLike) -> Header:
    """Returns the header of a .npy file whose content is as long as it claims.

    Arrays of Python objects pass, since their content is a pickle of any length.

    Raises:
      ArrayError: the file is absent, is no whole .npy file of version 1 or 2, or its
        header claims more or less than there is.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        raise ArrayError("unreadable file", f"{path}: no such file") from None
    except OSError as error:
        raise ArrayError("unreadable file", f"{path}: {error.strerror}") from None
    return _checked(head, size, str(path))


def map_array(path: str | os.PathLike) -> np.ndarray:
    """Returns the array of a .npy file, read-only; it takes memory where it is touched.

    Raises:
      ArrayError: as `read_header` does, or it is an array of Python objects.
    """
    header = read_header(path)
    refuse_objects(header.dtype, str(path))
    return array_in(map_file(path), header, place=str(path))


def read_array(path: str | os.PathLike) -> np.ndarray:
    """Returns the array of a .npy file, in memory.

    Raises:
      ArrayError: as `map_array` does.
    """
    return np.array(map_array(path))


def array_in(
    buffer: bytes | mmap.mmap, header: Header, *, place: str | os.PathLike
) -> np.ndarray:
    """Returns the array that a header describes, as a view of the whole file.

    Raises:
      ArrayError: it has more than NumPy's number of axes, or an axis beyond any size.
    """
    order = "F" if header.is_fortran else "C"
    try:
        return np.ndarray(header.shape, header.dtype, buffer, header.start, order=order)
    except (ValueError, TypeError, OverflowError):
        raise ArrayError(
            "wrong shape",
            f"{place}: found shape {header.shape}, expected one that can be indexed",
        ) from None


def map_file(path: str | os.PathLike) -> mmap.mmap:
    """Returns the bytes of a file, mapped.

    Raises:
      ArrayError: the file is absent or empty.
    """
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise ArrayError("unreadable file", f"{path}: no such file") from None
    except OSError as error:
        raise ArrayError("unreadable file", f"{path}: {error.strerror}") from None
    except ValueError:
        raise ArrayError("unreadable file", f"{path}: the file is empty") from None


def read_member_header(path: str | os.PathLike, name: str) -> Header:
    """Returns the header of one array of an .npz file; no content is read.

    Raises:
      ArrayError: the file is absent, is no whole .npz file or has no such array, or the
        array is of Python objects.
    """
    with _opened(path) as archive:
        return _member_header(archive, name, f"{path}: {name}")


def member_names(path: str | os.PathLike) -> list[str]:
    """Returns the names of the arrays of an .npz file.

    Raises:
      ArrayError: the file is absent or is no whole .npz file.
    """
    with _opened(path) as archive:
        return _names(archive)


def read_members(path: str | os.PathLike, *names: str) -> dict[str, np.ndarray]:
    """Returns arrays of an .npz file by name: those that are named, or else all.

    Raises:
      ArrayError: as `read_member_header` does.
    """
    with _opened(path) as archive:
        return {
            name: _member(archive, name, f"{path}: {name}")
            for name in names or _names(archive)
        }


def check_floats(
    array: np.ndarray | Header, *, place: str, shape: tuple[int | str, ...]
) -> tuple[int, ...]:
    """Returns the shape of an array, once it is of floats and of a shape.

    Args:
      array: the array, or its header.
      place: what messages call it, usually its path.
      shape: a length for each axis, or a name for one of any length.

    Raises:
      ArrayError: it is of anything but float16, float32 or float64, in either byte
        order, or has another shape.
    """
    refuse_objects(array.dtype, place)
    if array.dtype.newbyteorder("=") not in _FLOATS:
        raise ArrayError(
            "wrong type",
            f"{place}: found values of type {array.dtype}, expected float16, float32 or"
            " float64",
        )
    found = array.shape
    is_right = len(found) == len(shape) and all(
        size >= 0 and (isinstance(wanted, str) or size == wanted)
        for size, wanted in zip(found, shape, strict=True)
    )
    if not is_right:
        expected = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise ArrayError(
            "wrong shape", f"{place}: found shape {found}, expected ({expected})"
        )
    return found


def refuse_objects(dtype: np.dtype, place: str) -> None:
    """Raises an ArrayError if values are Python objects, or have some in fields.

    Args:
      dtype: of the values.
      place: what the message calls them.
    """
    if dtype.hasobject:
        raise ArrayError(
            "object array",
            f"{place}: found values of type {dtype}, an array of Python objects, which"
            " only unpickling could read; expected numbers",
        )


# What reading a damaged archive raises.
_DAMAGES = (
    OSError,
    KeyError,
    ValueError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[zipfile.ZipFile]:
    """An open .npz file; what reading it raises becomes one line."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except errors.InputError:
        raise
    except FileNotFoundError:
        raise ArrayError("unreadable file", f"{path}: no such file") from None
    except _DAMAGES as error:
        reason = str(error).partition("\n")[0].strip("\"'") or type(error).__name__
        raise ArrayError(
            "unreadable file", f"{path}: not a whole .npz file: {reason}"
        ) from None


def _names(archive: zipfile.ZipFile) -> list[str]:
    """The names of the arrays of an archive."""
    names = archive.namelist()
    return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]


def _member_header(archive: zipfile.ZipFile, name: str, place: str) -> Header:
    """The header of an array in an archive, whose content is as long as it claims."""
    info = archive.getinfo(f"{name}.npy")
    # A size that no compression reaches is a lie that would be allocated.
    stored = min(info.compress_size, os.path.getsize(archive.filename))
    size = min(info.file_size, _LARGEST_RATIO * stored)
    with archive.open(info) as member:
        header = _checked(member.read(_HEADER_BYTES), size, place)
    refuse_objects(header.dtype, place)
    return header


def _member(archive: zipfile.ZipFile, name: str, place: str) -> np.ndarray:
    """An array of an archive, in memory."""
    header = _member_header(archive, name, place)
    content = archive.read(f"{name}.npy")
    if len(content) != header.stop:
        raise EOFError(f"found {len(content)} bytes, expected {header.stop}")
    return np.array(array_in(content, header, place=place))


def _checked(head: bytes, size: int, place: str) -> Header:
    """The header at the start of a file of a size, once its claim is true."""
    file = io.BytesIO(_without_long_integers(head))
    try:
        with _HEADER_LOCK:
            version = np.lib.format.read_magic(file)
            shape, is_fortran, dtype = _HEADER_READERS[version](file)
    except (
        ValueError,
        KeyError,
        TypeError,
        SyntaxError,
        MemoryError,
        RecursionError,
        tokenize.TokenError,
    ):
        raise ArrayError(
            "unreadable file",
            f"{place}: no whole .npy header of version 1 or 2 at the start of the"
            f" {size} bytes",
        ) from None
    header = Header(shape, dtype, is_fortran, file.tell())
    if dtype.hasobject:
        return header
    if min(shape, default=0) < 0:
        raise ArrayError(
            "wrong shape", f"{place}: found shape {shape}, expected none below 0"
        )
    empty = dtype.itemsize == 0 and math.prod(shape) > 0
    if header.stop != size or empty:
        raise ArrayError(
            "wrong file size",
            f"{place}: found {size} bytes, expected {header.stop} for shape {shape} of"
            f" {dtype}",
        )
    return header


def _without_long_integers(head: bytes) -> bytes:
    """A header without the L of Python 2's integers, which NumPy warns about."""
    return re.sub(rb"(?<=\d)L(?=[,)])", b" ", head)
