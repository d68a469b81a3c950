"""Arrays in .npy and .npz files: checked by their headers, mapped or read.

Nothing is unpickled, and nothing of a header is evaluated: it is three fields of a small
grammar. What it claims is compared with the size of its file before anything is
allocated, so that a small file stays small in memory. A member of an archive may be
`allowance` of what it takes there. Every mistake is an `ArrayError` of one line: the
file, what was found and expected.
"""

import contextlib
import math
import mmap
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cleannet_jax import errors

# Headers are this long at most, as NumPy has it too; 12 bytes stand in front.
_HEADER_BYTES = 10_000
_HEAD_BYTES = _HEADER_BYTES + 12
# Bytes of the length of a header, by the version in front of it.
_LENGTH_BYTES = {b"\x93NUMPY\1\0": 2, b"\x93NUMPY\2\0": 4}
_FIELD = re.compile(
    r"""['"](descr|fortran_order|shape)['"]\s*:\s*"""
    r"""('[^']*'|"[^"]*"|True|False|\([^()]*\)|\[.*\])\s*(?:,\s*|$)"""
)
_TYPE = re.compile(r"[<>=|]?[a-zA-Z]\d{0,9}(\[\w{1,20}\])?")
# Python 2 writes an L behind integers.
_SIZE = re.compile(r"(-?\d{1,40})L?")
# Numbers, text, objects, and the two bytes of no type that bfloat16 is.
_KINDS = "biufcSUVO"
_MAX_AXES, _MAX_BYTES = 64, 2**63 - 1
_CHUNK = 1 << 20
_FLOATS = (np.float16, np.float32, np.float64)
# Why what is compressed is refused, and what then; the end of a message.
SMALLER = (
    ": it is compressed to less than features are; if they are right, store it"
    " uncompressed or as .npy"
)


class ArrayError(errors.InputError):
    """An array that cannot be used.

    Attributes:
      kind: what is wrong in a few words, the same for every array it is wrong with.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def allowance(stored: int) -> int:
    """Returns how many bytes may be made of those that are stored compressed.

    No features that somebody recorded are 64 times smaller when they are compressed, and
    small arrays of zeros are allowed for.
    """
    return 64 * stored + (16 << 20)


class Header(NamedTuple):
    """What a .npy file says of its content, and where that begins, in bytes."""

    shape: tuple[int, ...]
    dtype: np.dtype
    is_fortran: bool
    start: int

    @property
    def size(self) -> int:
        """Bytes of the content by this header; objects take any number of them."""
        return math.prod(self.shape) * self.dtype.itemsize


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
            head = file.read(_HEAD_BYTES)
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
    buffer: bytes | mmap.mmap | np.ndarray,
    header: Header,
    *,
    place: str | os.PathLike,
) -> np.ndarray:
    """Returns the array that a header describes, as a view of the whole file.

    Raises:
      ArrayError: the file is shorter than it was, or the array is of text with a
        character that there is not.
    """
    if not header.size:
        return np.empty(header.shape, header.dtype)
    order = "F" if header.is_fortran else "C"
    try:
        array = np.ndarray(
            header.shape, header.dtype, buffer, header.start, order=order
        )
    except TypeError:
        raise ArrayError(
            "wrong file size", f"{place}: the file became shorter while it was read"
        ) from None
    check_characters(array, str(place))
    return array


def check_characters(array: np.ndarray, place: str) -> None:
    """Raises an ArrayError if an array of text has something that is no character.

    Args:
      array: of any type.
      place: what the message calls it.
    """
    if array.dtype.kind != "U" or not array.size:
        return
    flat = np.ascontiguousarray(array).reshape(-1)
    codes = flat.view(np.dtype("u4").newbyteorder(array.dtype.byteorder))
    wrong = (codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))
    if wrong.any():
        raise ArrayError(
            "wrong type",
            f"{place}: found the character {codes[wrong.argmax()]:#x}, expected Unicode",
        )


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
        wanted = dict.fromkeys(names or _names(archive))
        total = sum(archive.getinfo(f"{name}.npy").file_size for name in wanted)
        _check_total(total, os.path.getsize(path), str(path))
        return {name: _member(archive, name, f"{path}: {name}") for name in wanted}


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
    ArithmeticError,
    OSError,
    KeyError,
    ValueError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    struct.error,
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
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArrayError(
            "unreadable file",
            f"{place}: found compression {info.compress_type}, expected none or deflate",
        )
    stored = min(info.compress_size, os.path.getsize(archive.filename))
    _check_total(info.file_size, stored, place)
    with archive.open(info) as member:
        header = _checked(member.read(_HEAD_BYTES), info.file_size, place)
    refuse_objects(header.dtype, place)
    return header


def _check_total(size: int, stored: int, place: str) -> None:
    """Raises if so many bytes are claimed to lie in so few."""
    if size > allowance(stored):
        raise ArrayError(
            "wrong file size",
            f"{place}: found {size} bytes that take {stored} in the file, expected at"
            f" most {allowance(stored)}{SMALLER}",
        )


def _member(archive: zipfile.ZipFile, name: str, place: str) -> np.ndarray:
    """An array of an archive, in memory."""
    header = _member_header(archive, name, place)
    content = np.empty(header.size, np.uint8)
    with archive.open(f"{name}.npy") as member:
        member.read(header.start)
        at = 0
        while count := member.readinto(content[at : at + _CHUNK].data):
            at += count
        # Checksums are compared where the end is read.
        if at != header.size or member.read(1):
            raise EOFError(f"found another size than {header.size} bytes")
    return array_in(content, header._replace(start=0), place=place)


def _checked(head: bytes, size: int, place: str) -> Header:
    """The header at the start of a file of a size, once its claim is true."""
    fields, start = _fields(head)
    shape = _shape(fields.get("shape", ""))
    if len(fields) != 3 or shape is None or fields["fortran_order"][0] not in "TF":
        raise ArrayError(
            "unreadable file",
            f"{place}: no whole .npy header of version 1 or 2 at the start of the"
            f" {size} bytes",
        )
    header = Header(
        shape, _dtype(fields["descr"], place), fields["fortran_order"] == "True", start
    )
    if min(shape, default=0) < 0:
        raise ArrayError(
            "wrong shape", f"{place}: found shape {shape}, expected none below 0"
        )
    # NumPy multiplies what is not 0, also for arrays without values.
    whole = math.prod(filter(None, shape)) * header.dtype.itemsize
    if len(shape) > _MAX_AXES or max(whole, *shape, 0) > _MAX_BYTES:
        raise ArrayError(
            "wrong shape",
            f"{place}: found shape {shape}, expected one that can be indexed",
        )
    if header.dtype.hasobject:
        return header
    is_nothing = header.dtype.itemsize == 0 and math.prod(shape) > 0
    if start + header.size != size or is_nothing:
        raise ArrayError(
            "wrong file size",
            f"{place}: found {size} bytes, expected {start + header.size} for shape"
            f" {shape} of {header.dtype}",
        )
    return header


def _fields(head: bytes) -> tuple[dict[str, str], int]:
    """The fields of a header as they are spelled, and where it ends; none if it is none."""
    width = _LENGTH_BYTES.get(head[:8], 0)
    start = 8 + width + int.from_bytes(head[8 : 8 + width], "little")
    text = head[8 + width : start].decode("latin-1").strip()
    is_whole = width and start <= len(head) and len(text) <= _HEADER_BYTES
    if not is_whole or text[:1] != "{" or text[-1:] != "}":
        return {}, 0
    fields, body, at = {}, text[1:-1].strip(), 0
    while at < len(body):
        match = _FIELD.match(body, at)
        if match is None:
            return {}, 0
        fields[match[1]], at = match[2], match.end()
    return fields, start


def _shape(spelled: str) -> tuple[int, ...] | None:
    """The lengths of the axes; None unless it is a tuple of whole numbers."""
    *sizes, last = spelled[1:-1].split(",")
    if spelled[:1] != "(" or (last.strip() and not sizes):
        return None
    if last.strip():
        sizes.append(last)
    matches = [_SIZE.fullmatch(size.strip()) for size in sizes]
    return tuple(int(match[1]) for match in matches) if all(matches) else None


def _dtype(spelled: str, place: str) -> np.dtype:
    """The type of the values, which must be one that features or labels have."""
    dtype = None
    if _TYPE.fullmatch(spelled[1:-1]):
        with contextlib.suppress(TypeError, ValueError):
            dtype = np.dtype(spelled[1:-1])
    elif spelled[0] == "[" and re.search(r"O\d?['\"]", spelled):
        dtype = np.dtype([("field", object)])
    if dtype is None and spelled[0] != "[":
        raise ArrayError(
            "unreadable file",
            f"{place}: no whole .npy header of version 1 or 2: found the type"
            f" {spelled[:40]!r}",
        )
    is_usable = dtype is not None and (dtype.hasobject or dtype.kind in _KINDS)
    if not is_usable:
        raise ArrayError(
            "wrong type",
            f"{place}: found values of type {spelled[:40]!r}, expected numbers or text",
        )
    return dtype
