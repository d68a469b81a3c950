"""Files with pickles in them, read by `unpickle` and so without unpickling.

Arrays of Python objects are .npy files that are one pickle after their header. Files
are mapped: an array among the objects takes memory where it is touched.
"""

import os
from typing import Any

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import arrays
from cleannet_jax.data.layouts import unpickle, unpickle_machine


def read_pickle(path: str | os.PathLike) -> Any:
    """Returns what a file with one pickle holds.

    Raises:
      InputError: the file is absent or empty, or as `unpickle.load` does.
    """
    return unpickle.load(arrays.map_file(path), place=str(path))


def read_array(path: str | os.PathLike) -> np.ndarray:
    """Returns the array of a .npy file, of Python objects or not, mapped.

    Raises:
      InputError: the file is absent or is no whole .npy file, or as `unpickle.load`
        does.
    """
    header = arrays.read_header(path)
    if header.dtype != object:
        return arrays.map_array(path)
    buffer = arrays.map_file(path)
    array = unpickle.load(buffer, place=str(path), start=header.start)
    if not isinstance(array, np.ndarray) or array.shape != header.shape:
        raise errors.InputError(
            f"{path}: found {unpickle_machine.kind_of(array)}, expected an array of"
            f" shape {header.shape} as the header declares"
        )
    return array


def frame_columns(frame: Any, *, place: str) -> dict[str, np.ndarray]:
    """Returns the columns of a pandas frame by name, each (rows,).

    Frames of pandas 0.15 to 1.2 hold their columns in blocks of one dtype.

    Args:
      frame: the `unpickle_machine.Stub` of a DataFrame.
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
            places = names[_positions(block["mgr_locs"])]
            for name, column in zip(places, block["values"], strict=True):
                columns[_column_name(name)] = _column(column)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise errors.InputError(
            f"{place}: found {unpickle_machine.kind_of(frame)}, expected a DataFrame of"
            " pandas 0.15 to 1.2"
        ) from None
    if len(columns) != len(names) or len(set(map(len, columns.values()))) > 1:
        raise errors.InputError(
            f"{place}: found {len(columns)} columns, expected {len(names)} of one length"
        )
    return columns


def _stub(value: Any, name: str) -> unpickle_machine.Stub:
    """The value, which must stand for an object of that class."""
    if (
        not isinstance(value, unpickle_machine.Stub)
        or value.name.rpartition(".")[2] != name
    ):
        raise TypeError
    return value


def _index_values(index: Any) -> np.ndarray:
    """The labels along one axis of a frame."""
    values = _stub(index, "_new_Index").arguments[1]["data"]
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        raise TypeError
    return values


def _positions(value: Any) -> slice | np.ndarray:
    """Where columns stand among all; NumPy would unfold lists of lists without end."""
    if not isinstance(value, slice | np.ndarray):
        raise TypeError
    return value


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
