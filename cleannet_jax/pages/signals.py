"""What a run says of one video: SCP, edgeness, attention, proposals, and their scores.

Of detections of a file a folder of SCPs can say it, without any proposals or thresholds.

Times are in snippets here, of T in the video; `times` has their borders in seconds.
Categories are few: those that a page shows.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax import errors, experiment, localize, methods, runs
from cleannet_jax import findings as findings_lib
from cleannet_jax.data import annotation_files, pipeline, snippets
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.layouts import feature_folder
from cleannet_jax.localizers import detection, scoring, table
from cleannet_jax.models import predictions as predictions_lib
from cleannet_jax.ops import contrast, edges

# Arrays are padded to powers of two of at least so many, so that videos share programs.
_SNIPPETS, _CATEGORIES, _SEGMENTS = 256, 4, 4096

# How many proposals of a category are kept, the best.
_BEST = 60


class Parts(NamedTuple):
    """How Eqs. 9 to 12 add up for M segments, each [M]; -inf for a degenerate one.

    Attributes:
      action: s_a, the mean of ψ in the deflated segment (Eq. 9).
      start_edge: mean of the edgeness from the inflated to the deflated start.
      start_before: mean of ψ from the inflated start to the start.
      starting: s_s, their difference (Eq. 10).
      end_edge: mean of the edgeness from the deflated to the inflated end.
      end_after: mean of ψ from the end to the inflated end.
      ending: s_e, minus their sum (Eq. 11).
      contrast: s, s_a + (s_s + s_e) / 2 (Eq. 12).
    """

    action: np.ndarray
    start_edge: np.ndarray
    start_before: np.ndarray
    starting: np.ndarray
    end_edge: np.ndarray
    end_after: np.ndarray
    ending: np.ndarray
    contrast: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Signals:
    """What a run says of a video of T snippets, in C categories.

    Attributes:
      categories: [C] names.
      times: [T + 1] seconds, where snippets begin and end.
      scp: [T, C], smoothed where the run's localizer smooths.
      edgeness: [T, C].
      attention: [T], 1 being the uniform one; None where it is uniform.
      video_scores: [C].
      likely: [T, C] bool, where the run keeps anchors; None where it has no grid.
      is_chosen: [C] bool, whether the run localizes the category here.
      proposals: of each category the best, [P, 2] in snippets.
      proposal_scores: of them, [P], by the run's own evaluator.
      parts: [C] of how the scores of the segments that were asked for add up.
    """

    categories: tuple[str, ...]
    times: np.ndarray
    scp: np.ndarray
    edgeness: np.ndarray
    attention: np.ndarray | None
    video_scores: np.ndarray
    likely: np.ndarray | None
    is_chosen: np.ndarray
    proposals: tuple[np.ndarray, ...]
    proposal_scores: tuple[np.ndarray, ...]
    parts: tuple[Parts, ...]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """What computes the signals of a run's videos, or has read them.

    Attributes:
      config: of the run.
      params: "head" and "generator", those that it has.
      dataset: of the videos.
      saved: SCPs in files.
      findings: what validation found in the data.
    """

    config: config_lib.Config
    params: Any
    dataset: dataset_lib.Dataset
    saved: snippets.SavedPredictions | None = None
    findings: tuple[findings_lib.Finding, ...] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the columns of an SCP."""
        return self.dataset.categories

    def read(self, video_id: str) -> "Predicted | None":
        """What is known of a video's snippets; None where it has no features."""
        info = self.dataset.videos.get(video_id)
        if info is None:
            return None
        return Predicted(*_predict(self, video_id), info.timebase)


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """A folder of SCPs, beside detections of unknown origin.

    Attributes:
      folder: of the SCPs.
    """

    folder: snippets.ScoreFolder

    # Of a method that is not known: nothing is smoothed, and there are no thresholds.
    config = config_lib.Config(**table.settings("threshold"))
    findings: tuple[findings_lib.Finding, ...] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the columns of an SCP."""
        return self.folder.categories

    def read(self, video_id: str) -> "Predicted | None":
        """What is known of a video's snippets; None where it has no SCP."""
        found = self.folder.read(video_id)
        if found is None:
            return None
        none = np.zeros((0, 2), np.float32)
        return Predicted(found, none, self.folder.timebase_of(video_id))


class Predicted(NamedTuple):
    """Predictions of a video's snippets, and proposals [P, 2] in snippets."""

    snippets: predictions_lib.SnippetPredictions
    proposals: np.ndarray
    timebase: manifest_lib.Timebase


def open_model(
    folder: pathlib.Path, description: runs.Description, data: str | None
) -> tuple[Model | None, annotations_lib.Annotations | None, list[str]]:
    """Opens a run and the data that it is of.

    Args:
      folder: of the run.
      description: of it.
      data: feature folder; None for the one that it was trained on.

    Returns:
      The model, the annotations of its data, and lines that say what cannot be had:
      then the model is None.
    """
    config = description.config
    findings: tuple[findings_lib.Finding, ...] = ()
    place = data or description.data
    try:
        if data is None and description.data == experiment.SAMPLE:
            dataset = experiment.open_dataset(config, None)
        elif not os.path.isdir(place):
            return None, None, [_no_data(folder, place)]
        else:
            dataset, findings = _open_folder(pathlib.Path(place), config)
        experiment.check_streams(dataset, description.streams, folder)
        saved = snippets.open_for(config, dataset)
        params = experiment.restore(folder, description)
    except errors.InputError as error:
        return None, None, [f"no SCP or attention is shown: {error}"]
    dataset = dataclasses.replace(dataset, categories=description.categories)
    model = Model(
        config=config, params=params, dataset=dataset, saved=saved, findings=findings
    )
    return model, dataset.annotations, []


def _no_data(folder: pathlib.Path, place: str) -> str:
    return (
        f"no SCP or attention is shown: {folder} was trained on {place}, which is no"
        " folder here; name where it is now with --data"
    )


def _open_folder(
    folder: pathlib.Path, config: config_lib.Config
) -> tuple[dataset_lib.Dataset, tuple[findings_lib.Finding, ...]]:
    """The dataset in a feature folder, and what validation finds in it."""
    manifest = experiment.read_manifest(folder, config.manifest)
    annotations = annotation_files.read_for(folder, manifest)
    report = experiment.validated(
        folder, manifest, annotations, scales=config.feature_scales
    )
    dataset = feature_folder.open_feature_folder(
        folder, manifest=manifest, annotations=annotations
    )
    return dataset_lib.scaled(dataset, config.feature_scales), report.findings


def signals(
    model: Model | Scores,
    video_id: str,
    categories: Sequence[str],
    segments: np.ndarray | Sequence[Sequence[float]] = (),
) -> Signals | None:
    """Returns what a run says of a video; None where it has no features.

    Args:
      model: of the run, or SCPs beside a file.
      video_id: of the video.
      categories: [C] names of those wanted; those that the run lacks are left out.
      segments: [M, 2] in seconds, to be scored in each of them.

    Raises:
      InputError: the video's files cannot be read.
    """
    read = model.read(video_id)
    if read is None:
        return None
    predicted, proposals, base = read
    places = {name: place for place, name in enumerate(model.categories)}
    kept = tuple(name for name in dict.fromkeys(categories) if name in places)
    columns = np.array([places[name] for name in kept], int)
    length, config = len(predicted.scp), model.config
    times = (np.arange(length + 1) * base.stride + base.offset) / base.fps
    scp, likely, edgeness = _along_time(predicted, columns, length, config)
    wanted = to_snippets(times, np.asarray(segments, float).reshape(-1, 2))
    best, parts = _scored(scp, wanted, proposals, length, config)
    sap = np.asarray(predicted.sap) * length
    chosen = _chosen(np.asarray(predicted.video), config)
    is_grid = table.of(config).propose is not None
    return Signals(
        categories=kept,
        times=times,
        scp=scp,
        edgeness=edgeness,
        attention=sap if np.ptp(sap) > 1e-3 else None,
        video_scores=np.asarray(predicted.video)[columns],
        likely=likely if is_grid else None,
        is_chosen=np.isin(columns, chosen),
        proposals=tuple(rows for rows, _ in best),
        proposal_scores=tuple(scores for _, scores in best),
        parts=parts,
    )


def _chosen(video: np.ndarray, config: config_lib.Config) -> np.ndarray:
    """The categories that a run localizes, by their scores [N] in the video."""
    most = methods.most_categories(config, len(video))
    categories, chosen = detection.choose_categories(
        jnp.asarray(video), min_score=config.min_video_score, most=most
    )
    return np.asarray(categories)[np.asarray(chosen)]


def _predict(
    model: Model, video_id: str
) -> tuple[predictions_lib.SnippetPredictions, np.ndarray]:
    """The run's predictions of a video, and its proposals [P, 2]."""
    none = np.zeros((0, 2), np.float32)
    if model.saved is not None:
        return model.saved.read(video_id), none
    config, streams = model.config, model.dataset.streams
    features = model.dataset.read(video_id)
    length = len(features)
    padded = pipeline.pad(features, _padded(length, _SNIPPETS))
    predicted = localize.predict_padded(
        model.params["head"], jnp.asarray(padded), length, streams, config
    )
    propose = table.of(config).propose
    if propose is not None:
        grid = propose(model.params.get("generator"), padded, length, config)
        none = np.asarray(grid)[:length].reshape(-1, 2)
    return localize.unpadded(predicted, length), none


def _along_time(
    predicted: predictions_lib.SnippetPredictions,
    columns: np.ndarray,
    length: int,
    config: config_lib.Config,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """SCP, where anchors are kept, and edgeness, each [T, C]."""
    scp = _filled(np.asarray(predicted.scp)[:, columns])
    sap = pipeline.pad(np.asarray(predicted.sap, np.float32), len(scp))
    part = config_lib.part(config, _READ)
    found = jax.device_get(_conditioned(scp, sap, length, part))
    own = slice(None, length), slice(None, columns.size)
    return found[0][own], found[1][own], found[2][own]


_READ = ("smooth", "smoothing_width", "min_scp", "min_attention")


@functools.partial(jax.jit, static_argnames="config")
def _conditioned(scp, sap, length, config):
    scp = scoring.conditioned(scp, length, config)
    likely = jax.vmap(
        lambda psi: scoring.anchors_of_interest(psi, sap, length, config),
        in_axes=1,
        out_axes=1,
    )(scp)
    edgeness = jax.vmap(
        lambda psi: edges.edgeness(psi, length=length), in_axes=1, out_axes=1
    )(scp)
    return scp, likely, edgeness


def _padded(count: int, least: int) -> int:
    """The power of two times `least` that holds so many."""
    while least < count:
        least *= 2
    return least


def _filled(scp: np.ndarray) -> np.ndarray:
    """An SCP [T, C] with zeros after it, so that pages share programs."""
    shape = _padded(len(scp), _SNIPPETS), _padded(scp.shape[1], _CATEGORIES)
    filled = np.zeros(shape, np.float32)
    filled[: len(scp), : scp.shape[1]] = scp
    return filled


def _scored(
    scp: np.ndarray,
    wanted: np.ndarray,
    proposals: np.ndarray,
    length: int,
    config: config_lib.Config,
) -> tuple[list[tuple[np.ndarray, np.ndarray]], tuple[Parts, ...]]:
    """Of each category the best proposals with their scores, and parts of `wanted`."""
    # Anchors reach out of the video and repeat there when they are clipped.
    proposals = np.unique(np.asarray(proposals, np.float32), axis=0)
    start, end = wanted.T
    quarter = (end - start) / 4
    before = np.stack([start - quarter, start], axis=1)
    after = np.stack([end, end + quarter], axis=1)
    rows = np.concatenate([wanted, before, after, proposals])
    own = table.of(config).scores or ("contrast",)
    values = _evaluated(scp, rows, tuple(dict.fromkeys((*_NAMES, *own))), length)
    first = 3 * len(wanted)
    best = []
    for scores in np.sum([values[name][:, first:] for name in own], axis=0):
        order = np.argsort(-scores, kind="stable")[:_BEST]
        order = order[np.isfinite(scores[order])]
        best.append((proposals[order], scores[order]))
    cut = [slice(index * len(wanted), (index + 1) * len(wanted)) for index in range(3)]
    parts = tuple(
        _parts({name: value[column] for name, value in values.items()}, cut)
        for column in range(scp.shape[1])
    )
    return best, parts


_NAMES = ("action", "starting", "ending", "contrast", "mean")


@np.errstate(invalid="ignore")  # Of degenerate segments.
def _parts(values: Mapping[str, np.ndarray], cut: Sequence[slice]) -> Parts:
    """The parts of segments, from the scores of them and of both their flanks."""
    own, before, after = cut
    starting, ending = values["starting"][own], values["ending"][own]
    return Parts(
        action=values["action"][own],
        start_edge=starting + values["mean"][before],
        start_before=values["mean"][before],
        starting=starting,
        end_edge=-(ending + values["mean"][after]),
        end_after=values["mean"][after],
        ending=ending,
        contrast=values["contrast"][own],
    )


def _evaluated(
    scp: np.ndarray, rows: np.ndarray, names: Sequence[str], length: int
) -> dict[str, np.ndarray]:
    """Scores [C, P] by name."""
    filled = np.full((_padded(len(rows), _SEGMENTS), 2), np.nan, np.float32)
    filled[: len(rows)] = rows
    found = contrast.evaluate_some(_filled(scp), filled, names, length=length)
    return {
        name: np.asarray(values)[: scp.shape[1], : len(rows)]
        for name, values in found.items()
    }


def to_snippets(times: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Seconds as fractional snippets, from the borders of snippets in seconds."""
    step = (times[-1] - times[0]) / (len(times) - 1)
    return (np.asarray(seconds, float) - times[0]) / step
