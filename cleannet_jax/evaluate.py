"""Evaluation of predictions against annotations, under a named protocol.

A report always says what was compared: the protocol, the two files, the subset and the
variant of the ground truth, how many videos and instances were there to be found, and
which of the videos have no detections. By default a video without detections stays in:
its instances are misses. Detections in videos that the subset does not list stay in
too, as false positives, unless they are of another subset and are to be left out. Average precision and recall are in [0, 1] here, and in
percent in what is printed or written.
"""

import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import agreement, annotation_files, labels, units, variants
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data.detections import files as detections_lib
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

# What becomes of detections in videos that the annotations list in another subset.
OTHER_SUBSETS = {
    "count": "they are false positives, as in the kits",
    "leave-out": "they are left out",
}

THUMOS14_TIOUS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

ACTIVITYNET_TIOUS = average_recall.TIOUS

# Of the characteristics of instances in a diagnosis.
BINS = diagnosis_lib.BINS

# How many confidence intervals of a hundred are to hold what they are of, over 100.
LEVEL = 0.95

NO_DETECTION = "there is no detection"


class Confidence(NamedTuple):
    """Confidence intervals of the mAP by `bootstrap.METHOD`; each holds its mAP.

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
      other_subsets: what became of detections in videos of other subsets, a key of
        `OTHER_SUBSETS`.
      num_videos: videos that were evaluated.
      num_annotated: those of them with at least one instance.
      num_covered: those of the annotated with at least one detection.
      num_instances: annotated segments with a category.
      num_ambiguous: annotated segments without one.
      num_detections: rows of the predictions that were evaluated, strays included.
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
    other_subsets: str
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
    other_subsets: str = "count",
    ignore_unknown_labels: bool = False,
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
      other_subsets: a key of `OTHER_SUBSETS`.
      ignore_unknown_labels: whether to leave out, with a warning, detections whose
        label is nowhere in the annotations.
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
    _check_choice("a policy for other subsets", other_subsets, OTHER_SUBSETS)
    notes = []
    if ignore_unknown_labels:
        predictions, notes = _without_unknown(predictions, annotations)
    agreement.check_labels(predictions, annotations, source)
    agreement.check_videos(predictions, annotations.videos, annotations.path, source)
    annotations = variants.apply_variant(annotations, variant)
    left_out = variants.VARIANTS[variant].videos
    predictions = average_precision.without_videos(predictions, left_out)
    truths, ambiguous, unnamed = _select(
        annotations, subset, predictions, missing, source
    )
    others = agreement.of_other_subsets(predictions, annotations, subset)
    if others and other_subsets == "leave-out":
        notes.append(
            "detections left out, in videos of other subsets:"
            f" {agreement.count_in(predictions, others)}, in {agreement.listed(others)}"
        )
        predictions = average_precision.without_videos(predictions, others)
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
        other_subsets=other_subsets,
        num_videos=len(truths.videos),
        num_annotated=len(annotated),
        num_covered=len(annotated) - len(uncovered),
        num_instances=truths.label.size,
        num_ambiguous=ambiguous.label.size,
        num_detections=predictions.label.size,
        unnamed=tuple(unnamed),
        uncovered=tuple(sorted(uncovered)),
        warnings=(
            *notes,
            *_warnings(predictions, truths, variant, subset, others),
            *units.warnings(predictions, truths, annotations.videos),
        ),
        result=average_precision.average(ranking),
        ranking=ranking,
        recall=average_recall.average_recall(predictions, truths) if recall else None,
        confidence=intervals(ranking, samples=samples, seed=seed) if samples else None,
        diagnosis=_diagnosis(predictions, truths, annotations, tious, bins),
    )


def read_predictions(
    path: str | os.PathLike, *, names: Mapping[int, str] | None = None
) -> average_precision.Instances:
    """Returns the detections of a file, [M], in the format that its ending says.

    Args:
      path: the file.
      names: of the labels that are numbers, as `read_names` returns them.

    Raises:
      InputError: the file is not of its format; the message names the first place.
    """
    return detections_lib.read(path, names=names)


def read_annotations(
    path: str | os.PathLike, *, names: Mapping[int, str] | None = None
) -> annotations_lib.Annotations:
    """Returns the content of an annotation file, or of a folder of THUMOS14's.

    Args:
      path: JSON, a file that ends in `.csv`, or the folder.
      names: of the labels that are numbers, as `read_names` returns them.

    Raises:
      InputError: a file is not of its format; the message names the first place.
    """
    return labels.name_annotations(annotation_files.read_annotations(path), names or {})


def read_names(path: str | os.PathLike) -> dict[int, str]:
    """Returns the names in a file by the number that labels have for them.

    Raises:
      InputError: the file is absent or empty, or a number or a name stands twice.
    """
    return labels.read_names(path)


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


def intervals(
    ranking: average_precision.Ranking, *, samples: int, seed: int
) -> Confidence:
    """Returns the intervals of the mAP over resamples of the videos.

    Args:
      ranking: detections after matching, of some categories or of all.
      samples: number of resamples, at least one.
      seed: of the draw.
    """
    num_videos = np.unique(ranking.truth_video).size
    draws = bootstrap.draw_halves(num_videos, samples=samples, seed=seed)
    halves = with_mean(bootstrap.mean_average_precision(ranking, draws))
    ends = bootstrap.interval(
        with_mean(average_precision.average(ranking).mean),
        bootstrap.standard_error(halves, num_videos=num_videos),
        freedom=num_videos - 1,
        level=LEVEL,
    )
    return Confidence(samples, seed, *ends)


def with_mean(values: np.ndarray) -> np.ndarray:
    """Returns values at each threshold and then their mean: [..., K] to [..., K + 1]."""
    return np.concatenate([values, values.mean(axis=-1, keepdims=True)], axis=-1)


def _check_choice(what: str, value: str, choices: Collection[str]) -> None:
    """Raises unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"expected {what} of {list(choices)}, found {value!r}")


def _without_unknown(
    predictions: average_precision.Instances,
    annotations: annotations_lib.Annotations,
) -> tuple[average_precision.Instances, list[str]]:
    """The detections with a known label, and what was left out."""
    unknown = agreement.unknown_labels(predictions, annotations)
    if not unknown:
        return predictions, []
    is_known = np.array([label not in unknown for label in predictions.labels], bool)
    kept = np.flatnonzero(is_known[predictions.label])
    count = predictions.label.size - kept.size
    found = average_precision.take(predictions, kept)
    found = found._replace(
        labels=tuple(label for label in found.labels if label not in unknown),
        label=(np.cumsum(is_known) - 1)[found.label],
    )
    line = (
        "detections left out, whose label is no category of the annotations:"
        f" {count}, of {agreement.listed(unknown)}"
    )
    return found, [line]


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


def _warnings(
    predictions: average_precision.Instances,
    truths: average_precision.Instances,
    variant: str,
    subset: str,
    others: Collection[str],
) -> list[str]:
    """What a reader of the numbers should know, a line each."""
    warnings = [] if predictions.label.size else [NO_DETECTION]
    warnings += agreement.disagreements(predictions, truths, others)
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
