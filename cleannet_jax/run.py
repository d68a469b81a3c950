"""A trained run in three lines: load it, give it features, look at what it says."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax import errors, experiment, localize, methods, new_videos, runs
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import pipeline
from cleannet_jax.localizers import table
from cleannet_jax.ops import contrast, segments

# Lengths that features are padded to are multiples of it, so that videos share programs.
_MULTIPLE = 128


class Detection(NamedTuple):
    """An action that was found."""

    label: str
    start: float  # seconds
    end: float  # seconds
    score: float


@dataclasses.dataclass(frozen=True, eq=False)
class Video:
    """What a run says of one video of T snippets.

    Attributes:
      categories: names of the N categories.
      detections: by falling score, in seconds.
      scp: [T, N] in [0, 1], the snippet-level classification prediction.
      attention: [T] weights that sum to 1, the snippet-level attention prediction.
      video_scores: [N], the video-level prediction.
      proposals: [P, 2] in snippets, what was scored: anchors, regressed if the run
        trains a generator; none for a run that thresholds.
    """

    categories: tuple[str, ...]
    detections: list[Detection]
    scp: np.ndarray
    attention: np.ndarray
    video_scores: np.ndarray
    proposals: np.ndarray

    def evaluate(self, proposals: Any) -> contrast.ProposalScores:
        """Scores of proposals by this video's SCP, each [N, P].

        Args:
          proposals: [P, 2] in snippets.
        """
        return contrast.evaluate_proposals(self.scp, np.asarray(proposals, np.float32))


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A trained run.

    Attributes:
      folder: of the run.
      config: what it was trained with.
      categories: names of the N categories.
      streams: names and widths of the features that it takes.
      timebase: frames a snippet and frames a second of the data that it was trained
        on; `fps` is None where videos differ in it.
      params: "head", and "generator" where one was trained.
    """

    folder: pathlib.Path
    config: config_lib.Config
    categories: tuple[str, ...]
    streams: streams_lib.Streams
    timebase: runs.Timebase | None
    params: Any

    def predict(
        self, features: Any, *, fps: float | None = None, data: str | None = None
    ) -> Video:
        """Localizes in one video.

        Args:
          features: (T, D) with the streams side by side, or {name: (T, D)} by stream;
            or the id of a video in `data`.
          fps: frames a second of the video, where that of the run is not it.
          data: feature folder that an id is in; None for the generated sample, where
            the run is on it.

        Raises:
          InputError: features are not of the run's streams, or the time base is not
            known.
        """
        if self.config.classifier == methods.SCORES:
            raise errors.InputError(
                f"{self.folder}: found a run that reads its SCPs from files, expected one"
                " with a classifier"
            )
        duration = None
        if isinstance(features, str):
            video_id = features
            dataset = self._dataset(data)
            if video_id not in dataset.videos:
                raise errors.InputError(
                    f"{dataset.name}: no video {video_id!r} with features"
                )
            features = dataset.read(video_id)
            video = dataset.videos[video_id]
            timebase, duration = video.timebase, video.duration
        else:
            timebase = self._timebase(fps)
            features = self._joined(features)
        return self._predict(features, timebase, duration)

    def _dataset(self, data: str | None) -> Any:
        """The data set of a folder."""
        if data is None:
            return experiment.open_dataset(self.config, None)
        manifest = experiment.read_manifest(pathlib.Path(data))
        opened = new_videos.open_folder(data, manifest, categories=self.categories)
        experiment.check_streams(opened, self.streams, self.folder)
        return dataset_lib.scaled(opened, self.config.feature_scales)

    def _timebase(self, fps: float | None) -> Any:
        """The time base of features that come without one."""
        own = self.timebase
        if own is None or (own.fps is None and fps is None):
            raise errors.InputError(
                f"{self.folder}: fps: found none that all training videos have, expected"
                " predict(features, fps=...)"
            )
        return own._replace(fps=fps or own.fps)

    def _joined(self, features: Any) -> np.ndarray:
        """Features of all streams side by side, [T, D] float32."""
        if isinstance(features, Mapping):
            if set(features) != set(self.streams.names):
                raise errors.InputError(
                    f"features: found streams {sorted(features)}, expected "
                    f"{list(self.streams.names)}"
                )
            parts = [np.asarray(features[name]) for name in self.streams.names]
            lengths = {
                name: len(part) for name, part in zip(features, parts, strict=True)
            }
            if len(set(lengths.values())) > 1:
                raise errors.InputError(
                    f"features: found streams of {lengths} snippets, expected as many"
                    " in each"
                )
            features = np.concatenate(parts, axis=1)
        features = np.asarray(features)
        if features.ndim != 2 or features.shape[1] != self.streams.width:
            raise errors.InputError(
                f"features: found shape {features.shape}, expected (T,"
                f" {self.streams.width}): the columns of {self.streams}"
            )
        if not len(features) or not np.isfinite(features).all():
            raise errors.InputError(
                "features: expected at least one snippet, and finite numbers"
            )
        features = features.astype(np.float32)
        scales = self.config.feature_scales
        factors = dataset_lib.factors_of(self.streams, scales) if scales else 1
        return features * factors

    def _predict(
        self, features: np.ndarray, timebase: Any, duration: float | None
    ) -> Video:
        """What the run says of features [T, D]."""
        length = len(features)
        padded = pipeline.pad(features, -(-length // _MULTIPLE) * _MULTIPLE)
        config, streams = self.config, self.streams
        predicted = localize.predict_padded(
            self.params["head"], padded, length, streams, config
        )
        own = localize.unpadded(predicted, length)
        found = localize.localize_video(
            self.params,
            padded,
            length,
            streams,
            config,
            own,
            second=timebase.fps / timebase.stride,
        )
        seconds = segments.snippets_to_seconds(found.segments, **timebase._asdict())
        seconds = np.clip(seconds, 0, np.inf if duration is None else duration)
        order = np.argsort(-found.scores, kind="stable")
        return Video(
            categories=self.categories,
            detections=[
                Detection(
                    self.categories[found.categories[row]],
                    *seconds[row].tolist(),
                    float(found.scores[row]),
                )
                for row in order
                if seconds[row, 1] > seconds[row, 0]
            ],
            scp=own.scp,
            attention=own.sap,
            video_scores=own.video,
            proposals=self._proposals(padded, length),
        )

    def _proposals(self, padded: np.ndarray, length: int) -> np.ndarray:
        """The proposals [P, 2] of the video's own snippets."""
        propose = table.of(self.config).propose
        if propose is None:  # Of no grid: they are of a category, from its own SCP.
            return np.zeros((0, 2), np.float32)
        generator = self.params.get("generator")
        found = propose(generator, padded, length, self.config)
        return np.asarray(found)[:length].reshape(-1, 2)


def load_run(folder: str | os.PathLike) -> Run:
    """Loads a finished run.

    >>> run = load_run("checkpoints/activitynet12-full-seed0")
    >>> features = np.zeros((40, run.streams.width), np.float32)
    >>> video = run.predict(features)  # or {"rgb": ..., "flow": ...}
    >>> video.scp.shape == (40, len(run.categories))
    True
    >>> video.detections == sorted(video.detections, key=lambda found: -found.score)
    True

    Args:
      folder: of the run, wherever it is now.

    Returns:
      The `Run`, whose `predict` localizes in features.

    Raises:
      InputError: the folder is not of a finished run.
    """
    folder = pathlib.Path(folder)
    model = runs.read_model(folder)
    description = model.description if model else runs.read_description(folder)
    return Run(
        folder=folder,
        config=description.config,
        categories=description.categories,
        streams=description.streams,
        timebase=model.timebase if model else None,
        params=experiment.restore(folder, description),
    )
