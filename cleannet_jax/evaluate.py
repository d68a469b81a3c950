"""Evaluation of predictions against annotations, under a named protocol.

A report always says what was compared: the protocol, the two files, the subset, how
many videos and instances were there to be found, and how many of the videos have
detections at all. A video without detections stays in: its instances are misses.
Detections in videos that the subset does not list stay in too, as false positives.
Average precision is in [0, 1] in arrays and in percent in what is printed or written.
"""

import dataclasses
import difflib
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.metrics import average_precision

# What each protocol does, in the words of a report.
PROTOCOLS = {
    "activitynet": "best score first, tIoU >= t, interpolated precision",
    "thumos14": "ground truth first, overlap > t, uninterpolated, Ambiguous excused",
}

THUMOS14_TIOUS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

# As ActivityNet's kit has them: its 0.9 is the double below 0.9.
ACTIVITYNET_TIOUS = tuple(np.linspace(0.5, 0.95, 10).tolist())

# The ranges that papers average over: first, last, how many.
_RANGES = ((0.1, 0.5, 5), (0.1, 0.7, 7), (0.3, 0.7, 5), (0.5, 0.95, 10))


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """What was evaluated, and the result.

    Attributes:
      protocol: a key of `PROTOCOLS`.
      predictions: where the detections come from, usually a path.
      ground_truth: path of the annotation file.
      subset: the part of it that was evaluated.
      num_videos: videos that the subset lists.
      num_annotated: those of them with at least one instance.
      num_covered: those of the annotated with at least one detection.
      num_instances: annotated segments with a category.
      num_ambiguous: annotated segments without one.
      num_detections: rows of the predictions, strays included.
      warnings: what a reader of the numbers should know, a line each.
      result: average precision by threshold and category, in [0, 1].
    """

    protocol: str
    predictions: str
    ground_truth: str
    subset: str
    num_videos: int
    num_annotated: int
    num_covered: int
    num_instances: int
    num_ambiguous: int
    num_detections: int
    warnings: tuple[str, ...]
    result: average_precision.AveragePrecision


def evaluate(
    predictions: average_precision.Instances,
    annotations: annotations_lib.Annotations,
    *,
    subset: str,
    tious: Sequence[float],
    protocol: str = "activitynet",
    source: str = "predictions",
) -> Report:
    """Returns the average precision of predictions on one subset (R17).

    Args:
      predictions: [M] detections.
      annotations: the file that they are measured against.
      subset: the videos to evaluate.
      tious: [K] thresholds in (0, 1], such as `THUMOS14_TIOUS`.
      protocol: a key of `PROTOCOLS`.
      source: what messages call the predictions, usually their path.

    Raises:
      InputError: the subset is unknown or has no instance, a detection's label is
        nowhere in the annotations, or no predicted video is in the subset.
      ValueError: the protocol or a threshold is not one.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"expected a protocol of {list(PROTOCOLS)}, found {protocol!r}"
        )
    truths = annotations_lib.ground_truth(annotations, subset=subset)
    ambiguous = annotations_lib.ambiguous(annotations, subset=subset)
    if not truths.label.size:
        raise errors.InputError(
            f"{annotations.path}: subset {subset!r} has no annotated instance, so there"
            " is nothing to evaluate against"
        )
    _check_labels(predictions, annotations, source)
    _check_videos(predictions, annotations.videos, annotations.path, source)
    place = f"subset {subset!r} of {annotations.path}"
    _check_videos(predictions, truths.videos, place, source)
    if protocol == "activitynet":
        result = average_precision.activitynet(predictions, truths, tious=tious)
    else:
        result = average_precision.thumos14(
            predictions, truths, tious=tious, ambiguous=ambiguous
        )
    annotated = _videos_with_rows(truths)
    return Report(
        protocol=protocol,
        predictions=source,
        ground_truth=annotations.path,
        subset=subset,
        num_videos=len(truths.videos),
        num_annotated=len(annotated),
        num_covered=len(annotated & _videos_with_rows(predictions)),
        num_instances=truths.label.size,
        num_ambiguous=ambiguous.label.size,
        num_detections=predictions.label.size,
        warnings=tuple(_warnings(predictions, truths)),
        result=result,
    )


def find_subset(
    predictions: average_precision.Instances,
    annotations: annotations_lib.Annotations,
    *,
    source: str = "predictions",
) -> str:
    """Returns the one subset that has instances and predicted videos.

    Without any predicted video it is the one subset that has instances.

    Args:
      predictions: [M] detections.
      annotations: the file that they are to be measured against.
      source: what messages call the predictions, usually their path.

    Raises:
      InputError: there is no such subset or a choice of them, which the message
        lists, or no predicted video is in the file.
    """
    _check_videos(predictions, annotations.videos, annotations.path, source)
    videos = annotations.videos.values()
    annotated = {video.subset for video in videos if video.labels}
    choices = annotated & {
        annotations.videos[name].subset
        for name in predictions.videos
        if name in annotations.videos
    }
    choices = choices if predictions.videos else annotated
    if len(choices) != 1:
        raise errors.InputError(
            f"{annotations.path}: name the subset to evaluate: those with instances are"
            f" {_listed(annotated)}, and of these {source} has videos of"
            f" {_listed(choices)}"
        )
    return choices.pop()


def parse_tious(text: str) -> tuple[float, ...]:
    """Returns the thresholds that a command line names.

    Args:
      text: numbers with commas between them ("0.3,0.5,0.7"), taken as they are; or
        first:step:last ("0.1:0.1:0.7"), each the double nearest to its decimals,
        except that "0.5:0.05:0.95" is `ACTIVITYNET_TIOUS`.

    Raises:
      InputError: the text is neither, or names a threshold outside of (0, 1].
    """
    grid = text.split(":")
    try:
        if len(grid) == 3:
            tious = _grid(*map(float, grid))
        else:
            tious = tuple(map(float, text.split(",")))
    except ValueError:
        tious = ()
    if not tious or not all(0 < tiou <= 1 for tiou in tious):
        raise errors.InputError(
            "tIoU thresholds: expected numbers in (0, 1], as in 0.3,0.5,0.7 or"
            f" first:step:last as in 0.1:0.1:0.7, found {text!r}"
        )
    return tious


def as_dict(report: Report) -> dict[str, Any]:
    """Returns the report as JSON can hold it, average precision in percent.

    The average precision of a category without ground truth is None.
    """
    result = report.result
    facts = {
        field.name: getattr(report, field.name)
        for field in dataclasses.fields(report)
        if field.name != "result"
    }
    columns = zip(result.labels, result.positives.tolist(), result.ap.T, strict=True)
    return facts | {
        "warnings": list(report.warnings),
        "unit": "percent",
        "tious": result.tious.tolist(),
        "map": (100 * result.mean).tolist(),
        "mean": float(100 * result.mean.mean()),
        "averages": dict(_averages(result)),
        "categories": {
            label: {"instances": count, "ap": (100 * ap).tolist() if count else None}
            for label, count, ap in columns
        },
    }


def as_text(report: Report, *, per_category: bool = False) -> str:
    """Returns the report as lines for a person, average precision in percent.

    Args:
      report: what `evaluate` returned.
      per_category: whether each category has its own line in the table.
    """
    lines = [
        f"protocol      {report.protocol}: {PROTOCOLS[report.protocol]}",
        f"ground truth  {report.ground_truth}, {_counts(report)}",
        f"predictions   {report.predictions}, {_coverage(report)}",
        *(f"warning       {warning}" for warning in report.warnings),
        "",
        *_table(report.result, per_category=per_category),
        *(
            f"mAP, mean over tIoU {name:<10}{mean:7.2f}"
            for name, mean in _averages(report.result)
        ),
    ]
    return "\n".join(lines)


def _counts(report: Report) -> str:
    """What there was to find."""
    return (
        f"subset {report.subset!r}: {report.num_videos} videos, {report.num_annotated}"
        f" of them annotated, with {report.num_instances} instances of"
        f" {np.count_nonzero(report.result.positives)} categories and"
        f" {report.num_ambiguous} ambiguous segments"
    )


def _coverage(report: Report) -> str:
    """How much of it the predictions look at."""
    return (
        f"{report.num_detections} detections: {report.num_covered} of"
        f" {report.num_annotated} annotated videos have detections,"
        f" {report.num_annotated - report.num_covered} have none"
    )


def _check_labels(
    predictions: average_precision.Instances,
    annotations: annotations_lib.Annotations,
    source: str,
) -> None:
    """Raises if a detection has a label that the annotations use nowhere."""
    videos = annotations.videos.values()
    known = sorted({label for video in videos for label in video.labels})
    unknown = [label not in known for label in predictions.labels]
    rows = np.flatnonzero(np.array(unknown, bool)[predictions.label])
    if rows.size:
        label = predictions.labels[predictions.label[rows[0]]]
        video = predictions.video[rows[0]]
        row = np.count_nonzero(predictions.video[: rows[0]] == video)
        nearest = difflib.get_close_matches(label, known, n=1, cutoff=0.0)[0]
        raise errors.InputError(
            f"{source}: results[{predictions.videos[video]!r}][{row}]: label {label!r}"
            f" is no category of {annotations.path}; the nearest is {nearest!r}"
        )


def _check_videos(
    predictions: average_precision.Instances,
    known: Collection[str],
    place: str,
    source: str,
) -> None:
    """Raises if there are predicted videos, and none of them is known."""
    names = predictions.videos
    if names and set(names).isdisjoint(known):
        raise errors.InputError(
            f"{source}: none of its video ids ({_listed(names)}) is in {place}"
            f" ({_listed(known)}){_respelling(names, known)}"
        )


def _respelling(names: Collection[str], known: Collection[str]) -> str:
    """What would make unknown ids known, as the end of a sentence; empty if nothing."""
    spellings: dict[str, Callable[[str], str]] = {
        "without the prefix 'v_'": lambda name: name.removeprefix("v_"),
        "with the prefix 'v_'": lambda name: f"v_{name}",
        "without the file ending": lambda name: name.rpartition(".")[0],
    }
    known = set(known)
    for how, spell in spellings.items():
        count = sum(spell(name) in known for name in names)
        if count:
            return f"; {how}, {count} of them would be"
    return ""


def _warnings(
    predictions: average_precision.Instances, truths: average_precision.Instances
) -> list[str]:
    """What a reader of the numbers should know, a line each."""
    warnings = []
    if not predictions.label.size:
        warnings.append("there is no detection")
    strays, count = _foreign(predictions.videos, predictions.video, truths.videos)
    if count:
        warnings.append(
            "detections in videos that the subset does not list, counted as false"
            f" positives: {count}, in {_listed(strays)}"
            f"{_respelling(strays, truths.videos)}"
        )
    unused, count = _foreign(predictions.labels, predictions.label, truths.labels)
    if count:
        warnings.append(
            "detections of categories without an instance in the subset, which change"
            f" nothing: {count}, of {_listed(unused)}"
        )
    return warnings


def _foreign(
    names: Sequence[str], index: np.ndarray, known: Collection[str]
) -> tuple[list[str], int]:
    """The names in use that are not known, and how many rows use them."""
    used, counts = np.unique(index, return_counts=True)
    known = set(known)
    foreign = [
        (names[position], int(count))
        for position, count in zip(used, counts, strict=True)
        if names[position] not in known
    ]
    return [name for name, _ in foreign], sum(count for _, count in foreign)


def _videos_with_rows(table: average_precision.Instances) -> set[str]:
    """The names of the videos that have at least one segment."""
    return {table.videos[position] for position in np.unique(table.video)}


def _grid(first: float, step: float, last: float) -> tuple[float, ...]:
    """The thresholds of a grid that ends at `last` or before; none if it is empty."""
    if not (step >= 0.001 and 0 < first <= last <= 1):
        return ()
    count = int((last - first) / step + 1e-6) + 1
    tious = tuple(round(first + step * index, 6) for index in range(count))
    official = tuple(round(tiou, 6) for tiou in ACTIVITYNET_TIOUS)
    return ACTIVITYNET_TIOUS if tious == official else tious


def _averages(result: average_precision.AveragePrecision) -> list[tuple[str, float]]:
    """Means of the mAP in percent over those usual ranges that were evaluated."""
    tious = result.tious.round(6).tolist()
    averages = []
    for first, last, count in _RANGES:
        wanted = np.linspace(first, last, count).round(6).tolist()
        if set(wanted) <= set(tious):
            places = [tious.index(tiou) for tiou in wanted]
            mean = float(100 * result.mean[places].mean())
            averages.append((f"{first}:{last}", mean))
    return averages


def _table(
    result: average_precision.AveragePrecision, *, per_category: bool
) -> list[str]:
    """The lines of the table: thresholds across, categories down, then the mAP."""
    heads = [f"{tiou:.2f}" for tiou in result.tious] + ["mean"]
    rows = [("AP (%) at tIoU", "instances", heads)]
    if per_category:
        columns = zip(result.labels, result.positives, result.ap.T, strict=True)
        rows += [(_printable(label), str(n), _percents(ap)) for label, n, ap in columns]
    rows.append(("mAP", str(result.positives.sum()), _percents(result.mean)))
    width = max(len(name) for name, _, _ in rows)
    return [
        f"{name:<{width}}{count:>11}" + "".join(f"{cell:>8}" for cell in cells)
        for name, count, cells in rows
    ]


def _percents(ap: np.ndarray) -> list[str]:
    """Average precisions and their mean as cells of a table; a dash for NaN."""
    values = [*ap, ap.mean()]
    return ["-" if np.isnan(value) else f"{100 * value:.2f}" for value in values]


def _printable(label: str) -> str:
    """The label, escaped if a terminal would take it for more than text."""
    return label if label.isprintable() else repr(label)


def _listed(names: Collection[str]) -> str:
    """The first three names, and how many more there are."""
    shown = ", ".join(map(repr, sorted(names)[:3])) or "none"
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
