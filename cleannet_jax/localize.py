"""From features to the detections of many videos (Section 4.1, Inference).

Localizers take `SnippetPredictions` of any origin, so that an SCP's source and what is
done with it stay independent. Times are in snippets until `localize` converts them.
"""

import dataclasses
import functools
import io
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax import distributed, methods
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import pipeline
from cleannet_jax.data import snippets as snippets_lib
from cleannet_jax.localizers import detection, recipes, table, thresholding
from cleannet_jax.metrics import average_precision
from cleannet_jax.models import predictions as predictions_lib
from cleannet_jax.ops import nms, segments

Params = Any
# Of a video: groups of arrays, the detections by each model and then maybe the SCP's.
Result = list[tuple[np.ndarray, ...]]
Detections = thresholding.Detections
Predictions = predictions_lib.SnippetPredictions

# What the two traced functions read of a config.
_PREDICTION = ("classifier",)
_DETECTION = (
    *table.FIELDS,
    "min_video_score",
    "nms_tiou",
    "max_detections",
)

# Videos of each process whose results go to process 0 at a time.
_TOGETHER = 16


class Model(NamedTuple):
    """What localizes.

    Attributes:
      config: names the classifier and the localizer, and holds thresholds.
      params: "head" unless predictions are saved, "generator" where one is trained.
      saved: snippet predictions to read instead of computing them; or None.
    """

    config: config_lib.Config
    params: Params
    saved: snippets_lib.SavedPredictions | None = None


def predict_padded(
    params: Params,
    features: jax.Array,
    length: jax.Array | int,
    streams: streams_lib.Streams,
    config: config_lib.Config,
) -> Predictions:
    """Snippet predictions of one padded video.

    Args:
      params: of the classifier.
      features: [T, D].
      length: number of valid snippets.
      streams: of the features.
      config: names the classifier.
    """
    part = config_lib.part(config, _PREDICTION)
    return _predict_padded(params, features, length, streams, part)


@functools.partial(jax.jit, static_argnames=("streams", "config"))
def _predict_padded(params, features, length, streams, config) -> Predictions:
    return methods.classifier(config).predict(params, features, length, streams)


@functools.partial(jax.jit, static_argnames=("config", "most", "weighed"))
def _detect_padded(
    generator: Params | None,
    features: jax.Array,
    predictions: Predictions,
    length: jax.Array,
    second: float,
    config: config_lib.Part,
    most: int,
    weighed: bool,
) -> tuple[jax.Array, nms.Kept]:
    """Detections of one padded video by its predictions."""
    return detection.detect(
        generator,
        features,
        predictions,
        length,
        config,
        most=most,
        second=second,
        weighed=weighed,
    )


def localize_video(
    params: Params,
    features: jax.Array,
    length: int,
    streams: streams_lib.Streams,
    config: config_lib.Config,
    predictions: Predictions | None = None,
    *,
    second: float = recipes.SECOND,
) -> Detections:
    """The detections of one padded video, in snippets.

    Args:
      params: "head" unless there are predictions, and "generator" where the config
        trains one.
      features: [T, D].
      length: number of valid snippets.
      streams: of the features.
      config: of the method, which decides how.
      predictions: of the valid snippets; None to compute them.
      second: in snippets, which the traps of published recipes read.
    """
    features = jax.device_put(features)  # Once for both programs.
    if predictions is None:
        padded = predict_padded(params["head"], features, length, streams, config)
    else:
        padded = _padded(predictions, len(features))
    return _start(params, features, length, config, padded, second)()


def _start(
    params: Params,
    features: jax.Array,
    length: int,
    config: config_lib.Config,
    padded: Predictions,
    second: float,
) -> Callable[[], Detections]:
    """Begins to localize in one video; what is returned waits for the detections."""
    if table.of(config).kind == "threshold":
        return lambda: methods.detect_by_threshold(unpadded(padded, length), config)
    generator = params["generator"] if config.train_generator else None
    # Whether the head was trained on is of no matter here.
    part = config_lib.part(dataclasses.replace(config, joint=False), _DETECTION)
    most = methods.most_categories(config, padded.scp.shape[1])
    # Only recipes ask: other localizers share their programs.
    weighed = bool(config.recipe) and methods.is_weighed(config)
    found = _detect_padded(
        generator, features, padded, length, second, part, most, weighed
    )

    def wait() -> Detections:
        categories, kept = jax.device_get(found)
        used = kept.scores > -np.inf  # [C, K]
        return Detections(
            kept.segments[used].astype(np.float64),
            np.broadcast_to(categories[:, None], used.shape)[used],
            kept.scores[used].astype(np.float64),
        )

    return wait


def unpadded(predictions: Predictions, length: int) -> Predictions:
    """The predictions of a video's own snippets, NumPy."""
    scp, sap, video, activations = jax.device_get(predictions)
    return Predictions(
        scp[:length], sap[:length], np.array(video), activations[:length]
    )


def _padded(predictions: Predictions, length: int) -> Predictions:
    """The predictions with zeros after the video's own snippets."""
    scp, sap, video, activations = predictions
    scp, sap, activations = (pipeline.pad(x, length) for x in (scp, sap, activations))
    return Predictions(scp, sap, video, activations)


def localize(
    models: Sequence[Model],
    dataset: dataset_lib.Dataset,
    ids: Sequence[str],
    *,
    scp: str | os.PathLike | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[average_precision.Instances]:
    """The detections of several videos, in seconds, by falling score in each video.

    Every video is read once for all models, and classified once for those that share
    a head. While one video is waited for, the next one is computed. Several processes
    share the videos; what process 0 has in the end is, bit for bit, what one would have.

    Args:
      models: of the dataset's categories.
      dataset: holds the videos.
      ids: of the videos.
      scp: folder that gets the snippet predictions of the first model, as
        `data.snippets` reads them: ID.npy for every video and what goes with it, and
        scp.json, last.
      progress: called with the number of videos done and of all videos.

    Returns:
      The detections of each model; on other processes than process 0 none.
    """
    if scp is None or not distributed.is_first():
        return _localize(models, dataset, ids, scp is not None, None, progress)
    snippets_lib.check_folder(scp)
    with snippets_lib.rewritten(scp, dataset, ids) as write:
        return _localize(models, dataset, ids, True, write, progress)


def _localize(
    models: Sequence[Model],
    dataset: dataset_lib.Dataset,
    ids: Sequence[str],
    with_scp: bool,
    write: Callable[[str, Predictions], None] | None,
    progress: Callable[[int, int], None] | None,
) -> list[average_precision.Instances]:
    """The detections of each model; the SCPs of the first one are written."""
    found: list[list[Detections]] = [[] for _ in models]
    results = _gathered(_results(models, dataset, ids, with_scp), len(ids))
    for video_id, result in zip(ids, results, strict=distributed.is_first()):
        for videos, detections in zip(found, result, strict=False):
            videos.append(Detections(*detections))
        if write:
            write(video_id, Predictions(*result[-1]))
        if progress:
            progress(len(found[0]), len(ids))
    if not distributed.is_first():
        return []
    return [_instances(videos, ids, dataset) for videos in found]


def _results(
    models: Sequence[Model],
    dataset: dataset_lib.Dataset,
    ids: Sequence[str],
    with_scp: bool,
) -> Iterator[Result]:
    """Of each video of this process the detections by each model, and the SCP."""
    pending = None
    for video_id, example in _examples(dataset, ids, models[0].config):
        # Once for all programs that read them.
        features, length = jax.device_put(example["features"]), int(example["length"])
        timebase = dataset.videos[video_id].timebase
        second = timebase.fps / timebase.stride
        known: dict[int, Predictions] = {}
        waits, scp = [], []
        for model in models:
            padded = _predictions(model, video_id, features, length, dataset, known)
            waits.append(
                _start(model.params, features, length, model.config, padded, second)
            )
            if with_scp and model is models[0]:
                scp = [unpadded(padded, length)]
        if pending:
            yield _finished(dataset, *pending)
        pending = video_id, waits, scp
    if pending:
        yield _finished(dataset, *pending)


def _finished(
    dataset: dataset_lib.Dataset,
    video_id: str,
    waits: list[Callable[[], Detections]],
    scp: list[Predictions],
) -> Result:
    """Waits for the detections of a video, in seconds."""
    video = dataset.videos[video_id]
    return [*(_in_seconds(wait(), video) for wait in waits), *scp]


def _gathered(own: Iterator[Result], number: int) -> Iterator[Result]:
    """The results of all videos, in their order, on process 0; none on others.

    Args:
      own: those of this process, of every n-th video of n processes.
      number: of all videos.
    """
    count = distributed.count()
    if count == 1:
        yield from own
        return
    for _ in range(0, number, count * _TOGETHER):
        part = list(itertools.islice(own, _TOGETHER))
        parts = [_unpacked(p) for p in distributed.gathered(_packed(part))]
        for row in itertools.zip_longest(*parts):
            yield from (result for result in row if result is not None)
        # What is not written yet is of one round, however fast the others are.
        distributed.wait()


def _packed(results: list[Result]) -> bytes:
    """Results as bytes that `_unpacked` has the same results of."""
    flat = {
        f"{video}/{group}/{place}": array
        for video, result in enumerate(results)
        for group, arrays in enumerate(result)
        for place, array in enumerate(arrays)
    }
    content = io.BytesIO()
    np.savez(content, **flat)
    return content.getvalue()


def _unpacked(content: bytes) -> list[Result]:
    """The results that `_packed` was given, without the names of their parts."""
    results: list[Result] = []
    with np.load(io.BytesIO(content)) as flat:
        for name in flat:
            video, group, _ = map(int, name.split("/"))
            if video == len(results):
                results.append([])
            if group == len(results[video]):
                results[video].append(())
            results[video][group] = (*results[video][group], flat[name])
    return results


def _predictions(
    model: Model,
    video_id: str,
    features: jax.Array,
    length: int,
    dataset: dataset_lib.Dataset,
    known: dict[int, Predictions],
) -> Predictions:
    """Padded predictions of a video; `known` has those of other models by their head."""
    if model.saved:
        return _padded(model.saved.read(video_id), len(features))
    head = model.params["head"]
    if id(head) not in known:
        known[id(head)] = predict_padded(
            head, features, length, dataset.streams, model.config
        )
    return known[id(head)]


def _instances(
    videos: list[Detections], ids: Sequence[str], dataset: dataset_lib.Dataset
) -> average_precision.Instances:
    """The detections of all videos as one table."""
    return average_precision.Instances(
        videos=tuple(ids),
        labels=dataset.categories,
        video=np.repeat(np.arange(len(ids)), [len(found.scores) for found in videos]),
        label=np.concatenate([found.categories for found in videos]).astype(int),
        segments=np.concatenate([found.segments for found in videos]),
        scores=np.concatenate([found.scores for found in videos]),
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
    results = _gathered(_scps(params, dataset, ids, config), len(ids))
    if not distributed.is_first():
        for _ in results:
            pass
        return
    with snippets_lib.rewritten(folder, dataset, ids) as write:
        for done, (video_id, (scp,)) in enumerate(zip(ids, results, strict=True), 1):
            write(video_id, Predictions(*scp))
            if progress:
                progress(done, len(ids))


def _scps(
    params: Params,
    dataset: dataset_lib.Dataset,
    ids: Sequence[str],
    config: config_lib.Config,
) -> Iterator[Result]:
    """The snippet predictions of each video of this process."""
    for _, example in _examples(dataset, ids, config):
        length = int(example["length"])
        padded = predict_padded(
            params["head"], example["features"], length, dataset.streams, config
        )
        yield [unpadded(padded, length)]


def _examples(
    dataset: dataset_lib.Dataset, ids: Sequence[str], config: config_lib.Config
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Videos of this process with their ids, padded to a few lengths."""
    lengths = [dataset.videos[video_id].length for video_id in ids]
    # Of all videos, as what is found depends on the padding by a rounding.
    buckets = pipeline.buckets_for(lengths, count=config.num_buckets)
    own = ids[distributed.index() :: distributed.count()]
    for example in pipeline.evaluation_pipeline(dataset, own, buckets=buckets):
        yield own[example["index"]], example


def _in_seconds(found: Detections, video: dataset_lib.VideoInfo) -> Detections:
    """Detections in seconds inside the video, by falling score."""
    seconds = segments.snippets_to_seconds(found.segments, **video.timebase._asdict())
    end = np.inf if video.duration is None else video.duration
    seconds = np.clip(seconds, 0.0, end)
    order = np.argsort(-found.scores, kind="stable")
    order = order[seconds[order, 1] > seconds[order, 0]]
    return Detections(seconds[order], found.categories[order], found.scores[order])
