"""What is wrong with a feature folder, found before training and not during it.

An error is what training cannot go on with; a warning is what it goes on without.
Every finding names its video. Lengths are in snippets, durations in seconds.
"""

import collections
import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import agreement, arrays
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.layouts import feature_folder
from cleannet_jax.ops import segments

# Annotated durations are often rounded to a tenth of a second.
_ROUNDING_SECONDS = 0.05

# Ratios of length to duration that differ by less are one; rounding to snippets and a
# window at the end of short videos account for about as much.
_SAME_RATIO = 0.02


class Finding(NamedTuple):
    """One thing that is wrong with one video, or with the set as a whole.

    Attributes:
      is_error: whether training cannot go on; otherwise it is a warning.
      kind: what is wrong in a few words, the same for every video it is wrong with.
      video: the video's id; empty where the finding is about the set.
      message: one line that names the place, what was found and what was expected.
    """

    is_error: bool
    kind: str
    video: str
    message: str


class SubsetCount(NamedTuple):
    """How much of one subset there is to work with.

    Attributes:
      subset: its name.
      annotated: number of annotated videos.
      usable: number of those whose features can be used.
      snippets: of the usable videos together.
      longest: T of the longest of them; 0 if there is none.
    """

    subset: str
    annotated: int
    usable: int
    snippets: int
    longest: int


class CategoryCount(NamedTuple):
    """How much there is of one category.

    Attributes:
      category: its name.
      train_videos: usable training videos with that label.
      evaluation_videos: annotated evaluation videos with that label.
      evaluation_instances: its segments in these.
    """

    category: str
    train_videos: int
    evaluation_videos: int
    evaluation_instances: int


@dataclasses.dataclass(frozen=True)
class Report:
    """All findings about one feature folder.

    Attributes:
      name: name of the features, from the manifest.
      folder: where they lie.
      subsets: counts of the training and the evaluation subset.
      categories: counts of every category of either subset, sorted.
      lengths: T of every video with usable features, by id.
      values_read: whether the values were read too, or only the headers.
      findings: errors and warnings, those of one kind not necessarily together.
    """

    name: str
    folder: str
    subsets: tuple[SubsetCount, ...]
    categories: tuple[CategoryCount, ...]
    lengths: Mapping[str, int]
    values_read: bool
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that training cannot go on with."""
        return tuple(finding for finding in self.findings if finding.is_error)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that training goes on without."""
        return tuple(finding for finding in self.findings if not finding.is_error)


def validate(
    folder: str | os.PathLike,
    *,
    manifest: manifest_lib.Manifest,
    annotations: annotations_lib.Annotations,
    window: int,
    categories: tuple[str, ...] | None = None,
    read_values: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Returns what is wrong with a feature folder; raises for none of it.

    Args:
      folder: the feature folder.
      manifest: its description.
      annotations: the annotated videos.
      window: snippets that the evaluator pools over; shorter videos are a warning.
      categories: names of the N categories; None for those of the training subset.
      read_values: whether to read every value and look for NaN and infinities.
      progress: called with the number of videos done and of all videos.
    """
    if categories is None:
        categories = _train_categories(manifest, annotations)
    findings, lengths = [], {}
    for done, (video_id, video) in enumerate(sorted(annotations.videos.items()), 1):
        length, found = _file_findings(folder, video, manifest)
        findings += found
        findings += _label_findings(video, manifest, categories)
        if video.subset == manifest.evaluation_subset:
            findings += _segment_findings(video)
        if length:
            lengths[video_id] = length
            findings += _time_findings(video, length, manifest, window)
        if length and read_values:
            findings += _value_findings(folder, video_id, manifest)
        if progress:
            progress(done, len(annotations.videos))
    findings += _set_findings(folder, manifest, annotations, lengths)
    counts = _category_counts(manifest, annotations, lengths)
    findings += _category_findings(counts)
    return Report(
        name=manifest.name,
        folder=str(folder),
        subsets=tuple(
            _subset_count(subset, annotations, lengths) for subset in _subsets(manifest)
        ),
        categories=counts,
        lengths=lengths,
        values_read=read_values,
        findings=tuple(findings),
    )


def report_text(report: Report, *, limit: int = 20) -> str:
    """Returns a report for people, one finding a line.

    Args:
      report: what `validate` returned.
      limit: findings of one kind that are written out; the rest are counted.
    """
    lines = [f"{agreement.printable(report.name)}: {report.folder}"]
    for count in report.subsets:
        lines.append(
            f"  {agreement.printable(count.subset)}: {count.usable} of {count.annotated} annotated videos "
            f"with usable features; {count.snippets} snippets, {count.longest} in the "
            "longest"
        )
    if not report.values_read:
        lines.append("  headers only: values were not checked for NaN")
    for title, found in (("errors", report.errors), ("warnings", report.warnings)):
        lines.append(f"{title}: {len(found)}")
        for kind, group in _by_kind(found):
            lines.append(f"  {kind}: {len(group)}")
            lines += [f"    {finding.message}" for finding in group[:limit]]
            if len(group) > limit:
                lines.append(f"    and {len(group) - limit} more")
    return "\n".join(lines)


def categories_text(report: Report) -> str:
    """Returns the table of categories for people."""
    names = [agreement.printable(count.category) for count in report.categories]
    width = max([len("category"), *map(len, names)])
    heads = ("train videos", "eval. videos", "eval. instances")
    lines = [f"{'category':<{width}}" + "".join(f"{head:>17}" for head in heads)]
    for name, count in zip(names, report.categories, strict=True):
        lines.append(f"{name:<{width}}" + "".join(f"{n:>17}" for n in count[1:]))
    return "\n".join(lines)


def report_dict(report: Report) -> dict[str, Any]:
    """Returns a report as JSON can hold it, with every finding, by kind."""
    return {
        "name": report.name,
        "folder": report.folder,
        "values_read": report.values_read,
        "subsets": [count._asdict() for count in report.subsets],
        "categories": [count._asdict() for count in report.categories],
        "errors": _kinds_dict(report.errors),
        "warnings": _kinds_dict(report.warnings),
    }


def _error(kind: str, video_id: str, message: str) -> Finding:
    return Finding(is_error=True, kind=kind, video=video_id, message=message)


def _warning(kind: str, video_id: str, message: str) -> Finding:
    return Finding(is_error=False, kind=kind, video=video_id, message=message)


def _by_kind(findings: Iterable[Finding]) -> Iterator[tuple[str, list[Finding]]]:
    """The findings in groups of one kind."""
    ordered = sorted(findings, key=lambda finding: finding.kind)
    for kind, group in itertools.groupby(ordered, key=lambda finding: finding.kind):
        yield kind, list(group)


def _kinds_dict(findings: Iterable[Finding]) -> dict[str, list[dict[str, str]]]:
    return {
        kind: [{"video": item.video, "message": item.message} for item in group]
        for kind, group in _by_kind(findings)
    }


def _subsets(manifest: manifest_lib.Manifest) -> tuple[str, ...]:
    """The training and the evaluation subset, once if they are the same."""
    return tuple(dict.fromkeys((manifest.train_subset, manifest.evaluation_subset)))


def _subset_count(
    subset: str,
    annotations: annotations_lib.Annotations,
    lengths: dict[str, int],
) -> SubsetCount:
    ids = [video.id for video in annotations.videos.values() if video.subset == subset]
    usable = [lengths[video_id] for video_id in ids if video_id in lengths]
    return SubsetCount(
        subset=subset,
        annotated=len(ids),
        usable=len(usable),
        snippets=sum(usable),
        longest=max(usable, default=0),
    )


def _train_categories(
    manifest: manifest_lib.Manifest, annotations: annotations_lib.Annotations
) -> tuple[str, ...]:
    """The categories of the training subset; none if it has no video."""
    try:
        subsets = (manifest.train_subset,)
        return annotations_lib.categories(annotations, subsets=subsets)
    except errors.InputError:
        return ()


def _file_findings(
    folder: str | os.PathLike,
    video: annotations_lib.Video,
    manifest: manifest_lib.Manifest,
) -> tuple[int | None, list[Finding]]:
    """T if the video's files can be used, and what is wrong with them if not."""
    try:
        if feature_folder.has_features(folder, video.id, manifest=manifest):
            length = feature_folder.feature_length(folder, video.id, manifest=manifest)
            return length, []
    except arrays.ArrayError as error:
        return None, [_error(error.kind, video.id, str(error))]
    except errors.InputError as error:
        return None, [_error("unusable id", video.id, str(error))]
    if video.subset not in _subsets(manifest):
        return None, []
    message = (
        f"video {video.id!r} ({agreement.printable(video.subset)}): annotated, but without features: "
        "not trained on, and without detections when scored"
    )
    return None, [_warning("no features", video.id, message)]


def _label_findings(
    video: annotations_lib.Video,
    manifest: manifest_lib.Manifest,
    categories: tuple[str, ...],
) -> Iterator[Finding]:
    """Labels that are lacking, or that no category stands for."""
    if video.subset not in _subsets(manifest):
        return
    is_trained = video.subset == manifest.train_subset
    if is_trained and not video.categories:
        message = f"video {video.id!r}: no label: not trained on"
        yield _warning("no labels", video.id, message)
    unknown = sorted(set(video.categories) - set(categories))
    if unknown:
        message = (
            f"video {video.id!r} ({agreement.printable(video.subset)}): found {unknown}"
            f", expected labels among the {len(categories)} categories"
        )
        found = _error if is_trained else _warning
        yield found("label without category", video.id, message)


def _segment_findings(video: annotations_lib.Video) -> Iterator[Finding]:
    """Segments that are lacking, that nothing can match, or that are there twice."""
    if video.tags and not len(video.segments):
        message = (
            f"video {video.id!r}: labels {list(video.tags)} but no segments: its subset"
            " cannot be evaluated on"
        )
        yield _warning("labels without segments", video.id, message)
    rows = list(zip(video.labels, map(tuple, video.segments.tolist()), strict=True))
    end = np.inf if video.duration is None else video.duration
    kinds = {
        f"begins after the video's end at {end:.2f} s": [
            row for row in rows if row[1][0] >= end
        ],
        "has no length": [row for row in rows if row[1][0] == row[1][1]],
        "is annotated more than once": [
            row for row, count in collections.Counter(rows).items() if count > 1
        ],
    }
    for what, found in kinds.items():
        if found:
            label, segment = found[0]
            message = (
                f"video {video.id!r}: {len(found)} of {len(rows)} segments, the first "
                f"{label!r} at {list(segment)}: {what}"
            )
            yield _warning("odd segments to evaluate on", video.id, message)


def _time_findings(
    video: annotations_lib.Video,
    length: int,
    manifest: manifest_lib.Manifest,
    window: int,
) -> Iterator[Finding]:
    """Lengths that contradict the duration, or are too short to pool over."""
    if length < window:
        message = f"video {video.id!r}: {length} snippets, pooled over {window}"
        yield _warning("shorter than the pooling window", video.id, message)
    try:
        timebase = manifest_lib.timebase(manifest, video)
    except errors.InputError as error:
        yield _error("no frame rate", video.id, str(error))
        return
    if video.duration is None:
        message = f"video {video.id!r}: no duration to compare {length} snippets with"
        yield _warning("no duration", video.id, message)
        return
    end = segments.snippets_to_seconds(np.asarray(length), **timebase._asdict())
    # The last window that fits may end a whole window before the video does.
    frames = max(manifest.stride_frames, manifest.window_frames)
    if abs(end - video.duration) > frames / timebase.fps + _ROUNDING_SECONDS:
        message = (
            f"video {video.id!r}: {length} snippets of {timebase.stride} frames at "
            f"{timebase.fps} fps end at {end:.2f} s, the annotated duration is "
            f"{video.duration:.2f} s"
        )
        yield _warning("length against duration", video.id, message)


def _value_findings(
    folder: str | os.PathLike, video_id: str, manifest: manifest_lib.Manifest
) -> Iterator[Finding]:
    """NaN and infinities among the values of one video."""
    streams = feature_folder.read_streams(folder, video_id, manifest=manifest)
    # Float32 is what training reads, and larger values are infinite there.
    with np.errstate(over="ignore"):
        finite = np.isfinite(np.concatenate(streams, axis=1, dtype=np.float32))
    if not finite.all():
        snippet, column = np.unravel_index(finite.argmin(), finite.shape)
        message = (
            f"video {video_id!r}: {np.count_nonzero(~finite)} values are NaN or "
            f"infinite, the first at snippet {snippet}, column {column} of "
            f"{finite.shape[1]}"
        )
        yield _error("values not finite", video_id, message)


def _set_findings(
    folder: str | os.PathLike,
    manifest: manifest_lib.Manifest,
    annotations: annotations_lib.Annotations,
    lengths: dict[str, int],
) -> Iterator[Finding]:
    """What is wrong with the set as a whole."""
    stored = feature_folder.stored_ids(folder, manifest=manifest)
    for video_id in sorted(stored - annotations.videos.keys()):
        message = f"video {video_id!r}: features, but not in {annotations.path}"
        yield _warning("not annotated", video_id, message)
    if not stored & annotations.videos.keys():
        error = feature_folder.no_features(
            folder, manifest=manifest, annotations=annotations
        )
        yield _error(error.kind, "", str(error))
    yield from _subset_findings(manifest, annotations, lengths)
    yield from _rate_findings(manifest, annotations, lengths)
    seen = {name.casefold() for name in manifest.backbone_trained_on}
    if manifest.evaluation_subset.casefold() in seen:
        message = (
            f"{manifest.path or 'manifest'}: backbone_trained_on names the evaluation "
            f"subset {manifest.evaluation_subset!r}: scores will be too high"
        )
        yield _warning("backbone has seen the evaluation subset", "", message)


def _rate_findings(
    manifest: manifest_lib.Manifest,
    annotations: annotations_lib.Annotations,
    lengths: Mapping[str, int],
) -> Iterator[Finding]:
    """The factor by which most lengths miss the durations, if there is one."""
    ratios = []
    for video_id, length in lengths.items():
        video = annotations.videos[video_id]
        try:
            timebase = manifest_lib.timebase(manifest, video)
        except errors.InputError:
            continue
        if video.duration:
            frames = length * timebase.stride + timebase.offset
            ratios.append(frames / timebase.fps / video.duration)
    ratio = float(np.median(ratios)) if ratios else 1.0
    alike = np.abs(np.array(ratios) / ratio - 1) < _SAME_RATIO
    if len(ratios) > 1 and alike.mean() > 0.5 and abs(ratio - 1) > 2 * _SAME_RATIO:
        message = (
            f"{manifest.path or 'manifest'}: {np.count_nonzero(alike)} of {len(ratios)} "
            f"videos end at about {ratio:.3f} of their duration: {ratio:.3f} times the "
            f"fps, or stride_frames divided by {ratio:.3f}, would fit"
        )
        yield _warning("another time base would fit", "", message)


def _category_counts(
    manifest: manifest_lib.Manifest,
    annotations: annotations_lib.Annotations,
    lengths: Mapping[str, int],
) -> tuple[CategoryCount, ...]:
    """What there is of every category of either subset."""
    trained, evaluated, instances = (collections.Counter() for _ in range(3))
    for video in annotations.videos.values():
        if video.subset == manifest.train_subset:
            trained.update(dict.fromkeys(video.categories, int(video.id in lengths)))
        if video.subset == manifest.evaluation_subset:
            evaluated.update(video.categories)
            instances.update(video.labels)
    return tuple(
        CategoryCount(name, trained[name], evaluated[name], instances[name])
        for name in sorted(trained.keys() | evaluated.keys())
    )


def _category_findings(counts: tuple[CategoryCount, ...]) -> Iterator[Finding]:
    """Categories that one side lacks, and names that differ in spelling alone."""
    if any(count.train_videos for count in counts):
        for count in counts:
            if not count.train_videos:
                message = (
                    f"category {count.category!r}: no training video with features"
                )
                yield _warning("category without training video", "", message)
    if any(count.evaluation_instances for count in counts):
        for count in counts:
            if not count.evaluation_instances:
                message = (
                    f"category {count.category!r}: no instance in the evaluation "
                    "subset: no part in the mAP"
                )
                yield _warning("category without instance", "", message)
    spellings: dict[str, list[str]] = {}
    for count in counts:
        letters = "".join(filter(str.isalnum, count.category.casefold()))
        spellings.setdefault(letters, []).append(count.category)
    for names in spellings.values():
        if len(names) > 1:
            message = f"categories {names}: the same name in several spellings?"
            yield _warning("categories spelled alike", "", message)


def _subset_findings(
    manifest: manifest_lib.Manifest,
    annotations: annotations_lib.Annotations,
    lengths: dict[str, int],
) -> Iterator[Finding]:
    """Subsets without a video to train on or to evaluate on."""
    videos = annotations.videos.values()
    trained = [
        video
        for video in videos
        if video.subset == manifest.train_subset and video.categories
    ]
    if not any(video.id in lengths for video in trained):
        message = (
            f"{annotations.path}: subset {manifest.train_subset!r} has "
            f"{len(trained)} videos with labels, none with usable features; "
            f"subsets found: {sorted({video.subset for video in videos})}"
        )
        yield _error("nothing to train on", "", message)
    if manifest.train_subset == manifest.evaluation_subset:
        message = (
            f"{manifest.path or 'manifest'}: train_subset and evaluation_subset are "
            f"both {manifest.train_subset!r}: scores will be too high"
        )
        yield _warning("trained on what is evaluated", "", message)
    if not any(video.subset == manifest.evaluation_subset for video in videos):
        message = (
            f"{annotations.path}: no video in subset {manifest.evaluation_subset!r}; "
            f"subsets found: {sorted({video.subset for video in videos})}"
        )
        yield _warning("nothing to evaluate on", "", message)
