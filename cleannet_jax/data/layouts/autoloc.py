"""AutoLoc's release: UntrimmedNet features in TSV files, with pickles beside them.

`autoloc_rows` reads the TSV files of a stage ("train", "val", "test"). Snippets are 15
frames at the video's own rate and tile it; the number of snippets does not follow from
the duration. Beside the TSV lie Python 2 pickles: `{stage}_meta*.pc`, duration and
frame rate by video, and `{stage}_gt_dump*.pc`, a pandas frame a category with segments
as fractions of the duration; results are such frames too. Videos are numbers in all of
them: ids are made by the benchmark's own rule or looked up in `org2idx.map`.
"""

import dataclasses
import functools
import math
import os
import pathlib
import re
import reprlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import agreement, annotation_files, recovered_heads, text
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.detections import thumos
from cleannet_jax.data.layouts import autoloc_rows, layout, pickled
from cleannet_jax.metrics import average_precision

_FRAMES = 15


class _Stage(NamedTuple):
    """What file names call a subset, what annotations do, and how ids begin."""

    name: str
    subset: str
    prefix: str


class _Release(NamedTuple):
    """One of the two data sets.

    Attributes:
      stages: the one to train on, then the one to evaluate on.
      categories: in the order of their numbers, which is alphabetical; None where
        only annotations tell their names.
      seen: what the backbone was trained on, subsets included.
    """

    stages: tuple[_Stage, _Stage]
    categories: tuple[str, ...] | None
    seen: tuple[str, ...]


_RELEASES: Mapping[str, _Release] = {
    "thumos14": _Release(
        (
            _Stage("val", "validation", "video_validation_"),
            _Stage("test", "test", "video_test_"),
        ),
        tuple(thumos.CLASSES.values()),
        ("ImageNet", "UCF101", "validation"),
    ),
    "activitynet12": _Release(
        (_Stage("train", "training", ""), _Stage("val", "validation", "")),
        None,
        ("ImageNet", "training"),
    ),
}


class _Opened(NamedTuple):
    """The rows of a release, and what names its videos."""

    name: str
    release: _Release
    folder: pathlib.Path
    ids: dict[int, str]  # of org2idx.map
    rows: dict[str, autoloc_rows.Place]  # by id
    stages: dict[str, _Stage]  # by id


def open_autoloc(
    folder: str | os.PathLike,
    *,
    dataset: str | None = None,
    annotations: str | os.PathLike | None = None,
    fps: float | None = None,
) -> dataset_lib.Dataset:
    """Opens a folder of the release, such as its `data/TH14`.

    Args:
      folder: holds the TSV files, and the pickles and `org2idx.map` as far as needed.
      dataset: "thumos14" or "activitynet12"; None where the names of the files tell:
        only one of them has a `test`, only the other a `train`.
      annotations: path of an annotation file, or of a folder of THUMOS14's own, which
        goes before the pickled ground truth. ActivityNet's own file must be named,
        since the names of its categories are in none of the others.
      fps: frames a second of every video; None for the rates in the meta pickles, or
        else in the annotations.

    Raises:
      InputError: a file is missing or cannot be used; the message names it.
    """
    opened = _open_rows(folder, dataset)
    meta = _read_meta(opened)
    if annotations is None:
        truth, notes = _own_annotations(opened, meta)
    else:
        truth, notes = annotation_files.read_annotations(annotations), ()
    truth = _with_meta(truth, meta)
    categories = _categories(opened.release, truth)
    train, evaluation = (
        _subset(opened, stage, truth) for stage in opened.release.stages
    )
    ids, matching = layout.matched_ids(
        truth, opened.rows, subsets=(train, evaluation), place=folder
    )
    return dataset_lib.create_dataset(
        manifest_lib.Manifest(
            name=f"AutoLoc {opened.name}",
            streams=layout.streams(autoloc_rows.WIDTH),
            stride_frames=_FRAMES,
            window_frames=_FRAMES,
            offset_frames=0,
            fps=layout.frame_rate(truth, ids, fps=fps),
            train_subset=train,
            evaluation_subset=evaluation,
            source="UntrimmedNet features released by AutoLoc",
            backbone_trained_on=_seen(opened, train, evaluation),
        ),
        annotations=truth,
        lengths={name: autoloc_rows.count_snippets(opened.rows[name]) for name in ids},
        read_streams=functools.partial(_read_streams, opened.rows, len(categories)),
        notes=(*notes, *matching, *_label_notes(opened, truth, categories, ids)),
    )


def open_outputs(
    folder: str | os.PathLike,
    *,
    ids: Collection[str],
    dataset: str | None = None,
    annotations: str | os.PathLike | None = None,
) -> tuple[tuple[str, ...], Iterator[recovered_heads.Outputs]]:
    """Returns the names of the N categories, and what UntrimmedNet made of videos.

    Args:
      folder: as in `open_autoloc`.
      ids: of the videos; each is read when it is asked for.
      dataset: as in `open_autoloc`.
      annotations: as in `open_autoloc`.

    Raises:
      InputError: as `open_autoloc` does; a row that cannot be used raises it when it
        is asked for.
    """
    opened = _open_rows(folder, dataset)
    truth = annotation_files.read_annotations(annotations) if annotations else None
    categories = _categories(opened.release, truth)
    return categories, (
        autoloc_rows.read_row(opened.rows[name], num_categories=len(categories))
        for name in ids
    )


def read_results(
    path: str | os.PathLike,
    *,
    dataset: str,
    annotations: str | os.PathLike,
    id_map: str | os.PathLike | None = None,
) -> average_precision.Instances:
    """Returns the detections of a results pickle, [M], in the order of the file.

    Args:
      path: the pickle, one frame a category.
      dataset: "thumos14" or "activitynet12".
      annotations: path of an annotation file with the duration of each video.
      id_map: path of `org2idx.map`; None where numbers alone make the ids.

    Raises:
      InputError: the file is no such pickle, or a video or its duration is unknown;
        the message names the frame and the row.
    """
    release = _release(dataset)
    truth = annotations_lib.read_annotations(annotations)
    ids = _read_ids(pathlib.Path(id_map)) if id_map else {}
    categories = _categories(release, truth)
    frames = _read_frames(path, categories, ("video-id", "t-start", "t-end", "score"))
    names: dict[str, int] = {}
    video, label, segments, scores = [], [], [], []
    for frame, row, place in frames:
        name = _video_id(_video_number(row[0], place), release.stages[1], ids)
        video.append(names.setdefault(name, len(names)))
        label.append(frame)
        segments.append(_segment(row[1:3], _duration(truth, name, place), place))
        scores.append(_finite(row[3], place))
    return average_precision.Instances(
        videos=tuple(names),
        labels=categories,
        video=np.array(video, int),
        label=np.array(label, int),
        segments=np.array(segments, float).reshape(-1, 2),
        scores=np.array(scores, float),
    )


def _release(dataset: str) -> _Release:
    """The release of that name."""
    if dataset not in _RELEASES:
        raise errors.InputError(
            f"dataset: found {dataset!r}, expected {' or '.join(_RELEASES)}"
        )
    return _RELEASES[dataset]


def _open_rows(folder: str | os.PathLike, dataset: str | None) -> _Opened:
    """The rows of a folder by the ids of their videos."""
    folder = pathlib.Path(folder)
    paths = autoloc_rows.find_files(folder)
    name = dataset or _dataset_of(folder, paths)
    release = _release(name)
    id_map = folder / "org2idx.map"
    ids = _read_ids(id_map) if id_map.exists() else {}
    opened = _Opened(name, release, folder, ids, {}, {})
    for stage in release.stages:
        for path in paths.get(stage.name, ()):
            for place in autoloc_rows.find_rows(path):
                video_id = _video_id(place.video, stage, ids)
                if video_id in opened.rows:
                    raise errors.InputError(
                        f"{place}: is there again as {opened.rows[video_id]}"
                    )
                opened.rows[video_id] = place
                opened.stages[video_id] = stage
    return opened


def _dataset_of(folder: pathlib.Path, found: Mapping[str, Any]) -> str:
    """The data set that has the stages found, if only one has."""
    choices = [
        name
        for name, release in _RELEASES.items()
        if found.keys() <= {stage.name for stage in release.stages}
    ]
    if len(choices) != 1:
        raise errors.InputError(
            f"{folder}: found files of {' and '.join(sorted(found))}, which do not tell"
            f" the data set; name it: {' or '.join(_RELEASES)}"
        )
    return choices[0]


def _read_ids(path: pathlib.Path) -> dict[int, str]:
    """Ids by number, from lines of a subset, an id and a number."""
    ids: dict[int, str] = {}
    for line in text.read_lines(path):
        _, video_id, number = text.columns(line, "subset id number")
        if ids.setdefault(text.count(number, line.place), video_id) != video_id:
            raise errors.InputError(f"{line.place}: number {number} stands above too")
    return ids


def _video_id(number: int, stage: _Stage, ids: Mapping[int, str]) -> str:
    """The id of a video."""
    return ids.get(number, f"{stage.prefix}{number:07d}")


def _categories(
    release: _Release, truth: annotations_lib.Annotations | None
) -> tuple[str, ...]:
    """The names of the categories in the order of their numbers."""
    if release.categories:
        return release.categories
    if truth is None:
        raise errors.InputError(
            "annotations: found none, expected ActivityNet's own file, since the names"
            " of its categories are in none of the release"
        )
    videos = truth.videos.values()
    return tuple(sorted({name for video in videos for name in video.categories}))


def _read_streams(
    rows: Mapping[str, autoloc_rows.Place], num_categories: int, video_id: str
) -> tuple[np.ndarray, np.ndarray]:
    """RGB and flow features of one video."""
    row = autoloc_rows.read_row(rows[video_id], num_categories=num_categories)
    return row.features[0], row.features[1]


def _subset(opened: _Opened, stage: _Stage, truth: annotations_lib.Annotations) -> str:
    """What the annotations call the videos of a stage."""
    found = {
        truth.videos[video_id].subset
        for video_id, own in opened.stages.items()
        if own == stage and video_id in truth.videos
    }
    if len(found) > 1:
        raise errors.InputError(
            f"{truth.path}: found videos of {stage.name} files in subsets"
            f" {agreement.listed(found)}, expected one"
        )
    return found.pop() if found else stage.subset


def _seen(opened: _Opened, train: str, evaluation: str) -> tuple[str, ...]:
    """What the backbone was trained on, with subsets as the annotations name them."""
    names = {
        stage.subset: own
        for stage, own in zip(opened.release.stages, (train, evaluation), strict=True)
    }
    seen = tuple(names.get(name, name) for name in opened.release.seen)
    is_clean = opened.name == "thumos14" or all(
        "onlytrain" in place.path.parent.name for place in opened.rows.values()
    )
    # UntrimmedNet's other weights for ActivityNet were trained on both subsets.
    return seen if is_clean else (*seen, evaluation)


def _label_notes(
    opened: _Opened,
    truth: annotations_lib.Annotations,
    categories: Sequence[str],
    ids: Sequence[str],
) -> tuple[str, ...]:
    """Notes on videos whose row has other labels than their segments."""
    different = []
    for video_id in ids:
        numbers = opened.rows[video_id].labels
        if max(numbers, default=0) >= len(categories):
            raise errors.InputError(
                f"{opened.rows[video_id]}: labels: found {max(numbers) + 1}, expected 1"
                f" to {len(categories)}"
            )
        names = {categories[number] for number in numbers}
        if names and names != set(truth.videos[video_id].categories):
            different.append(video_id)
    return layout.note(different, "labels of the rows differ from the annotations'")


# Meta data, ground truth and results.


def _own_file(opened: _Opened, stage: _Stage, kind: str) -> pathlib.Path | None:
    """The pickle of a kind for a stage, if there is one."""
    pattern = f"{stage.name}_{kind}*.pc"
    paths = sorted(opened.folder.glob(pattern))
    if len(paths) > 1:
        raise errors.InputError(
            f"{opened.folder}: found {agreement.listed([path.name for path in paths])},"
            f" expected one file {pattern}"
        )
    return paths[0] if paths else None


def _read_meta(opened: _Opened) -> dict[str, tuple[float, float]]:
    """Duration in seconds and frames a second by id."""
    meta: dict[str, tuple[float, float]] = {}
    for stage in opened.release.stages:
        path = _own_file(opened, stage, "meta")
        content = pickled.read_pickle(path) if path else {}
        if not isinstance(content, dict):
            raise errors.InputError(
                f"{path}: found a {type(content).__name__}, expected a dict of videos"
            )
        for name, entry in content.items():
            place = f"{path}: {reprlib.repr(name)}"
            match = re.search(r"\d{1,9}$", str(name))
            if not match or not isinstance(entry, dict):
                raise errors.InputError(
                    f"{place}: found a {type(entry).__name__}, expected a video by"
                    " number and a dict of duration and fps"
                )
            facts = (_positive(entry, key, place) for key in ("duration", "fps"))
            meta[_video_id(int(match[0]), stage, opened.ids)] = tuple(facts)
    return meta


def _own_annotations(
    opened: _Opened, meta: Mapping[str, tuple[float, float]]
) -> tuple[annotations_lib.Annotations, tuple[str, ...]]:
    """Annotations from the pickles, or else from the rows' labels, and notes."""
    categories = _categories(opened.release, None)
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


# The label of a segment, and its ends as fractions of the duration.
_Fractions = list[tuple[str, tuple[float, float]]]


def _read_segments(
    path: pathlib.Path | None,
    opened: _Opened,
    stage: _Stage,
    categories: Sequence[str],
) -> dict[str, _Fractions]:
    """The segments of a stage's ground truth by id; of every row's video, if none."""
    segments: dict[str, _Fractions] = {
        video_id: [] for video_id, own in opened.stages.items() if own == stage
    }
    columns = ("video-id", "t-start", "t-end")
    rows = _read_frames(path, categories, columns) if path else ()
    for frame, row, place in rows:
        video_id = _video_id(_video_number(row[0], place), stage, opened.ids)
        pair = _segment(row[1:], 1.0, place)
        segments.setdefault(video_id, []).append((categories[frame], pair))
    return segments


def _tags(
    opened: _Opened, stage: _Stage, categories: Sequence[str]
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


def _with_meta(
    truth: annotations_lib.Annotations, meta: Mapping[str, tuple[float, float]]
) -> annotations_lib.Annotations:
    """Annotations with the frame rates of the meta data, and durations they lack."""
    videos = dict(truth.videos)
    for video_id in meta.keys() & videos.keys():
        duration, fps = meta[video_id]
        video = videos[video_id]
        videos[video_id] = dataclasses.replace(
            video, fps=fps, duration=video.duration or duration
        )
    return annotations_lib.Annotations(videos, truth.path)


def _read_frames(
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


def _video_number(name: Any, place: str) -> int:
    """The number of a video, which frames have as text of seven digits."""
    if not isinstance(name, str) or not re.fullmatch(r"\d{1,9}", name):
        raise errors.InputError(
            f"{place}: video-id: found {reprlib.repr(name)}, expected a number as text"
        )
    return int(name)


def _finite(value: Any, place: str) -> float:
    """A finite number."""
    is_number = isinstance(value, int | float | np.number)
    if not is_number or not math.isfinite(value):
        raise errors.InputError(
            f"{place}: found {reprlib.repr(value)}, expected a finite number"
        )
    return float(value)


def _positive(entry: Mapping[str, Any], key: str, place: str) -> float:
    """The number above 0 under a key."""
    value = _finite(entry.get(key), f"{place}: {key}")
    if value <= 0:
        raise errors.InputError(f"{place}: {key}: found {value}, expected one above 0")
    return value


def _segment(
    fractions: tuple[Any, Any], duration: float, place: str
) -> tuple[float, float]:
    """A segment in seconds from fractions of a duration."""
    start, end = (_finite(fraction, place) * duration for fraction in fractions)
    if end < start:
        raise errors.InputError(
            f"{place}: found the segment {[start, end]}, expected an end that is not"
            " before the start"
        )
    return start, end


def _duration(truth: annotations_lib.Annotations, name: str, place: str) -> float:
    """Seconds of an annotated video."""
    video = truth.videos.get(name)
    if video is None or video.duration is None:
        lacking = "is not" if video is None else "has no duration"
        raise errors.InputError(f"{place}: video {name!r} {lacking} in {truth.path}")
    return video.duration
