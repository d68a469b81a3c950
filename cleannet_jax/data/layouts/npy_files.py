"""Folders of .npy files named for their videos, whose headers are checked."""

import functools
import os
import pathlib
from collections.abc import Mapping

from cleannet_jax import errors
from cleannet_jax.data import arrays
from cleannet_jax.data.layouts import layout
from cleannet_jax.data.layouts import stored as stored_lib

Streams = dict[str, pathlib.Path]  # The file of each stream.


def listing(
    folder: pathlib.Path, *, pattern: str = "{id}.npy"
) -> dict[str, pathlib.Path]:
    """Returns the files of a folder whose names follow the pattern, by id."""
    prefix, found, suffix = pattern.partition("{id}")
    if not found or not suffix.endswith(".npy"):
        raise errors.InputError(
            f"file pattern: found {pattern!r}, expected a name with {{id}} in it and"
            " .npy last"
        )
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise errors.InputError(f"{folder}: {error.strerror}") from None
    return {
        name[len(prefix) : len(name) - len(suffix)]: folder / name
        for name in names
        if name.startswith(prefix)
        and name.endswith(suffix)
        and len(name) > len(prefix) + len(suffix)
    }


def pairs(**places: pathlib.Path) -> dict[str, Streams]:
    """Returns the files of each stream by id, none of which may lack a stream."""
    found = {name: listing(place) for name, place in places.items()}
    return stored_lib.paired(found, places=places)


def joint(paths: Mapping[str, pathlib.Path], stream_order: str) -> stored_lib.Features:
    """Returns the features of files with all streams."""
    found = {video_id: _stored(path) for video_id, path in paths.items()}
    return stored_lib.joint(found, order=stream_order)


def separate(pairs: Mapping[str, Streams]) -> stored_lib.Features:
    """Returns the features of files with one stream each."""
    return stored_lib.separate(
        {
            video_id: {name: _stored(path) for name, path in streams.items()}
            for video_id, streams in pairs.items()
        }
    )


def _stored(path: pathlib.Path) -> stored_lib.Stored:
    """The array of a file, once it is one of features."""
    shape = layout.check_shape(arrays.read_header(path), path)
    return stored_lib.Stored(
        str(path), shape, functools.partial(arrays.map_array, path)
    )
