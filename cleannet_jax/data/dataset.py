"""The `Dataset` that every program reads its videos from. T counts snippets."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

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
      read: id -> F, (T, width of all streams) float32. Called from several threads at once.
      generated: whether the features are made up rather than recorded.
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

    @property
    def stream_widths(self) -> tuple[int, ...]:
        """Columns of each stream."""
        return self.streams.widths

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
