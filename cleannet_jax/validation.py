"""What is wrong with a feature folder, found before training and not during it.

An error is what training cannot go on with; a warning is what it goes on without.
Every finding names its video. Lengths are in snippets, durations in seconds.
"""

import collections
import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from cleannet_jax import errors
from cleannet_jax import findings as findings_lib
from cleannet_jax.data import agreement
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import manifest as manifest_lib

# Kinds of warnings that a reader of the numbers should know of.
_MATTERS = (
    "another time base would fit",
    "another unit would fit",
    "backbone has seen the evaluation subset",
    "features that never change",
    "ids spelled in two ways",
    "label without category",
    "length against duration",
    "no features",
    "one category",
    "same features in several videos",
    "scale of features",
    "trained on what is evaluated",
)


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
      digests: of the values of every video whose values were read, by id.
    """

    name: str
    folder: str
    subsets: tuple[SubsetCount, ...]
    categories: tuple[CategoryCount, ...]
    lengths: Mapping[str, int]
    values_read: bool
    findings: tuple[findings_lib.Finding, ...]
    digests: Mapping[str, bytes] = dataclasses.field(default_factory=dict)

    @property
    def errors(self) -> tuple[findings_lib.Finding, ...]:
        """The findings that training cannot go on with."""
        return tuple(finding for finding in self.findings if finding.is_error)

    @property
    def warnings(self) -> tuple[findings_lib.Finding, ...]:
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
    scales: Sequence[float] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Returns what is wrong with a feature folder; raises for none of it.

    Args:
      folder: the feature folder.
      manifest: its description.
      annotations: the annotated videos.
      window: snippets that the evaluator pools over; shorter videos are a warning.
      categories: names of the N categories of a trained model, which is to localize
        in these videos; None to train on them, for those of the training subset.
      read_values: whether to read every value and look for NaN and infinities.
      scales: what the features of each stream are multiplied by; () for nothing.
      progress: called with the number of videos done and of all videos.
    """
    is_for_training = categories is None
    if categories is None:
        categories = _train_categories(manifest, annotations)
    some_duration = any(video.duration for video in annotations.videos.values())
    findings, lengths, values = [], {}, {}
    for done, (video_id, video) in enumerate(sorted(annotations.videos.items()), 1):
        length, found = findings_lib.file_findings(folder, video, manifest)
        findings += found
        if is_for_training:
            findings += findings_lib.label_findings(video, manifest)
            findings += findings_lib.unknown_labels(video, manifest, categories)
        findings += findings_lib.reversed_findings(video, manifest)
        if video.subset == manifest.evaluation_subset:
            findings += findings_lib.segment_findings(video)
        if length:
            lengths[video_id] = length
            findings += findings_lib.time_findings(
                video, length, manifest, window, is_known=some_duration
            )
        if length and read_values:
            values[video_id] = findings_lib.values_of(folder, video_id, manifest)
        if progress:
            progress(done, len(annotations.videos))
    trained = [
        video.id
        for video in annotations.videos.values()
        if is_for_training
        and video.subset == manifest.train_subset
        and video.categories
    ]
    findings += findings_lib.value_findings(values, manifest, trained, scales)
    findings += findings_lib.set_findings(folder, manifest, annotations, lengths)
    if is_for_training:
        findings += findings_lib.subset_findings(manifest, annotations, lengths)
    counts = _category_counts(manifest, annotations, lengths)
    findings += _category_findings(counts)
    return Report(
        name=manifest.name,
        folder=str(folder),
        subsets=tuple(
            _subset_count(subset, annotations, lengths)
            for subset in findings_lib.subsets_of(manifest)
        ),
        categories=counts,
        lengths=lengths,
        values_read=read_values,
        findings=tuple(findings),
        digests={name: found.digest for name, found in values.items()},
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
        for kind, group in by_kind(found):
            lines.append(f"  {kind}: {len(group)}")
            lines += [f"    {finding.message}" for finding in group[:limit]]
            if len(group) > limit:
                lines.append(f"    and {len(group) - limit} more")
    return "\n".join(lines)


def failure(report: Report) -> tuple[str, str]:
    """Returns the text to print first and the cause, one line, of an unusable folder.

    Args:
      report: what `validate` returned, with at least one error.
    """
    first = report.errors[0]
    videos = {finding.video for finding in report.errors if finding.video}
    where = f" in {_count(len(videos), 'video')}" if videos else ""
    cause = (
        f"{report.folder}: the data cannot be used: "
        f"{_count(len(report.errors), 'error')}{where}, the first: {first.message}"
    )
    return report_text(report), cause


def summary_lines(report: Report) -> list[str]:
    """Returns the warnings that matter for the numbers, one line a kind."""
    lines = []
    for kind, group in by_kind(report.warnings):
        if kind not in _MATTERS:
            continue
        first = group[0].message.removeprefix("video ")
        if not group[0].video:
            lines.append(f"warning: {kind}: {first}")
        elif len(group) == 1:
            lines.append(f"warning: {kind}: 1 video, {first}")
        else:
            lines.append(f"warning: {kind}: {len(group)} videos, the first {first}")
    return lines


def by_kind(
    findings: Iterable[findings_lib.Finding],
) -> Iterator[tuple[str, list[findings_lib.Finding]]]:
    """Yields the kinds, sorted, each with its findings."""
    ordered = sorted(findings, key=lambda finding: finding.kind)
    for kind, group in itertools.groupby(ordered, key=lambda finding: finding.kind):
        yield kind, list(group)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


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


def _category_findings(
    counts: tuple[CategoryCount, ...],
) -> Iterator[findings_lib.Finding]:
    """Categories that one side lacks, and names that differ in spelling alone."""
    learned = [count.category for count in counts if count.train_videos]
    if len(learned) == 1:
        message = (
            f"category {learned[0]!r} is the only one: a classifier whose categories"
            " compete cannot learn from it; add videos of others, or train stpn"
        )
        yield findings_lib.as_warning("one category", "", message)
    if any(count.train_videos for count in counts):
        for count in counts:
            if not count.train_videos:
                message = (
                    f"category {count.category!r}: no training video with features"
                )
                yield findings_lib.as_warning(
                    "category without training video", "", message
                )
    if any(count.evaluation_instances for count in counts):
        for count in counts:
            if not count.evaluation_instances:
                message = (
                    f"category {count.category!r}: no instance in the evaluation "
                    "subset: no part in the mAP"
                )
                yield findings_lib.as_warning("category without instance", "", message)
    spellings: dict[str, list[str]] = {}
    for count in counts:
        letters = "".join(filter(str.isalnum, count.category.casefold()))
        spellings.setdefault(letters, []).append(count.category)
    for names in spellings.values():
        if len(names) > 1:
            message = f"categories {names}: the same name in several spellings?"
            yield findings_lib.as_warning("categories spelled alike", "", message)
