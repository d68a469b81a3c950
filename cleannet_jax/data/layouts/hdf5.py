"""HDF5 files with one two-dimensional dataset a video at the root.

Needs h5py, an optional dependency. Every `open_*` looks at the shapes of all datasets;
values are read only through the `read` of the `Dataset` it returns, which opens the
file anew. Links out of a file are refused, since they could lead to any other file.
"""

import csv
import os
import pathlib
import reprlib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import annotation_files, text
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.feature_files import hdf5_files
from cleannet_jax.data.layouts import layout, stored

_CSV_COLUMNS = (
    "video-name",
    "t-start",
    "t-end",
    "label",
    "video-duration",
    "fps",
    "video-num-frames",
)


class _Repack(NamedTuple):
    """What the features are that RefineLoc's files hold again."""

    stream_order: str
    frames: int  # Both stride and window.
    fps: float | Literal["annotations"]
    source: str


_REPACKS: Mapping[str, _Repack] = {
    "autoloc": _Repack("flow,rgb", 15, "annotations", "UntrimmedNet by AutoLoc"),
    "wtalc-i3d": _Repack("rgb,flow", 16, 25.0, "I3D by W-TALC"),
    "wtalc-unt": _Repack("rgb,flow", 4, 10.0, "UntrimmedNet by W-TALC"),
}


def open_refineloc(
    folder: str | os.PathLike,
    *,
    train_csv: str | os.PathLike,
    evaluation_csv: str | os.PathLike,
    repack_of: str,
    categories: Sequence[str] | None = None,
) -> dataset_lib.Dataset:
    """Opens the layout of RefineLoc: joint (T, 2D) datasets and ground truth in CSV.

    Its files hold the features of other code bases again, in their stream order and
    time base, neither of which the files name. RefineLoc's own code takes the first
    half of the columns for flow, always.

    Args:
      folder: holds the features in .h5 or .hdf5 files.
      train_csv: path of the ground truth of the videos to train on.
      evaluation_csv: path of the ground truth of the videos to evaluate on.
      repack_of: "autoloc", flow first, 15 frames of the native rate; "wtalc-i3d", RGB
        first, 16 frames at 25 fps; "wtalc-unt", RGB first, 4 frames at 10 fps.
      categories: names that a label is the number of, counted from 0, since
        RefineLoc's CSV files have numbers; None to keep labels as they are spelled.

    Raises:
      InputError: a file cannot be used; the message names it and the dataset or row.
    """
    if repack_of not in _REPACKS:
        raise errors.InputError(
            f"repack of: found {repack_of!r}, expected one of {', '.join(_REPACKS)}"
        )
    repack = _REPACKS[repack_of]
    annotations = _read_ground_truth(
        {"training": train_csv, "evaluation": evaluation_csv}, categories
    )
    datasets = _joint_datasets(pathlib.Path(folder))
    ids, notes = layout.matched_ids(
        annotations, datasets, subsets=("training", "evaluation"), place=folder
    )
    found = stored.joint(
        {video_id: datasets[video_id] for video_id in ids}, order=repack.stream_order
    )
    return dataset_lib.create_dataset(
        manifest_lib.Manifest(
            name="RefineLoc",
            streams=found.streams,
            stride_frames=repack.frames,
            window_frames=repack.frames,
            offset_frames=0,
            fps=repack.fps,
            train_subset="training",
            evaluation_subset="evaluation",
            source=f"{repack.source}, as packed again by RefineLoc",
            backbone_trained_on=(),
        ),
        annotations=annotations,
        lengths=found.lengths,
        read_streams=found.read,
        notes=notes,
    )


def open_gtad(
    folder: str | os.PathLike,
    *,
    annotations: str | os.PathLike,
    train_subset: str = "validation",
    evaluation_subset: str = "test",
    fps: float | None = None,
) -> dataset_lib.Dataset:
    """Opens G-TAD's layout of THUMOS14: `{rgb|flow}_{val|test}.h5`, a row a frame.

    Streams of different lengths are cut to the shorter one, as its code does, and a
    note says where.

    Args:
      folder: holds the four files.
      annotations: path of an annotation file, or of a folder of THUMOS14's own.
      train_subset: what the annotations call the videos of `val`.
      evaluation_subset: what they call those of `test`.
      fps: frames a second of every video; None for each video's own `fps`.

    Raises:
      InputError: a file cannot be used, or a frame rate is not known; the message
        names the file and the dataset or video.
    """
    folder = pathlib.Path(folder)
    annotated = annotation_files.read_annotations(annotations)
    parts = [
        (train_subset, _pairs(folder, "val")),
        (evaluation_subset, _pairs(folder, "test")),
    ]
    pairs, notes = layout.matched_files(annotated, parts, place=folder)
    found = stored.separate(pairs)
    return dataset_lib.create_dataset(
        manifest_lib.Manifest(
            name="G-TAD",
            streams=found.streams,
            stride_frames=1,
            window_frames=1,
            offset_frames=0,
            fps=layout.frame_rate(annotated, pairs, fps=fps),
            train_subset=train_subset,
            evaluation_subset=evaluation_subset,
            source="TSN features of G-TAD",
            backbone_trained_on=(),
        ),
        annotations=annotated,
        lengths=found.lengths,
        read_streams=found.read,
        notes=(*notes, *found.notes),
    )


def _datasets(path: pathlib.Path) -> dict[str, stored.Stored]:
    """The datasets at the root of a file by name."""
    with hdf5_files.opened(path) as file:
        for name in file:
            link = type(file.get(name, getlink=True)).__name__
            is_group = link == "HardLink" and not hasattr(file[name], "dtype")
            if link != "HardLink" or is_group:
                raise errors.InputError(
                    f"{path}: {text.quoted(name)}: found a"
                    f" {'group' if is_group else 'link'}, expected a dataset"
                )
        names = list(file)
    datasets = {}
    for name in names:
        found = hdf5_files.open_hdf5(path, name)
        shape = layout.check_shape(found, found.place)
        datasets[name] = stored.Stored(found.place, shape, found.read)
    return datasets


def _joint_datasets(folder: pathlib.Path) -> dict[str, stored.Stored]:
    """The datasets in all HDF5 files of a folder by name."""
    paths = sorted([*folder.glob("*.h5"), *folder.glob("*.hdf5")])
    if not paths:
        raise errors.InputError(f"{folder}: found no .h5 or .hdf5 file")
    datasets: dict[str, stored.Stored] = {}
    for path in paths:
        for name, dataset in _datasets(path).items():
            if name in datasets:
                raise errors.InputError(
                    f"{dataset.place}: is there again as {datasets[name].place}"
                )
            datasets[name] = dataset
    return datasets


def _pairs(folder: pathlib.Path, part: str) -> dict[str, dict[str, stored.Stored]]:
    """The datasets of each stream by name, none of which may lack a stream."""
    places = {name: folder / f"{name}_{part}.h5" for name in ("rgb", "flow")}
    found = {name: _datasets(path) for name, path in places.items()}
    return stored.paired(found, places=places)


def _read_ground_truth(
    paths: Mapping[str, str | os.PathLike], categories: Sequence[str] | None
) -> annotations_lib.Annotations:
    """The annotations in RefineLoc's CSV files, one a subset."""
    videos: dict[str, annotations_lib.Video] = {}
    for subset, path in paths.items():
        found = _read_csv(path, subset, categories)
        for name in sorted(videos.keys() & found.keys()):
            raise errors.InputError(
                f"{path}: video {name!r} is in the ground truth of subset"
                f" {videos[name].subset!r} too"
            )
        videos |= found
    return annotations_lib.Annotations(videos, " and ".join(map(str, paths.values())))


def _read_csv(
    path: str | os.PathLike, subset: str, categories: Sequence[str] | None
) -> dict[str, annotations_lib.Video]:
    """The videos of one CSV file by id."""
    lines = text.read_lines(path)
    header = next(lines, text.Line("", str(path)))
    if tuple(header.text.split(",")) != _CSV_COLUMNS:
        raise errors.InputError(
            f"{header.place}: found the header {reprlib.repr(header.text)}, expected"
            f" {','.join(_CSV_COLUMNS)}"
        )
    facts: dict[str, tuple[float, float]] = {}
    rows: dict[str, list[tuple[tuple[float, float], str]]] = {}
    for line in lines:
        name, segment, label, fact = _csv_row(line, categories)
        if facts.setdefault(name, fact) != fact:
            raise errors.InputError(
                f"{line.place}: video {name!r}: found duration and fps {fact}, expected"
                f" {facts[name]} as above"
            )
        rows.setdefault(name, []).append((segment, label))
    return {
        name: annotations_lib.Video(
            id=name,
            subset=subset,
            duration=facts[name][0],
            fps=facts[name][1],
            segments=np.array([segment for segment, _ in rows[name]], float),
            labels=tuple(label for _, label in rows[name]),
            ambiguous=np.zeros((0, 2)),
        )
        for name in rows
    }


def _csv_row(
    line: text.Line, categories: Sequence[str] | None
) -> tuple[str, tuple[float, float], str, tuple[float, float]]:
    """The video, the segment, the label, and (duration, fps) of a row."""
    try:
        fields = next(csv.reader([line.text]))
    except csv.Error as error:
        raise errors.InputError(f"{line.place}: not a CSV record: {error}") from None
    if len(fields) != len(_CSV_COLUMNS) or not fields[0] or not fields[3]:
        raise errors.InputError(
            f"{line.place}: found {reprlib.repr(line.text)}, expected"
            f" {','.join(_CSV_COLUMNS)}"
        )
    name, start, end, label, *numbers = fields
    duration, fps, frames = (text.finite(number, line.place) for number in numbers)
    if min(duration, fps, frames) <= 0:
        raise errors.InputError(
            f"{line.place}: found {','.join(numbers)}, expected a duration, fps and"
            " number of frames above 0"
        )
    segment = text.segment(start, end, line.place)
    return name, segment, _label(label, line.place, categories), (duration, fps)


def _label(value: str, place: str, categories: Sequence[str] | None) -> str:
    """The name of a category, from its number if names are given."""
    if categories is None:
        return value
    number = text.count(value, place)
    if number >= len(categories):
        raise errors.InputError(
            f"{place}: found label {number}, expected 0 to {len(categories) - 1}"
        )
    return categories[number]
