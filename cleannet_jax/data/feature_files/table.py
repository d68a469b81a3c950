"""The kinds of files that features can lie in, by the ending of their names."""

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from cleannet_jax.data.feature_files import (
    csv_files,
    found,
    hdf5_files,
    numpy_files,
    shards,
    torch_files,
)


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
      open: path and the name of an array (empty for the only one) -> the array.
      has_names: whether the arrays in a file have names.
      item_names: path -> names of all that is in a file; None for a kind whose files
        hold the arrays of one video.
    """

    open: Callable[[str | os.PathLike, str], found.Found]
    has_names: bool
    item_names: Callable[[str | os.PathLike], frozenset[str]] | None = None


_TORCH = Kind(torch_files.open_torch, has_names=True)
_HDF5 = Kind(hdf5_files.open_hdf5, has_names=True, item_names=hdf5_files.item_names)
KINDS: Mapping[str, Kind] = {
    ".npy": Kind(numpy_files.open_npy, has_names=False),
    ".npz": Kind(numpy_files.open_npz, has_names=True),
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".csv": Kind(csv_files.open_csv, has_names=False),
    ".h5": _HDF5,
    ".hdf5": _HDF5,
    shards.ENDING: Kind(
        shards.open_shards, has_names=True, item_names=shards.item_names
    ),
}


def kind_of(path: str) -> Kind | None:
    """Returns the kind of a file by the ending of its name; None for any other."""
    return KINDS.get(os.path.splitext(path)[1])
