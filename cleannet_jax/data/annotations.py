"""Annotations and predictions in ActivityNet's JSON schema. Times are seconds.

An annotation file is an object with the key `database`, from a video's id to
`{"subset": ..., "duration": ..., "fps": ..., "annotations": [{"segment": [start, end],
"label": ...}], "labels": [...]}`, where `duration` and `fps` may be absent. `labels`
are of the whole video: training needs no segments, and an entry that has labels may
lack `annotations`. A prediction file is an
object with the key `results`, from a video's id to a list of `{"segment", "label",
"score"}`. Other keys are not read. Ids and labels are kept as they are spelled, ids
and segments in the order of the file; nothing is clipped, dropped or merged.

Messages name a place as `results['some video'][2]`: the third entry of that video.
"""

import dataclasses
import math
import os
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import files
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
    """

    id: str
    subset: str
    duration: float | None
    fps: float | None
    segments: np.ndarray
    labels: tuple[str, ...]
    ambiguous: np.ndarray
    tags: tuple[str, ...] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        """The video-level label: all of its categories, sorted, each once."""
        return tuple(sorted({*self.labels, *self.tags}))


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
      InputError: no video is of that subset, or one has labels and no segment: where
        its instances are is not known, so that no detection there could be judged.
    """
    videos = subset_videos(annotations, subset)
    weak = [video for video in videos if video.tags and not len(video.segments)]
    if weak:
        raise errors.InputError(
            f"{annotations.path}: subset {subset!r}: found {len(weak)} of {len(videos)}"
            f" videos with labels but without segments, such as {weak[0].id!r};"
            " expected segments to evaluate against"
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


def read_predictions(path: str | os.PathLike) -> average_precision.Instances:
    """Returns the detections of a prediction file, [M], in the order of the file.

    Videos with an empty list are kept among the names; labels are in the order of
    their first use. Scores may be infinite, since their order is what counts.

    Raises:
      InputError: the file is not JSON or departs from the schema; the message names
        the first place that does.
    """
    names: list[str] = []
    labels: dict[str, int] = {}
    blocks = [_detections([], "", labels)]
    for name, rows in files.iterate_json(path, "results"):
        names.append(name)
        blocks.append(_detections(rows, f"{path}: results[{name!r}]", labels))
    label, segments, scores = map(np.concatenate, zip(*blocks, strict=True))
    counts = [len(block[0]) for block in blocks[1:]]
    return average_precision.Instances(
        videos=tuple(names),
        labels=tuple(labels),
        video=np.repeat(np.arange(len(names)), counts),
        label=label,
        segments=segments,
        scores=scores,
    )


def read_proposals(path: str | os.PathLike) -> dict[str, Any]:
    """Returns a prediction file as it is, once every row has a segment and a label.

    Unlike in `read_predictions`, rows need no score and other keys are kept.

    Raises:
      InputError: the file is not JSON or departs from the schema; the message names
        the first place that does.
    """
    content = files.read_json(path)
    for name, rows in _section(content, "results", path).items():
        where = f"{path}: results[{name!r}]"
        for row, proposal in enumerate(_list(rows, where)):
            _segment(proposal, f"{where}[{row}]")
            _text(proposal, "label", f"{where}[{row}]")
            if "score" in proposal and math.isinf(_score(proposal, f"{where}[{row}]")):
                raise errors.InputError(
                    f"{where}[{row}]: score: expected a finite number, found"
                    f" {reprlib.repr(proposal['score'])}"
                )
    return content


def write_predictions(
    path: str | os.PathLike, predictions: average_precision.Instances, *, details: str
) -> None:
    """Writes detections as an ActivityNet submission, whole or not at all.

    Every name in `predictions.videos` is written, with an empty list where it has no
    detection, and the rows of a video keep their order.

    Args:
      path: where the file is to be; its folder must exist.
      predictions: [M] finite segments with finite scores.
      details: what the submission says about data from outside of the benchmark;
        empty if there was none.

    Raises:
      ValueError: a score or an end of a segment is not finite.
    """
    results: dict[str, list] = {name: [] for name in predictions.videos}
    columns = (column.tolist() for column in predictions[2:])
    for video, label, segment, score in zip(*columns, strict=True):
        results[predictions.videos[video]].append(
            {"label": predictions.labels[label], "score": score, "segment": segment}
        )
    external_data = {"used": bool(details), "details": details}
    files.write_json(
        path,
        {"version": "VERSION 1.3", "results": results, "external_data": external_data},
    )


def _detections(
    rows: Any, where: str, labels: dict[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label, segment and score of each detection of a video; new labels are added."""
    label, segments, scores = [], [], []
    for row, detection in enumerate(_list(rows, where)):
        place = f"{where}[{row}]"
        segments.append(_segment(detection, place))
        scores.append(_score(detection, place))
        name = _text(detection, "label", place)
        label.append(labels.setdefault(name, len(labels)))
    return (
        np.array(label, int),
        np.array(segments, float).reshape(-1, 2),
        np.array(scores, float),
    )


def _section(content: Any, key: str, path: str | os.PathLike) -> dict[str, Any]:
    """The object under a key of the file's top level, with a video's id per entry."""
    section = _field(content, key, str(path))
    if not isinstance(section, dict):
        raise errors.InputError(
            f"{path}: {key}: expected an object from video ids, found"
            f" {reprlib.repr(section)}"
        )
    return section


def _video(name: str, entry: Any, where: str) -> Video:
    """One entry of a database."""
    subset = _text(entry, "subset", where)
    tags = _tags(entry, where)
    rows = entry.get("annotations", []) if tags else _field(entry, "annotations", where)
    rows = _list(rows, f"{where}.annotations")
    labels, segments = [], []
    for row, annotation in enumerate(rows):
        place = f"{where}.annotations[{row}]"
        labels.append(_text(annotation, "label", place))
        segments.append(_segment(annotation, place))
    pairs = np.array(segments, float).reshape(-1, 2)
    is_ambiguous = np.array([label == AMBIGUOUS for label in labels], bool)
    return Video(
        id=name,
        subset=subset,
        duration=_positive(entry, "duration", where),
        fps=_positive(entry, "fps", where),
        segments=pairs[~is_ambiguous],
        labels=tuple(label for label in labels if label != AMBIGUOUS),
        ambiguous=pairs[is_ambiguous],
        tags=tags,
    )


def _tags(entry: dict[str, Any], where: str) -> tuple[str, ...]:
    """The labels of a whole video; none without the key."""
    tags = _list(entry.get("labels", []), f"{where}.labels")
    for row, tag in enumerate(tags):
        if not isinstance(tag, str) or tag in ("", AMBIGUOUS):
            raise errors.InputError(
                f"{where}.labels[{row}]: expected the name of a category, found"
                f" {reprlib.repr(tag)}"
            )
    return tuple(tags)


def _field(entry: Any, key: str, where: str) -> Any:
    """The value under a key that must be there."""
    if not isinstance(entry, dict):
        raise errors.InputError(
            f"{where}: expected an object with the key {key!r}, found"
            f" {reprlib.repr(entry)}"
        )
    if key not in entry:
        raise errors.InputError(
            f"{where}: expected the key {key!r}, found only {reprlib.repr(list(entry))}"
        )
    return entry[key]


def _list(value: Any, where: str) -> Sequence[Any]:
    """The value, which must be a list."""
    if not isinstance(value, list):
        raise errors.InputError(
            f"{where}: expected a list, found {reprlib.repr(value)}"
        )
    return value


def _text(entry: Any, key: str, where: str) -> str:
    """The text under a key that must be there."""
    value = _field(entry, key, where)
    if not isinstance(value, str) or not value:
        raise errors.InputError(
            f"{where}: {key}: expected a name, found {reprlib.repr(value)}"
        )
    return value


def _number(value: Any) -> float:
    """A number, or text that is one, as a float; NaN for anything else."""
    if isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except (OverflowError, TypeError, ValueError):
        return math.nan


def _positive(entry: dict[str, Any], key: str, where: str) -> float | None:
    """The number above zero under a key, None where there is none."""
    if entry.get(key) is None:
        return None
    value = _number(entry[key])
    if not 0 < value < math.inf:
        raise errors.InputError(
            f"{where}: {key}: expected a number above 0, found"
            f" {reprlib.repr(entry[key])}"
        )
    return value


def _segment(entry: Any, where: str) -> tuple[float, float]:
    """The segment of an annotation or a detection, in seconds."""
    value = _field(entry, "segment", where)
    ends = [_number(end) for end in value] if isinstance(value, list) else []
    if len(ends) != 2 or not all(map(math.isfinite, ends)):
        raise errors.InputError(
            f"{where}: segment: expected [start, end] in seconds, found"
            f" {reprlib.repr(value)}"
        )
    if ends[1] < ends[0]:
        raise errors.InputError(
            f"{where}: segment: expected an end that is not before the start, found"
            f" {reprlib.repr(value)}"
        )
    return ends[0], ends[1]


def _score(entry: Any, where: str) -> float:
    """The score of a detection."""
    value = _field(entry, "score", where)
    score = math.nan if isinstance(value, str) else _number(value)
    if math.isnan(score):
        raise errors.InputError(
            f"{where}: score: expected a number, found {reprlib.repr(value)}"
        )
    return score
