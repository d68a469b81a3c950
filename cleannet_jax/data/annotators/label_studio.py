"""Label Studio's tasks: `TimelineLabels` on a `Video`, which count frames.

Its documentation has this pair for spans of a video; `TimeSeriesLabels` label the rows of
a table of signals that may play beside one, and need that table. A file is the list of
tasks of its JSON import and export (not JSON-MIN): the task of a video has under `data`
the video's place, id, subset, duration and `fps`, which the labelling configuration
hands to the player as its frame rate. Annotations are a task's `annotations`, and
detections its `predictions`, which a person accepts or corrects: only what was submitted
counts when a file comes back. Regions have scores of their own.

https://labelstud.io/tags/timelinelabels
https://labelstud.io/guide/task_format
https://labelstud.io/guide/predictions
"""

import dataclasses
import os
import pathlib
import re
import reprlib
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from xml.sax import saxutils

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import schema, text
from cleannet_jax.data.annotators import frames
from cleannet_jax.data.annotators import videos as videos_lib

_CONTROL, _OBJECT = "category", "video"
_MODEL = "cleannet"
# What an upload puts in front of a file's name.
_UPLOADED = re.compile(r"/upload/\d+/[0-9a-f]{8}-(?=.)")
# Frames that a float counts one by one.
_LAST = 1 << 53
# What XML 1.0 has no way to write.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_content(videos: Sequence[videos_lib.Video]) -> list[dict[str, Any]]:
    """Returns tasks.

    Raises:
      InputError: the frame rate of a video is not known.
    """
    return [_task(video) for video in videos]


def found_under(path: pathlib.Path, folder: pathlib.Path) -> str:
    """Returns what a file is found under, where local files are served.

    Their root must be the folder above `folder`, from which storage is added.
    """
    inside = path.absolute().relative_to(folder.absolute().parent).as_posix()
    return f"/data/local-files/?d={urllib.parse.quote(inside)}"


def labelling_config(labels: Iterable[str]) -> str:
    """Returns the labelling configuration of a project for these tasks, in XML.

    Raises:
      InputError: XML cannot hold a label.
    """
    rows = []
    for label in dict.fromkeys(labels):
        if _NOT_XML.search(label):
            raise errors.InputError(
                f"label {text.quoted(label)}: found a character that XML cannot hold, as"
                " Label Studio's configuration would have to"
            )
        escaped = saxutils.quoteattr(
            label, {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
        )
        rows.append(f"    <Label value={escaped}/>\n")
    return (
        "<View>\n"
        f'  <Video name="{_OBJECT}" value="$video" frameRate="$fps"'
        ' timelineHeight="120"/>\n'
        f'  <TimelineLabels name="{_CONTROL}" toName="{_OBJECT}">\n'
        f"{''.join(rows)}"
        "  </TimelineLabels>\n"
        "</View>\n"
    )


def videos(
    content: Any,
    where: str,
    *,
    known: annotations_lib.Annotations | None = None,
    fps: float | None = None,
) -> tuple[videos_lib.Video, ...]:
    """Returns the videos of tasks with what was submitted.

    Args:
      content: of the file.
      where: its path, for messages.
      known: annotations with the frame rates of tasks that have none.
      fps: frames a second of videos that have none there either.

    Raises:
      InputError: it is no such list, a frame rate is not known, or a task has several
        annotations; the message names the first place.
    """
    found = []
    for index, task in enumerate(schema.rows(content, where)):
        place = f"{where}: [{index}]"
        data = schema.field(task, "data", place)
        video = videos_lib.Video(
            id=_id(data, f"{place}.data"),
            instances=(),
            subset=_subset(data, f"{place}.data"),
            fps=schema.positive(data, "fps", f"{place}.data"),
            duration=schema.positive(data, "duration", f"{place}.data"),
        )
        (video,) = videos_lib.with_facts([video], known, fps=fps)
        found.append(_submitted(video, task, place))
    return videos_lib.by_id(found, where)


def _task(video: videos_lib.Video) -> dict[str, Any]:
    """The task of a video."""
    rate = _known_rate(video, f"video {text.quoted(video.id)}")
    data = {"video": video.file or video.id, "video_id": video.id, "fps": rate}
    data |= {"subset": video.subset}
    data |= {} if video.duration is None else {"duration": video.duration}
    result = [
        _region(instance, rate, f"{index:08d}")
        for index, instance in enumerate(video.instances)
    ]
    task: dict[str, Any] = {"data": data}
    if video.is_annotated:
        task["annotations"] = [{"result": result}]
    elif result:
        best = max(instance.score or 0.0 for instance in video.instances)
        entry = {"model_version": _MODEL, "score": best, "result": result}
        task["predictions"] = [entry]
    return task


def _region(
    instance: videos_lib.Instance, fps: float, identifier: str
) -> dict[str, Any]:
    """An instance as a region."""
    first, last = frames.of_seconds(instance.segment, fps)
    region = {
        "id": identifier,
        "from_name": _CONTROL,
        "to_name": _OBJECT,
        "type": "timelinelabels",
        "value": {
            "ranges": [{"start": first, "end": last}],
            "timelinelabels": [instance.label],
        },
    }
    return region if instance.score is None else {**region, "score": instance.score}


def _submitted(video: videos_lib.Video, task: Any, where: str) -> videos_lib.Video:
    """The video with what a person has said of it."""
    rows = schema.rows(task.get("annotations") or [], f"{where}.annotations")
    kept = [
        (index, row)
        for index, row in enumerate(rows)
        if not (isinstance(row, dict) and row.get("was_cancelled"))
    ]
    if len(kept) > 1:
        raise errors.InputError(
            f"{where}.annotations: found {len(kept)} annotations of video"
            f" {text.quoted(video.id)}, expected one: keep that which counts"
        )
    instances: list[videos_lib.Instance] = []
    for index, row in kept:
        place = f"{where}.annotations[{index}].result"
        rate = _known_rate(video, f"{where}: video {text.quoted(video.id)}")
        for number, region in enumerate(
            schema.rows(schema.field(row, "result", place[: -len(".result")]), place)
        ):
            instances += _instances(region, rate, f"{place}[{number}]")
    return dataclasses.replace(
        video, instances=tuple(instances), is_annotated=bool(kept)
    )


def _instances(region: Any, fps: float, where: str) -> Iterator[videos_lib.Instance]:
    """The instances of a region; none of what is no span, such as a choice."""
    value = region.get("value") if isinstance(region, dict) else None
    if not isinstance(value, dict) or "ranges" not in value:
        return
    score = videos_lib.score(region.get("score"), where)
    labels = value.get("timelinelabels") or []
    if not schema.rows(labels, f"{where}.value.timelinelabels"):
        raise errors.InputError(
            f"{where}: found a span without a label, expected the name of a category"
        )
    for row, span in enumerate(schema.rows(value["ranges"], f"{where}.value.ranges")):
        place = f"{where}.value.ranges[{row}]"
        first, last = (_frame(span, key, place) for key in ("start", "end"))
        if last < first:
            raise errors.InputError(
                f"{place}: expected an end that is not before the start, found"
                f" {reprlib.repr(span)}"
            )
        for label in labels:
            name = schema.label({"label": label}, f"{where}.value.timelinelabels")
            yield videos_lib.Instance(name, frames.to_seconds(first, last, fps), score)


def _frame(span: Any, key: str, where: str) -> float:
    """The number of a frame; 0 is before the first one, which is meant."""
    value = schema.field(span, key, where)
    if type(value) not in (int, float) or not 0 <= value <= _LAST:
        raise errors.InputError(
            f"{where}: {key}: expected the number of a frame, from 1, found"
            f" {reprlib.repr(value)}"
        )
    return max(value, 1)


def _id(data: Any, where: str) -> str:
    """The id of a task's video: as it was written, or else the name of its file."""
    if isinstance(data, dict) and "video_id" in data:
        return schema.text(data, "video_id", where)
    url = schema.text(data, _OBJECT, where)
    parts = urllib.parse.urlsplit(_UPLOADED.sub("/", url))
    inside = urllib.parse.parse_qs(parts.query).get("d", [parts.path])[0]
    name = pathlib.PurePosixPath(urllib.parse.unquote(inside)).stem
    if not name:
        raise errors.InputError(
            f"{where}: {_OBJECT}: expected the place of a video, found"
            f" {reprlib.repr(url)}"
        )
    return name


def _subset(data: dict[str, Any], where: str) -> str:
    """The subset of a task's video."""
    if "subset" not in data:
        return annotations_lib.EVERYTHING
    return schema.text(data, "subset", where)


def _known_rate(video: videos_lib.Video, where: str | os.PathLike) -> float:
    """The frame rate of a video, which must be known."""
    if video.fps is None:
        raise errors.InputError(
            f"{where}: found no frame rate, expected fps in annotations"
            " (--annotations) or --fps: Label Studio counts frames"
        )
    return video.fps
