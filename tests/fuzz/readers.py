"""The readers: what is done with a file of each ending."""

import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from cleannet_jax import errors
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import (
    annotation_files,
    arrays,
    files,
    labels,
    manifest,
    recovered_heads,
    snippets,
)
from cleannet_jax.data.detections import (
    actionformer,
    ssn,
    submission,
    table,
    thumos,
)
from cleannet_jax.data.feature_files import found as found_lib
from cleannet_jax.data.feature_files import shards
from cleannet_jax.data.feature_files import table as kinds
from cleannet_jax.data.layouts import autoloc_truth, layout, pickled
from cleannet_jax.features import caffe, weights

_STREAMS = streams_lib.Streams(("rgb", "flow"), (3, 2))
_Path = pathlib.Path


def _features(path: _Path) -> None:
    """Everything in a file of features."""
    for name in ("", "a", "v1", "g/v2"):
        _quietly(_feature, path, name)


def _feature(path: _Path, name: str) -> None:
    found = kinds.kind_of(str(path)).open(path, name)
    values = found_lib.as_features(found, width=3).read()
    assert values.shape[1:] and np.asarray(values).dtype.kind == "f"


def _records(path: _Path) -> None:
    """The second array of a shard."""
    place = shards._Place(str(path.with_suffix("")), 1, np.dtype("<f4"), (4, 3))
    assert shards._read(str(path), place).shape == (4, 3)


def _npy(path: _Path) -> None:
    for read in (snippets.read_scp, arrays.map_array, pickled.read_array, _features):
        _quietly(read, path)
    _quietly(lambda: layout.check_shape(arrays.read_header(path), path))


def _npz(path: _Path) -> None:
    _features(path)
    _quietly(arrays.read_members, path)
    _quietly(
        lambda: recovered_heads.read(path, categories=("run", "jump"), streams=_STREAMS)
    )


def _pickle(path: _Path) -> None:
    _quietly(actionformer.read_detections, path)
    _quietly(
        lambda: list(autoloc_truth.read_frames(path, ("run", "jump"), ("video-id",)))
    )
    content = pickled.read_pickle(path)
    pickled.frame_columns(content, place=str(path))


def _results(path: _Path) -> None:
    for read in (submission.read_detections, submission.read_proposals):
        _quietly(read, path)


def _names(path: _Path) -> None:
    for read in (labels.read_names, thumos.read_class_list):
        _quietly(read, path)


def _ssn(path: _Path) -> None:
    durations = {"v1": 9.5, "v2": None}
    for _ in ssn.read_proposals(path, durations=durations, categories=("run", "jump")):
        pass


def _json(path: _Path) -> None:
    _quietly(lambda: list(files.iterate_json(path, "database")))
    files.read_json(path)


def _quietly(read: Callable[..., object], *arguments: object) -> None:
    """Reads a file that others are to read too; a refusal must be a short line."""
    try:
        read(*arguments)
    except errors.InputError as error:
        check(error)


def check(error: errors.InputError) -> None:
    """Raises an AssertionError unless a refusal is one short line about the file."""
    message = str(error)
    assert "\n" not in message and len(message) < 4100, f"message: {message[:300]!r}"
    assert "input" in message, f"message without the file: {message[:300]!r}"


READERS: Mapping[str, tuple[str, Callable[[_Path], None]]] = {
    "npy": (".npy", _npy),
    "npz": (".npz", _npz),
    "torch": (".pt", _features),
    "pickle": (".pkl", _pickle),
    "hdf5": (".h5", _features),
    "arrayrecord": (".arrayrecord", _records),
    "caffemodel": (".caffemodel", caffe.read_caffemodel),
    "safetensors": (".safetensors", weights.read_state),
    "features-csv": ("features.csv", _features),
    "json": ("annotations.json", _json),
    "annotations": ("annotations.json", annotation_files.read_annotations),
    "annotations-csv": ("annotations.csv", annotation_files.read_annotations),
    "results": ("results.json", _results),
    "results-csv": ("results.csv", table.read_detections),
    "thumos": ("thumos.txt", thumos.read_detections),
    "ssn": ("ssn.txt", _ssn),
    "names": ("names.txt", _names),
    "manifest": ("manifest.json", manifest.read_manifest),
    "scp-index": ("scp.json", snippets.read_index),
}
