"""FiftyOne's temporal detections: labels.json of a FiftyOneTemporalDetectionDataset.

Under `labels` each video, named as its file in `data/` without the ending, has a list of
`{"label", "timestamps": [start, stop], "confidence"}`, whose timestamps are seconds.
FiftyOne itself counts frames, from 1 and both ends included: it rounds timestamps to
frames of the video when it reads them, and writes frames as `support` unless it is told
to write timestamps (`use_timestamps=True`). A label is its text, or the place of it
in `classes`. The file has no place for subset, fps and duration of a video.

https://docs.voxel51.com/user_guide/import_datasets.html
"""

import dataclasses
import pathlib
import reprlib
from collections.abc import Sequence
from typing import Any

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import schema, text
from cleannet_jax.data.annotators import frames
from cleannet_jax.data.annotators import videos as videos_lib


def as_content(videos: Sequence[videos_lib.Video]) -> dict[str, Any]:
    """Returns labels.json; what has no score has no confidence."""
    return {
        "labels": {
            video.file or video.id: [_detection(row) for row in video.instances]
            for video in videos
        }
    }


def found_under(path: pathlib.Path, folder: pathlib.Path) -> str:
    """Returns what a file is called: its place in the folder, without the ending."""
    return path.relative_to(folder).with_suffix("").as_posix()


def videos(
    content: Any,
    where: str,
    *,
    known: annotations_lib.Annotations | None = None,
    fps: float | None = None,
) -> tuple[videos_lib.Video, ...]:
    """Returns the videos of labels.json; one without labels is not annotated.

    Args:
      content: of the file.
      where: its path, for messages.
      known: annotations with what the file has no place for.
      fps: frames a second of videos that have none there, for `support`.

    Raises:
      InputError: it is no such file, or has frames of a video whose rate is not known;
        the message names the first place.
    """
    labels = schema.field(content, "labels", where)
    if not isinstance(labels, dict):
        raise errors.InputError(
            f"{where}: labels: expected an object, found {reprlib.repr(labels)}"
        )
    classes = content.get("classes")
    names = None if classes is None else schema.rows(classes, f"{where}: classes")
    found = []
    for name, rows in labels.items():
        place = f"{where}: labels[{text.quoted(name)}]"
        identifier = _id(name, known)
        empty = videos_lib.Video(identifier, (), is_annotated=rows is not None)
        (video,) = videos_lib.with_facts([empty], known, fps=fps)
        instances = tuple(
            _instance(row, names, video.fps, f"{place}[{index}]")
            for index, row in enumerate(schema.rows(rows or [], place))
        )
        found.append(dataclasses.replace(video, instances=instances))
    return videos_lib.by_id(found, where)


def _id(name: str, known: annotations_lib.Annotations | None) -> str:
    """The id of a video: the name, unless annotations know it by that of its file."""
    path = pathlib.PurePath(name)
    entries = {} if known is None else known.videos
    for own in (name, path.name, path.stem):
        if own in entries:
            return own
    # Videos that are not copied beside the file have their whole path for a name.
    return (path.stem or name) if path.is_absolute() else name


def _detection(instance: videos_lib.Instance) -> dict[str, Any]:
    """An instance as a temporal detection."""
    row = {"label": instance.label, "timestamps": list(instance.segment)}
    return row if instance.score is None else {**row, "confidence": instance.score}


def _instance(
    row: Any, names: Sequence[Any] | None, fps: float | None, where: str
) -> videos_lib.Instance:
    """A temporal detection as an instance."""
    label = _label(row, names, where)
    score = videos_lib.score(row.get("confidence"), f"{where}.confidence")
    return videos_lib.Instance(label, _segment(row, fps, where), score)


def _label(row: Any, names: Sequence[Any] | None, where: str) -> str:
    """The label of a temporal detection."""
    label = schema.field(row, "label", where)
    if names is None or type(label) is not int:
        return schema.label(row, where)
    if not 0 <= label < len(names):
        raise errors.InputError(
            f"{where}: label: expected a place in the {len(names)} classes, found {label}"
        )
    return schema.label({"label": names[label]}, f"classes[{label}]")


def _segment(row: Any, fps: float | None, where: str) -> tuple[float, float]:
    """The segment of a temporal detection in seconds."""
    if "timestamps" in row or "support" not in row:
        schema.field(row, "timestamps", where)
        return schema.segment({"segment": row["timestamps"]}, f"{where}.timestamps")
    if fps is None:
        raise errors.InputError(
            f"{where}: found frames (support) of a video whose frame rate is not known,"
            " expected timestamps, fps in annotations (--annotations) or --fps"
        )
    first, last = schema.segment({"segment": row["support"]}, f"{where}.support")
    return frames.to_seconds(max(first, 1), max(last, 1), fps)
