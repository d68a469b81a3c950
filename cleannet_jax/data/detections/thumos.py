"""THUMOS14's own text files: annotations, the class list, and detections.

Annotations lie in one file a category and subset, `{Class}_{val|test}.txt`, a line
`video start end` for each instance; `Ambiguous_{val|test}.txt` is of no category.
Detections are lines `video start end class_id score`. White space separates columns,
and times are seconds.
"""

import os
import pathlib
from collections.abc import Iterable, Mapping

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import files, text
from cleannet_jax.data.detections import columns as columns_lib
from cleannet_jax.metrics import average_precision

# The 20 categories with annotated segments, by their number among UCF101's.
CLASSES: Mapping[int, str] = {
    7: "BaseballPitch",
    9: "BasketballDunk",
    12: "Billiards",
    21: "CleanAndJerk",
    22: "CliffDiving",
    23: "CricketBowling",
    24: "CricketShot",
    26: "Diving",
    31: "FrisbeeCatch",
    33: "GolfSwing",
    36: "HammerThrow",
    40: "HighJump",
    45: "JavelinThrow",
    51: "LongJump",
    68: "PoleVault",
    79: "Shotput",
    85: "SoccerPenalty",
    92: "TennisSwing",
    93: "ThrowDiscus",
    97: "VolleyballSpiking",
}

# What a file name ends in, and what the subset is called elsewhere.
SUBSETS: Mapping[str, str] = {"val": "validation", "test": "test"}


def read_annotations(folder: str | os.PathLike) -> annotations_lib.Annotations:
    """Returns the annotations of the subsets that lie in a folder or below it.

    Videos are in sorted order; the segments of a video are by category, then as in
    its file, which is the order that the kit's matching depends on. Durations and
    frame rates are not in these files and are None.

    Args:
      folder: holds one file for each of the 20 categories of a subset, and may hold
        the ambiguous segments and the other subset.

    Raises:
      InputError: files are missing, there twice or of no category, or a line is not
        a video and a segment; the message names the file and the line.
    """
    paths = _annotation_paths(pathlib.Path(folder))
    rows: dict[str, list[annotations_lib.Row]] = {}
    subsets: dict[str, str] = {}
    for (suffix, label), path in sorted(paths.items()):
        for line in text.read_lines(path):
            video, start, end = text.columns(line, "video start end")
            if subsets.setdefault(video, SUBSETS[suffix]) != SUBSETS[suffix]:
                raise errors.InputError(
                    f"{line.place}: video {video!r} is in the files of"
                    f" {subsets[video]!r} too, expected one subset"
                )
            ends = text.finite(start, line.place), text.finite(end, line.place)
            # A place is for messages alone, and takes more than the row itself.
            place = line.place if ends[1] < ends[0] else ""
            row = annotations_lib.Row(label, ends, place)
            rows.setdefault(video, []).append(row)
    videos = {
        video: annotations_lib.make_video(video, rows[video], subset=subsets[video])
        for video in rows
    }
    return annotations_lib.Annotations(dict(sorted(videos.items())), str(folder))


def read_class_list(path: str | os.PathLike) -> dict[int, str]:
    """Returns the names in a `detclasslist.txt` by their class ids.

    Raises:
      InputError: a line is not a class id and a name, or has an id or a name again.
    """
    classes: dict[int, str] = {}
    names: set[str] = set()
    for line in text.read_lines(path):
        number, name = text.columns(line, "class_id name")
        class_id = text.count(number, line.place)
        if class_id in classes or name in names:
            raise errors.InputError(
                f"{line.place}: found {text.quoted(line.text)}, expected an id and a name that"
                " stand in no line above"
            )
        names.add(name)
        classes[class_id] = name
    return classes


def read_detections(
    path: str | os.PathLike, *, classes: Mapping[int, str] = CLASSES
) -> average_precision.Instances:
    """Returns the detections of a file for the kit, [M], in the order of the file.

    Videos and labels are in the order of their first use. An ending ".mp4" of a
    video's name is dropped, as the kit does. A class id without a name is kept as its
    digits: whoever knows the categories can list all such at once.

    Args:
      path: the file.
      classes: names of the categories by class id.

    Raises:
      InputError: a line is not a detection; the message names it.
    """
    columns = columns_lib.Columns(path)
    for line in text.read_lines(path):
        fields = text.columns(line, "video start end class_id score")
        start, end = (text.finite(field, line.place) for field in fields[1:3])
        class_id = text.count(fields[3], line.place)
        columns.add(
            fields[0].removesuffix(".mp4"),
            classes.get(class_id, str(class_id)),
            (start, end),
            text.score(fields[4], line.place),
            line=line.number,
        )
    return columns.instances()


def write_detections(
    path: str | os.PathLike,
    predictions: average_precision.Instances,
    *,
    classes: Mapping[int, str] = CLASSES,
) -> None:
    """Writes detections for the kit, whole or not at all.

    Numbers keep every digit. Videos without a detection leave no trace, since the
    format has no place for them.

    Args:
      path: where the file is to be; its folder must exist.
      predictions: [M] finite segments with finite scores.
      classes: names of the categories by class id.

    Raises:
      InputError: a label has no class id, or a video's name has white space in it.
      ValueError: a score or an end of a segment is not finite.
    """
    check_names(path, predictions.labels, predictions.videos, classes=classes)
    ids = {name: class_id for class_id, name in classes.items()}
    if not (np.isfinite(predictions.segments).all() and _finite(predictions.scores)):
        raise ValueError("expected finite segments and finite scores")
    columns = (column.tolist() for column in predictions[2:])
    with files.open_atomic(path) as file:
        for video, label, (start, end), score in zip(*columns, strict=True):
            class_id = ids[predictions.labels[label]]
            name = predictions.videos[video]
            file.write(f"{name} {start!r} {end!r} {class_id} {score!r}\n")


def check_names(
    path: str | os.PathLike,
    labels: Iterable[str],
    videos: Iterable[str],
    *,
    classes: Mapping[int, str] = CLASSES,
) -> None:
    """Raises an InputError unless the kit's text has a place for these names."""
    for name in labels:
        if name not in classes.values():
            raise errors.InputError(f"{path}: label {name!r} has no class id")
    for name in videos:
        if name.split() != [name]:
            raise errors.InputError(
                f"{path}: video {name!r}: expected a name without white space"
            )


def _annotation_paths(folder: pathlib.Path) -> dict[tuple[str, str], pathlib.Path]:
    """The files of every subset by its suffix and the label, complete."""
    labels = {*CLASSES.values(), annotations_lib.AMBIGUOUS}
    paths: dict[tuple[str, str], pathlib.Path] = {}
    for path in sorted(folder.rglob("*.txt")):
        label, _, suffix = path.stem.rpartition("_")
        if suffix not in SUBSETS:
            continue
        if label not in labels:
            raise errors.InputError(
                f"{path}: {label!r} is no category of THUMOS14's annotated segments"
            )
        if (suffix, label) in paths:
            raise errors.InputError(f"{path}: is there again as {paths[suffix, label]}")
        paths[suffix, label] = path
    if not paths:
        raise errors.InputError(
            f"{folder}: found no file such as Diving_val.txt or Diving_test.txt"
        )
    for suffix in {suffix for suffix, _ in paths}:
        for label in CLASSES.values():
            if (suffix, label) not in paths:
                raise errors.InputError(
                    f"{folder}: no file {label}_{suffix}.txt, expected one for each of"
                    f" the {len(CLASSES)} categories"
                )
    return paths


def _finite(values: np.ndarray | None) -> bool:
    """Whether there are values, all of them finite."""
    return values is not None and bool(np.isfinite(values).all())
