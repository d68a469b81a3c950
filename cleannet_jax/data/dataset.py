"""The `Dataset` that every program reads its videos from. T counts snippets.

A reader of any layout tells lengths and how to read, and `create_dataset` makes a
`Dataset` of that; nothing needs to be converted before it is used.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from cleannet_jax import errors
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import manifest as manifest_lib


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before its features are read.

    Attributes:
      id: the video's id.
      subset: the subset it belongs to, as the annotations spell it.
      labels: its video-level labels, each once, sorted: all that training may know.
      length: T, in snippets.
      timebase: what turns its snippets into seconds.
      duration: in seconds; None where the annotations do not say.
    """

    id: str
    subset: str
    labels: tuple[str, ...]
    length: int
    timebase: manifest_lib.Timebase
    duration: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """Videos with features, wherever they come from: a folder, or made in memory.

    Attributes:
      name: what reports call it.
      categories: names of the N categories, in the order of axis N. A trained
        model's own are put in with `dataclasses.replace`.
      streams: how the columns of features divide, RGB before flow.
      videos: every annotated video that has features, by id, in sorted order.
      annotations: the truth to evaluate against; it also holds videos without
        features, which count as videos without detections.
      train_subset: the subset to train on.
      evaluation_subset: the subset to localize in and to score.
      read: id -> F, (T, width of all streams) float32. Called from several threads at
        once.
      generated: whether the features are made up rather than recorded.
      manifest: says what the features are; None where they were made in memory.
      read_streams: id -> an array for each stream, (T, its width), of the type that it
        is stored in; None where the features were made in memory.
      notes: what a person should know of the files, a line each.
      warnings: what a reader of numbers should know of the data, a line each.
      digests: of the values of the features, by id, where `read` sees to it that they
        are still these; none where the features were made in memory.
    """

    name: str
    categories: tuple[str, ...]
    streams: streams_lib.Streams
    videos: Mapping[str, VideoInfo]
    annotations: annotations_lib.Annotations
    train_subset: str
    evaluation_subset: str
    read: Callable[[str], np.ndarray]
    generated: bool = False
    manifest: manifest_lib.Manifest | None = None
    read_streams: Callable[[str], tuple[np.ndarray, ...]] | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    digests: Mapping[str, bytes] = dataclasses.field(default_factory=dict)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all videos that have features, sorted."""
        return tuple(self.videos)

    @property
    def train_ids(self) -> tuple[str, ...]:
        """Ids of the videos to train on: those of the subset that have a label."""
        return tuple(
            video.id
            for video in self.videos.values()
            if video.subset == self.train_subset and video.labels
        )

    @property
    def evaluation_ids(self) -> tuple[str, ...]:
        """Ids of the videos to localize in."""
        return tuple(
            video.id
            for video in self.videos.values()
            if video.subset == self.evaluation_subset
        )


def create_dataset(
    manifest: manifest_lib.Manifest,
    *,
    annotations: annotations_lib.Annotations,
    lengths: Mapping[str, int],
    read_streams: Callable[[str], tuple[np.ndarray, ...]],
    categories: tuple[str, ...] | None = None,
    notes: tuple[str, ...] = (),
) -> Dataset:
    """Returns the videos with features that files of any layout hold.

    Args:
      manifest: says what the features are.
      annotations: of these videos and others.
      lengths: T by id.
      read_streams: as in `Dataset`. Raises an InputError that names the place.
      categories: names of the N categories; None for those of the training subset.
      notes: as in `Dataset`.

    Raises:
      InputError: the frame rate of a video is unknown, or no video is of the training
        subset.
    """
    if categories is None:
        categories = annotations_lib.categories(
            annotations, subsets=(manifest.train_subset,)
        )
    return Dataset(
        name=manifest.name,
        categories=categories,
        streams=manifest.streams,
        videos={
            video_id: _info(annotations.videos[video_id], length, manifest)
            for video_id, length in sorted(lengths.items())
        },
        annotations=annotations,
        train_subset=manifest.train_subset,
        evaluation_subset=manifest.evaluation_subset,
        read=functools.partial(_read, read_streams, manifest.streams),
        generated=manifest.generated,
        manifest=manifest,
        read_streams=read_streams,
        notes=notes,
    )


def digest(streams: Iterable[np.ndarray]) -> bytes:
    """A digest of the values of one video's features, as float32."""
    found = hashlib.sha256()
    for values in streams:
        found.update(np.ascontiguousarray(values, np.float32).data)
    return found.digest()[:16]


def verified(dataset: Dataset, digests: Mapping[str, bytes]) -> Dataset:
    """Returns the dataset with features that are those that were looked at, or nothing.

    What was validated is what is trained on: a file that changes in between ends the
    program. A digest takes a millisecond or two for each megabyte, in the threads that
    read ahead.

    Args:
      dataset: before `scaled`.
      digests: `digest` of the values of every video, by id.
    """
    read = dataset.read

    def read_verified(video_id: str) -> np.ndarray:
        features = read(video_id)
        if digest(dataset.streams.split(features).values()) != digests.get(video_id):
            raise errors.InputError(
                f"{dataset.name}: video {video_id!r}: its features have changed since"
                " this command has checked them; give the command again when nothing"
                " writes to them"
            )
        return features

    known = {name: digests[name] for name in dataset.videos if name in digests}
    return dataclasses.replace(dataset, read=read_verified, digests=known)


def scaled(dataset: Dataset, scales: Sequence[float]) -> Dataset:
    """Returns the dataset with the features of each stream multiplied by a number.

    Args:
      dataset: any.
      scales: a number a stream; none leaves features as they are.

    Raises:
      InputError: there are more or fewer numbers than streams.
    """
    if not scales:
        return dataset
    factors = factors_of(dataset.streams, scales)
    read = dataset.read
    return dataclasses.replace(dataset, read=lambda video_id: read(video_id) * factors)


def factors_of(streams: streams_lib.Streams, scales: Sequence[float]) -> np.ndarray:
    """The number that each column of features is multiplied by, float32.

    Raises:
      InputError: there are more or fewer numbers than streams.
    """
    if len(scales) != len(streams):
        raise errors.InputError(
            f"feature_scales: found {len(scales)} numbers, expected {len(streams)}, one"
            f" for each of {streams}"
        )
    return np.repeat(np.array(scales, np.float32), streams.widths)


def _info(
    video: annotations_lib.Video, length: int, manifest: manifest_lib.Manifest
) -> VideoInfo:
    """What is known of a video before its features are read."""
    return VideoInfo(
        id=video.id,
        subset=video.subset,
        labels=video.categories,
        length=length,
        timebase=manifest_lib.timebase(manifest, video),
        duration=video.duration,
    )


def _read(
    read_streams: Callable[[str], tuple[np.ndarray, ...]],
    streams: streams_lib.Streams,
    video_id: str,
) -> np.ndarray:
    """F of one video, (T, width of all streams) float32."""
    stored = read_streams(video_id)
    features = np.empty((len(stored[0]), streams.width), np.float32)
    parts = streams.split(features).values()
    for part, values in zip(parts, stored, strict=True):
        # Values beyond float32 become infinite, which validation reports by place.
        with np.errstate(over="ignore"):
            part[:] = values
    return features
