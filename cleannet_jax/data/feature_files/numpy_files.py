"""Features in NumPy's files: .npy, mapped, and .npz."""

import functools
import os

import numpy as np

from cleannet_jax.data import arrays
from cleannet_jax.data.feature_files import found as found_lib


def open_npy(path: str | os.PathLike, name: str) -> found_lib.Found:
    """Returns the array of an .npy file; reading maps it.

    Args:
      path: of the file.
      name: empty, since its array has none.

    Raises:
      ArrayError: as `arrays.map_array` does.
    """
    del name
    header = arrays.read_header(path)
    arrays.refuse_objects(header.dtype, str(path))
    read = functools.partial(arrays.map_array, path)
    return found_lib.Found(str(path), header.shape, header.dtype, read)


def open_npz(path: str | os.PathLike, name: str) -> found_lib.Found:
    """Returns an array of an .npz file, from its header.

    Args:
      path: of the file.
      name: of the array; empty for the only one.

    Raises:
      ArrayError: the file is absent, is no whole .npz file, has no such array or, where
        none is named, several; or the array is of Python objects.
    """
    name = found_lib.choose(arrays.member_names(path), name, path=path)
    header = arrays.read_member_header(path, name)
    read = functools.partial(_read_member, path, name)
    return found_lib.Found(f"{path}: {name!r}", header.shape, header.dtype, read)


def _read_member(path: str | os.PathLike, name: str) -> np.ndarray:
    return arrays.read_members(path, name)[name]
