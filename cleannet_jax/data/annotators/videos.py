"""What an annotation tool is given of videos and gives back. Times are seconds.

Instances are those of annotations or detections alike: a label, a segment and, where
there is one, a score. Labels and ids are kept as they are spelled.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import faults, schema, text
from cleannet_jax.metrics import average_precision


class Instance(NamedTuple):
    """An action in a video.

    Attributes:
      label: its category, or `annotations.AMBIGUOUS`.
      segment: (start, end) in seconds, the end not before the start.
      score: finite; None where nobody has judged it.
    """

    label: str
    segment: tuple[float, float]
    score: float | None = None


@dataclasses.dataclass(frozen=True)
class Video:
    """A video and the instances in it.

    Attributes:
      id: its name in annotations and detections.
      instances: in the order of the file.
      is_annotated: whether a person has said what is in it, be it nothing; detections
        are nobody's word.
      subset: the part of the dataset that it belongs to.
      fps: frames a second, None where they are not known.
      duration: seconds, None where it is not known.
      tags: categories of the whole video, beside those of its instances.
      file: what the tool finds it under; the id where that is not known.
    """

    id: str
    instances: tuple[Instance, ...]
    is_annotated: bool = True
    subset: str = annotations_lib.EVERYTHING
    fps: float | None = None
    duration: float | None = None
    tags: tuple[str, ...] = ()
    file: str = ""


def of_annotations(annotations: annotations_lib.Annotations) -> tuple[Video, ...]:
    """Returns annotated videos, their ambiguous segments last.

    Raises:
      InputError: a segment ends before it starts.
    """
    faults.check(annotations.path, annotations.faults, where="an annotation tool")
    return tuple(_annotated(video) for video in annotations.videos.values())


def of_detections(
    detections: average_precision.Instances, path: str
) -> tuple[Video, ...]:
    """Returns videos with what was detected in them.

    Args:
      detections: [M] with scores.
      path: of their file, for the message.

    Raises:
      InputError: a score is infinite.
    """
    found: dict[str, list[Instance]] = {name: [] for name in detections.videos}
    scored = (detections.video, detections.label, detections.segments)
    columns = (column.tolist() for column in (*scored, np.asarray(detections.scores)))
    for video, label, segment, score in zip(*columns, strict=True):
        name = detections.videos[video]
        if not math.isfinite(score):
            raise errors.InputError(
                f"{path}: video {text.quoted(name)}: found the score {score}, expected a"
                " finite number: annotation tools have no other"
            )
        instance = Instance(detections.labels[label], tuple(segment), score)
        found[name].append(instance)
    return tuple(
        Video(name, tuple(own), is_annotated=False) for name, own in found.items()
    )


def with_facts(
    videos: Iterable[Video],
    known: annotations_lib.Annotations | None = None,
    *,
    fps: float | None = None,
    files: Mapping[str, str] | None = None,
) -> tuple[Video, ...]:
    """Returns videos with what is known of them from elsewhere.

    Args:
      videos: what they say themselves counts first.
      known: annotations, whose segments are not looked at.
      fps: frames a second of videos that say none, in `known` neither.
      files: what the tool finds each id under.
    """
    entries = {} if known is None else known.videos
    return tuple(
        _with_facts(video, entries.get(video.id), fps, files or {}) for video in videos
    )


def as_content(videos: Iterable[Video]) -> dict[str, Any]:
    """Returns videos as an annotation file holds them, scores among the other keys."""
    return {
        "version": "VERSION 1.3",
        "database": {video.id: _entry(video) for video in videos},
    }


def score(value: Any, where: str) -> float | None:
    """Returns the score that a tool has for an instance; None where it has none.

    Raises:
      InputError: it is no finite number.
    """
    if value is None:
        return None
    found = schema.score({"score": value}, where)
    if not math.isfinite(found):
        raise errors.InputError(
            f"{where}: score: expected a finite number, found {found}"
        )
    return found


def by_id(videos: Iterable[Video], place: str) -> tuple[Video, ...]:
    """Returns the videos, of which no two may have one id.

    Raises:
      InputError: two have.
    """
    found: dict[str, Video] = {}
    for video in videos:
        if video.id in found:
            raise errors.InputError(
                f"{place}: found the video {text.quoted(video.id)} twice, expected each"
                " once"
            )
        found[video.id] = video
    return tuple(found.values())


def _annotated(video: annotations_lib.Video) -> Video:
    """A video of annotations."""
    pairs = [
        *zip(video.labels, video.segments.tolist(), strict=True),
        *((annotations_lib.AMBIGUOUS, pair) for pair in video.ambiguous.tolist()),
    ]
    return Video(
        id=video.id,
        instances=tuple(Instance(label, tuple(pair)) for label, pair in pairs),
        is_annotated=video.annotated and video.timed,
        subset=video.subset,
        fps=video.fps,
        duration=video.duration,
        tags=video.tags,
    )


def _with_facts(
    video: Video,
    known: annotations_lib.Video | None,
    fps: float | None,
    files: Mapping[str, str],
) -> Video:
    """A video with what is known of it from elsewhere."""
    subset, duration, own = video.subset, video.duration, video.fps
    if known is not None:
        duration, own = duration or known.duration, own or known.fps
        subset = known.subset if subset == annotations_lib.EVERYTHING else subset
    return dataclasses.replace(
        video,
        subset=subset,
        duration=duration,
        fps=own or fps,
        tags=video.tags or (known.tags if known is not None else ()),
        file=files.get(video.id, video.file),
    )


def _entry(video: Video) -> dict[str, Any]:
    """One video of an annotation file."""
    known = {"duration": video.duration, "fps": video.fps}
    entry: dict[str, Any] = {"subset": video.subset}
    entry |= {key: value for key, value in known.items() if value is not None}
    if video.tags:
        entry["labels"] = list(video.tags)
    if video.is_annotated:
        entry["annotations"] = [
            {"label": instance.label, "segment": list(instance.segment)}
            | ({} if instance.score is None else {"score": instance.score})
            for instance in video.instances
        ]
    return entry
