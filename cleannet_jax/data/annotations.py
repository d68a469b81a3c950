"""Annotations in ActivityNet's JSON schema. Times are seconds.

An annotation file is an object with the key `database`, from a video's id to
`{"subset": ..., "duration": ..., "fps": ..., "annotations": [{"segment": [start, end],
"label": ...}], "labels": [...]}`, where all but `subset` may be absent. `labels`, and
annotations without a `segment`, are of the whole video: training needs no segments. An
entry with neither `annotations` nor `labels` is of a video that nobody has looked at.
`"actions": [[label, start, end], ...]`, as MultiTHUMOS has them, are annotations too.

The object may stand without the key `database` where nothing else does, and where no
video has a subset all are of `EVERYTHING`. Other keys are not read. Ids and labels are
kept as they are spelled, labels that are numbers as their digits, ids and segments in
the order of the file; nothing is clipped, dropped or merged. A segment that ends before
it starts is kept apart, in `faults`, so that it stops only who needs it.
"""

import dataclasses
import os
import reprlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import faults as faults_lib
from cleannet_jax.data import files, schema, text
from cleannet_jax.metrics import average_precision

# What THUMOS14 calls footage that could not be assigned to a category.
AMBIGUOUS = "Ambiguous"

# The subset of all videos of a file that names none.
EVERYTHING = "all"

# A value with one of these keys can be a video of a file without `database`.
_KEYS = {"subset", "duration", "annotations", "labels", "actions"}


class Row(NamedTuple):
    """A row of an annotation file.

    Attributes:
      label: a category, or `AMBIGUOUS`.
      segment: (start, end) in seconds, in either order; None for the whole video.
      place: of the row, its file included.
    """

    label: str
    segment: tuple[float, float] | None
    place: str


@dataclasses.dataclass(frozen=True, eq=False)
class Video:
    """The annotation of one video.

    Attributes:
      id: the video's name in the file.
      subset: the part of the dataset that it belongs to.
      duration: seconds, None where the file has none.
      fps: frames per second, None where the file has none.
      segments: [G, 2] float64 (start, end) in seconds; lengths may be zero.
      labels: [G] category of each segment.
      ambiguous: [A, 2] float64, segments that are `Ambiguous` and of no category.
      tags: categories of the whole video, beside those of its segments; those of its
        `faults` are among them.
      annotated: whether the file says anything of what is in the video, be it nothing.
      faults: its rows whose segment ends before it starts, which are in none of the
        columns above.
    """

    id: str
    subset: str
    duration: float | None
    fps: float | None
    segments: np.ndarray
    labels: tuple[str, ...]
    ambiguous: np.ndarray
    tags: tuple[str, ...] = ()
    annotated: bool = True
    faults: tuple[faults_lib.Fault, ...] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        """The video-level label: all of its categories, sorted, each once."""
        return tuple(sorted({*self.labels, *self.tags}))

    @property
    def timed(self) -> bool:
        """Whether it is known when what happens in the video, be it nothing."""
        return self.annotated and (len(self.segments) > 0 or not self.tags)


@dataclasses.dataclass(frozen=True)
class Annotations:
    """An annotation file: its videos by id, in the order of the file, and its path."""

    videos: dict[str, Video]
    path: str

    @property
    def faults(self) -> tuple[faults_lib.Fault, ...]:
        """The faults of all videos, in the order of the file."""
        return tuple(fault for v in self.videos.values() for fault in v.faults)


def read_annotations(path: str | os.PathLike) -> Annotations:
    """Returns the content of an annotation file.

    Raises:
      InputError: the file is not JSON or departs from the schema; the message names
        the first place that does.
    """
    videos, lacking = {}, ""
    for name, entry in files.iterate_json(path, "database", is_member=_is_video):
        place = f"{path}: database[{text.quoted(name)}]"
        videos[name] = _video(name, entry, place)
        if not lacking and "subset" not in entry:
            lacking = f"{place}: expected the key 'subset', found only {reprlib.repr(list(entry))}"
    if lacking and any(video.subset != EVERYTHING for video in videos.values()):
        raise errors.InputError(f"{lacking}; other videos have it")
    return Annotations(videos, str(path))


def make_video(
    name: str,
    rows: Iterable[Row],
    *,
    subset: str,
    duration: float | None = None,
    fps: float | None = None,
    tags: Iterable[str] = (),
    annotated: bool = True,
) -> Video:
    """Returns a video from the rows of a file.

    Args:
      name: the video's id.
      rows: its annotations, in the order of the file.
      subset: the part of the dataset that it belongs to.
      duration: seconds, None if it is not known.
      fps: frames per second, None if they are not known.
      tags: categories of the whole video.
      annotated: whether the file says anything of what is in the video.
    """
    certain, ambiguous, faults = [], [], []
    whole = list(tags)
    for row in rows:
        is_fault = row.segment is not None and row.segment[1] < row.segment[0]
        if is_fault:
            faults.append(faults_lib.Fault(row.place, row.label, row.segment))
        if (is_fault or row.segment is None) and row.label != AMBIGUOUS:
            whole.append(row.label)
        elif not is_fault:
            (ambiguous if row.label == AMBIGUOUS else certain).append(row)
    return Video(
        id=name,
        subset=subset,
        duration=duration,
        fps=fps,
        segments=_segments(certain),
        labels=tuple(row.label for row in certain),
        ambiguous=_segments(ambiguous),
        tags=tuple(dict.fromkeys(whole)),
        annotated=annotated,
        faults=tuple(faults),
    )


def as_content(annotations: Annotations) -> dict[str, Any]:
    """Returns annotations as their JSON file holds them."""
    return {
        "version": "VERSION 1.3",
        "database": {name: _entry(video) for name, video in annotations.videos.items()},
    }


def _entry(video: Video) -> dict[str, Any]:
    """One video of the annotations."""
    known = {"duration": video.duration, "fps": video.fps}
    entry: dict[str, Any] = {"subset": video.subset}
    entry |= {key: value for key, value in known.items() if value is not None}
    if video.tags:
        entry["labels"] = list(video.tags)
    if not video.annotated:
        return entry
    labels = [*video.labels, *([AMBIGUOUS] * len(video.ambiguous))]
    segments = [*video.segments.tolist(), *video.ambiguous.tolist()]
    # What cannot be used is for `validate` to list, and for whoever wrote it to mend.
    labels += [fault.label for fault in video.faults]
    segments += [list(fault.segment) for fault in video.faults]
    entry["annotations"] = [
        {"label": label, "segment": segment}
        for label, segment in zip(labels, segments, strict=True)
    ]
    return entry


def with_subset(annotations: Annotations, subset: str) -> Annotations:
    """Returns annotations whose file names no subset as those of one subset."""
    videos = {
        name: dataclasses.replace(video, subset=subset)
        if video.subset == EVERYTHING
        else video
        for name, video in annotations.videos.items()
    }
    return dataclasses.replace(annotations, videos=videos)


def subset_videos(annotations: Annotations, subset: str) -> list[Video]:
    """Returns the videos of a subset, in the order of the file.

    Raises:
      InputError: no video is of that subset; the message lists those found.
    """
    videos = [video for video in annotations.videos.values() if video.subset == subset]
    if not videos:
        found = sorted({video.subset for video in annotations.videos.values()})
        raise errors.InputError(
            f"{annotations.path}: no video of subset {subset!r}; the subsets are"
            f" {', '.join(map(repr, found)) or 'none: it lists no video'}"
        )
    return videos


def categories(annotations: Annotations, *, subsets: Iterable[str]) -> tuple[str, ...]:
    """Returns the categories annotated in the subsets, sorted.

    Raises:
      InputError: no video is of one of the subsets.
    """
    videos = [v for subset in subsets for v in subset_videos(annotations, subset)]
    return tuple(sorted({name for video in videos for name in video.categories}))


def ground_truth(
    annotations: Annotations, *, subset: str
) -> average_precision.Instances:
    """Returns the annotated segments of a subset, [G], with all videos of the subset.

    Raises:
      InputError: no video is of that subset, one has segments that end before they
        start, or of one it is not known when what happens in it, so that no detection
        there could be judged.
    """
    videos = subset_videos(annotations, subset)
    faults_lib.check(
        annotations.path,
        [fault for video in videos for fault in video.faults],
        where=f"subset {subset!r}",
    )
    without = [video for video in videos if not video.timed]
    if without:
        raise errors.InputError(
            f"{annotations.path}: subset {subset!r}: found {len(without)} of"
            f" {len(videos)} videos without times, such as {without[0].id!r}; evaluation"
            " needs the segments of every video (training needs labels only)"
        )
    names = tuple(sorted({label for video in videos for label in video.labels}))
    position = {name: index for index, name in enumerate(names)}
    return average_precision.Instances(
        videos=tuple(video.id for video in videos),
        labels=names,
        video=np.repeat(np.arange(len(videos)), [len(v.labels) for v in videos]),
        label=np.array([position[n] for v in videos for n in v.labels], int),
        segments=np.concatenate([video.segments for video in videos]),
    )


def ambiguous(annotations: Annotations, *, subset: str) -> average_precision.Instances:
    """Returns the ambiguous segments of a subset, [A], with all videos of the subset.

    Raises:
      InputError: no video is of that subset.
    """
    videos = subset_videos(annotations, subset)
    counts = [len(video.ambiguous) for video in videos]
    return average_precision.Instances(
        videos=tuple(video.id for video in videos),
        labels=(AMBIGUOUS,),
        video=np.repeat(np.arange(len(videos)), counts),
        label=np.zeros(sum(counts), int),
        segments=np.concatenate([video.ambiguous for video in videos]),
    )


def _video(name: str, entry: Any, where: str) -> Video:
    """One entry of a database."""
    has_subset = not isinstance(entry, dict) or "subset" in entry
    subset = schema.text(entry, "subset", where) if has_subset else EVERYTHING
    tags = _tags(entry, where)
    rows = [*_rows(entry, where), *_actions(entry, where)]
    return make_video(
        name,
        rows,
        subset=subset,
        duration=schema.positive(entry, "duration", where),
        fps=schema.positive(entry, "fps", where),
        tags=tags,
        annotated=not entry.keys().isdisjoint({"annotations", "actions"}) or bool(tags),
    )


def _segments(rows: list[Row]) -> np.ndarray:
    """[G, 2] the segments of rows."""
    return np.array([row.segment for row in rows], float).reshape(-1, 2)


def _is_video(value: Any) -> bool:
    """Whether a value can be the entry of a video."""
    return isinstance(value, dict) and not _KEYS.isdisjoint(value)


def _rows(entry: dict[str, Any], where: str) -> Iterator[Row]:
    """The rows under `annotations`; one without a segment is of the whole video."""
    found = schema.rows(entry.get("annotations", []), f"{where}.annotations")
    for index, annotation in enumerate(found):
        place = f"{where}.annotations[{index}]"
        label = schema.label(annotation, place)
        is_tag = not annotation.get("segment") and label != AMBIGUOUS
        yield Row(label, None if is_tag else schema.ends(annotation, place), place)


def _actions(entry: dict[str, Any], where: str) -> Iterator[Row]:
    """The rows under `actions`."""
    found = schema.rows(entry.get("actions", []), f"{where}.actions")
    for index, action in enumerate(found):
        place = f"{where}.actions[{index}]"
        if not isinstance(action, list) or len(action) != 3:
            raise errors.InputError(
                f"{place}: expected [label, start, end], found {reprlib.repr(action)}"
            )
        label = schema.label({"label": action[0]}, place)
        yield Row(label, schema.pair(action[1:], place), place)


def _tags(entry: dict[str, Any], where: str) -> tuple[str, ...]:
    """The labels of a whole video; none without the key."""
    tags = []
    found = schema.rows(entry.get("labels", []), f"{where}.labels")
    for row, tag in enumerate(found):
        place = f"{where}.labels[{row}]"
        tags.append(schema.label({"label": tag}, place))
        if tags[-1] == AMBIGUOUS:
            raise errors.InputError(
                f"{place}: expected the name of a category, found {AMBIGUOUS!r}"
            )
    return tuple(tags)
