"""From snippet predictions to the detections of a video (Section 4.1, Inference).

The detectors take `SnippetPredictions` of any origin, so that an SCP's source and what
is done with it stay independent. Times are in snippets until `localize` converts them.
"""

import functools
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax import errors
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import pipeline
from cleannet_jax.data import snippets as snippets_lib
from cleannet_jax.metrics import average_precision
from cleannet_jax.models import classifiers, cleannet, thresholding
from cleannet_jax.ops import nms, segments

Params = Any
Detections = thresholding.Detections


def choose_categories(
    video: jax.Array, *, min_score: float
) -> tuple[jax.Array, jax.Array]:
    """The categories to localize: those above a score, or the best one (R15).

    Args:
      video: [N], a distribution over categories.
      min_score: in (0, 1). No more than 1 / min_score categories can be above it,
        which bounds the work.

    Returns:
      Indices [C] by falling score, and [C] bool, true for those to localize.
    """
    most = min(len(video), max(1, int(1 / min_score)))
    scores, categories = jax.lax.top_k(video, most)
    return categories, (scores > min_score).at[0].set(True)


def detect_by_contrast(
    predictions: cleannet.SnippetPredictions,
    proposals: jax.Array,
    length: jax.Array | int,
    config: config_lib.Config,
) -> tuple[jax.Array, nms.Kept]:
    """Scores the proposals of every chosen category and suppresses overlapping ones.

    Args:
      predictions: of T snippets and N categories.
      proposals: [T, A, 2], those of the anchors at each snippet.
      length: number of valid snippets.
      config: thresholds, and the components that make the score.

    Returns:
      Categories [C], and what was kept of each, [C, max_detections].
    """
    categories, chosen = choose_categories(
        predictions.video, min_score=config.min_video_score
    )
    scp = cleannet.conditioned(predictions.scp[:, categories], length, config)
    flat = proposals.reshape(-1, 2)
    scores = cleannet.evaluate(scp, flat, length, config)  # [C, P]
    interesting = jax.vmap(
        lambda psi: cleannet.anchors_of_interest(psi, predictions.sap, length, config),
        in_axes=1,
    )(scp)
    candidates = jnp.repeat(interesting, proposals.shape[1], axis=1) & chosen[:, None]
    suppress = functools.partial(
        nms.suppress, max_tiou=config.nms_tiou, max_outputs=config.max_detections
    )
    candidate_scores = jnp.where(candidates, scores, -jnp.inf)
    return categories, jax.vmap(suppress, in_axes=(None, 0))(flat, candidate_scores)


def detect_by_threshold(
    predictions: cleannet.SnippetPredictions,
    config: config_lib.Config,
) -> Detections:
    """What the classifier's own paper does, or for SCPs from files what most do.

    Args:
      predictions: of a video's T snippets without padding, NumPy.
      config: names the classifier and holds thresholds.
    """
    if config.classifier == config_lib.SCORES:
        return thresholding.above_midpoint(predictions, config)
    return classifiers.classifier(config).detect(predictions, config)


@functools.partial(jax.jit, static_argnames="config")
def predict_padded(
    params: Params, features: jax.Array, length: jax.Array, config: config_lib.Config
) -> cleannet.SnippetPredictions:
    """Snippet predictions of one padded video.

    Args:
      params: of the classifier.
      features: [T, 2D].
      length: number of valid snippets.
      config: names the classifier.
    """
    return classifiers.classifier(config).predict(params, features, length)


@functools.partial(jax.jit, static_argnames="config")
def _detect_padded(
    generator: Params | None,
    features: jax.Array,
    predictions: cleannet.SnippetPredictions,
    length: jax.Array,
    config: config_lib.Config,
) -> tuple[jax.Array, nms.Kept]:
    """Detections of one padded video by its predictions."""
    proposals = cleannet.generate_proposals(generator, features, length, config)
    return detect_by_contrast(predictions, proposals, length, config)


def localize_video(
    params: Params,
    features: jax.Array,
    length: int,
    config: config_lib.Config,
    predictions: cleannet.SnippetPredictions | None = None,
) -> Detections:
    """The detections of one padded video, in snippets.

    Args:
      params: "head" unless there are predictions, and "generator" where the config
        trains one.
      features: [T, 2D].
      length: number of valid snippets.
      config: the variant decides which detector is used.
      predictions: of the valid snippets; None to compute them.
    """
    if predictions is None:
        padded = predict_padded(params["head"], features, length, config)
    else:
        padded = _padded(predictions, len(features))
    if not (config.action_score or config.edge_scores):
        return detect_by_threshold(unpadded(padded, length), config)
    generator = params["generator"] if config.train_generator else None
    categories, kept = jax.device_get(
        _detect_padded(generator, features, padded, length, config)
    )
    used = kept.scores > -np.inf  # [C, K]
    return Detections(
        kept.segments[used].astype(np.float64),
        np.broadcast_to(categories[:, None], used.shape)[used],
        kept.scores[used].astype(np.float64),
    )


def unpadded(
    predictions: cleannet.SnippetPredictions, length: int
) -> cleannet.SnippetPredictions:
    """The predictions of a video's own snippets, NumPy."""
    scp, sap, video, activations = jax.device_get(predictions)
    return cleannet.SnippetPredictions(
        scp[:length], sap[:length], np.array(video), activations[:length]
    )


def _padded(
    predictions: cleannet.SnippetPredictions, length: int
) -> cleannet.SnippetPredictions:
    """The predictions with zeros after the video's own snippets."""
    scp, sap, video, activations = predictions
    scp, sap, activations = (pipeline.pad(x, length) for x in (scp, sap, activations))
    return cleannet.SnippetPredictions(scp, sap, video, activations)


def localize(
    params: Params,
    dataset: dataset_lib.Dataset,
    ids: Sequence[str],
    config: config_lib.Config,
    *,
    saved: snippets_lib.SavedPredictions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> average_precision.Instances:
    """The detections of several videos, in seconds, by falling score in each video.

    Args:
      params: as for `localize_video`.
      dataset: holds the videos; its categories are those of the head.
      ids: of the videos.
      config: of the model.
      saved: snippet predictions to read instead of computing them.
      progress: called with the number of videos done and of all videos.
    """
    videos = []
    for video_id, example in _examples(dataset, ids, config):
        found = localize_video(
            params,
            example["features"],
            int(example["length"]),
            config,
            saved.read(video_id) if saved else None,
        )
        videos.append(_in_seconds(found, dataset.videos[video_id]))
        if progress:
            progress(len(videos), len(ids))
    return average_precision.Instances(
        videos=tuple(ids),
        labels=dataset.categories,
        video=np.repeat(np.arange(len(ids)), [len(found.scores) for found in videos]),
        label=np.concatenate([found.categories for found in videos]).astype(int),
        segments=np.concatenate([found.segments for found in videos]),
        scores=np.concatenate([found.scores for found in videos]),
    )


def check_scp_folder(folder: str | os.PathLike) -> None:
    """Raises an InputError if a folder holds anything else than SCPs."""
    folder = pathlib.Path(folder)
    foreign = folder.exists() and not (folder / "scp.json").exists()
    if foreign and (not folder.is_dir() or any(folder.iterdir())):
        raise errors.InputError(
            f"{folder}: found something else there, expected a new folder or one with "
            "scp.json"
        )


def write_scp(
    params: Params,
    dataset: dataset_lib.Dataset,
    ids: Sequence[str],
    config: config_lib.Config,
    folder: str | os.PathLike,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes the snippet predictions of several videos as `data.snippets` reads them.

    Args:
      params: as for `localize_video`.
      dataset: holds the videos; its categories are those of the classifier.
      ids: of the videos.
      config: of the model.
      folder: gets ID.npy, (T, N) float32, for every video, what goes with it, and
        scp.json, last.
      progress: called with the number of videos done and of all videos.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for done, (video_id, example) in enumerate(_examples(dataset, ids, config), 1):
        length = int(example["length"])
        padded = predict_padded(params["head"], example["features"], length, config)
        snippets_lib.write(folder, video_id, unpadded(padded, length))
        if progress:
            progress(done, len(ids))
    snippets_lib.write_index(folder, dataset, ids)


def _examples(
    dataset: dataset_lib.Dataset, ids: Sequence[str], config: config_lib.Config
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Videos with their ids, padded to a few lengths."""
    lengths = [dataset.videos[video_id].length for video_id in ids]
    buckets = pipeline.buckets_for(lengths, count=config.num_buckets)
    for example in pipeline.evaluation_pipeline(dataset, ids, buckets=buckets):
        yield ids[example["index"]], example


def _in_seconds(found: Detections, video: dataset_lib.VideoInfo) -> Detections:
    """Detections in seconds inside the video, by falling score."""
    seconds = segments.snippets_to_seconds(found.segments, **video.timebase._asdict())
    end = np.inf if video.duration is None else video.duration
    seconds = np.clip(seconds, 0.0, end)
    order = np.argsort(-found.scores, kind="stable")
    order = order[seconds[order, 1] > seconds[order, 0]]
    return Detections(seconds[order], found.categories[order], found.scores[order])
