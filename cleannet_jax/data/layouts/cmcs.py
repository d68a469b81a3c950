"""CMCS's release: an .npz file a stream and video, several crops of a frame in each.

`{video}-rgb.npz` and `{video}-flow.npz` hold `feature`, (T, B, D, 1, 1) where it is of
UntrimmedNet and (B, T, D) where it is of I3D, for B crops: 1, or 10 that were not
averaged. Names of ActivityNet's files begin with `v_`, which its ids do not have.
"""

import functools
import os
import pathlib
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import annotation_files, arrays
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.layouts import layout, stored

_MEMBER = "feature"


class _Rate(NamedTuple):
    """Frames from a snippet to the next, frames of a snippet, frames a second."""

    stride: int
    window: int
    fps: float | None  # None for that of each video.


# UntrimmedNet sees one frame, or five of flow; its snippets are taken to tile the video.
_RATES: Mapping[tuple[str, str], _Rate] = {
    ("thumos14", "unt"): _Rate(5, 5, None),
    ("thumos14", "i3d"): _Rate(4, 16, None),
    ("activitynet", "unt"): _Rate(15, 15, 25.0),
    ("activitynet", "i3d"): _Rate(16, 16, 25.0),
}
_SUBSETS = {
    "thumos14": ("validation", "test"),
    "activitynet": ("training", "validation"),
}
_SEEN = {"unt": ("ImageNet",), "i3d": ("Kinetics",)}


def open_cmcs(
    folder: str | os.PathLike,
    *,
    annotations: str | os.PathLike,
    dataset: str,
    backbone: str,
    crops: str = "mean",
    fps: float | None = None,
    train_subset: str | None = None,
    evaluation_subset: str | None = None,
) -> dataset_lib.Dataset:
    """Opens a folder of .npz files.

    Windows of I3D on THUMOS14 overlap: snippet t is the 4 frames around the middle of
    its window. Streams of different lengths are cut to the shorter one, and a note
    says where.

    Args:
      folder: holds the .npz files.
      annotations: path of an annotation file, or of a folder of THUMOS14's own.
      dataset: "thumos14", at the rate of each video, or "activitynet", at 25 fps.
      backbone: "unt" or "i3d".
      crops: "mean" for the mean of all crops, or the number of one, counted from 0.
      fps: frames a second of every video of THUMOS14; None for each video's own `fps`.
      train_subset: the subset to train on; None for what is usual for the data set.
      evaluation_subset: the subset to evaluate on; None likewise.

    Raises:
      InputError: a file cannot be used, or a frame rate is not known; the message
        names the file or the video.
    """
    if (dataset, backbone) not in _RATES:
        raise errors.InputError(
            f"found data set {dataset!r} and backbone {backbone!r}, expected one of"
            f" {', '.join(map(repr, _SUBSETS))} and one of {', '.join(map(repr, _SEEN))}"
        )
    folder = pathlib.Path(folder)
    truth = annotation_files.read_annotations(annotations)
    prefix = "v_" if dataset == "activitynet" else ""
    found = _pairs(folder, prefix)
    usual = _SUBSETS[dataset]
    subsets = (train_subset or usual[0], evaluation_subset or usual[1])
    ids, notes = layout.matched_ids(truth, found, subsets=subsets, place=folder)
    features = stored.separate(
        {
            video_id: {
                name: _stored(path, backbone, crops)
                for name, path in found[video_id].items()
            }
            for video_id in ids
        }
    )
    rate = _RATES[dataset, backbone]
    return dataset_lib.create_dataset(
        manifest_lib.Manifest(
            name=f"CMCS {dataset} {backbone}",
            streams=features.streams,
            stride_frames=rate.stride,
            window_frames=rate.window,
            offset_frames=(rate.window - rate.stride) / 2,
            fps=rate.fps or layout.frame_rate(truth, ids, fps=fps),
            train_subset=subsets[0],
            evaluation_subset=subsets[1],
            source=f"features released by CMCS, crops: {crops}",
            backbone_trained_on=_SEEN[backbone],
        ),
        annotations=truth,
        lengths=features.lengths,
        read_streams=features.read,
        notes=(*notes, *features.notes),
    )


def _pairs(folder: pathlib.Path, prefix: str) -> dict[str, dict[str, pathlib.Path]]:
    """The file of each stream of each video, by id, then by stream."""
    found: dict[str, dict[str, pathlib.Path]] = {"rgb": {}, "flow": {}}
    for path in sorted(folder.glob("*.npz")):
        match = re.fullmatch(r"(.+)-(rgb|flow)", path.stem)
        if match:
            found[match[2]][match[1].removeprefix(prefix)] = path
    if not found["rgb"] and not found["flow"]:
        raise errors.InputError(
            f"{folder}: found no file such as NAME-rgb.npz or NAME-flow.npz"
        )
    places = {name: folder / f"{prefix}*-{name}.npz" for name in found}
    return stored.paired(found, places=places)


def _stored(path: pathlib.Path, backbone: str, crops: str) -> stored.Stored:
    """The features of one stream of one video, once the header says that they are."""
    header = arrays.read_member_header(path, _MEMBER)
    shape = header.shape
    is_unt = backbone == "unt"
    if len(shape) != (5 if is_unt else 3) or (is_unt and shape[3:] != (1, 1)):
        expected = "(T, B, D, 1, 1)" if is_unt else "(B, T, D)"
        raise errors.InputError(
            f"{path}: found an array of shape {shape}, expected {expected} for backbone"
            f" {backbone!r}"
        )
    snippets, count = shape[:2] if is_unt else shape[1::-1]
    _check_crops(path, crops, count)
    size = layout.check_shape(header._replace(shape=(snippets, shape[2])), path)
    return stored.Stored(
        str(path), size, functools.partial(_read, path, backbone, crops)
    )


def _check_crops(path: pathlib.Path, crops: str, count: int) -> None:
    """Raises unless the crops wanted are among those of a file."""
    if not count:
        raise errors.InputError(f"{path}: found no crop, expected one at least")
    if crops != "mean" and not (crops.isdecimal() and int(crops) < count):
        raise errors.InputError(
            f"{path}: found {count} crops, expected 'mean' of them or the number of one,"
            f" 0 to {count - 1}, instead of {crops!r}"
        )


def _read(path: pathlib.Path, backbone: str, crops: str) -> np.ndarray:
    """The features of one stream, [T, D], of the dtype they are stored in."""
    values = arrays.read_members(path, _MEMBER)[_MEMBER]
    if backbone == "unt":
        values = values[:, :, :, 0, 0].swapaxes(0, 1)
    if crops != "mean":
        return values[int(crops)]
    mean = values.mean(axis=0, dtype=np.promote_types(values.dtype, np.float32))
    return mean.astype(values.dtype)
