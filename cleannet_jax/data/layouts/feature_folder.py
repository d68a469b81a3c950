"""Our own feature folders.

A feature folder holds an .npy file a video and stream, (T, D) of float16, float32 or
float64. `read_features` joins them to F, float32, in the order of the streams. Files are checked by their headers and mapped, never unpickled.
T counts snippets.
"""

import functools
import glob
import os
import pathlib
import re

import numpy as np

from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import arrays
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
    videos = {
        video_id: dataset_lib.VideoInfo(
            id=video_id,
            subset=video.subset,
            labels=video.categories,
            length=feature_length(folder, video_id, manifest=manifest),
            timebase=manifest_lib.timebase(manifest, video),
            duration=video.duration,
        )
        for video_id, video in sorted(annotations.videos.items())
        if has_features(folder, video_id, manifest=manifest)
    }
    if not videos:
        raise no_features(folder, manifest=manifest, annotations=annotations)
    if categories is None:
        categories = annotations_lib.categories(
            annotations, subsets=(manifest.train_subset,)
        )
    return dataset_lib.Dataset(
        name=manifest.name,
        categories=categories,
        streams=manifest.streams,
        videos=videos,
        annotations=annotations,
        train_subset=manifest.train_subset,
        evaluation_subset=manifest.evaluation_subset,
        read=functools.partial(read_features, folder, manifest=manifest),
        generated=manifest.generated,
    )


def read_features(
    folder: str | os.PathLike, video_id: str, *, manifest: manifest_lib.Manifest
) -> np.ndarray:
    """Returns F of one video, (T, width of all streams) float32.

    Raises:
      InputError: the files cannot be used, see `feature_length`.
    """
    length = feature_length(folder, video_id, manifest=manifest)
    features = np.empty((length, manifest.streams.width), np.float32)
    paths = _paths(folder, video_id, manifest)
    for name, columns in manifest.streams.split(features).items():
        # Values beyond float32 become infinite, which validation reports by place.
        with np.errstate(over="ignore"):
            columns[:] = arrays.map_array(paths[name])
    return features


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
      arrays.ArrayError: a file is absent, is not a whole two-dimensional array of floats,
        has another width than the manifest declares or another length than another
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
