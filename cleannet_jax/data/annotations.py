"""Annotations in ActivityNet's JSON schema. Times are seconds.

An annotation file is an object with the key `database`, from a video's id to
`{"subset": ..., "duration": ..., "fps": ..., "annotations": [{"segment": [start, end],
"label": ...}], "labels": [...]}`, where all but `subset` may be absent. `labels`, and
annotations without a `segment`, are of the whole video: training needs no segments. An
entry with neither `annotations` nor `labels` is of a video that nobody has looked at.
Other keys are not read. Ids and labels are kept as they are
spelled, ids and segments in the order of the file; nothing is clipped, dropped or
merged.
"""

import dataclasses
import os
import reprlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import files, schema
from cleannet_jax.metrics import average_precision

# What THUMOS14 calls footage that could not be assigned to a category.
AMBIGUOUS = "Ambiguous"


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
      tags: categories of the whole video, beside those of its segments.
      annotated: whether the file says anything of what is in the video, be it nothing.
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


def read_annotations(path: str | os.PathLike) -> Annotations:
    """Returns the content of an annotation file.

    Raises:
      InputError: the file is not JSON or departs from the schema; the message names
        the first place that does.
    """
    videos = {
        name: _video(name, entry, f"{path}: database[{name!r}]")
        for name, entry in files.iterate_json(path, "database")
    }
    return Annotations(videos, str(path))


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
      InputError: no video is of that subset, or of one it is not known when what
        happens in it, so that no detection there could be judged.
    """
    videos = subset_videos(annotations, subset)
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
    subset = schema.text(entry, "subset", where)
    tags = _tags(entry, where)
    rows = schema.rows(entry.get("annotations", []), f"{where}.annotations")
    labels, segments = [], []
    for row, annotation in enumerate(rows):
        place = f"{where}.annotations[{row}]"
        label = schema.text(annotation, "label", place)
        if annotation.get("segment") is None and label != AMBIGUOUS:
            tags += (label,)
        else:
            labels.append(label)
            segments.append(schema.segment(annotation, place))
    pairs = np.array(segments, float).reshape(-1, 2)
    is_ambiguous = np.array([label == AMBIGUOUS for label in labels], bool)
    return Video(
        id=name,
        subset=subset,
        duration=schema.positive(entry, "duration", where),
        fps=schema.positive(entry, "fps", where),
        segments=pairs[~is_ambiguous],
        labels=tuple(label for label in labels if label != AMBIGUOUS),
        ambiguous=pairs[is_ambiguous],
        tags=tuple(dict.fromkeys(tags)),
        annotated="annotations" in entry or bool(tags),
    )


def _tags(entry: dict[str, Any], where: str) -> tuple[str, ...]:
    """The labels of a whole video; none without the key."""
    tags = schema.rows(entry.get("labels", []), f"{where}.labels")
    for row, tag in enumerate(tags):
        if not isinstance(tag, str) or tag in ("", AMBIGUOUS):
            raise errors.InputError(
                f"{where}.labels[{row}]: expected the name of a category, found"
                f" {reprlib.repr(tag)}"
            )
    return tuple(tags)
