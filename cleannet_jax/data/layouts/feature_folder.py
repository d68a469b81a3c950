"""Our own feature folders.

A feature folder holds an .npy file a video and stream, (T, D) of float16, float32 or
float64. Files are checked by their headers and mapped, never unpickled.
T counts snippets.
"""

import functools
import glob
import os
import pathlib
import re

import numpy as np

from cleannet_jax.data import annotation_files, arrays
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib


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
    """Returns an array for each stream of one video, (T, its width), mapped.

    Raises:
      InputError: the files cannot be used, see `feature_length`.
    """
    feature_length(folder, video_id, manifest=manifest)
    paths = _paths(folder, video_id, manifest).values()
    return tuple(arrays.map_array(path) for path in paths)


def has_features(
    folder: str | os.PathLike, video_id: str, *, manifest: manifest_lib.Manifest
) -> bool:
    """Returns whether a video has a file of at least one stream."""
    paths = _paths(folder, video_id, manifest).values()
    return any(os.path.isfile(path) for path in paths)


def feature_length(
    folder: str | os.PathLike, video_id: str, *, manifest: manifest_lib.Manifest
) -> int:
    """Returns T of one video from the headers of its files; T is at least 1.

    Raises:
      arrays.ArrayError: a file is absent, is not a whole two-dimensional array of
        floats, has another width than the manifest declares or another length than another
        stream, or holds no snippet.
      InputError: the id cannot be part of a file name.
    """
    lengths = {}
    widths = dict(zip(manifest.streams.names, manifest.streams.widths, strict=True))
    for name, path in _paths(folder, video_id, manifest).items():
        if not os.path.isfile(path):
            raise arrays.ArrayError("stream missing", f"{path}: no such file")
        lengths[name], width = arrays.check_floats(
            arrays.read_header(path), place=str(path), shape=("snippets", "width")
        )
        if width != widths[name]:
            raise arrays.ArrayError(
                "wrong width",
                f"{path}: found {width} columns, expected the {widths[name]} that the "
                f"manifest declares for stream {name!r}",
            )
    if len(set(lengths.values())) > 1:
        raise arrays.ArrayError(
            "streams of different lengths",
            f"video {video_id!r}: found snippets {lengths}, expected the same number",
        )
    length = next(iter(lengths.values()))
    if length == 0:
        raise arrays.ArrayError(
            "empty video", f"video {video_id!r}: found 0 snippets, expected at least 1"
        )
    return length


def stored_ids(
    folder: str | os.PathLike, *, manifest: manifest_lib.Manifest
) -> frozenset[str]:
    """Returns the ids that the folder has a file of at least one stream for."""
    found = set()
    for name in manifest.streams.names:
        pattern = manifest.file_pattern.replace("{stream}", name)
        wildcard = glob.escape(pattern).replace("{id}", "*")
        head, *tail = (re.escape(part) for part in pattern.split("{id}"))
        expression = re.compile(head + "([^/]+)" + r"\1".join(tail))
        for path in glob.iglob(wildcard, root_dir=folder, include_hidden=True):
            match = expression.fullmatch(pathlib.Path(path).as_posix())
            if match:
                found.add(match[1])
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
    tried = " and ".join(map(str, _paths(folder, example, manifest).values()))
    return arrays.ArrayError(
        "no features at all",
        f"{folder}: {_found_instead(folder, manifest)}; expected "
        f"{len(manifest.streams)} files for each of "
        f"the {count} videos of {annotations.path}, such as {tried} "
        f"(file_pattern {manifest.file_pattern!r})",
    )


def _found_instead(folder: str | os.PathLike, manifest: manifest_lib.Manifest) -> str:
    """What a folder without features of the annotated videos holds, shortened."""
    others = sorted(stored_ids(folder, manifest=manifest))
    if others:
        return (
            f"found features of other ids only ({len(others)}), such as {others[0]!r}"
        )
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        return error.strerror
    shown = ", ".join(repr(name) for name in names[:5]) or "nothing"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"found no features there, only {shown}{more}"


def _paths(
    folder: str | os.PathLike, video_id: str, manifest: manifest_lib.Manifest
) -> dict[str, pathlib.Path]:
    """The feature files of a video by stream."""
    return {
        name: pathlib.Path(folder)
        / manifest_lib.feature_path(manifest, stream=name, video_id=video_id)
        for name in manifest.streams.names
    }
