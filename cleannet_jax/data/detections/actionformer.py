"""ActionFormer's `eval_results.pkl`, read without unpickling. Times are seconds.

A file is a dict of columns, arrays or lists of one length: `video-id`, `t-start`,
`t-end`, `label` and `score`. Labels are numbers there, kept as their digits.
"""

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import faults
from cleannet_jax.data.layouts import pickled, unpickle_machine
from cleannet_jax.metrics import average_precision

_COLUMNS = ("video-id", "t-start", "t-end", "label", "score")


def read_detections(path: str | os.PathLike) -> average_precision.Instances:
    """Returns the detections of a file, [M], in the order of the file.

    Nothing in the file can run anything: see `layouts.unpickle`.

    Raises:
      InputError: the file holds anything else than such a dict, or a value that is
        not what its column has; the message names the column and the row.
    """
    content = pickled.read_pickle(path)
    if not isinstance(content, dict) or not set(_COLUMNS) <= content.keys():
        found = list(content) if isinstance(content, dict) else type(content).__name__
        raise errors.InputError(
            f"{path}: found {unpickle_machine.shown(found)}, expected a dict of"
            f" {', '.join(_COLUMNS)}"
        )
    columns = {name: _column(content[name], f"{path}: {name}") for name in _COLUMNS}
    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        raise errors.InputError(
            f"{path}: found {sizes}, expected columns of one length"
        )
    videos = _names(columns["video-id"], f"{path}: video-id")
    labels = _names(columns["label"], f"{path}: label")
    start, end = (_numbers(columns[name], f"{path}: {name}") for name in _COLUMNS[1:3])
    segments = np.stack([start, end], axis=1)
    faults.check_order(str(path), segments, lambda row: f"row {row}")
    return average_precision.Instances(
        videos=tuple(dict.fromkeys(videos)),
        labels=tuple(dict.fromkeys(labels)),
        video=_indices(videos),
        label=_indices(labels),
        segments=segments,
        scores=_numbers(columns["score"], f"{path}: score", infinite=True),
    )


def _column(value: Any, place: str) -> list[Any]:
    """The values of a column as Python's own."""
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return value.tolist()
    if not isinstance(value, list | tuple):
        raise errors.InputError(
            f"{place}: found a {type(value).__name__}, expected an array or a list"
        )
    return [item.item() if isinstance(item, np.generic) else item for item in value]


def _names(values: Sequence[Any], place: str) -> list[str]:
    """Names, and numbers as their digits."""
    for row, value in enumerate(values):
        is_name = isinstance(value, str) and value
        if not is_name and (type(value) is not int or value < 0):
            raise errors.InputError(
                f"{place}: row {row}: found {unpickle_machine.shown(value)}, expected a name or"
                " a whole number, 0 or above"
            )
    return [str(value) for value in values]


def _numbers(
    values: Sequence[Any], place: str, *, infinite: bool = False
) -> np.ndarray:
    """[M] float64 numbers."""
    for row, value in enumerate(values):
        # No double holds a whole number of hundreds of digits.
        is_number = type(value) is float or (type(value) is int and abs(value) < 1e300)
        if not is_number or math.isnan(value) or (math.isinf(value) and not infinite):
            raise errors.InputError(
                f"{place}: row {row}: found {unpickle_machine.shown(value)}, expected a number"
            )
    return np.array(values, float)


def _indices(names: Sequence[str]) -> np.ndarray:
    """[M] the position of each name among the different ones."""
    places = {name: index for index, name in enumerate(dict.fromkeys(names))}
    return np.array([places[name] for name in names], int)
