"""Detections in files of any format that can be read and written, chosen by its ending."""

import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

from cleannet_jax.data.detections import submission, thumos
from cleannet_jax.metrics import average_precision


class Format(NamedTuple):
    """How detections are read, and written with what is said of their data."""

    read: Callable[[str | os.PathLike], average_precision.Instances]
    write: Callable[..., None]


def _write_thumos(
    path: str | os.PathLike, detections: average_precision.Instances, *, details: str
) -> None:
    """Writes THUMOS14's text, which has no place for details."""
    thumos.write_detections(path, detections)


# A file with another ending is an ActivityNet submission too.
_OTHER = Format(submission.read_detections, submission.write_detections)
FORMATS = {".json": _OTHER, ".txt": Format(thumos.read_detections, _write_thumos)}


def read(path: str | os.PathLike) -> average_precision.Instances:
    """Returns the detections of a file, [M], in its order.

    Raises:
      InputError: the file is not of its format; the message names the first place.
    """
    return _format(path).read(path)


def write(
    path: str | os.PathLike,
    detections: average_precision.Instances,
    *,
    details: str = "",
) -> None:
    """Writes detections, whole or not at all.

    Args:
      path: where the file is to be; its folder must exist.
      detections: [M] finite segments with finite scores.
      details: what the file is to say of the data that they were made from, where the
        format has a place for it.

    Raises:
      InputError: a name cannot be written in the format.
      ValueError: a score or an end of a segment is not finite.
    """
    _format(path).write(path, detections, details=details)


def _format(path: str | os.PathLike) -> Format:
    return FORMATS.get(pathlib.Path(path).suffix, _OTHER)
