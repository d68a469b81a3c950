"""Why is it low? What evaluation and validation have found, in a few sentences.

Each sentence names the videos that show it. Rates are in percent in the text.
"""

import collections
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cleannet_jax import results, validation
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.metrics import diagnosis
from cleannet_jax.pages import gather
from cleannet_jax.pages import signals as signals_lib

# Videos that a sentence names, and categories.
_VIDEOS, _CATEGORIES = 5, 4
# Of fewer instances a bin says nothing.
_FEWEST = 5


class Reason(NamedTuple):
    """One thing that lowers the mAP, or may.

    Attributes:
      kind: what it is about, in a few words.
      text: a sentence or two.
      videos: ids of some that show it, the clearest first.
    """

    kind: str
    text: str
    videos: tuple[str, ...] = ()


def reasons(entry: gather.Entry) -> list[Reason]:
    """Returns why an entry's mAP is what it is, what matters most first.

    Args:
      entry: that was evaluated, or not: then little can be said.
    """
    found = [*_of_training(entry), *_of_data(entry)]
    if entry.report is not None:
        found += [*_coverage(entry), *_errors(entry), *_ends(entry)]
        found += [*_bins(entry), *_categories(entry)]
    return found


def _of_training(entry: gather.Entry) -> Iterator[Reason]:
    """A collapse, and losses that are no numbers."""
    for caution in entry.cautions:
        if results.is_collapse(caution):
            yield Reason("collapse", f"Nothing was learned: {caution}.")
    for stage, name, step in gather.curve_breaks(entry):
        yield Reason(
            "training",
            f"In training, {name} of stage {stage!r} is not a finite number from step"
            f" {step} on; see the curves.",
        )


def _of_data(entry: gather.Entry) -> Iterator[Reason]:
    """What validation has found, a sentence a kind, and what evaluation warns of."""
    findings = entry.model.findings if entry.model else ()
    for kind, group in validation.by_kind(findings):
        videos = [finding.video for finding in group if finding.video]
        where = f" ({len(group)} of this kind)" if len(group) > 1 else ""
        word = "Validation stops at" if group[0].is_error else "Validation warns of"
        text = f"{word} {kind}{where}: {group[0].message}."
        shown = [name for name in videos if name in entry.in_videos]
        yield Reason("data", text, tuple(shown[:_VIDEOS]))
    for line in entry.report.warnings if entry.report else ():
        if not results.is_collapse(line):
            yield Reason("evaluation", f"{line[:1].upper()}{line[1:]}.")


def _coverage(entry: gather.Entry) -> Iterator[Reason]:
    """Videos in which nothing was found."""
    report = entry.report
    assert report is not None
    if report.uncovered:
        lost = sum(entry.in_videos[name].missed for name in report.uncovered)
        yield Reason(
            "coverage",
            f"{len(report.uncovered)} of {report.num_annotated} annotated videos have no"
            f" detection at all; with them {lost} of {report.num_instances} instances"
            f" are missed.",
            report.uncovered[:_VIDEOS],
        )


_ADVICE = {
    "double detection": "the same instance is found more than once",
    "wrong label": "the time is right and the category is not",
    "localization": "the category is right and the ends are not exact enough",
    "confusion": "neither the category nor the ends are right",
    "background": "something is found where nothing is annotated",
}


def _errors(entry: gather.Entry) -> Iterator[Reason]:
    """The type of error that costs most."""
    report, outcomes = entry.report, entry.outcomes
    assert report is not None and outcomes is not None
    assert report.diagnosis is not None
    if not report.num_detections:
        return
    impact = 100 * report.diagnosis.impact.mean(axis=0)
    best = int(np.argmax(impact))
    if impact[best] < 0.5:
        return
    kind = diagnosis.TYPES[1 + best]
    mean = 100 * report.diagnosis.map.mean()
    k = gather.reference(report.result.tious)
    counts = {
        name: int((outcomes.types[k][own.rows] == 1 + best).sum())
        for name, own in entry.in_videos.items()
        if own.ap is None or own.ap < 1  # Else they rank below all that is right.
    }
    by = "" if report.protocol == "activitynet" else " by ActivityNet's matching"
    yield Reason(
        "errors",
        f"Errors of type {kind} cost most: without them the mean mAP{by} would be"
        f" {mean + impact[best]:.1f} and not {mean:.1f}. That is, {_ADVICE[kind]}.",
        _most(counts),
    )


def _most(counts: dict[str, int]) -> tuple[str, ...]:
    """The videos that have most."""
    ranked = collections.Counter(counts).most_common(_VIDEOS)
    return tuple(name for name, count in ranked if count)


def _ends(entry: gather.Entry) -> Iterator[Reason]:
    """A mAP that falls with the threshold: found, with inexact ends."""
    report = entry.report
    assert report is not None
    tious, means = report.result.tious, 100 * report.result.mean
    low, high = int(np.argmin(tious)), int(np.argmax(tious))
    if low != high and means[low] > 10 and means[high] < means[low] / 2:
        yield Reason(
            "ends",
            f"What happens is found, but its ends are not: the mAP falls from"
            f" {means[low]:.1f} at tIoU {tious[low]:g} to {means[high]:.1f} at"
            f" {tious[high]:g}.",
        )
    k = gather.reference(tious)
    missed = {name: own.missed for name, own in entry.in_videos.items()}
    total = sum(missed.values())
    if total:
        yield Reason(
            "missed",
            f"{total} of {report.num_instances} instances are missed at tIoU"
            f" {tious[k]:g}; the page of a video says why of each.",
            _most(missed),
        )


def _bins(entry: gather.Entry) -> Iterator[Reason]:
    """Instances of one length, coverage or number that are missed more than others."""
    report = entry.report
    assert report is not None
    assert report.diagnosis is not None
    k = gather.reference(report.result.tious)
    for name, value in report.diagnosis.characteristics.items():
        known = value.count >= _FEWEST
        if known.sum() < 2:
            continue
        missed = np.where(known, value.missed[k], np.nan)
        worst, best = int(np.nanargmax(missed)), int(np.nanargmin(missed))
        if missed[worst] - missed[best] < 0.2:
            continue
        yield Reason(
            "sensitivity",
            f"Instances {_size(name, value.edges, worst)} are missed most:"
            f" {100 * missed[worst]:.0f}% of {value.count[worst]}, against"
            f" {100 * missed[best]:.0f}% of those {_size(name, value.edges, best)}.",
        )


def _size(name: str, edges: Sequence[float], index: int) -> str:
    """Which instances are in a bin of a characteristic, in words."""
    low, high = (0.0, *edges)[index], edges[index]
    scale = 100 if name == "coverage" else 1
    bounds = f"{scale * low:g} to {scale * high:g}"
    if np.isinf(high):
        bounds = f"more than {scale * low:g}"
    elif index == 0:
        bounds = f"up to {scale * high:g}"
    return {
        "length": f"of {bounds} s",
        "coverage": f"that take {bounds}% of their video",
        "instances": f"of which a video has {bounds}",
    }[name]


def _categories(entry: gather.Entry) -> Iterator[Reason]:
    """Categories far below the mean."""
    report = entry.report
    assert report is not None
    ap = 100 * report.result.ap.mean(axis=0)
    mean = 100 * report.result.mean.mean()
    low = [
        index
        for index in np.argsort(ap)
        if np.isfinite(ap[index]) and ap[index] < mean / 2
    ]
    if not low:
        return
    ranking = report.ranking
    shown = low[:_CATEGORIES]
    mine = np.isin(ranking.truth_label, shown)
    counts = collections.Counter(
        ranking.videos[video] for video in ranking.truth_video[mine]
    )
    names = ", ".join(
        f"{report.result.labels[index]!r} ({ap[index]:.1f})" for index in shown
    )
    more = f" and {len(low) - len(shown)} more" if len(low) > len(shown) else ""
    yield Reason(
        "categories",
        f"{len(low)} of {int(np.isfinite(ap).sum())} categories have less than half of"
        f" the mean AP of {mean:.1f}: {names}{more}.",
        tuple(name for name, _ in counts.most_common(_VIDEOS)),
    )


def fates(
    video: annotations_lib.Video,
    own: gather.InVideo,
    detections: Sequence[tuple[str, float, float, float]],
    found: signals_lib.Signals | None,
    entry: gather.Entry,
) -> list[str]:
    """Returns of each annotated instance of a video, what became of it: [G] sentences.

    Args:
      video: the annotation.
      own: what the entry has in it.
      detections: label, start, end and score, of `own.rows`.
      found: the signals; None where there are none.
      entry: whose detections they are.
    """
    lines = []
    for label, segment, place in zip(
        video.labels, video.segments.tolist(), own.matched.tolist(), strict=True
    ):
        if place >= 0:
            _, start, end, score = detections[place]
            overlap = _tiou(segment, (start, end))
            lines.append(
                f"found with tIoU {overlap:.2f}, by the detection of rank {place + 1}"
                f" in this video, score {score:.3g}"
            )
        else:
            near = [
                (_tiou(segment, (start, end)), score)
                for name, start, end, score in detections
                if name == label
            ]
            lines.append(_why_missed(label, segment, near, found, entry))
    return lines


def _why_missed(
    label: str,
    segment: Sequence[float],
    near: Sequence[tuple[float, float]],
    found: signals_lib.Signals | None,
    entry: gather.Entry,
) -> str:
    """Why nothing is matched to an instance."""
    best, score = max(near, default=(0.0, 0.0))
    if best > 0:
        return (
            f"missed: the best detection of its category has tIoU {best:.2f}, score"
            f" {score:.3g}"
        )
    why = "of its category nothing is found in this video" if not near else ""
    why = why or "no detection of its category overlaps it"
    if found is None:
        return f"missed: {why}"
    if label not in found.categories:
        knows = "run does not know the category" if entry.config else "SCP lacks it"
        return f"missed: {why}; the {knows}"
    config = entry.config
    column = found.categories.index(label)
    if config and not found.is_chosen[column]:
        return (
            f"missed: {why}: the video's score of it is {found.video_scores[column]:.3f},"
            f" and below {config.min_video_score:g} a category is not looked for"
        )
    inside = (found.times[1:] > segment[0]) & (found.times[:-1] < segment[1])
    if not inside.any():
        return f"missed: {why}; no snippet of the features is in it"
    psi = found.scp[inside, column]
    if config is None or found.likely is None:
        return f"missed: {why}; its SCP is {psi.max():.3g} at most"
    if found.likely[inside, column].any():
        return f"missed: {why}, though snippets in it pass both thresholds"
    attention = (
        np.ones(len(psi)) if found.attention is None else found.attention[inside]
    )
    if psi.max() < config.min_scp:
        return (
            f"missed: {why}: its SCP is {psi.max():.3g} at most, and below"
            f" {config.min_scp:g} nothing is proposed"
        )
    return (
        f"missed: {why}: attention is {attention.max():.2f} times the uniform one at"
        f" most, and below {config.min_attention:g} nothing is proposed"
    )


def _tiou(first: Sequence[float], second: Sequence[float]) -> float:
    """The tIoU of two segments, with their ends in either order, for a sentence."""
    (a, b), (c, d) = sorted(first), sorted(second)
    inside = min(b, d) - max(a, c)
    return inside / (max(b, d) - min(a, c)) if inside > 0 else 0.0
