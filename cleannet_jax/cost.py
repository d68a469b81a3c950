"""What training on a feature folder takes: an estimate before the first step.

Counts follow from the network: F is (T, 2D), the generator's three convolutions of
width 3 have W channels, the head has 2N + 1 outputs. Only what grows with T is counted.
Bytes and operations are those of float32.
"""

import os
import time
from typing import NamedTuple

import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax import validation
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data import pipeline

# The example that is trained on, and those that the input pipeline reads ahead.
_EXAMPLES_HELD = 9


class Cost(NamedTuple):
    """An estimate of what training takes.

    Attributes:
      videos: training videos with a label and usable features.
      stored_bytes: of their feature files.
      buckets: lengths in snippets that they are padded to.
      padding: share of the padded snippets that belong to no video, in [0, 1).
      memory_bytes: of the examples held and the largest step, beside the program.
      operations: additions and multiplications of all steps of both stages.
    """

    videos: int
    stored_bytes: int
    buckets: tuple[int, ...]
    padding: float
    memory_bytes: int
    operations: float


def training_cost(
    report: validation.Report,
    *,
    manifest: manifest_lib.Manifest,
    annotations: annotations_lib.Annotations,
    config: config_lib.Config,
) -> Cost:
    """Returns what it takes to train on the usable videos of a folder.

    Args:
      report: what `validation.validate` returned.
      manifest: of the folder.
      annotations: of the folder.
      config: numbers of steps and channels.
    """
    ids = [
        video_id
        for video_id in report.lengths
        if annotations.videos[video_id].subset == manifest.train_subset
        and annotations.videos[video_id].categories
    ]
    lengths = [report.lengths[video_id] for video_id in ids]
    buckets = pipeline.buckets_for(lengths, count=config.num_buckets)
    padded = [pipeline.bucket_of(length, buckets) for length in lengths]
    width = manifest.streams.width
    outputs = sum(count.train_videos > 0 for count in report.categories)
    mean = sum(padded) / max(len(padded), 1)
    return Cost(
        videos=len(ids),
        stored_bytes=sum(_stored_bytes(report.folder, manifest, ids)),
        buckets=buckets,
        padding=1 - sum(lengths) / sum(padded) if padded else 0.0,
        memory_bytes=max(buckets, default=0) * _snippet_bytes(width, outputs, config),
        operations=mean * _snippet_operations(width, outputs, config),
    )


def multiplication_rate() -> float:
    """Returns the operations a second of a matrix product on this machine's CPU."""
    a, b = np.ones((2, 1024, 1024), np.float32)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * 1024**3 / min(times)


def _stored_bytes(
    folder: str, manifest: manifest_lib.Manifest, ids: list[str]
) -> list[int]:
    """The size of every feature file of some videos, once each."""
    paths = {
        manifest_lib.feature_path(manifest, stream=stream, video_id=video_id)
        for video_id in ids
        for stream in manifest.streams.names
    }
    return [os.path.getsize(os.path.join(folder, path)) for path in sorted(paths)]


def _snippet_bytes(width: int, categories: int, config: config_lib.Config) -> int:
    """Bytes a padded snippet: its features in every example held, and the step's own.

    A step keeps about two copies of the features, five arrays as wide as the
    generator's channels, and four as wide as the categories.
    """
    step = 2 * width + 5 * config.generator_width + 4 * categories
    return 4 * (_EXAMPLES_HELD * width + step)


def _snippet_operations(
    width: int, categories: int, config: config_lib.Config
) -> float:
    """Operations a padded snippet of all steps of both stages.

    A layer takes one product forward and one for its weights' gradient, and one more
    for its inputs' where these are not the features.
    """
    channels = config.generator_width
    head = 2 * (2 * width * (2 * categories + 1))
    first = 2 * (2 * 3 * width * channels)
    others = 2 * 3 * (2 * 3 * channels * channels)
    steps = config.steps if config.train_generator else 0
    return config.head_steps * head / 2 + steps * (head + first + others)
