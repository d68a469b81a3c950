"""Features in HDF5 files, a data set an array, in groups or at the root.

Needs h5py, an optional dependency. A file is opened to list what is in it, once, and
anew for each array that is read, so that a file of thousands of videos is read by
video. Links are refused: they could lead to any other file.
"""

import contextlib
import functools
import math
import os
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import arrays
from cleannet_jax.data.feature_files import found as found_lib

_REMEMBERED = 16
# What h5py raises over what is damaged or unknown.
_DAMAGES = (OSError, RuntimeError, KeyError, ValueError, NotImplementedError)
# What compression makes of a byte at most, and how much may be unwritten besides.
_LARGEST_RATIO, _UNWRITTEN_BYTES = 1032, 1 << 20


class _Names(NamedTuple):
    """What a file has, by names with / between groups.

    Attributes:
      items: all that it has, links and groups too.
      groups: those that something lies in.
    """

    items: frozenset[str]
    groups: frozenset[str]


class _Member(NamedTuple):
    """A data set of a file.

    Attributes:
      shape: of the data set.
      dtype: of its values.
      stored: bytes that are in the file for it.
      is_elsewhere: whether its values lie in other files.
      damage: why it cannot be read; empty where nothing is known.
    """

    shape: tuple[int, ...] = ()
    dtype: np.dtype = np.dtype(np.float32)
    stored: int = 0
    is_elsewhere: bool = False
    damage: str = ""

    @property
    def size(self) -> int:
        """Bytes that its values take, once they are read."""
        return self.dtype.itemsize * math.prod(self.shape)


def open_hdf5(path: str | os.PathLike, name: str) -> found_lib.Found:
    """Returns a data set of an HDF5 file, from its shape.

    Args:
      path: of the file.
      name: of the data set, with / between groups; empty for the only one.

    Raises:
      ArrayError: h5py or the file is absent, it is no whole HDF5 file, has no such data
        set or, where none is named, several; or the values of the data set do not lie
        in the file.
    """
    stamp = found_lib.stamp(path)
    members = _members(stamp)
    if name and name not in members:
        _explain(stamp, name)
    name = found_lib.choose(members.keys(), name, path=path)
    member, place = members[name], f"{path}: {name!r}"
    if member.damage:
        raise arrays.ArrayError("unreadable file", f"{place}: {member.damage}")
    if member.is_elsewhere:
        raise arrays.ArrayError(
            "values elsewhere",
            f"{place}: found a data set whose values lie in other files, expected them"
            " in this one",
        )
    if member.size > _LARGEST_RATIO * member.stored + _UNWRITTEN_BYTES:
        raise arrays.ArrayError(
            "wrong file size",
            f"{place}: found {member.stored} bytes, too few for shape {member.shape} of"
            f" {member.dtype}",
        )
    read = functools.partial(read_dataset, path, name)
    return found_lib.Found(place, member.shape, member.dtype, read)


def item_names(path: str | os.PathLike) -> frozenset[str]:
    """Returns the names of all that an HDF5 file has: data sets, groups and links.

    Raises:
      ArrayError: h5py or the file is absent, or it is no whole HDF5 file.
    """
    return _names(found_lib.stamp(path)).items


def read_dataset(path: str | os.PathLike, name: str) -> np.ndarray:
    """Returns the values of a data set.

    Raises:
      ArrayError: as `opened` does, or there is no such data set.
    """
    with opened(path) as file:
        return file[name][()]


@contextlib.contextmanager
def opened(path: str | os.PathLike) -> Iterator[Any]:
    """An open HDF5 file; what the library cannot read becomes one line.

    Raises:
      ArrayError: h5py or the file is absent, or it is no whole HDF5 file.
    """
    try:
        import h5py
    except ImportError:
        raise arrays.ArrayError(
            "h5py is missing",
            f"{path}: reading HDF5 needs h5py: pip install 'cleannet_jax[hdf5]'",
        ) from None
    try:
        with h5py.File(path, "r") as file:
            yield file
    except errors.InputError:
        raise
    except FileNotFoundError:
        raise arrays.ArrayError("unreadable file", f"{path}: no such file") from None
    except _DAMAGES as error:
        raise arrays.ArrayError(
            "unreadable file",
            f"{path}: not a whole HDF5 file: {textwrap.shorten(str(error), 200)}",
        ) from None


@functools.lru_cache(maxsize=_REMEMBERED)
def _names(stamp: found_lib.Stamp) -> _Names:
    """What a file has; no data set is opened."""
    names: list[str] = []
    with opened(stamp.path) as file:
        # Visits links too, which visiting objects leaves out; groups once each.
        file.id.links.visit(lambda name: names.append(_text(name)))
    groups = {name.rpartition("/")[0] for name in names}
    return _Names(frozenset(names), frozenset(groups - {""}))


@functools.lru_cache(maxsize=_REMEMBERED)
def _members(stamp: found_lib.Stamp) -> Mapping[str, _Member]:
    """The data sets of a file by name."""
    members = {}
    names = _names(stamp)
    with opened(stamp.path) as file:
        for name in names.items - names.groups:
            # Damage to one leaves the others.
            try:
                member = _member(file, name)
            except (*_DAMAGES, TypeError) as error:
                member = _Member(damage=textwrap.shorten(str(error), 200))
            if member is not None:
                members[name] = member
    return members


def _member(file: Any, name: str) -> _Member | None:
    """A data set; None for a link or an empty group."""
    import h5py

    raw = name.encode("utf-8", "surrogateescape")
    if file.id.links.get_info(raw).type != h5py.h5l.TYPE_HARD:
        return None
    item = h5py.h5o.open(file.id, raw)
    if not isinstance(item, h5py.h5d.DatasetID):
        return None
    created = item.get_create_plist()
    is_elsewhere = (
        created.get_external_count() > 0 or created.get_layout() == h5py.h5d.VIRTUAL
    )
    # No shape at all is a data set without a value.
    shape = item.shape or ()
    return _Member(shape, item.dtype, item.get_storage_size(), is_elsewhere)


def _explain(stamp: found_lib.Stamp, name: str) -> None:
    """Raises if there is something of a name that is no data set of the file."""
    names = _names(stamp)
    inside = sorted(item for item in names.items if item.startswith(f"{name}/"))
    if name in names.items and not inside:
        what = "a link or an empty group, expected a data set"
    elif inside:
        what = (
            f"a group with {found_lib.listed(inside)}, expected a data set; the"
            " manifest's key 'array' can name one in a group, as 'GROUP/{id}'"
        )
    else:
        return
    raise arrays.ArrayError("no data set", f"{stamp.path}: {name!r}: found {what}")


def _text(name: bytes | str) -> str:
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
