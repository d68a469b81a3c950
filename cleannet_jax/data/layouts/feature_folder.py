"""Feature folders that a manifest describes, read where they are.

The features of a video are an array a stream, (T, D), or one joint array with the
columns of all streams; in files of the kinds of `feature_files`, of which headers are
read first. Nothing is copied, and nothing unpickled. T counts snippets.
"""

import functools
import glob
import os
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from cleannet_jax.data import annotation_files, arrays
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.feature_files import found as found_lib
from cleannet_jax.data.feature_files import table


class _Place(NamedTuple):
    """Where an array of a video is, and how wide it is to be.

    Attributes:
      stream: its stream; all of them for a joint array.
      path: of the file.
      array: its name in there; empty for the only one.
      width: number of columns.
    """

    stream: str
    path: str
    array: str
    width: int

    def __str__(self) -> str:
        """What messages call it."""
        return f"{self.path}: {self.array!r}" if self.array else str(self.path)


def open_feature_folder(
    folder: str | os.PathLike,
    *,
    manifest: manifest_lib.Manifest,
    annotations: annotations_lib.Annotations,
    categories: tuple[str, ...] | None = None,
) -> dataset_lib.Dataset:
    """Returns the videos of a feature folder; their features stay on disk.

    Annotated videos without any feature file are left out of `videos`; `validate`
    names them. Only headers are read here.

    Args:
      folder: the feature folder.
      manifest: its description, which may have been read from elsewhere.
      annotations: the annotated videos.
      categories: names of the N categories; None for those of the training subset.

    Raises:
      InputError: no annotated video has features, or those of one cannot be used.
    """
    folder = pathlib.Path(folder)
    lengths = {
        video_id: feature_length(folder, video_id, manifest=manifest)
        for video_id in annotations.videos
        if has_features(folder, video_id, manifest=manifest)
    }
    if not lengths:
        raise no_features(folder, manifest=manifest, annotations=annotations)
    return dataset_lib.create_dataset(
        manifest,
        annotations=annotations,
        lengths=lengths,
        read_streams=functools.partial(read_streams, folder, manifest=manifest),
        categories=categories,
    )


def open_folder(folder: str | os.PathLike) -> dataset_lib.Dataset:
    """Returns the videos of a feature folder with its own manifest and annotations.

    Raises:
      InputError: as `open_feature_folder` does, or either file cannot be used.
    """
    folder = pathlib.Path(folder)
    manifest = manifest_lib.read_manifest(folder / "manifest.json")
    annotations = annotation_files.read_for(folder, manifest)
    return open_feature_folder(folder, manifest=manifest, annotations=annotations)


def read_streams(
    folder: str | os.PathLike, video_id: str, *, manifest: manifest_lib.Manifest
) -> tuple[np.ndarray, ...]:
    """Returns an array for each stream of one video, (T, its width).

    Those of `.npy` and `.pt` files are mapped. Floats are of the type that they are
    stored in, anything else of float32.

    Raises:
      InputError: the files cannot be used, see `feature_length`.
    """
    found, length = _opened(folder, video_id, manifest)
    values = [array.read()[:length] for array in found]
    if not manifest.is_joint:
        return tuple(values)
    parts = manifest.stored_streams.split(values[0])
    return tuple(parts[name] for name in manifest.streams.names)


def has_features(
    folder: str | os.PathLike, video_id: str, *, manifest: manifest_lib.Manifest
) -> bool:
    """Returns whether there is something of at least one stream of a video.

    Raises:
      arrays.ArrayError: the file that holds the arrays of all videos cannot be read.
      InputError: the id cannot be part of a file name.
    """
    return any(
        os.path.isfile(place.path)
        and (_is_by_video(manifest) or place.array in _item_names(place.path))
        for place in _places(folder, video_id, manifest)
    )


def feature_length(
    folder: str | os.PathLike, video_id: str, *, manifest: manifest_lib.Manifest
) -> int:
    """Returns T of one video, at least 1, from the headers of its files.

    Files of text have no header; they are read, once each.

    Raises:
      arrays.ArrayError: a file is absent or damaged, or holds no array of that name; an
        array is not (T, D), is of no numbers, has another width than the manifest
        declares or another length than it allows, or holds no snippet.
      InputError: the id cannot be part of a file name.
    """
    _, length = _opened(folder, video_id, manifest)
    return length


def stored_ids(
    folder: str | os.PathLike, *, manifest: manifest_lib.Manifest
) -> frozenset[str]:
    """Returns the ids that the folder has something of at least one stream for.

    There are none in a file that cannot be read.
    """
    found = set()
    for name in manifest.streams.names:
        pattern = manifest.file_pattern.replace("{stream}", name)
        if _is_by_video(manifest):
            wildcard = glob.escape(pattern).replace("{id}", "*")
            paths = glob.iglob(wildcard, root_dir=folder, include_hidden=True)
            names = (pathlib.Path(path).as_posix() for path in paths)
        else:
            names = _names_inside(os.path.join(folder, pattern))
            pattern = manifest.array.replace("{stream}", name)
        found.update(_matches(pattern, names))
        if manifest.is_joint:
            break
    return frozenset(found)


def no_features(
    folder: str | os.PathLike,
    *,
    manifest: manifest_lib.Manifest,
    annotations: annotations_lib.Annotations,
) -> arrays.ArrayError:
    """Returns the error of a folder without one file of any annotated video.

    It says what was looked for and what is there instead, because the usual cause is
    a wrong folder, a wrong pattern or another spelling of the ids.
    """
    count = len(annotations.videos)
    example = min(annotations.videos, default="ID")
    tried = [str(place) for place in _places(folder, example, manifest)]
    what = "file" if _is_by_video(manifest) else "array"
    array = f", array {manifest.array!r}" if manifest.array else ""
    return arrays.ArrayError(
        "no features at all",
        f"{folder}: {_found_instead(folder, manifest)}; expected "
        f"{len(tried)} {what}{'s' if len(tried) > 1 else ''} for each of "
        f"the {count} videos of {annotations.path}, such as {' and '.join(tried)} "
        f"(file_pattern {manifest.file_pattern!r}{array})",
    )


def _found_instead(folder: str | os.PathLike, manifest: manifest_lib.Manifest) -> str:
    """What a folder without features of the annotated videos holds, shortened."""
    others = sorted(stored_ids(folder, manifest=manifest))
    if others:
        return (
            f"found features of other ids only ({len(others)}), such as {others[0]!r}"
        )
    if not _is_by_video(manifest):
        for place in _places(folder, "ID", manifest):
            names = _names_inside(place.path)
            if names:
                return f"found in {os.path.basename(place.path)} only {found_lib.listed(names)}"
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        return error.strerror
    shown = ", ".join(repr(name) for name in names[:5]) or "nothing"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"found no features there, only {shown}{more}"


def _is_by_video(manifest: manifest_lib.Manifest) -> bool:
    """Whether a file holds one video, and not all of them by name."""
    return "{id}" in manifest.file_pattern


def _item_names(path: str) -> frozenset[str]:
    """The names of all that a file of many videos has."""
    return table.kind_of(path).item_names(path)


def _names_inside(path: str) -> frozenset[str]:
    """The names of all that a file has; none where it cannot be read."""
    try:
        return _item_names(path)
    except arrays.ArrayError:
        return frozenset()


def _matches(pattern: str, names: Iterable[str]) -> Iterator[str]:
    """The ids with which a pattern makes one of some names."""
    head, *tail = (re.escape(part) for part in pattern.split("{id}"))
    expression = re.compile(head + "([^/]+)" + r"\1".join(tail))
    for name in names:
        match = expression.fullmatch(name)
        if match:
            yield match[1]


def _opened(
    folder: str | os.PathLike, video_id: str, manifest: manifest_lib.Manifest
) -> tuple[list[found_lib.Found], int]:
    """The arrays of a video, one a stream or one joint, and T."""
    found = {
        place.stream: _features(place, manifest)
        for place in _places(folder, video_id, manifest)
    }
    lengths = {stream: array.shape[0] for stream, array in found.items()}
    longest, length = max(lengths.values()), min(lengths.values())
    if longest - length > manifest.trim_snippets:
        trim = manifest.trim_snippets
        expected = (
            f"at most {trim} more than in the shortest" if trim else "the same number"
        )
        raise arrays.ArrayError(
            "streams of different lengths",
            f"video {video_id!r}: found snippets {lengths}, expected {expected};"
            ' the manifest\'s key "trim_snippets" says how many to cut off at most',
        )
    if length == 0:
        raise arrays.ArrayError(
            "empty video", f"video {video_id!r}: found 0 snippets, expected at least 1"
        )
    return list(found.values()), length


def _features(place: _Place, manifest: manifest_lib.Manifest) -> found_lib.Found:
    """The array in a place, (T, D), once it is of numbers and as wide as declared."""
    if not os.path.isfile(place.path):
        raise arrays.ArrayError("stream missing", f"{place.path}: no such file")
    found = table.kind_of(place.path).open(place.path, place.array)
    found = found_lib.as_features(found, width=place.width)
    length, width = found.shape
    if width != place.width:
        if manifest.is_joint:
            streams = manifest.stored_streams
            parts = zip(streams.widths, streams.names, strict=True)
            each = ", " + " and ".join(f"{part} of {name!r}" for part, name in parts)
        else:
            each = f" for stream {place.stream!r}"
        turned = "; are rows and columns swapped?" if length == place.width else ""
        raise arrays.ArrayError(
            "wrong width",
            f"{found.place}: found {width} columns, expected the {place.width} that the"
            f" manifest declares{each}{turned}",
        )
    return found


def _places(
    folder: str | os.PathLike, video_id: str, manifest: manifest_lib.Manifest
) -> list[_Place]:
    """Where the arrays of a video are: one a stream, or a joint one."""
    streams = manifest.streams
    wanted = zip(streams.names, streams.widths, strict=True)
    if manifest.is_joint:
        wanted = [("all streams", streams.width)]
    places = []
    for name, width in wanted:
        path = manifest_lib.feature_path(manifest, stream=name, video_id=video_id)
        array = manifest_lib.array_name(manifest, stream=name, video_id=video_id)
        places.append(_Place(name, os.path.join(folder, path), array, width))
    return places
