"""Our own feature folders.

A feature folder holds two .npy files a video, one a stream, each (T, D) of float16,
float32 or float64. `read_features` joins them to F, (T, 2D) float32, RGB columns
first, then flow. Files are checked by their headers and mapped, never unpickled.
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
        stream_widths=tuple(stream.width for stream in manifest.streams),
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
    """Returns F of one video, (T, 2D) float32: RGB columns first, then flow.

    Raises:
      InputError: the files cannot be used, see `feature_length`.
    """
    length = feature_length(folder, video_id, manifest=manifest)
    width = sum(stream.width for stream in manifest.streams)
    features = np.empty((length, width), np.float32)
    stop = 0
    for stream, path in zip(
        manifest.streams, _paths(folder, video_id, manifest), strict=True
    ):
        start, stop = stop, stop + stream.width
        # Values beyond float32 become infinite, which validation reports by place.
        with np.errstate(over="ignore"):
            features[:, start:stop] = arrays.map_array(path)
    return features


def has_features(
    folder: str | os.PathLike, video_id: str, *, manifest: manifest_lib.Manifest
) -> bool:
    """Returns whether a video has a file of at least one stream."""
    return any(os.path.isfile(path) for path in _paths(folder, video_id, manifest))


def feature_length(
    folder: str | os.PathLike, video_id: str, *, manifest: manifest_lib.Manifest
) -> int:
    """Returns T of one video from the headers of its files; T is at least 1.

    Raises:
      arrays.ArrayError: a file is absent, is not a whole two-dimensional array of floats,
        has another width than the manifest declares or another length than the other
        stream, or holds no snippet.
      InputError: the id cannot be part of a file name.
    """
    lengths = {}
    for stream, path in zip(
        manifest.streams, _paths(folder, video_id, manifest), strict=True
    ):
        if not os.path.isfile(path):
            raise arrays.ArrayError("stream missing", f"{path}: no such file")
        lengths[stream.name], width = arrays.check_floats(
            arrays.read_header(path), place=str(path), shape=("snippets", "width")
        )
        if width != stream.width:
            raise arrays.ArrayError(
                "wrong width",
                f"{path}: found {width} columns, expected the {stream.width} that the "
                f"manifest declares for stream {stream.name!r}",
            )
    first, second = lengths.values()
    if first != second:
        raise arrays.ArrayError(
            "streams of different lengths",
            f"video {video_id!r}: found snippets {lengths}, expected the same number",
        )
    if first == 0:
        raise arrays.ArrayError(
            "empty video", f"video {video_id!r}: found 0 snippets, expected at least 1"
        )
    return first


def stored_ids(
    folder: str | os.PathLike, *, manifest: manifest_lib.Manifest
) -> frozenset[str]:
    """Returns the ids that the folder has a file of at least one stream for."""
    found = set()
    for stream in manifest.streams:
        pattern = manifest.file_pattern.replace("{stream}", stream.name)
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
    tried = " and ".join(str(path) for path in _paths(folder, example, manifest))
    return arrays.ArrayError(
        "no features at all",
        f"{folder}: {_found_instead(folder, manifest)}; expected two files for each of "
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
) -> list[pathlib.Path]:
    """The two feature files of a video, in the order of the streams."""
    return [
        pathlib.Path(folder)
        / manifest_lib.feature_path(manifest, stream=stream.name, video_id=video_id)
        for stream in manifest.streams
    ]
