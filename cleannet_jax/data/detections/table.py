"""Detections as CSV, one a row. Times are seconds.

Columns are `video,label,start,end,score`, or `video-id,t-start,t-end,label,score` as
ActionFormer names them, in any order. A label that is a number is kept as its digits.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import csv_rows, files, text
from cleannet_jax.data.detections import columns as columns_lib
from cleannet_jax.metrics import average_precision

COLUMNS = {
    "video": ("video", "video-id"),
    "label": ("label",),
    "start": ("start", "t-start"),
    "end": ("end", "t-end"),
    "score": ("score",),
}


def read_detections(path: str | os.PathLike) -> average_precision.Instances:
    """Returns the detections of a file, [M], in the order of the file.

    Videos and labels are in the order of their first use. Scores may be infinite, since
    their order is what counts.

    Raises:
      InputError: a column is missing, or a row is not a detection; the message names
        the line.
    """
    columns = columns_lib.Columns(path)
    for row in csv_rows.read(path, COLUMNS):
        place = f"{path}: line {row.line}"
        for name in ("video", "label"):
            if not row.cells[name]:
                raise errors.InputError(f"{place}: {name}: found none, expected a name")
        ends = tuple(_finite(row.cells[name], name, place) for name in ("start", "end"))
        score = text.score(row.cells["score"], place)
        columns.add(row.cells["video"], row.cells["label"], ends, score, line=row.line)
    return columns.instances()


def write_detections(
    path: str | os.PathLike, predictions: average_precision.Instances
) -> None:
    """Writes detections as CSV, whole or not at all.

    Numbers keep every digit. Videos without a detection leave no trace, since the
    format has no place for them.

    Args:
      path: where the file is to be; its folder must exist.
      predictions: [M] finite segments with finite scores.

    Raises:
      ValueError: a score or an end of a segment is not finite.
    """
    if not all(np.isfinite(column).all() for column in predictions[4:]):
        raise ValueError("expected finite segments and finite scores")
    rows = zip(*(column.tolist() for column in predictions[2:]), strict=True)
    with files.open_atomic(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(
            (predictions.videos[video], predictions.labels[label], *ends, score)
            for video, label, ends, score in rows
        )


def write_scored(
    path: str | os.PathLike, results: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Writes the rows of a submission as CSV, with a column for each of their scores.

    Args:
      path: where the file is to be; its folder must exist.
      results: by video, rows with `segment`, `label`, `score` and others, which follow.
    """
    names = dict.fromkeys(
        name for rows in results.values() for row in rows for name in row
    )
    more = [name for name in names if name not in ("segment", "label", "score")]
    with files.open_atomic(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *more])
        for video, rows in results.items():
            writer.writerows(
                (
                    *(video, row["label"], *row["segment"], row["score"]),
                    *(row.get(name, "") for name in more),
                )
                for row in rows
            )


def _finite(cell: str, name: str, place: str) -> float:
    """The finite number in a cell."""
    if not cell:
        raise errors.InputError(f"{place}: {name}: found none, expected seconds")
    return text.finite(cell, f"{place}: {name}")
