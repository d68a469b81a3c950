"""AutoLoc's pickles: meta data and ground truth beside its features, and results.

Python 2 made them: `{stage}_meta*.pc` has duration and frame rate by video,
`{stage}_gt_dump*.pc` a pandas frame a category with segments as fractions of the
duration; results are such frames too.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import agreement
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data.layouts import autoloc_release as release_lib
from cleannet_jax.data.layouts import pickled, unpickle_machine

# Beyond these no double is a number of seconds; whole numbers have no end.
_LARGEST = 1e300

# The label of a segment, and its ends as fractions of the duration.
_Fractions = list[tuple[str, tuple[float, float]]]


def read_meta(opened: release_lib.Opened) -> dict[str, tuple[float, float]]:
    """Returns duration in seconds and frames a second by id."""
    meta: dict[str, tuple[float, float]] = {}
    for stage in opened.release.stages:
        path = _own_file(opened, stage, "meta")
        content = pickled.read_pickle(path) if path else {}
        if not isinstance(content, dict):
            raise errors.InputError(
                f"{path}: found a {type(content).__name__}, expected a dict of videos"
            )
        for name, entry in content.items():
            place = f"{path}: {unpickle_machine.shown(name)}"
            match = re.search(r"\d{1,9}$", str(name))
            if not match or not isinstance(entry, dict):
                raise errors.InputError(
                    f"{place}: found a {type(entry).__name__}, expected a video by"
                    " number and a dict of duration and fps"
                )
            facts = (_positive(entry, key, place) for key in ("duration", "fps"))
            meta[release_lib.make_id(int(match[0]), stage, opened.ids)] = tuple(facts)
    return meta


def own_annotations(
    opened: release_lib.Opened, meta: Mapping[str, tuple[float, float]]
) -> tuple[annotations_lib.Annotations, tuple[str, ...]]:
    """Returns annotations from the pickles, or else the rows' labels, and notes."""
    categories = release_lib.categories(opened.release, None)
    videos: dict[str, annotations_lib.Video] = {}
    notes: list[str] = []
    for stage in opened.release.stages:
        path = _own_file(opened, stage, "gt_dump")
        segments = _read_segments(path, opened, stage, categories)
        tags = {}
        if path is None:
            tags = _tags(opened, stage, categories)
            notes.append(
                f"subset {stage.subset!r}: no ground truth: found no"
                f" {stage.name}_gt_dump*.pc; training videos have their labels"
            )
        for video_id, rows in segments.items():
            if video_id not in meta:
                raise errors.InputError(
                    f"{opened.folder}: video {video_id!r}: its duration is in no"
                    f" {stage.name}_meta*.pc, expected it there"
                )
            video = _video(video_id, stage.subset, meta[video_id], rows)
            videos[video_id] = dataclasses.replace(video, tags=tags.get(video_id, ()))
    return annotations_lib.Annotations(videos, str(opened.folder)), tuple(notes)


def with_meta(
    truth: annotations_lib.Annotations, meta: Mapping[str, tuple[float, float]]
) -> annotations_lib.Annotations:
    """Returns annotations with rates, and durations they lack, of the meta data."""
    videos = dict(truth.videos)
    for video_id in meta.keys() & videos.keys():
        duration, fps = meta[video_id]
        video = videos[video_id]
        videos[video_id] = dataclasses.replace(
            video, fps=fps, duration=video.duration or duration
        )
    return annotations_lib.Annotations(videos, truth.path)


def read_frames(
    path: str | os.PathLike, categories: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[int, tuple, str]]:
    """Yields category, columns and place of each row in a list of frames."""
    content = pickled.read_pickle(path)
    if not isinstance(content, list) or len(content) != len(categories):
        size = f" of {len(content)}" if isinstance(content, list) else ""
        raise errors.InputError(
            f"{path}: found a {type(content).__name__}{size}, expected a list of"
            f" {len(categories)} frames, one a category"
        )
    for index, frame in enumerate(content):
        place = f"{path}: frame {index}"
        columns = pickled.frame_columns(frame, place=place)
        for name in names:
            if name not in columns:
                raise errors.InputError(
                    f"{place}: found columns {agreement.listed(columns)}, expected"
                    f" {', '.join(names)}"
                )
        rows = zip(*(columns[name].tolist() for name in names), strict=True)
        for number, row in enumerate(rows):
            yield index, row, f"{place}, row {number}"


def video_number(name: Any, place: str) -> int:
    """Returns the number of a video, which frames have as text of seven digits."""
    if not isinstance(name, str) or not re.fullmatch(r"\d{1,9}", name):
        raise errors.InputError(
            f"{place}: video-id: found {unpickle_machine.shown(name)}, expected a number as text"
        )
    return int(name)


def segment(
    fractions: tuple[Any, Any], duration: float, place: str
) -> tuple[float, float]:
    """Returns a segment in seconds from fractions of a duration."""
    start, end = (
        finite(finite(fraction, place) * duration, place) for fraction in fractions
    )
    if end < start:
        raise errors.InputError(
            f"{place}: found the segment {[start, end]}, expected an end that is not"
            " before the start"
        )
    return start, end


def finite(value: Any, place: str) -> float:
    """Returns a finite number."""
    is_number = isinstance(value, int | float | np.number)
    if not is_number or not -_LARGEST < value < _LARGEST:
        raise errors.InputError(
            f"{place}: found {unpickle_machine.shown(value)}, expected a finite number"
        )
    return float(value)


def _own_file(
    opened: release_lib.Opened, stage: release_lib.Stage, kind: str
) -> pathlib.Path | None:
    """The pickle of a kind for a stage, if there is one."""
    pattern = f"{stage.name}_{kind}*.pc"
    paths = sorted(opened.folder.glob(pattern))
    if len(paths) > 1:
        raise errors.InputError(
            f"{opened.folder}: found {agreement.listed([path.name for path in paths])},"
            f" expected one file {pattern}"
        )
    return paths[0] if paths else None


def _read_segments(
    path: pathlib.Path | None,
    opened: release_lib.Opened,
    stage: release_lib.Stage,
    categories: Sequence[str],
) -> dict[str, _Fractions]:
    """The segments of a stage's ground truth by id; of every row's video, if none."""
    segments: dict[str, _Fractions] = {
        video_id: [] for video_id, own in opened.stages.items() if own == stage
    }
    columns = ("video-id", "t-start", "t-end")
    rows = read_frames(path, categories, columns) if path else ()
    for frame, row, place in rows:
        video_id = release_lib.make_id(video_number(row[0], place), stage, opened.ids)
        pair = segment(row[1:], 1.0, place)
        segments.setdefault(video_id, []).append((categories[frame], pair))
    return segments


def _tags(
    opened: release_lib.Opened, stage: release_lib.Stage, categories: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """The labels of training videos by id, as their rows have them."""
    if stage != opened.release.stages[0]:
        return {}
    return {
        video_id: tuple(
            categories[label] for label in place.labels if label < len(categories)
        )
        for video_id, place in opened.rows.items()
        if opened.stages[video_id] == stage
    }


def _video(
    video_id: str, subset: str, meta: tuple[float, float], rows: _Fractions
) -> annotations_lib.Video:
    """The annotation of one video, in seconds."""
    duration, fps = meta
    return annotations_lib.Video(
        id=video_id,
        subset=subset,
        duration=duration,
        fps=fps,
        segments=duration * np.array([pair for _, pair in rows]).reshape(-1, 2),
        labels=tuple(label for label, _ in rows),
        ambiguous=np.zeros((0, 2)),
    )


def _positive(entry: Mapping[str, Any], key: str, place: str) -> float:
    """The number above 0 under a key."""
    value = finite(entry.get(key), f"{place}: {key}")
    if value <= 0:
        raise errors.InputError(f"{place}: {key}: found {value}, expected one above 0")
    return value
