"""Detections as an ActivityNet submission, in JSON. Times are seconds.

A file is an object with the key `results`, from a video's id to a list of `{"segment",
"label", "score"}`, or that object itself. Other keys are not read. Ids and labels are
kept as they are spelled, labels that are numbers as their digits, in the order of the
file; nothing is clipped, dropped or merged.
"""

import math
import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import faults, files, schema, text
from cleannet_jax.metrics import average_precision


def read_detections(path: str | os.PathLike) -> average_precision.Instances:
    """Returns the detections of a prediction file, [M], in the order of the file.

    Videos with an empty list are kept among the names; labels are in the order of
    their first use. Scores may be infinite, since their order is what counts.

    Raises:
      InputError: the file is not JSON or departs from the schema; the message names
        the first place that does, or the first of the segments that end before they
        start.
    """
    names: list[str] = []
    labels: dict[str, int] = {}
    blocks = [_detections([], "", labels)]
    for name, rows in files.iterate_json(path, "results", is_member=_is_list):
        names.append(name)
        blocks.append(
            _detections(rows, f"{path}: results[{text.quoted(name)}]", labels)
        )
    label, segments, scores = map(np.concatenate, zip(*blocks, strict=True))
    counts = [len(block[0]) for block in blocks[1:]]
    video = np.repeat(np.arange(len(names)), counts)

    def place_of(row: int) -> str:
        within = row - np.searchsorted(video, video[row])
        return f"results[{text.quoted(names[video[row]])}][{within}]"

    faults.check_order(str(path), segments, place_of)
    return average_precision.Instances(
        videos=tuple(names),
        labels=tuple(labels),
        video=video,
        label=label,
        segments=segments,
        scores=scores,
    )


def read_proposals(path: str | os.PathLike) -> dict[str, Any]:
    """Returns a prediction file as it is, once every row has a segment and a label.

    Unlike in `read_detections`, rows need no score and other keys are kept.

    Raises:
      InputError: the file is not JSON or departs from the schema; the message names
        the first place that does.
    """
    content = files.read_json(path)
    if isinstance(content, dict) and content and all(map(_is_list, content.values())):
        content = {"results": content}
    _refuse_infinite(content, path)
    for name, rows in _section(content, "results", path).items():
        where = f"{path}: results[{text.quoted(name)}]"
        for row, proposal in enumerate(schema.rows(rows, where)):
            schema.segment(proposal, f"{where}[{row}]")
            proposal["label"] = schema.label(proposal, f"{where}[{row}]")
            if "score" in proposal and math.isinf(
                schema.score(proposal, f"{where}[{row}]")
            ):
                raise errors.InputError(
                    f"{where}[{row}]: score: expected a finite number, found"
                    f" {reprlib.repr(proposal['score'])}"
                )
    return content


def write_detections(
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
    files.write_json(path, as_content(predictions, details=details))


def as_content(
    predictions: average_precision.Instances, *, details: str = ""
) -> dict[str, Any]:
    """Returns detections as a submission holds them, the rows of a video together.

    Args:
      predictions: [M] detections.
      details: as for `write_detections`.
    """
    results: dict[str, list] = {name: [] for name in predictions.videos}
    columns = (column.tolist() for column in predictions[2:])
    for video, label, segment, score in zip(*columns, strict=True):
        results[predictions.videos[video]].append(
            {"label": predictions.labels[label], "score": score, "segment": segment}
        )
    external_data = {"used": bool(details), "details": details}
    return {
        "version": "VERSION 1.3",
        "results": results,
        "external_data": external_data,
    }


def as_instances(
    results: Mapping[str, Sequence[Mapping[str, Any]]],
) -> average_precision.Instances:
    """Returns rows by video, each with a segment, a label and a score, as a table."""
    rows = [(video, row) for video, own in results.items() for row in own]
    videos = {name: index for index, name in enumerate(results)}
    names = dict.fromkeys(row["label"] for _, row in rows)
    labels = {name: index for index, name in enumerate(names)}
    return average_precision.Instances(
        videos=tuple(videos),
        labels=tuple(labels),
        video=np.array([videos[video] for video, _ in rows], int),
        label=np.array([labels[row["label"]] for _, row in rows], int),
        segments=np.array([row["segment"] for _, row in rows], float).reshape(-1, 2),
        scores=np.array([row["score"] for _, row in rows], float),
    )


def _is_list(value: Any) -> bool:
    """Whether a value can be the detections of a video."""
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _refuse_infinite(content: Any, path: str | os.PathLike) -> None:
    """Raises if a value that is kept, beside scores, could not be written as JSON."""
    level = [content] if isinstance(content, dict | list) else []
    while level:
        pairs = [pair for item in level for pair in _items(item)]
        for name, value in pairs:
            if type(value) is float and name != "score" and not math.isfinite(value):
                raise errors.InputError(
                    f"{path}: {reprlib.repr(name)}: found {value}, expected a finite"
                    " number"
                )
        level = [value for _, value in pairs if type(value) in (dict, list)]


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    """What a list or an object holds, by place or name."""
    return value.items() if isinstance(value, dict) else enumerate(value)


def _detections(
    rows: Any, where: str, labels: dict[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label, segment and score of each detection of a video; new labels are added."""
    label, segments, scores = [], [], []
    for row, detection in enumerate(schema.rows(rows, where)):
        place = f"{where}[{row}]"
        segments.append(schema.ends(detection, place))
        scores.append(schema.score(detection, place))
        name = schema.label(detection, place)
        label.append(labels.setdefault(name, len(labels)))
    return (
        np.array(label, int),
        np.array(segments, float).reshape(-1, 2),
        np.array(scores, float),
    )


def _section(content: Any, key: str, path: str | os.PathLike) -> dict[str, Any]:
    """The object under a key of the file's top level, with a video's id per entry."""
    section = schema.field(content, key, str(path))
    if not isinstance(section, dict):
        raise errors.InputError(
            f"{path}: {key}: expected an object from video ids, found"
            f" {reprlib.repr(section)}"
        )
    return section
