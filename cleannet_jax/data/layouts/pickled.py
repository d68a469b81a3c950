"""Files with pickles in them, read by `unpickle` and so without unpickling.

Arrays of Python objects are .npy files that are one pickle after their header. Files
are mapped: an array among the objects takes memory where it is touched.
"""

import math
import mmap
import os
import tokenize
import warnings
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data.layouts import unpickle

_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class _Header(NamedTuple):
    """What a .npy file says of its content, and where that begins, in bytes."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype
    start: int


def read_pickle(path: str | os.PathLike) -> Any:
    """Returns what a file with one pickle holds.

    Raises:
      InputError: the file is absent or empty, or as `unpickle.load` does.
    """
    return unpickle.load(_mapped(path), place=str(path))


def read_array(path: str | os.PathLike) -> np.ndarray:
    """Returns the array of a .npy file, of Python objects or not, mapped.

    Raises:
      InputError: the file is absent or is no whole .npy file, or as `unpickle.load`
        does.
    """
    buffer = _mapped(path)
    header = _header(path)
    if header.dtype != object:
        return _numbers(path, buffer, header)
    array = unpickle.load(buffer, place=str(path), start=header.start)
    if not isinstance(array, np.ndarray) or array.shape != header.shape:
        raise errors.InputError(
            f"{path}: found {unpickle.kind_of(array)}, expected an array of shape"
            f" {header.shape} as the header declares"
        )
    return array


def frame_columns(frame: Any, *, place: str) -> dict[str, np.ndarray]:
    """Returns the columns of a pandas frame by name, each (rows,).

    Frames of pandas 0.15 to 1.2 hold their columns in blocks of one dtype.

    Args:
      frame: the `unpickle.Stub` of a DataFrame.
      place: what messages call it.

    Raises:
      InputError: it is anything else.
    """
    try:
        manager = _stub(frame, "DataFrame").state
        manager = manager.get("_data") or manager.get("_mgr")
        axes, _, _, extra = _stub(manager, "BlockManager").state[:4]
        names = _index_values(axes[0])
        columns: dict[str, np.ndarray] = {}
        for block in extra["0.14.1"]["blocks"]:
            places = names[block["mgr_locs"]]
            for name, column in zip(places, block["values"], strict=True):
                columns[_column_name(name)] = _column(column)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise errors.InputError(
            f"{place}: found {unpickle.kind_of(frame)}, expected a DataFrame of pandas"
            " 0.15 to 1.2"
        ) from None
    if len(columns) != len(names) or len(set(map(len, columns.values()))) > 1:
        raise errors.InputError(
            f"{place}: found {len(columns)} columns, expected {len(names)} of one length"
        )
    return columns


def _mapped(path: str | os.PathLike) -> mmap.mmap:
    """The bytes of a file, mapped."""
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise errors.InputError(f"{path}: no such file") from None
    except OSError as error:
        raise errors.InputError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise errors.InputError(f"{path}: the file is empty") from None


def _header(path: str | os.PathLike) -> _Header:
    """The header of a .npy file."""
    try:
        # NumPy asks to save files of Python 2 again, which is what reads them here.
        with open(path, "rb") as file, warnings.catch_warnings(action="ignore"):
            version = np.lib.format.read_magic(file)
            return _Header(*_HEADER_READERS[version](file), file.tell())
    except (ValueError, KeyError, SyntaxError, tokenize.TokenError, RecursionError):
        raise errors.InputError(
            f"{path}: no whole .npy header of version 1 or 2 at the start"
        ) from None


def _numbers(path: str | os.PathLike, buffer: mmap.mmap, header: _Header) -> np.ndarray:
    """The array of a .npy file without Python objects."""
    shape, is_fortran, dtype, start = header
    found, expected = len(buffer) - start, math.prod(shape) * dtype.itemsize
    if dtype.hasobject or found != expected:
        raise errors.InputError(
            f"{path}: found {found} bytes of content, expected {expected} for shape"
            f" {shape} of {dtype}"
        )
    order = "F" if is_fortran else "C"
    return np.ndarray(shape, dtype, buffer=buffer, offset=start, order=order)


def _stub(value: Any, name: str) -> unpickle.Stub:
    """The value, which must stand for an object of that class."""
    if not isinstance(value, unpickle.Stub) or value.name.rpartition(".")[2] != name:
        raise TypeError
    return value


def _index_values(index: Any) -> np.ndarray:
    """The labels along one axis of a frame."""
    values = _stub(index, "_new_Index").arguments[1]["data"]
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        raise TypeError
    return values


def _column_name(name: Any) -> str:
    """The name of a column, which must be text."""
    if not isinstance(name, str):
        raise TypeError
    return name


def _column(values: Any) -> np.ndarray:
    """One column of a frame."""
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        raise TypeError
    return values
