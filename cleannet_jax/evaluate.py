"""Evaluation of predictions against annotations, under a named protocol.

A report always says what was compared: the protocol, the two files, the subset and the
variant of the ground truth, how many videos and instances were there to be found, and
which of the videos have no detections. By default a video without detections stays in:
its instances are misses. Detections in videos that the subset does not list stay in
too, as false positives. Average precision and recall are in [0, 1] in arrays and in
percent in what is printed or written.
"""

import dataclasses
import os
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import agreement, variants
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data.detections import thumos
from cleannet_jax.metrics import (
    average_precision,
    average_recall,
    bootstrap,
)
from cleannet_jax.metrics import diagnosis as diagnosis_lib

# What each protocol does, in the words of a report.
PROTOCOLS = {
    "activitynet": "best score first, tIoU >= t, interpolated precision",
    "thumos14": "ground truth first, overlap > t, uninterpolated, Ambiguous excused",
}

# What becomes of annotated videos that the predictions do not name.
MISSING = {
    "count-as-empty": "their instances are misses",
    "skip": "they are left out of the ground truth",
    "fail": "there must be none",
}

THUMOS14_TIOUS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

ACTIVITYNET_TIOUS = average_recall.TIOUS

# Of the characteristics of instances in a diagnosis.
BINS = diagnosis_lib.BINS

# Of the resamples, how many a confidence interval holds.
LEVEL = 0.95

# The ranges that papers average over: first, last, how many.
_RANGES = (
    (0.1, 0.5, 5),
    (0.1, 0.7, 7),
    (0.1, 0.9, 9),
    (0.3, 0.7, 5),
    (0.5, 0.95, 10),
)

# The average numbers of proposals that papers report the recall at.
_NUMBERS = (1, 5, 10, 50, 100)


class Confidence(NamedTuple):
    """Confidence intervals of the mAP over resamples of the videos.

    Attributes:
      samples: number of resamples.
      seed: of the draw.
      low: [K + 1] lower ends, at each threshold and for the mean over them.
      high: [K + 1] upper ends.
    """

    samples: int
    seed: int
    low: np.ndarray
    high: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Report:
    """What was evaluated, and the result.

    Attributes:
      protocol: a key of `PROTOCOLS`.
      predictions: where the detections come from, usually a path.
      ground_truth: path of the annotation file.
      subset: the part of it that was evaluated.
      variant: what is left out of it, a key of `variants.VARIANTS`.
      missing: what became of `unnamed`, a key of `MISSING`.
      num_videos: videos that were evaluated.
      num_annotated: those of them with at least one instance.
      num_covered: those of the annotated with at least one detection.
      num_instances: annotated segments with a category.
      num_ambiguous: annotated segments without one.
      num_detections: rows of the predictions, strays included.
      unnamed: annotated videos that the predictions do not name, sorted.
      uncovered: evaluated annotated videos without a detection, sorted.
      warnings: what a reader of the numbers should know, a line each.
      result: average precision by threshold and category, in [0, 1].
      ranking: the matched detections that it was computed from.
      recall: class-agnostic recall, where it was asked for.
      confidence: of the mAP, where it was asked for.
      diagnosis: of the errors, where it was asked for.
    """

    protocol: str
    predictions: str
    ground_truth: str
    subset: str
    variant: str
    missing: str
    num_videos: int
    num_annotated: int
    num_covered: int
    num_instances: int
    num_ambiguous: int
    num_detections: int
    unnamed: tuple[str, ...]
    uncovered: tuple[str, ...]
    warnings: tuple[str, ...]
    result: average_precision.AveragePrecision
    ranking: average_precision.Ranking
    recall: average_recall.AverageRecall | None
    confidence: Confidence | None
    diagnosis: diagnosis_lib.Diagnosis | None


def evaluate(
    predictions: average_precision.Instances,
    annotations: annotations_lib.Annotations,
    *,
    subset: str,
    tious: Sequence[float],
    protocol: str = "activitynet",
    variant: str = "official",
    missing: str = "count-as-empty",
    recall: bool = False,
    samples: int = 0,
    seed: int = 0,
    bins: str | None = None,
    source: str = "predictions",
) -> Report:
    """Returns the average precision of predictions on one subset (R17).

    Args:
      predictions: [M] detections.
      annotations: the file that they are measured against.
      subset: the videos to evaluate.
      tious: [K] thresholds in (0, 1], such as `THUMOS14_TIOUS`.
      protocol: a key of `PROTOCOLS`.
      variant: what is left out of THUMOS14's ground truth, and of the predictions
        where it is a whole video.
      missing: a key of `MISSING`.
      recall: whether to compute the class-agnostic recall too.
      samples: resamples of the videos for confidence intervals; 0 for none.
      seed: of the resamples.
      bins: of a diagnosis of the errors, a key of `BINS`; None for none.
      source: what messages call the predictions, usually their path.

    Raises:
      InputError: a diagnosis is asked for under another protocol than ActivityNet's,
        whose matching it follows, the subset or the variant is unknown, there is no instance, a
        detection's label is nowhere in the annotations, no predicted video is in the
        subset, or a video is missing that must not.
      ValueError: the protocol, the policy or a threshold is not one.
    """
    _check_choice("a protocol", protocol, PROTOCOLS)
    _check_choice("a policy for missing videos", missing, MISSING)
    if bins and protocol != "activitynet":
        raise errors.InputError(
            f"diagnosis: found protocol {protocol!r}, expected activitynet, whose "
            "matching the types of errors are defined by"
        )
    agreement.check_labels(predictions, annotations, source)
    agreement.check_videos(predictions, annotations.videos, annotations.path, source)
    annotations = variants.apply_variant(annotations, variant)
    left_out = variants.VARIANTS[variant].videos
    predictions = average_precision.without_videos(predictions, left_out)
    truths, ambiguous, unnamed = _select(
        annotations, subset, predictions, missing, source
    )
    if protocol == "activitynet":
        ranking = average_precision.rank_activitynet(predictions, truths, tious=tious)
    else:
        ranking = average_precision.rank_thumos14(
            predictions, truths, tious=tious, ambiguous=ambiguous
        )
    annotated = agreement.videos_with_rows(truths)
    uncovered = annotated - agreement.videos_with_rows(predictions)
    return Report(
        protocol=protocol,
        predictions=source,
        ground_truth=annotations.path,
        subset=subset,
        variant=variant,
        missing=missing,
        num_videos=len(truths.videos),
        num_annotated=len(annotated),
        num_covered=len(annotated) - len(uncovered),
        num_instances=truths.label.size,
        num_ambiguous=ambiguous.label.size,
        num_detections=predictions.label.size,
        unnamed=tuple(unnamed),
        uncovered=tuple(sorted(uncovered)),
        warnings=tuple(_warnings(predictions, truths, variant, subset)),
        result=average_precision.average(ranking),
        ranking=ranking,
        recall=average_recall.average_recall(predictions, truths) if recall else None,
        confidence=_confidence(ranking, samples, seed) if samples else None,
        diagnosis=_diagnosis(predictions, truths, annotations, tious, bins),
    )


def read_predictions(path: str | os.PathLike) -> average_precision.Instances:
    """Returns the detections of a file, [M]: THUMOS14's text where it ends in .txt.

    Raises:
      InputError: the file is not of its format; the message names the first place.
    """
    if os.fspath(path).endswith(".txt"):
        return thumos.read_detections(path)
    return annotations_lib.read_predictions(path)


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
    agreement.check_videos(predictions, annotations.videos, annotations.path, source)
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
            f" {agreement.listed(annotated)}, and of these {source} has videos of"
            f" {agreement.listed(choices)}"
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
    """Returns the report as JSON can hold it, rates in percent.

    The average precision of a category without ground truth is None.
    """
    result = report.result
    columns = zip(result.labels, result.positives.tolist(), result.ap.T, strict=True)
    whole = ("result", "ranking", "recall", "confidence", "diagnosis")
    facts = {
        field.name: getattr(report, field.name)
        for field in dataclasses.fields(report)
        if field.name not in whole
    }
    return facts | {
        "unnamed": list(report.unnamed),
        "uncovered": list(report.uncovered),
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
        "confidence": _confidence_dict(report.confidence),
        "recall": _recall_dict(report.recall),
        "diagnosis": _diagnosis_dict(report.diagnosis),
    }


def as_text(report: Report, *, per_category: bool = False) -> str:
    """Returns the report as lines for a person, rates in percent.

    Args:
      report: what `evaluate` returned.
      per_category: whether each category has its own line in the table.
    """
    names = [report.ground_truth, report.predictions]
    ground_truth, predictions = map(agreement.printable, names)
    lines = [
        f"protocol      {report.protocol}: {PROTOCOLS[report.protocol]}",
        f"ground truth  {ground_truth}, {_counts(report)}",
        f"predictions   {predictions}, {_coverage(report)}",
        *_left_out(report),
        *(f"warning       {warning}" for warning in report.warnings),
        "",
        *_table(report, per_category=per_category),
        *(
            f"mAP, mean over tIoU {name:<10}{mean:7.2f}"
            for name, mean in _averages(report.result)
        ),
    ]
    if report.confidence:
        lines.append(
            f"{LEVEL:.0%} intervals over {report.confidence.samples} resamples of the"
            f" annotated videos, seed {report.confidence.seed}"
        )
    if report.recall:
        recall = _recall_dict(report.recall)
        points = "  ".join(
            f"{name} {value:.2f}" for name, value in recall["ar"].items()
        )
        lines.append(f"recall of any category, tIoU 0.5:0.95: {points}")
        lines.append(f"area under AR@AN, 1 to 100 proposals: {recall['auc']:.2f}")
    if report.diagnosis:
        lines += ["", *_diagnosis_lines(report.diagnosis)]
    return "\n".join(lines)


def with_mean(values: np.ndarray) -> np.ndarray:
    """Returns values at each threshold and then their mean: [..., K] to [..., K + 1]."""
    return np.concatenate([values, values.mean(axis=-1, keepdims=True)], axis=-1)


def _check_choice(what: str, value: str, choices: Collection[str]) -> None:
    """Raises unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"expected {what} of {list(choices)}, found {value!r}")


def _select(
    annotations: annotations_lib.Annotations,
    subset: str,
    predictions: average_precision.Instances,
    missing: str,
    source: str,
) -> tuple[average_precision.Instances, average_precision.Instances, list[str]]:
    """Instances and ambiguous segments to evaluate on, and the unnamed videos."""
    truths = annotations_lib.ground_truth(annotations, subset=subset)
    ambiguous = annotations_lib.ambiguous(annotations, subset=subset)
    place = f"subset {subset!r} of {annotations.path}"
    if not truths.label.size:
        raise errors.InputError(
            f"{annotations.path}: subset {subset!r} has no annotated instance, so there"
            " is nothing to evaluate against"
        )
    agreement.check_videos(predictions, truths.videos, place, source)
    annotated = agreement.videos_with_rows(truths)
    unnamed = sorted(annotated.difference(predictions.videos))
    if missing == "fail" and unnamed:
        raise errors.InputError(
            f"{source}: has no entry for {len(unnamed)} of the {len(annotated)}"
            f" annotated videos in {place}: {agreement.listed(unnamed)}"
        )
    if missing == "skip" and len(unnamed) == len(annotated):
        raise errors.InputError(
            f"{source}: has no entry for any annotated video in {place}, so that none"
            " is left"
        )
    if missing == "skip":
        truths = average_precision.without_videos(truths, unnamed)
        ambiguous = average_precision.without_videos(ambiguous, unnamed)
    return truths, ambiguous, unnamed


def _diagnosis(
    predictions: average_precision.Instances,
    truths: average_precision.Instances,
    annotations: annotations_lib.Annotations,
    tious: Sequence[float],
    bins: str | None,
) -> diagnosis_lib.Diagnosis | None:
    """The diagnosis of the errors, if bins are named."""
    if bins is None:
        return None
    known = [annotations.videos[name].duration for name in truths.videos]
    durations = [np.nan if duration is None else duration for duration in known]
    return diagnosis_lib.diagnose(
        predictions, truths, durations, tious=tious, bins=BINS[bins]
    )


def _percent(values: np.ndarray) -> Any:
    """Rates as nested lists of percent, None for NaN."""
    if np.ndim(values):
        return [_percent(value) for value in values]
    return None if np.isnan(values) else float(100 * values)


def _diagnosis_dict(found: diagnosis_lib.Diagnosis | None) -> dict[str, Any] | None:
    """The diagnosis as JSON can hold it, rates in percent, an upper edge None for ∞."""
    if found is None:
        return None
    characteristics = {
        name: {
            "bins": list(diagnosis_lib.SIZES[: len(value.edges)]),
            "upper_edges": [None if np.isinf(edge) else edge for edge in value.edges],
            "instances": value.count.tolist(),
            "unknown": value.unknown,
            "missed": _percent(value.missed),
            "normalised_map": _percent(value.map_n),
        }
        for name, value in found.characteristics.items()
    }
    return {
        "tious": found.tious.tolist(),
        "types": list(diagnosis_lib.TYPES),
        "counts": found.counts.tolist(),
        "map_of_best_10g": _percent(found.map),
        "impact": _percent(found.impact),
        "normalised_map": _percent(found.map_n),
        "characteristics": characteristics,
    }


def _diagnosis_lines(found: diagnosis_lib.Diagnosis) -> list[str]:
    """The diagnosis as lines, in percent, means over the thresholds."""
    shares = found.counts / np.maximum(found.counts.sum(axis=2, keepdims=True), 1)
    columns = [100 * shares[:, 0].mean(axis=0), 100 * shares[:, -1].mean(axis=0)]
    impact = np.append(np.nan, 100 * found.impact.mean(axis=0))
    lines = [
        "errors by type, mean over tIoU, of each category's best G and 10 G:",
        "share of detections, and what mAP gains without them",
        f"{'':<18}{'G':>8}{'10 G':>8}{'gain':>8}",
    ]
    for name, few, many, gain in zip(
        diagnosis_lib.TYPES, *columns, impact, strict=True
    ):
        cell = "" if np.isnan(gain) else f"{gain:.2f}"
        lines.append(f"{name:<18}{few:>8.1f}{many:>8.1f}{cell:>8}")
    whole = 100 * found.map_n.mean()
    lines += ["", f"by instance, mean over tIoU; normalised mAP of all {whole:.2f}"]
    for name, value in found.characteristics.items():
        sizes = diagnosis_lib.SIZES[: len(value.edges)]
        lines.append(f"{name:<18}" + "".join(f"{size:>8}" for size in sizes))
        rows = (
            ("up to", [f"{edge:g}" for edge in value.edges]),
            ("instances", [str(count) for count in value.count]),
            ("missed", [_rate(rate) for rate in value.missed.mean(axis=0)]),
            ("normalised mAP", [_rate(rate) for rate in value.map_n.mean(axis=0)]),
        )
        lines += [
            f"  {row:<16}" + "".join(f"{c:>8}" for c in cells) for row, cells in rows
        ]
        if value.unknown:
            lines.append(f"  not known of {value.unknown} instances")
    if "coverage" not in found.characteristics:
        lines.append("coverage          not known: no video has a duration")
    return lines


def _rate(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def _confidence(
    ranking: average_precision.Ranking, samples: int, seed: int
) -> Confidence:
    """The intervals of the mAP over resamples of the videos."""
    num_videos = np.unique(ranking.truth_video).size
    draws = bootstrap.draw_videos(num_videos, samples=samples, seed=seed)
    values = with_mean(bootstrap.mean_average_precision(ranking, draws))
    return Confidence(samples, seed, *bootstrap.interval(values, level=LEVEL))


def _confidence_dict(confidence: Confidence | None) -> dict[str, Any] | None:
    """The intervals in percent; the last of each list is that of the mean."""
    if confidence is None:
        return None
    return {
        "level": LEVEL,
        "samples": confidence.samples,
        "seed": confidence.seed,
        "low": (100 * confidence.low).tolist(),
        "high": (100 * confidence.high).tolist(),
    }


def _recall_dict(recall: average_recall.AverageRecall | None) -> dict[str, Any] | None:
    """The average recall in percent: at the usual numbers, its area and its curve."""
    if recall is None:
        return None
    mean = (100 * recall.mean).tolist()
    return {
        "tious": recall.tious.tolist(),
        "ar": {f"AR@{number}": mean[number - 1] for number in _NUMBERS},
        "auc": 100 * recall.auc,
        "numbers": recall.numbers.tolist(),
        "curve": mean,
    }


def _counts(report: Report) -> str:
    """What there was to find."""
    variant = variants.VARIANTS[report.variant].description
    named = report.variant == "official"
    return (
        f"subset {report.subset!r}{'' if named else f', variant {report.variant}'}:"
        f" {report.num_videos} videos, {report.num_annotated}"
        f" of them annotated, with {report.num_instances} instances of"
        f" {np.count_nonzero(report.result.positives)} categories and"
        f" {report.num_ambiguous} ambiguous segments"
        f"{'' if named else f'; {variant}'}"
    )


def _coverage(report: Report) -> str:
    """How much of it the predictions look at."""
    return (
        f"{report.num_detections} detections: {report.num_covered} of"
        f" {report.num_annotated} annotated videos have detections,"
        f" {len(report.uncovered)} have none"
    )


def _left_out(report: Report) -> list[str]:
    """The videos that the predictions say nothing of, a line for each reason."""
    lines = []
    if report.uncovered:
        lines.append(f"nothing in    {agreement.listed(report.uncovered)}")
    if report.unnamed:
        lines.append(
            f"no entry for  {agreement.listed(report.unnamed)}; {report.missing}:"
            f" {MISSING[report.missing]}"
        )
    return lines


def _warnings(
    predictions: average_precision.Instances,
    truths: average_precision.Instances,
    variant: str,
    subset: str,
) -> list[str]:
    """What a reader of the numbers should know, a line each."""
    warnings = [] if predictions.label.size else ["there is no detection"]
    warnings += agreement.disagreements(predictions, truths)
    lacking = variants.videos_without_parent(predictions)
    if lacking and variants.PARENTS.keys() <= set(truths.labels):
        warnings.append(
            "videos with detections of CliffDiving and none of Diving, which contains"
            f" it, so that instances of Diving are missed: {len(lacking)},"
            f" {agreement.listed(lacking)}"
        )
    found = (len(agreement.videos_with_rows(truths)), truths.label.size)
    expected = variants.VARIANTS[variant].counts.get(subset, found)
    if found != expected:
        warnings.append(
            f"variant {variant} has {expected[0]} annotated videos and {expected[1]}"
            f" instances of the official annotations; here are {found[0]} and {found[1]}"
        )
    return warnings


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


def _table(report: Report, *, per_category: bool) -> list[str]:
    """The lines of the table: thresholds across, categories down, then the mAP."""
    result = report.result
    heads = [f"{tiou:.2f}" for tiou in result.tious] + ["mean"]
    rows = [("AP (%) at tIoU", "instances", heads)]
    if per_category:
        columns = zip(result.labels, result.positives, result.ap.T, strict=True)
        rows += [
            (agreement.printable(label), str(count), _percents(with_mean(ap)))
            for label, count, ap in columns
        ]
    means = _percents(with_mean(result.mean))
    rows.append(("mAP", str(result.positives.sum()), means))
    if report.confidence:
        rows.append(("  from", "", _percents(report.confidence.low)))
        rows.append(("  to", "", _percents(report.confidence.high)))
    width = max(len(name) for name, _, _ in rows)
    return [
        f"{name:<{width}}{count:>11}" + "".join(f"{cell:>8}" for cell in cells)
        for name, count, cells in rows
    ]


def _percents(values: np.ndarray) -> list[str]:
    """Rates as cells of a table; a dash for NaN."""
    return ["-" if np.isnan(value) else f"{100 * value:.2f}" for value in values]
