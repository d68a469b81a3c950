"""Snippet predictions in a folder: SCPs of any model, with or without attention.

A folder holds ID.npy, (T, N) probabilities, for every video, and scp.json, {"categories":
[N names], "timebase": {ID: {"fps", "stride", "offset"}}}. Beside them there may be
attention/ID.npy, (T,) weights that sum to 1, and video/ID.npy, (N,) video-level
predictions. What is absent is made up for: attention is uniform, and the video-level
prediction of a category is the mean of the eighth of its snippets that is highest.
Where we write the folder, scp.json has "digests" too, {ID: of what the video's arrays were
made from and hold}.
"""

import contextlib
import dataclasses
import hashlib
import io
import os
import pathlib
import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax import errors
from cleannet_jax.data import arrays, files, folders, manifest, pipeline, text
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
        return _beside(self.folder, name, scp, self.columns)

    def training_arrays(
        self, video_id: str, padded_length: int
    ) -> dict[str, np.ndarray]:
        """SCP and SAP of a training example, padded."""
        found = self.read(video_id)
        return {
            name: pipeline.pad(getattr(found, name), padded_length)
            for name in ("scp", "sap")
        }


@dataclasses.dataclass(frozen=True)
class ScoreFolder:
    """A folder of snippet predictions of videos of which nothing else is known.

    Attributes:
      folder: where they are.
      categories: names of the N columns of every SCP.
      timebase_of: id -> what turns the video's snippets into seconds; as the function
        that `read_timebases` returns.
    """

    folder: pathlib.Path
    categories: tuple[str, ...]
    timebase_of: Callable[[str], manifest.Timebase]

    def read(self, video_id: str) -> predictions.SnippetPredictions | None:
        """The predictions of a video's snippets, NumPy; None where it has no file.

        Raises:
          InputError: a file is not such an array, or the id is none.
        """
        name = file_name(video_id)
        if not (self.folder / name).exists():
            return None
        scp = read_scp(self.folder / name, num_categories=len(self.categories))
        return _beside(self.folder, name, scp, np.arange(len(self.categories)))


def open_scores(
    folder: str | os.PathLike,
    *,
    snippet_seconds: float | None = None,
    offset_seconds: float = 0.0,
) -> ScoreFolder:
    """Opens a folder of predictions as it is.

    Args:
      folder: with scp.json.
      snippet_seconds: as for `read_timebases`.
      offset_seconds: as there.

    Raises:
      InputError: there is no scp.json that can be used.
    """
    folder = pathlib.Path(folder)
    categories, timebase_of = read_timebases(
        folder / _INDEX, snippet_seconds, offset_seconds
    )
    return ScoreFolder(folder, tuple(map(str, categories)), timebase_of)


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
    if not scp.size:
        what = "category" if len(scp) else "snippet"
        raise errors.InputError(f"{path}: found no {what}, expected at least 1")
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
    if (
        not is_list
        or not categories
        or len(set(map(str, categories))) < len(categories)
    ):
        raise errors.InputError(
            f"{path}: categories: found {reprlib.repr(categories)}, expected N different"
            " names, at least 1"
        )
    return index


def read_timebases(
    path: str | os.PathLike,
    snippet_seconds: float | None = None,
    offset_seconds: float = 0.0,
) -> tuple[list[str], Callable[[str], manifest.Timebase]]:
    """Returns the categories of a folder of SCPs, and what gives a video's time base.

    Args:
      path: of scp.json.
      snippet_seconds: from one snippet to the next in every video; None for what the
        file says of each.
      offset_seconds: where snippet 0 starts, with `snippet_seconds`.

    Raises:
      InputError: as for `read_index`; what was returned raises it of a video whose time
        base is absent or none.
    """
    index = read_index(path)
    categories = index["categories"]
    if snippet_seconds is not None:
        same = manifest.Timebase(fps=1, stride=snippet_seconds, offset=offset_seconds)
        return categories, lambda video: same

    def timebase_of(video: str) -> manifest.Timebase:
        bases = index.get("timebase")
        found = bases.get(video) if isinstance(bases, dict) else bases
        try:
            base = manifest.Timebase(**{name: float(x) for name, x in found.items()})
            if not np.isfinite(base).all() or min(base.fps, base.stride) <= 0:
                raise ValueError
            return base
        except (AttributeError, OverflowError, TypeError, ValueError):
            raise errors.InputError(
                f"{path}: timebase of {text.quoted(video)}: found"
                f" {reprlib.repr(found)}, expected fps, stride "
                "and offset; --snippet-seconds says it for all videos"
            ) from None

    return categories, timebase_of


def file_name(video: str) -> str:
    """Returns the name of a video's array.

    Raises:
      InputError: the id could lead out of the folder.
    """
    if not manifest.is_path_part(video):
        raise errors.InputError(f"video {video!r}: the id cannot be a file name")
    return f"{video}.npy"


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
def rewritten(
    folder: str | os.PathLike, dataset: dataset_lib.Dataset, ids: Sequence[str]
) -> Iterator[Callable[[str, predictions.SnippetPredictions], None]]:
    """Opens a folder for writing predictions anew; the end of the block completes it.

    A mark is written first, by which a folder that is not complete is known as ours;
    then scp.json goes, since old and new arrays are no folder of one model. So go the
    arrays that it lists and that are not written now. The mark lists them too, so that
    they are known after a kill.

    Args:
      folder: is made if it is not there; `check_folder` says whether it is for this.
      dataset: of the videos.
      ids: of the videos.

    Yields:
      What writes the predictions of one video's own snippets.

    Raises:
      InputError: another program is in it.
    """
    folder = pathlib.Path(folder)
    digests: dict[str, str] = {}

    def write(video_id: str, found: predictions.SnippetPredictions) -> None:
        content = _write(folder, video_id, found)
        digests[video_id] = _digest(dataset, video_id, content)

    folders.make(folder)
    with folders.locked(folder):
        for part in _PARTS:
            folders.remove_remains(folder / part)
        before = _listed(folder)
        mark = {"what": "snippet predictions, not all yet"}
        files.write_json(folder / _START, mark | {"ids": sorted(before.union(ids))})
        (folder / _INDEX).unlink(missing_ok=True)
        for name in before.difference(ids):
            for path in _paths(folder, name):
                path.unlink(missing_ok=True)
        for part in _PARTS:
            folders.make(folder / part)
        yield write
        for part in _PARTS:
            folders.sync(folder / part)
        timebase = {name: dataset.videos[name].timebase._asdict() for name in ids}
        index = {"categories": dataset.categories, "timebase": timebase}
        files.write_json(folder / _INDEX, index | {"digests": digests})
        (folder / _START).unlink(missing_ok=True)


def remove_mark(folder: str | os.PathLike) -> None:
    """Removes what a kill at the last instant has left in a folder that is complete."""
    folder = pathlib.Path(folder)
    if (folder / _INDEX).exists():
        (folder / _START).unlink(missing_ok=True)


def is_as_written(
    folder: str | os.PathLike, dataset: dataset_lib.Dataset, ids: Iterable[str]
) -> bool:
    """Whether a folder holds what was written for some videos of a dataset.

    Not so where a bit has flipped, and where features or videos are others now. Folders
    of earlier versions have no digests, and are taken as they are.
    """
    folder = pathlib.Path(folder)
    try:
        index = read_index(folder / _INDEX)
        digests = index.get("digests")
        if digests is None:
            return True
        is_ours = index["categories"] == list(dataset.categories)
        return (
            is_ours
            and isinstance(digests, dict)
            and all(
                digests.get(name)
                == _digest(
                    dataset, name, [x.read_bytes() for x in _paths(folder, name)]
                )
                for name in ids
            )
        )
    except (errors.InputError, FileNotFoundError):
        return False


def _write(
    folder: pathlib.Path, video_id: str, found: predictions.SnippetPredictions
) -> list[bytes]:
    """Writes the files of one video, and returns what they hold."""
    contents = []
    values = (found.sap, found.video, found.scp)
    for path, array in zip(_paths(folder, video_id), values, strict=True):
        content = io.BytesIO()
        np.save(content, np.asarray(array, np.float32))
        with files.open_atomic(path, "wb", is_bulk=True) as file:
            file.write(content.getbuffer())
        contents.append(content.getvalue())
    return contents


def _paths(folder: pathlib.Path, video_id: str) -> list[pathlib.Path]:
    """The files of one video."""
    return [folder / part / f"{video_id}.npy" for part in _PARTS]


def _digest(
    dataset: dataset_lib.Dataset, video_id: str, contents: Iterable[bytes]
) -> str:
    """A digest of a video's files and of the features they come from."""
    found = hashlib.sha256(dataset.digests.get(video_id, b""))
    for content in contents:
        found.update(content)
    return found.hexdigest()


def _listed(folder: pathlib.Path) -> set[str]:
    """Ids of the videos that scp.json, or the mark of a folder in work, speaks of."""
    listed: list[Any] = []
    for mark, key in ((_INDEX, "timebase"), (_START, "ids")):
        with contextlib.suppress(errors.InputError):
            content = files.read_json(folder / mark)
            ids = content.get(key) if isinstance(content, dict) else None
            listed += ids if isinstance(ids, dict | list) else ()
    # Files are removed by these names: none may lead out of the folder.
    names = {name for name in listed if isinstance(name, str) and "/" not in name}
    return {name for name in names if any(map(os.path.lexists, _paths(folder, name)))}


def _beside(
    folder: pathlib.Path, name: str, scp: np.ndarray, columns: np.ndarray
) -> predictions.SnippetPredictions:
    """Some columns of an SCP (T, N), with what is beside it or made up for."""
    length = len(scp)
    sap = np.full(length, 1 / length, np.float32)
    if (folder / "attention" / name).exists():
        sap = _vector(folder / "attention" / name, length)
    video = read_video_scores(folder, name, scp)[columns]
    scp = scp[:, columns]
    return predictions.SnippetPredictions(scp, sap, video, activations=scp)


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
