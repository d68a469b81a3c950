"""Snippet predictions in a folder: SCPs of any model, with or without attention.

A folder holds ID.npy, (T, N) probabilities, for every video, and scp.json, {"categories":
[N names], "timebase": {ID: {"fps", "stride", "offset"}}}. Beside them there may be
attention/ID.npy, (T,) weights that sum to 1, and video/ID.npy, (N,) video-level
predictions. What is absent is made up for: attention is uniform, and the video-level
prediction of a category is the mean of the eighth of its snippets that is highest.
"""

import contextlib
import dataclasses
import os
import pathlib
import reprlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax import errors
from cleannet_jax.data import arrays, files, folders, pipeline
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.models import predictions
from cleannet_jax.ops import pooling

_INDEX = "scp.json"
_START = ".scp.json"
_PARTS = ("attention", "video", ".")


@dataclasses.dataclass(frozen=True)
class SavedPredictions:
    """A folder of snippet predictions of a dataset's videos.

    Attributes:
      folder: where they are.
      columns: [N] int, the column of each of the dataset's categories.
      num_columns: of every SCP there.
      lengths: T of every video, by id.
    """

    folder: pathlib.Path
    columns: np.ndarray
    num_columns: int
    lengths: dict[str, int]

    def read(self, video_id: str) -> predictions.SnippetPredictions:
        """The predictions of a video's T snippets, NumPy.

        Raises:
          InputError: a file is absent or is not such an array.
        """
        length, name = self.lengths[video_id], f"{video_id}.npy"
        scp = read_scp(self.folder / name, num_categories=self.num_columns)
        if len(scp) != length:
            raise errors.InputError(
                f"{self.folder / name}: found {len(scp)} snippets, expected the "
                f"{length} that the video's features have"
            )
        whole, scp = scp, scp[:, self.columns]
        sap = np.full(length, 1 / length, np.float32)
        if (self.folder / "attention" / name).exists():
            sap = _vector(self.folder / "attention" / name, length)
        video = read_video_scores(self.folder, name, whole)[self.columns]
        return predictions.SnippetPredictions(scp, sap, video, activations=scp)

    def training_arrays(
        self, video_id: str, padded_length: int
    ) -> dict[str, np.ndarray]:
        """SCP and SAP of a training example, padded."""
        found = self.read(video_id)
        return {
            name: pipeline.pad(getattr(found, name), padded_length)
            for name in ("scp", "sap")
        }


def open_for(
    config: config_lib.Config, dataset: dataset_lib.Dataset
) -> SavedPredictions | None:
    """The folder that a config reads its SCPs from, None if it computes them."""
    return open_folder(config.scores, dataset) if config.scores else None


def open_folder(
    folder: str | os.PathLike, dataset: dataset_lib.Dataset
) -> SavedPredictions:
    """Opens a folder of predictions for a dataset.

    Raises:
      InputError: there is no scp.json, or it lacks one of the dataset's categories.
    """
    folder = pathlib.Path(folder)
    categories = read_index(folder / _INDEX)["categories"]
    places = {name: place for place, name in enumerate(categories)}
    missing = [name for name in dataset.categories if name not in places]
    if missing:
        raise errors.InputError(
            f"{folder / 'scp.json'}: categories: found none named {missing[0]!r}, "
            f"expected all {len(dataset.categories)} of {dataset.name}"
        )
    columns = np.array([places[name] for name in dataset.categories])
    lengths = {video.id: video.length for video in dataset.videos.values()}
    return SavedPredictions(folder, columns, len(categories), lengths)


def read_scp(
    path: str | os.PathLike, *, num_categories: int | None = None
) -> np.ndarray:
    """Reads the SCP of one video, (T, N) float32.

    Raises:
      InputError: the file is absent, is not such an array, or has a value that is
        not finite.
    """
    scp = arrays.read_array(path)
    columns = "N" if num_categories is None else num_categories
    arrays.check_floats(scp, place=str(path), shape=("T", columns))
    if not len(scp):
        raise errors.InputError(f"{path}: found no snippet, expected at least 1")
    single = _single(scp)
    wrong = np.argwhere(~np.isfinite(single))
    if len(wrong):
        snippet, category = wrong[0]
        raise errors.InputError(
            f"{path}: snippet {snippet}, category {category}: found "
            f"{scp[snippet, category]}, expected finite probabilities"
        )
    return single


def read_video_scores(folder: pathlib.Path, name: str, scp: np.ndarray) -> np.ndarray:
    """The video-level predictions (N,) beside an SCP (T, N), or made up for.

    Raises:
      InputError: there is a file, and it is not such an array.
    """
    if (folder / "video" / name).exists():
        return _vector(folder / "video" / name, scp.shape[1])
    count = -(-len(scp) // pooling.INSTANCE_SHARE)
    return np.sort(scp, axis=0)[-count:].mean(axis=0)


def read_index(path: str | os.PathLike) -> dict[str, Any]:
    """Reads scp.json of a folder.

    Raises:
      InputError: it is absent, or its categories are not different names.
    """
    index = files.read_json(path)
    categories = index.get("categories") if isinstance(index, dict) else None
    is_list = isinstance(categories, list) and all(
        isinstance(name, str | int) for name in categories
    )
    if not is_list or len(set(map(str, categories))) < len(categories):
        raise errors.InputError(
            f"{path}: categories: found {reprlib.repr(categories)}, expected N different names"
        )
    return index


def check_folder(folder: str | os.PathLike) -> None:
    """Raises an InputError if a folder holds anything else than SCPs.

    It may be one that a command was stopped in while it wrote them.
    """
    folder = pathlib.Path(folder)
    if folder.exists() and not folder.is_dir():
        raise errors.InputError(f"{folder}: found a file, expected a folder")
    marks = (folder / name for name in (_INDEX, _START))
    if not any(mark.exists() for mark in marks) and not folders.is_new(folder):
        raise errors.InputError(
            f"{folder}: found something else there, expected a new folder or one with "
            f"{_INDEX}"
        )


@contextlib.contextmanager
def rewritten(folder: str | os.PathLike) -> Iterator[None]:
    """Opens a folder for writing predictions anew; `write_index` completes it.

    A mark is written first, by which a folder that is not complete is known as ours;
    then scp.json goes, since old and new arrays are no folder of one model.

    Args:
      folder: is made if it is not there; `check_folder` says whether it is for this.

    Raises:
      InputError: another program is in it.
    """
    folder = pathlib.Path(folder)
    folders.make(folder)
    with folders.locked(folder):
        for part in _PARTS:
            folders.remove_remains(folder / part)
        files.write_json(folder / _START, {"what": "snippet predictions, not all yet"})
        (folder / _INDEX).unlink(missing_ok=True)
        for part in _PARTS:
            folders.make(folder / part)
        yield


def write(
    folder: str | os.PathLike, video_id: str, found: predictions.SnippetPredictions
) -> None:
    """Writes the predictions of one video's own snippets; the folder must exist."""
    folder = pathlib.Path(folder)
    values = {"attention": found.sap, "video": found.video, ".": found.scp}
    for part in _PARTS:
        path = folder / part / f"{video_id}.npy"
        with files.open_atomic(path, "wb", is_bulk=True) as file:
            np.save(file, np.asarray(values[part], np.float32))


def write_index(
    folder: str | os.PathLike, dataset: dataset_lib.Dataset, ids: Sequence[str]
) -> None:
    """Writes scp.json for some videos of a dataset: what makes a folder complete."""
    folder = pathlib.Path(folder)
    for part in _PARTS:
        folders.sync(folder / part)
    timebase = {name: dataset.videos[name].timebase._asdict() for name in ids}
    index = {"categories": dataset.categories, "timebase": timebase}
    files.write_json(folder / _INDEX, index)
    (folder / _START).unlink(missing_ok=True)


def _vector(path: pathlib.Path, size: int) -> np.ndarray:
    """Reads (size,) finite floats."""
    values = arrays.read_array(path)
    arrays.check_floats(values, place=str(path), shape=(size,))
    single = _single(values)
    if not np.isfinite(single).all():
        raise errors.InputError(
            f"{path}: found values that are not finite, expected finite ones"
        )
    return single


def _single(values: np.ndarray) -> np.ndarray:
    """The values as float32; those that are beyond it become infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)
