"""W-TALC's release: one .npy file with the features of all videos, and annotations.

`{name}-{I3D|UNT}-JOINTFeatures.npy` is an array of Python objects, one (T, 2D) array a
video, RGB columns first, then flow. `{name}-Annotations/` holds .npy files with an
entry a video in the same order. I3D snippets are 16 frames at 25 fps, UNT snippets
the mean of 4 frames at 10 fps; both tile the video. 3C-Net, HAM-Net, CO2-Net and DELU
read the same files.
"""

import functools
import math
import mmap
import os
import pathlib
import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import agreement, text
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.layouts import layout, pickled, stored, unpickle_machine

LABELS = ("segments", "labels_all")
IDS = ("videoname", "url")

_SUFFIX = "-JOINTFeatures.npy"
# Of the two data sets: the subset to train on, and the one to evaluate on.
_SUBSETS = (("validation", "test"), ("training", "validation"))
_MEBIBYTE, _GIBIBYTE = 2**20, 2**30
# Beyond these no double is a number of seconds; whole numbers have no end.
_LARGEST = 1e300


class _Entry(NamedTuple):
    """What the annotations say of one video; times are seconds."""

    name: str
    place: str
    subset: str
    duration: float | None
    segments: np.ndarray  # [G, 2] float64
    labels: list[str]  # [G]
    labels_all: list[str]


class _Backbone(NamedTuple):
    """What a snippet is."""

    frames: int
    fps: float
    source: str
    trained_on: tuple[str, ...]


_BACKBONES: Mapping[str, _Backbone] = {
    "I3D": _Backbone(16, 25.0, "I3D features by W-TALC", ("Kinetics",)),
    "UNT": _Backbone(4, 10.0, "UntrimmedNet features by W-TALC", ("ImageNet",)),
}


def open_wtalc(
    folder: str | os.PathLike,
    *,
    features: str | None = None,
    labels: str = "segments",
    ids: str = "videoname",
) -> dataset_lib.Dataset:
    """Opens a folder of the release.

    The features are mapped and read a video at a time, as long as they are stored as
    Python 2 or a current NumPy stores them; a note says where they are not.

    Args:
      folder: holds the features and the folder of annotations.
      features: name of the file of features; None where there is only one.
      labels: where training videos have their labels from: "segments", or
        "labels_all" to do as that code base does, whose videos then have no
        segments. They differ in 28 videos of THUMOS14.
      ids: "videoname", or "url" for the YouTube ids in `url.npy` where names are
        running numbers, as in 3C-Net's ActivityNet.

    Raises:
      InputError: a file is missing or cannot be used; the message names it and the
        video.
    """
    for value, choices in ((labels, LABELS), (ids, IDS)):
        if value not in choices:
            raise errors.InputError(
                f"found {value!r}, expected {' or '.join(map(repr, choices))}"
            )
    path = _feature_file(pathlib.Path(folder), features)
    name, backbone = re.fullmatch(f"(.+)-(I3D|UNT){_SUFFIX}", path.name).groups()
    annotated = path.parent / f"{name}-Annotations"
    names = _names(annotated, ids)
    arrays = _column(path)
    if len(arrays) != len(names):
        raise errors.InputError(
            f"{path}: found {len(arrays)} videos, expected {len(names)} as in"
            f" {annotated}"
        )
    entries = _entries(annotated, names)
    train, evaluation = _subsets(annotated, entries)
    by_id = dict(zip(names, arrays, strict=True))
    found = stored.joint(_stored(path, by_id), order="rgb,flow")
    frames, fps, source, trained_on = _BACKBONES[backbone]
    return dataset_lib.create_dataset(
        manifest_lib.Manifest(
            name=f"W-TALC {name} {backbone}",
            streams=found.streams,
            stride_frames=frames,
            window_frames=frames,
            offset_frames=0,
            fps=fps,
            train_subset=train,
            evaluation_subset=evaluation,
            source=source,
            backbone_trained_on=trained_on,
        ),
        annotations=_annotations(
            annotated, entries, weak=train if labels == "labels_all" else None
        ),
        lengths=found.lengths,
        read_streams=found.read,
        notes=(*_label_notes(entries), *_memory_notes(path, by_id)),
    )


def _feature_file(folder: pathlib.Path, name: str | None) -> pathlib.Path:
    """The file of features that is wanted."""
    found = [
        path.name
        for path in sorted(folder.glob(f"*{_SUFFIX}"))
        if re.fullmatch(f".+-(I3D|UNT){_SUFFIX}", path.name)
    ]
    wanted = [name] if name else found
    if len(wanted) != 1 or wanted[0] not in found:
        raise errors.InputError(
            f"{folder}: found the features {', '.join(found) or 'none'}, expected"
            f" {name or 'one file'}: NAME-I3D{_SUFFIX} or NAME-UNT{_SUFFIX}, the only"
            " one or named by the option features"
        )
    return folder / wanted[0]


def _column(path: pathlib.Path) -> np.ndarray:
    """The array of a file with an entry a video."""
    column = pickled.read_array(path)
    if not column.ndim:
        raise errors.InputError(f"{path}: found a single value, expected one a video")
    return column


def _names(folder: pathlib.Path, ids: str) -> list[str]:
    """The ids of the videos, in the order of all files."""
    path = folder / f"{ids}.npy"
    names = [
        _text(value, f"{path}: entry {index}")
        for index, value in enumerate(_column(path))
    ]
    if ids == "url":
        names = [re.split(r"v=|/", name)[-1] for name in names]
    seen: set[str] = set()
    for index, name in enumerate(names):
        if not manifest_lib.is_path_part(name) or name in seen:
            raise errors.InputError(
                f"{path}: entry {index}: found {reprlib.repr(name)}, expected an id"
                " that can be part of a file name and stands there once"
            )
        seen.add(name)
    return names


def _entries(folder: pathlib.Path, names: Sequence[str]) -> list[_Entry]:
    """What the annotations say of each video."""
    kinds = ["subset", "segments", "labels", "labels_all"]
    if (folder / "duration.npy").exists():
        kinds.append("duration")
    columns = {kind: _column(folder / f"{kind}.npy") for kind in kinds}
    for kind, column in columns.items():
        if len(column) != len(names):
            raise errors.InputError(
                f"{folder / kind}.npy: found {len(column)} entries, expected"
                f" {len(names)}, one a video"
            )
    return [
        _entry(
            name,
            f"{folder}: entry {index} ({name})",
            {kind: column[index] for kind, column in columns.items()},
        )
        for index, name in enumerate(names)
    ]


def _entry(name: str, place: str, row: Mapping[str, Any]) -> _Entry:
    """What the annotations say of one video."""
    segments = _segments(row["segments"], f"{place}: segments")
    labels = _texts(row["labels"], f"{place}: labels")
    if len(labels) != len(segments):
        raise errors.InputError(
            f"{place}: found {len(labels)} labels, expected {len(segments)}, one a"
            " segment"
        )
    return _Entry(
        name=name,
        place=place,
        subset=_text(row["subset"], f"{place}: subset"),
        duration=_duration(row["duration"], place) if "duration" in row else None,
        segments=segments,
        labels=labels,
        labels_all=_texts(row["labels_all"], f"{place}: labels_all"),
    )


def _subsets(folder: pathlib.Path, entries: Sequence[_Entry]) -> tuple[str, str]:
    """The subset to train on and the one to evaluate on."""
    found = {entry.subset for entry in entries}
    for pair in _SUBSETS:
        if found == set(pair):
            return pair
    expected = " or ".join(" and ".join(map(repr, pair)) for pair in _SUBSETS)
    raise errors.InputError(
        f"{folder / 'subset.npy'}: found {agreement.listed(found)}, expected {expected}"
    )


def _annotations(
    folder: pathlib.Path, entries: Sequence[_Entry], *, weak: str | None
) -> annotations_lib.Annotations:
    """The annotations of all videos; those of a weak subset have labels alone."""
    ambiguous = _ambiguous(folder / "Ambiguous_test.txt")
    videos = {
        entry.name: annotations_lib.Video(
            id=entry.name,
            subset=entry.subset,
            duration=entry.duration,
            fps=None,
            segments=np.zeros((0, 2)) if entry.subset == weak else entry.segments,
            labels=() if entry.subset == weak else tuple(entry.labels),
            tags=tuple(entry.labels_all) if entry.subset == weak else (),
            ambiguous=np.array(ambiguous.get(entry.name, []), float).reshape(-1, 2),
        )
        for entry in entries
    }
    return annotations_lib.Annotations(videos, str(folder))


def _ambiguous(path: pathlib.Path) -> dict[str, list[tuple[float, float]]]:
    """The ambiguous segments by video, in seconds; none without the file."""
    segments: dict[str, list[tuple[float, float]]] = {}
    for line in text.read_lines(path) if path.exists() else ():
        video, start, end = text.columns(line, "video start end")
        segments.setdefault(video, []).append(text.segment(start, end, line.place))
    return segments


def _label_notes(entries: Sequence[_Entry]) -> tuple[str, ...]:
    """A note on the videos whose two kinds of labels differ."""
    different = [e.name for e in entries if set(e.labels) != set(e.labels_all)]
    return layout.note(different, "labels_all differs from the labels of the segments")


def _memory_notes(path: pathlib.Path, arrays: Mapping[str, Any]) -> tuple[str, ...]:
    """A note if the features had to be copied out of the file."""
    size = sum(array.nbytes for array in arrays.values() if not _is_mapped(array))
    note = (
        f"{path}: stored by Python 3 in a protocol of Python 2, so that all of it is"
        f" in memory: {size / _GIBIBYTE:.1f} GiB"
    )
    return (note,) if size > _MEBIBYTE else ()


def _is_mapped(array: Any) -> bool:
    """Whether an array is a view of its file."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, memoryview | mmap.mmap)


def _stored(path: pathlib.Path, arrays: Mapping[str, Any]) -> dict[str, stored.Stored]:
    """The arrays of all videos, once they are of features."""
    found = {}
    for name, array in arrays.items():
        place = f"{path}: video {name!r}"
        if not isinstance(array, np.ndarray):
            raise errors.InputError(
                f"{place}: found a {type(array).__name__}, expected an array"
            )
        shape = layout.check_shape(array, place)
        found[name] = stored.Stored(place, shape, functools.partial(np.asarray, array))
    return found


def _text(value: Any, place: str) -> str:
    """Text, which Python 2 has as bytes."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str) or not value:
        raise errors.InputError(f"{place}: found {_shown(value)}, expected text")
    return str(value)


def _texts(values: Any, place: str) -> list[str]:
    """A list of texts, or an array of them."""
    if not isinstance(values, list | tuple | np.ndarray):
        raise errors.InputError(f"{place}: found {_shown(values)}, expected a list")
    return [_text(value, f"{place}[{row}]") for row, value in enumerate(values)]


def _segments(values: Any, place: str) -> np.ndarray:
    """Pairs of seconds, [G, 2] float64."""
    if not isinstance(values, list | tuple | np.ndarray):
        raise errors.InputError(f"{place}: found {_shown(values)}, expected a list")
    pairs = [_segment(value, f"{place}[{row}]") for row, value in enumerate(values)]
    return np.array(pairs, float).reshape(-1, 2)


def _segment(value: Any, place: str) -> tuple[float, float]:
    """One pair of seconds."""
    numbers = list(value) if isinstance(value, list | tuple | np.ndarray) else []
    is_pair = len(numbers) == 2 and all(
        isinstance(number, int | float | np.number) and -_LARGEST < number < _LARGEST
        for number in numbers
    )
    if not is_pair or numbers[1] < numbers[0]:
        raise errors.InputError(
            f"{place}: found {_shown(value)}, expected a start and an end in seconds"
            " that is not before it"
        )
    return float(numbers[0]), float(numbers[1])


def _duration(value: Any, place: str) -> float:
    """Seconds, which stand in an array of one number."""
    is_number = isinstance(value, int | float | np.number | np.ndarray)
    number = np.asarray(value if is_number else "")
    if number.dtype.kind not in "fiu" or number.size != 1 or not 0 < number < math.inf:
        raise errors.InputError(
            f"{place}: duration: found {_shown(value)}, expected seconds above 0"
        )
    return float(number.reshape(()))


def _shown(value: Any) -> str:
    """A value for a message."""
    return unpickle_machine.shown(value)
