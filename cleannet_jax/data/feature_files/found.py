"""An array that was found in a file: what it is, before its values are read."""

import functools
import math
import os
import stat
from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np

from cleannet_jax.data import arrays

# NumPy has no bfloat16, and writes those of other packages as two bytes of no type.
BFLOAT16 = np.dtype("V2")

_FLOATS = (np.float16, np.float32, np.float64)
_SHOWN = 5


class Found(NamedTuple):
    """An array in a file that was not read yet.

    Attributes:
      place: what messages call it: its path, and its name in the file if it has one.
      shape: as it is stored.
      dtype: as it is stored; `BFLOAT16` for bfloat16.
      read: returns it. Raises an ArrayError where the file is damaged.
    """

    place: str
    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]


class Stamp(NamedTuple):
    """What tells a file from what it was before; what is remembered goes by it.

    Attributes:
      path: of the file.
      changed: when its content was changed last, in nanoseconds.
      size: in bytes.
    """

    path: str
    changed: int
    size: int


def stamp(path: str | os.PathLike) -> Stamp:
    """Returns the stamp of a file.

    Raises:
      ArrayError: the file is absent, or is no file.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise arrays.ArrayError("unreadable file", f"{path}: no such file") from None
    except OSError as error:
        raise arrays.ArrayError(
            "unreadable file", f"{path}: {error.strerror}"
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise arrays.ArrayError("unreadable file", f"{path}: not a file")
    return Stamp(str(path), status.st_mtime_ns, status.st_size)


def choose(names: Collection[str], name: str, *, path: str | os.PathLike) -> str:
    """Returns which array of a file is meant.

    Args:
      names: of all arrays in the file.
      name: of the one that is meant; empty for the only one.
      path: of the file.

    Raises:
      ArrayError: there is no such array, or none is named and there are several.
    """
    if name in names:
        return name
    if name or not names:
        wanted = f"the array {name!r}" if name else "an array"
        raise arrays.ArrayError(
            "array missing", f"{path}: found {listed(names)}, expected {wanted}"
        )
    if len(names) > 1:
        raise arrays.ArrayError(
            "several arrays",
            f"{path}: found {listed(names)}, expected one array, or the manifest's key"
            " 'array' to name one",
        )
    return next(iter(names))


def listed(names: Collection[str]) -> str:
    """Returns the names of arrays for a message, the first few of them."""
    if not names:
        return "no array"
    shown = ", ".join(map(repr, sorted(names)[:_SHOWN]))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"the array{'s' if len(names) > 1 else ''} {shown}{more}"


def as_features(found: Found, *, width: int) -> Found:
    """Returns an array as features, (T, columns), of a type that computing takes.

    Axes of length 1 are dropped, (1, T, D) and (T, D, 1, 1) are (T, D), where D is
    `width`; any other axis beyond the two, such as one of crops, is refused. Bfloat16
    and integers are read as float32; floats stay as they are stored.

    Args:
      found: the array.
      width: D, the columns that it should have; another number passes.

    Raises:
      ArrayError: the values are no numbers, or the axes are others.
    """
    shape = _two_axes(found, width)
    is_float = found.dtype.newbyteorder("=") in _FLOATS
    if not is_float and found.dtype.kind not in "iu" and found.dtype != BFLOAT16:
        raise arrays.ArrayError(
            "wrong type",
            f"{found.place}: found values of type {found.dtype}, expected numbers:"
            " float16, float32, float64, bfloat16 or integers",
        )
    dtype = found.dtype if is_float else np.dtype(np.float32)
    return Found(found.place, shape, dtype, functools.partial(_read, found, shape))


def _two_axes(found: Found, width: int) -> tuple[int, ...]:
    """The shape without axes of length 1 beyond two."""
    shape = found.shape
    if len(shape) == 2:
        return shape
    rest = tuple(size for size in shape if size != 1)
    if len(shape) > 2 and len(rest) == 2:
        return rest
    # One snippet or one column is an axis of length 1 too: the width tells which.
    if len(shape) > 2 and len(rest) < 2 and width in shape[1:]:
        return math.prod(shape) // width, width
    hint = ""
    if len(rest) > 2:
        hint = (
            "; an axis of crops must go first: store their mean, or one of them, for"
            " each snippet"
        )
    raise arrays.ArrayError(
        "wrong shape",
        f"{found.place}: found shape {shape}, expected (snippets, {width}){hint}",
    )


def _read(found: Found, shape: tuple[int, ...]) -> np.ndarray:
    """The values, (T, D), of a type that computing takes."""
    values = found.read().reshape(shape)
    if found.dtype == BFLOAT16:
        # It is the first half of a float32.
        bits = np.ascontiguousarray(values).view(np.uint16).astype(np.uint32)
        return (bits << 16).view(np.float32)
    return values.astype(np.float32) if values.dtype.kind in "iu" else values
