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
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import arrays, text
from cleannet_jax.data.feature_files import found as found_lib

_REMEMBERED = 16
# What features are filtered with; of others it is not known how much they make.
_FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
_COMPRESSIONS = ("deflate", "lzf")
# No deflate stream makes more of its bytes. The library's room for it may be twice as
# large, and is there beside the values.
_UNFOLDS = 1032
_ROOM = 4
# A checksum behind the bytes of a chunk.
_CHECKSUM = 4
# Groups in groups: the library looks at them by recursion, and a stack has an end.
_DEEPEST = 16
# What h5py raises over what is damaged or unknown.
_DAMAGES = (
    ArithmeticError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


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
      chunk: bytes of a part that is read at once.
      filters: what the parts go through when they are written, in this order.
      is_elsewhere: whether its values lie in other files.
      damage: why it cannot be read; empty where nothing is known.
    """

    shape: tuple[int, ...] = ()
    dtype: np.dtype = np.dtype(np.float32)
    stored: int = 0
    chunk: int = 0
    filters: tuple[str, ...] = ()
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
    member, place = members[name], f"{path}: {text.quoted(name)}"
    if member.damage:
        raise arrays.ArrayError("unreadable file", f"{place}: {member.damage}")
    if member.is_elsewhere:
        raise arrays.ArrayError(
            "values elsewhere",
            f"{place}: found a dataset whose values lie in other files, expected them"
            " in this one",
        )
    _check_filters(member.filters, place)
    # What is not written reads as zeros, any number of them.
    if max(member.size, member.chunk) > arrays.allowance(member.stored):
        is_compressed = not {*member.filters}.isdisjoint(_COMPRESSIONS)
        raise arrays.ArrayError(
            "wrong file size",
            f"{place}: found {member.stored} bytes, too few for shape {member.shape} of"
            f" {member.dtype}{arrays.SMALLER if is_compressed else ''}",
        )
    read = functools.partial(_read, path, name, member, place)
    return found_lib.Found(place, member.shape, member.dtype, read)


def item_names(path: str | os.PathLike) -> frozenset[str]:
    """Returns the names of all that an HDF5 file has: data sets, groups and links.

    Raises:
      ArrayError: h5py or the file is absent, or it is no whole HDF5 file.
    """
    return _names(found_lib.stamp(path)).items


def _check_filters(filters: tuple[str, ...], place: str) -> None:
    """Raises unless it can be known beforehand how much the filters make of a chunk."""
    # The checksum may be in front or behind, and what it is of is nothing to us.
    rest = tuple(name for name in filters if name != "fletcher32")
    usual = ((), ("shuffle",), *((name,) for name in _COMPRESSIONS))
    usual += tuple(("shuffle", name) for name in _COMPRESSIONS)
    if rest not in usual:
        raise arrays.ArrayError(
            "unknown filter",
            f"{place}: found the filters {', '.join(filters)}, expected none, or"
            f" shuffle and one of {' and '.join(_COMPRESSIONS)}; store it uncompressed,"
            " or with gzip: h5repack -f GZIP=4",
        )


def _read(
    path: str | os.PathLike, name: str, member: _Member, place: str
) -> np.ndarray:
    """The values of a data set."""
    with opened(path) as file:
        item = file[name]
        if "deflate" in member.filters:
            _check_chunks(item.id, member, place)
        return item[()]


def _check_chunks(item: Any, member: _Member, place: str) -> None:
    """Raises if a chunk unfolds to more than it is, for which the library makes room."""
    chunks: list[Any] = []
    item.chunk_iter(chunks.append)
    most = member.chunk + _CHECKSUM
    # To unfold one twice costs time; chunks that are small beside the whole do no harm.
    harmless = max(arrays.allowance(member.stored) // _ROOM, most) // _UNFOLDS
    for chunk in chunks:
        if chunk.size <= harmless:
            continue
        skipped, raw = item.read_direct_chunk(chunk.chunk_offset)
        if skipped >> member.filters.index("deflate") & 1:
            continue
        # A damaged one the library finds too.
        with contextlib.suppress(zlib.error):
            if len(zlib.decompressobj().decompress(raw, most + 1)) > most:
                raise arrays.ArrayError(
                    "wrong file size",
                    f"{place}: found {chunk.size} bytes that unfold to more than the"
                    f" {member.chunk} of a chunk, expected no more",
                )


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
    """What a file has; no data set is opened. Groups are looked into once each."""
    names, groups = [], []
    with opened(stamp.path) as file:
        seen = {_number(file.id, b"/")}
        level = [("", file.id)]
        for _ in range(_DEEPEST):
            level = [
                (f"{name}/", group)
                for prefix, parent in level
                for name, group in _items(parent, prefix, names, seen)
            ]
            groups += [prefix.removesuffix("/") for prefix, _ in level]
        if level:
            raise arrays.ArrayError(
                "unreadable file",
                f"{stamp.path}: found groups in groups, {_DEEPEST} deep, expected fewer",
            )
    filled = {name.rpartition("/")[0] for name in names}
    return _Names(frozenset(names), frozenset(filled.intersection(groups)))


def _number(parent: Any, name: bytes) -> tuple[int, ...]:
    """What tells a group from others in its file; empty for what is no group."""
    import h5py

    about = h5py.h5g.get_objinfo(parent, name)
    return about.objno if about.type == h5py.h5g.GROUP else ()


def _items(
    parent: Any, prefix: str, names: list[str], seen: set[Any]
) -> list[tuple[str, Any]]:
    """The groups in a group that were not seen; the names of all in it are added."""
    import h5py

    found = []
    for raw in parent:
        name = prefix + _text(raw)
        names.append(name)
        if parent.links.get_info(raw).type != h5py.h5l.TYPE_HARD:
            continue
        number = _number(parent, raw)
        if number and number not in seen:
            seen.add(number)
            found.append((name, h5py.h5g.open(parent, raw)))
    return found


@functools.lru_cache(maxsize=_REMEMBERED)
def _members(stamp: found_lib.Stamp) -> Mapping[str, _Member]:
    """The data sets of a file by name."""
    members = {}
    names = _names(stamp)
    with opened(stamp.path) as file:
        for name in names.items - names.groups:
            # Damage to one leaves the others.
            try:
                member = _member(file, name, stamp.size)
            except _DAMAGES as error:
                member = _Member(damage=textwrap.shorten(str(error), 200))
            if member is not None:
                members[name] = member
    return members


def _member(file: Any, name: str, size: int) -> _Member | None:
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
    shape, dtype = item.shape or (), item.dtype
    is_chunked = created.get_layout() == h5py.h5d.CHUNKED
    chunk = math.prod(created.get_chunk()) * dtype.itemsize if is_chunked else 0
    stored = min(item.get_storage_size(), size)
    filters = tuple(
        _FILTERS.get(number, f"{number}")
        for number in (
            created.get_filter(at)[0] for at in range(created.get_nfilters())
        )
    )
    return _Member(shape, dtype, stored, chunk, filters, is_elsewhere)


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
    raise arrays.ArrayError(
        "no data set", f"{stamp.path}: {text.quoted(name)}: found {what}"
    )


def _text(name: bytes | str) -> str:
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
