"""What readers of foreign layouts share: ids of both sides, frame rates, notes."""

import os
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from cleannet_jax import errors
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import agreement, arrays, text
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.feature_files import found as found_lib


def streams(width: int) -> streams_lib.Streams:
    """Returns the manifest's RGB and flow stream, both D wide."""
    return streams_lib.Streams(("rgb", "flow"), (width, width))


def check_shape(
    array: np.ndarray | arrays.Header | found_lib.Found, place: str | os.PathLike
) -> tuple[int, int]:
    """Returns (T, D), the shape of an array of features, once it is one.

    Args:
      array: or anything else with its shape and dtype.
      place: what messages call it, usually its path.

    Raises:
      InputError: the array is not two-dimensional, not of floats, or has no snippet.
    """
    shape = arrays.check_floats(array, place=str(place), shape=("snippets", "width"))
    if 0 in shape:
        raise errors.InputError(
            f"{place}: found shape {shape}, expected (snippets, width) and no 0 in it"
        )
    return shape


def matched_files(
    annotations: annotations_lib.Annotations,
    parts: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    place: str | os.PathLike,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns where the features of each annotated video are, by sorted id, and notes.

    Args:
      annotations: the annotated videos.
      parts: a subset, and id -> where the features are, for each of its videos.
      place: where all of them lie.

    Raises:
      InputError: as `matched_ids` does, or the features of a video lie with those of
        another subset than its own.
    """
    merged: dict[str, Any] = {}
    for subset, found in parts:
        merged |= found
        for video_id in found:
            video = annotations.videos.get(video_id)
            if video and video.subset != subset:
                raise errors.InputError(
                    f"{place}: the features of video {video_id!r} lie with those of"
                    f" subset {subset!r}, but {annotations.path} says"
                    f" {video.subset!r}"
                )
    subsets = [subset for subset, _ in parts]
    ids, notes = matched_ids(annotations, merged, subsets=subsets, place=place)
    return {video_id: merged[video_id] for video_id in ids}, notes


def matched_ids(
    annotations: annotations_lib.Annotations,
    found: Collection[str],
    *,
    subsets: Collection[str],
    place: str | os.PathLike,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the sorted ids with annotation and features, and notes on the others.

    Args:
      annotations: the annotated videos.
      found: ids of the videos with features.
      subsets: the subsets whose videos ought to have features.
      place: where the features lie.

    Raises:
      InputError: a subset is not in the annotations, no id is on both sides, or one
        that is cannot be part of a file name.
    """
    of_subsets = [
        annotations_lib.subset_videos(annotations, subset) for subset in subsets
    ]
    wanted = {video.id for videos in of_subsets for video in videos}
    ids = tuple(sorted(wanted & set(found)))
    if not ids:
        raise errors.InputError(
            f"{place}: none of the {len(found)} videos with features"
            f" ({agreement.listed(found)}) is annotated in"
            f" {annotations.path} ({agreement.listed(wanted)})"
        )
    for video_id in ids:
        if not manifest_lib.is_path_part(video_id):
            raise errors.InputError(
                f"{place}: video {video_id!r}: the id cannot be part of a file name"
            )
    wanted_of = f"subsets {' and '.join(map(repr, subsets))} of {annotations.path}"
    return ids, (
        *note(wanted - set(found), f"in {wanted_of}, but without features"),
        *note(set(found) - wanted, f"features, but not in {wanted_of}: left out"),
    )


def note(ids: Collection[str], what: str) -> tuple[str, ...]:
    """Returns a note on some videos, none if there is no such video."""
    return (f"{what}: {len(ids)} videos, {agreement.listed(ids)}",) if ids else ()


def ids_in(path: pathlib.Path) -> set[str]:
    """Returns the ids that a file lists, one a line; none if there is no such file."""
    return {line.text for line in text.read_lines(path)} if path.exists() else set()


def frame_rate(
    annotations: annotations_lib.Annotations,
    ids: Collection[str],
    *,
    fps: float | None,
) -> float | Literal["annotations"]:
    """Returns the manifest's `fps` for features at each video's own frame rate.

    Args:
      annotations: may have the rate of each video.
      ids: the videos with features.
      fps: one rate for all of them, which goes before the annotations' own; None for
        the annotations' own.

    Raises:
      InputError: no rate is given, and a video has none of its own; or the rate is
        not above 0.
    """
    if fps is not None:
        if not 0 < fps < 1e9:
            raise errors.InputError(f"fps: found {fps}, expected a number above 0")
        return fps
    for video_id in ids:
        if annotations.videos[video_id].fps is None:
            raise errors.InputError(
                f"{annotations.path}: video {video_id!r} has no fps; expected one for"
                " each video, or the option fps for all of them"
            )
    return "annotations"


def rescaled_rate(
    annotations: annotations_lib.Annotations, ids: Collection[str], *, length: int
) -> dict[str, float]:
    """Returns snippets a second by id, where every video has the same number of them.

    Args:
      annotations: have the duration of each video.
      ids: the videos with features.
      length: T, the number of snippets that each video was rescaled to.

    Raises:
      InputError: the duration of a video is unknown.
    """
    for video_id in ids:
        if annotations.videos[video_id].duration is None:
            raise errors.InputError(
                f"{annotations.path}: video {video_id!r} has no duration, which says"
                f" how long each of its {length} rescaled snippets lasts"
            )
    return {video: length / annotations.videos[video].duration for video in ids}
