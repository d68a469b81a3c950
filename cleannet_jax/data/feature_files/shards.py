"""Features of many videos in a few files: ArrayRecord shards and an index of them.

`features.shards` is JSON, {"shards": ["features-00000", ...]}. Beside it, or at the URL
that its key "at" says, are `features-00000.arrayrecord`, whose records are the values of
an array each, and `features-00000.json`: {"arrays": {name: [record, dtype, T, D]}}. A
million videos are thousands of files so, any of which is read by record; ArrayRecord
has a checksum of each. What lies at a URL is fetched by fsspec, a shard when something
in it is read first, into a folder for temporary files.
"""

import collections
import contextlib
import errno
import functools
import math
import os
import pathlib
import re
import textwrap
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import arrays, files, folders
from cleannet_jax.data.feature_files import found as found_lib

ENDING = ".shards"

_REMEMBERED, _OPEN = 16, 64
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_SCHEMES = ("gs", "s3", "abfs", "https")
# No more of what fsspec knows: some of it chains, takes patterns or runs other things.
_URL = re.compile(rf"({'|'.join(_SCHEMES)})://[^:*?\[\]]+")
_TYPES = {"float16": "<f2", "float32": "<f4", "float64": "<f8"}
# A record is read by itself, and floats hardly get smaller.
_WRITER, _READER = (
    "group_size:1,uncompressed",
    "readahead_buffer_size:0,max_parallelism:0",
)


class _Place(NamedTuple):
    """Where an array is: shard, record, type and shape."""

    shard: str
    record: int
    dtype: np.dtype
    shape: tuple[int, int]


def open_shards(path: str | os.PathLike, name: str) -> found_lib.Found:
    """Returns an array of a folder of shards, from its index.

    Args:
      path: of `features.shards`.
      name: of the array, such as "rgb/ID"; empty for the only one.

    Raises:
      ArrayError: a file is absent, the index is none, or has no such array.
    """
    places = _places(path)
    name = found_lib.choose(places.keys(), name, path=path)
    place = places[name]
    read = functools.partial(_read, f"{path}: {name!r}", place)
    return found_lib.Found(f"{path}: {name!r}", place.shape, place.dtype, read)


def item_names(path: str | os.PathLike) -> frozenset[str]:
    """Returns the names of all arrays in a folder of shards.

    Raises:
      ArrayError: as `open_shards` does.
    """
    return frozenset(_places(path))


def write_shard(
    folder: pathlib.Path,
    shard: str,
    named: Iterable[tuple[str, np.ndarray]],
    *,
    more: Mapping[str, Any],
) -> None:
    """Writes a shard: its records, then what is in it, each file whole or not at all.

    What is said of an earlier one goes first: old places in new records would be other
    arrays.

    Args:
      folder: that it is written in; the caller syncs it.
      shard: its name.
      named: names and arrays (T, D) of floats, taken one at a time.
      more: what else `SHARD.json` says, read when all arrays were taken.

    Raises:
      InputError: array_record is absent.
      OSError: it cannot be written.
    """
    places: dict[str, list[Any]] = {}
    module = _module(folder / shard)
    listed = folder / f"{shard}.json"
    if listed.exists():
        listed.unlink()
        folders.sync(folder)
    with files.draft_of(folder / f"{shard}.arrayrecord") as path:
        writer = module.ArrayRecordWriter(path, _WRITER)
        try:
            for record, (name, values) in enumerate(named):
                kind = _TYPES[values.dtype.name]
                content = np.ascontiguousarray(values, kind).tobytes()
                _written(path, writer.write, content)
                places[name] = [record, values.dtype.name, *values.shape]
        except BaseException:
            with contextlib.suppress(RuntimeError):
                writer.close()
            raise
        _written(path, writer.close)
    files.write_json(listed, {"arrays": places, **more})


def _written(path: str, write: Callable[..., None], *content: bytes) -> None:
    """Writes by ArrayRecord, whose errors have words alone."""
    try:
        write(*content)
    except RuntimeError as error:
        reason = textwrap.shorten(str(error), 200)
        raise OSError(errno.EIO, reason, path) from None


def write_index(path: pathlib.Path, shards: Iterable[str]) -> None:
    """Writes the index of shards that are there."""
    files.write_json(path, {"shards": list(shards)})


def _places(path: str | os.PathLike) -> Mapping[str, _Place]:
    """The arrays of all shards that an index lists."""
    found = _known(found_lib.stamp(path))
    if isinstance(found, arrays.ArrayError):
        raise found
    return found


@functools.lru_cache(maxsize=_REMEMBERED)
def _known(stamp: found_lib.Stamp) -> Mapping[str, _Place] | arrays.ArrayError:
    """What an index leads to, or why not: a million videos ask for it."""
    try:
        return _listed(stamp)
    except arrays.ArrayError as error:
        return error


def _listed(stamp: found_lib.Stamp) -> Mapping[str, _Place]:
    """The arrays of all shards, read anew."""
    index = _json(stamp.path)
    shards, base = index.get("shards"), index.get("at")
    if not isinstance(shards, list) or not all(
        isinstance(shard, str) and _NAME.fullmatch(shard) for shard in shards
    ):
        raise _unreadable(stamp.path, "'shards'", "a list of names of files")
    if base is None:
        base = os.path.dirname(stamp.path)
    elif not isinstance(base, str) or not _URL.fullmatch(base):
        raise _unreadable(stamp.path, "'at'", f"a URL: {', '.join(_SCHEMES)}")
    places: dict[str, _Place] = {}
    for shard in dict.fromkeys(shards):
        place = os.path.join(base, shard)
        path = _local(f"{place}.json")
        listed = _json(path).get("arrays")
        if not isinstance(listed, dict):
            raise _unreadable(path, "'arrays'", "an object")
        places.update(
            {name: _place(place, path, name, row) for name, row in listed.items()}
        )
    return places


def _place(shard: str, path: str, name: str, row: Any) -> _Place:
    """Where an array is, from a row of the index."""
    if (
        not isinstance(row, list)
        or len(row) != 4
        or not isinstance(row[1], str)
        or row[1] not in _TYPES
        or not all(
            type(one) is int and 0 <= one < 1 << 40 for one in row[::2] + row[3:]
        )
    ):
        raise _unreadable(path, repr(name), "[record, dtype, T, D]")
    return _Place(shard, row[0], np.dtype(_TYPES[row[1]]), (row[2], row[3]))


def _json(path: str) -> dict[str, Any]:
    """An object in a file of ours."""
    try:
        content = files.read_json(path)
    except errors.InputError as error:
        raise arrays.ArrayError("unreadable file", str(error)) from None
    if not isinstance(content, dict):
        raise _unreadable(path, "its content", "an object")
    return content


def _unreadable(path: str, what: str, expected: str) -> arrays.ArrayError:
    return arrays.ArrayError(
        "unreadable file", f"{path}: {what}: found something else, expected {expected}"
    )


def _read(called: str, place: _Place) -> np.ndarray:
    """The values of an array."""
    path = f"{place.shard}.arrayrecord"
    try:
        with _fetching[path]:
            local = _local(path)
        # Opening is not for several threads at once; reading is.
        with _opening:
            reader = _reader(found_lib.stamp(local))
        (record,) = reader.read([place.record])
    except (IndexError, RuntimeError, ValueError) as error:
        reason = textwrap.shorten(str(error), 200)
        raise arrays.ArrayError(
            "unreadable file", f"{path}: not a whole ArrayRecord file: {reason}"
        ) from None
    expected = place.dtype.itemsize * math.prod(place.shape)
    if len(record) != expected:
        raise arrays.ArrayError(
            "wrong file size",
            f"{called}: found a record of {len(record)} bytes, expected {expected} for"
            f" shape {place.shape} of {place.dtype}",
        )
    return np.frombuffer(record, place.dtype).reshape(place.shape)


_opening = threading.Lock()
# A shard is fetched once, and others meanwhile.
_fetching: dict[str, threading.Lock] = collections.defaultdict(threading.Lock)


@functools.lru_cache(maxsize=_OPEN)
def _reader(stamp: found_lib.Stamp) -> Any:
    """A reader of the records of a file."""
    return _module(stamp.path).ArrayRecordReader(stamp.path, _READER)


@functools.cache
def _local(place: str) -> str:
    """A file here, for the path of one or the URL of one that is fetched."""
    if "://" not in place:
        return place
    try:
        import fsspec

        return fsspec.open_local(f"simplecache::{place}")
    # Each of fsspec's file systems is a library with errors of its own.
    except Exception as error:  # noqa: BLE001
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 200)
        raise arrays.ArrayError(
            "unreadable file", f"{place}: cannot be fetched: {reason}"
        ) from None


def _module(path: str | os.PathLike) -> Any:
    try:
        from array_record.python import array_record_module
    except ImportError:
        raise arrays.ArrayError(
            "array_record is missing",
            f"{path}: shards need array_record: pip install array-record",
        ) from None
    return array_record_module
