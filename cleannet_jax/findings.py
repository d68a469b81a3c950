"""What can be wrong with one video of a feature folder, or with the set as a whole.

An error is what training cannot go on with; a warning is what it goes on without.
Every finding names its video. Lengths are in snippets, durations in seconds.
"""

import collections
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import agreement, arrays, units
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.layouts import feature_folder
from cleannet_jax.ops import segments

# Annotated durations are often rounded to a tenth of a second.
_ROUNDING_SECONDS = 0.05

# Features whose root mean square is in this range are trained on without a word. On the
# gestures a third of the usual scale halves the mAP, and three times it ends all learning.
SMALLEST_SCALE, LARGEST_SCALE = 0.4, 2.5

# Ratios of length to duration that differ by less are one; rounding to snippets and a
# window at the end of short videos account for about as much.
_SAME_RATIO = 0.02

# So many segments do not all lie in the first second of their videos by chance.
_FEW_SEGMENTS = 5


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


def as_error(kind: str, video_id: str, message: str) -> Finding:
    """Returns what training cannot go on with."""
    return Finding(is_error=True, kind=kind, video=video_id, message=message)


def as_warning(kind: str, video_id: str, message: str) -> Finding:
    """Returns what training goes on without."""
    return Finding(is_error=False, kind=kind, video=video_id, message=message)


def subsets_of(manifest: manifest_lib.Manifest) -> tuple[str, ...]:
    """The training and the evaluation subset, once if they are the same."""
    return tuple(dict.fromkeys((manifest.train_subset, manifest.evaluation_subset)))


def file_findings(
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
        return None, [as_error(error.kind, video.id, str(error))]
    except errors.InputError as error:
        return None, [as_error("unusable id", video.id, str(error))]
    if video.subset not in subsets_of(manifest):
        return None, []
    message = (
        f"video {video.id!r} ({agreement.printable(video.subset)}): annotated, but without features: "
        "not trained on, and without detections when scored"
    )
    return None, [as_warning("no features", video.id, message)]


def label_findings(
    video: annotations_lib.Video, manifest: manifest_lib.Manifest
) -> Iterator[Finding]:
    """Labels and times that are lacking."""
    if video.subset not in subsets_of(manifest):
        return
    is_trained = video.subset == manifest.train_subset
    if is_trained and not video.categories:
        message = f"video {video.id!r}: no label: not trained on"
        yield as_warning("no labels", video.id, message)
    if video.subset == manifest.evaluation_subset and not video.timed:
        message = (
            f"video {video.id!r}: found no times, expected segments: its subset cannot"
            " be evaluated on"
        )
        yield as_warning("no times to evaluate on", video.id, message)


def unknown_labels(
    video: annotations_lib.Video,
    manifest: manifest_lib.Manifest,
    categories: tuple[str, ...],
) -> Iterator[Finding]:
    """Labels that no category stands for: an error where they are to be learned."""
    unknown = sorted(set(video.categories) - set(categories))
    if not unknown or video.subset not in subsets_of(manifest):
        return
    message = (
        f"video {video.id!r} ({agreement.printable(video.subset)}): found {unknown}"
        f", expected labels among the {len(categories)} categories"
    )
    found = as_error if video.subset == manifest.train_subset else as_warning
    yield found("label without category", video.id, message)


def segment_findings(video: annotations_lib.Video) -> Iterator[Finding]:
    """Segments that nothing can match, or that are there twice."""
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
            yield as_warning("odd segments to evaluate on", video.id, message)


def reversed_findings(
    video: annotations_lib.Video, manifest: manifest_lib.Manifest
) -> Iterator[Finding]:
    """Segments that end before they start, each of them."""
    what = "times of its subset are not read"
    if video.subset == manifest.evaluation_subset:
        what = "its subset cannot be evaluated on"
    for fault in video.faults:
        message = (
            f"{fault.place}: found the segment {list(fault.segment)} of"
            f" {fault.label!r}, expected an end that is not before the start: {what}"
        )
        yield as_warning("segments that end before they start", video.id, message)


def time_findings(
    video: annotations_lib.Video,
    length: int,
    manifest: manifest_lib.Manifest,
    window: int,
    *,
    is_known: bool,
) -> Iterator[Finding]:
    """Lengths that contradict the duration, or are too short to pool over.

    A duration that is lacking is named where those of other videos are known.
    """
    if length < window:
        message = f"video {video.id!r}: {length} snippets, pooled over {window}"
        yield as_warning("shorter than the pooling window", video.id, message)
    try:
        timebase = manifest_lib.timebase(manifest, video)
    except errors.InputError as error:
        yield as_error("no frame rate", video.id, str(error))
        return
    if video.duration is None:
        if is_known:
            message = (
                f"video {video.id!r}: no duration to compare {length} snippets with"
            )
            yield as_warning("no duration", video.id, message)
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
        yield as_warning("length against duration", video.id, message)


class Values(NamedTuple):
    """What is known of the values of one video's features.

    Attributes:
      digest: of all values.
      squares: of each stream, the mean square of its values.
      is_constant: of each stream, whether all snippets have the same feature.
      problem: what is wrong with them; empty where they are finite.
    """

    digest: bytes
    squares: tuple[float, ...]
    is_constant: tuple[bool, ...]
    problem: str


def values_of(
    folder: str | os.PathLike, video_id: str, manifest: manifest_lib.Manifest
) -> Values:
    """Reads the features of one video."""
    try:
        streams = feature_folder.read_streams(folder, video_id, manifest=manifest)
    except arrays.ArrayError as error:
        # Damage that headers do not show.
        return Values(b"", (), (), str(error))
    squares, is_constant, streams_read = [], [], []
    problem = ""
    for name, stored in zip(manifest.streams.names, streams, strict=True):
        # Float32 is what training reads, and larger values are infinite there.
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(stored, np.float32)
        found = not_finite(values)
        problem = problem or (found and f"stream {name!r}: {found}")
        streams_read.append(values)
        squares.append(0.0 if found else float(np.mean(np.square(values, dtype=float))))
        is_constant.append(len(values) > 1 and bool((values == values[0]).all()))
    digest = dataset_lib.digest(streams_read)
    return Values(digest, tuple(squares), tuple(is_constant), problem)


def value_findings(
    values: Mapping[str, Values],
    manifest: manifest_lib.Manifest,
    trained: Sequence[str],
    scales: Sequence[float] = (),
) -> Iterator[Finding]:
    """What is wrong with the values of features.

    Args:
      values: of every usable video, by id.
      manifest: of the folder.
      trained: ids of the videos to train on.
      scales: what the features of each stream are multiplied by; () for nothing.
    """
    for video_id, of_video in values.items():
        if of_video.problem:
            message = f"video {video_id!r}: {of_video.problem}"
            kind = "values not finite" if of_video.digest else "unreadable values"
            yield as_error(kind, video_id, message)
            continue
        for name, square, is_constant in zip(
            manifest.streams.names, of_video.squares, of_video.is_constant, strict=True
        ):
            if is_constant:
                what = "zero" if square == 0 else "the same in all snippets"
                message = f"video {video_id!r}: stream {name!r} is {what}"
                yield as_warning("features that never change", video_id, message)
    by_digest: dict[bytes, list[str]] = {}
    for video_id, of_video in values.items():
        if of_video.problem:
            continue
        by_digest.setdefault(of_video.digest, []).append(video_id)
    for ids in by_digest.values():
        if len(ids) > 1:
            message = f"videos {agreement.listed(ids)}: the same values in {len(ids)}"
            yield as_warning("same features in several videos", ids[0], message)
    known = [values[video_id] for video_id in trained if video_id in values]
    known = [of_video for of_video in known if not of_video.problem]
    if len(known) > 1 and all(all(of_video.is_constant) for of_video in known):
        message = "features of all training videos never change: nothing can be learned"
        yield as_error("dead features", "", message)
    elif len(known) > 1 and len({of_video.digest for of_video in known}) == 1:
        message = "all training videos have the same features: nothing can be learned"
        yield as_error("dead features", "", message)
    yield from _scale_findings(known, manifest, scales)


def _scale_findings(
    known: Sequence[Values], manifest: manifest_lib.Manifest, scales: Sequence[float]
) -> Iterator[Finding]:
    """Streams of another scale than the configs' learning rates are made for."""
    if not known:
        return
    own = np.sqrt(np.mean([of_video.squares for of_video in known], axis=0))
    found = own * (scales or 1)
    usual = (SMALLEST_SCALE <= found) & (found <= LARGEST_SCALE) | (own == 0)
    if usual.all():
        return
    named = ", ".join(
        f"{name} {scale:.3g}"
        for name, scale in zip(manifest.streams.names, found, strict=True)
    )
    factors = ",".join("1" if scale == 0 else f"{1 / scale:.3g}" for scale in own)
    message = (
        f"root mean square of the training videos' features: {named}; learning rates are"
        f" made for about 1: --feature-scales {factors} brings them there"
    )
    yield as_warning("scale of features", "", message)


def not_finite(values: np.ndarray) -> str:
    """What is wrong with values [T, D] that are not finite; empty where all are."""
    # Float32 is what training reads, and larger values are infinite there.
    with np.errstate(over="ignore"):
        finite = np.isfinite(values.astype(np.float32, copy=False))
    if finite.all():
        return ""
    snippet, column = np.unravel_index(finite.argmin(), finite.shape)
    return (
        f"{np.count_nonzero(~finite)} values are NaN or infinite, the first at snippet"
        f" {snippet}, column {column} of {finite.shape[1]}"
    )


def set_findings(
    folder: str | os.PathLike,
    manifest: manifest_lib.Manifest,
    annotations: annotations_lib.Annotations,
    lengths: dict[str, int],
) -> Iterator[Finding]:
    """What is wrong with the set as a whole."""
    stored = feature_folder.stored_ids(folder, manifest=manifest)
    for video_id in sorted(stored - annotations.videos.keys()):
        message = f"video {video_id!r}: features, but not in {annotations.path}"
        yield as_warning("not annotated", video_id, message)
    strays, lacking = (
        stored - annotations.videos.keys(),
        annotations.videos.keys() - stored,
    )
    hint = agreement.respelling(strays, lacking)
    if hint:
        message = (
            f"{len(strays)} videos with features have ids that {annotations.path} lacks,"
            f" {agreement.listed(strays)}{hint}"
        )
        yield as_warning("ids spelled in two ways", "", message)
    if not stored & annotations.videos.keys():
        error = feature_folder.no_features(
            folder, manifest=manifest, annotations=annotations
        )
        yield as_error(error.kind, "", str(error))
    yield from _rate_findings(manifest, annotations, lengths)
    yield from _window_findings(manifest, annotations, lengths)
    yield from _unit_findings(manifest, annotations)
    seen = {name.casefold() for name in manifest.backbone_trained_on}
    if manifest.evaluation_subset.casefold() in seen:
        message = (
            f"{manifest.path or 'manifest'}: backbone_trained_on names the evaluation "
            f"subset {manifest.evaluation_subset!r}: scores will be too high"
        )
        yield as_warning("backbone has seen the evaluation subset", "", message)


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
        if manifest.trust_timebase:
            yield as_warning("another time base would fit", "", message)
            return
        message += '; if it is right as it is, say "trust_timebase": true there'
        yield as_error("another time base would fit", "", message)


def _window_findings(
    manifest: manifest_lib.Manifest,
    annotations: annotations_lib.Annotations,
    lengths: Mapping[str, int],
) -> Iterator[Finding]:
    """Windows longer than most videos, or less than a frame."""
    window, place = manifest.window_frames, manifest.path or "manifest"
    if window < 1:
        message = (
            f"{place}: window_frames: found {window:g}, expected frames, 1 or more: are"
            " these seconds?"
        )
        yield as_warning("odd window", "", message)
    frames = []
    for video_id in lengths:
        video = annotations.videos[video_id]
        try:
            fps = manifest_lib.timebase(manifest, video).fps
        except errors.InputError:
            continue
        if video.duration:
            frames.append((video.duration + _ROUNDING_SECONDS) * fps)
    longer = sum(window > count for count in frames)
    if 2 * longer > len(frames):
        message = (
            f"{place}: window_frames: found {window:g}, more frames than {longer} of"
            f" {len(frames)} videos have, {np.median(frames):.0f} in the median"
        )
        yield as_warning("odd window", "", message)


def _unit_findings(
    manifest: manifest_lib.Manifest, annotations: annotations_lib.Annotations
) -> Iterator[Finding]:
    """Segments to evaluate on whose times cannot be seconds."""
    rows, rates = [], []
    for video in annotations.videos.values():
        if video.subset != manifest.evaluation_subset or not video.timed:
            continue
        end = np.nan if video.duration is None else video.duration
        rows += [(start, stop, end) for start, stop in video.segments.tolist()]
        try:
            rates.append(manifest_lib.timebase(manifest, video).fps)
        except errors.InputError:
            continue
    times = np.array(rows, float).reshape(-1, 3)
    segments_found, ends = times[:, :2], times[:, 2]
    fps = float(np.median(rates)) if rates else None
    line = units.late(segments_found, ends, fps=fps, what="segments")
    # A few, or clips from their beginning, may well lie in the first second.
    if len(times) >= _FEW_SEGMENTS and np.median(segments_found[:, 0]) > 0:
        line = line or units.early(segments_found, ends, what="segments")
    if line:
        message = f"{annotations.path}: {manifest.evaluation_subset!r}: {line}"
        yield as_warning("another unit would fit", "", message)


def subset_findings(
    manifest: manifest_lib.Manifest,
    annotations: annotations_lib.Annotations,
    lengths: Mapping[str, int],
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
        yield as_error("nothing to train on", "", message)
    if manifest.train_subset == manifest.evaluation_subset:
        message = (
            f"{manifest.path or 'manifest'}: train_subset and evaluation_subset are "
            f"both {manifest.train_subset!r}: scores will be too high"
        )
        yield as_warning("trained on what is evaluated", "", message)
    if not any(video.subset == manifest.evaluation_subset for video in videos):
        message = (
            f"{annotations.path}: no video in subset {manifest.evaluation_subset!r}; "
            f"subsets found: {sorted({video.subset for video in videos})}"
        )
        yield as_warning("nothing to evaluate on", "", message)
