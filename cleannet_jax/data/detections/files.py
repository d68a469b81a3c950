"""Detections in files of any format that can be read or written, chosen by its ending."""

import os
import pathlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from cleannet_jax import errors
from cleannet_jax.data import labels
from cleannet_jax.data.detections import actionformer, submission, table, thumos
from cleannet_jax.metrics import average_precision

_Names = Mapping[int, str] | None


class Format(NamedTuple):
    """How detections are read, and written with what is said of their data.

    Attributes:
      read: returns the detections of a file, whose labels that are numbers get names.
      write: None for a format that is only read.
    """

    read: Callable[[str | os.PathLike, _Names], average_precision.Instances]
    write: Callable[..., None] | None


def _reader(
    read_detections: Callable[[str | os.PathLike], average_precision.Instances],
) -> Callable[[str | os.PathLike, _Names], average_precision.Instances]:
    """Reads detections, then names the labels that are numbers."""

    def read_named(
        path: str | os.PathLike, names: _Names
    ) -> average_precision.Instances:
        return labels.name_instances(read_detections(path), names or {})

    return read_named


def _read_thumos(path: str | os.PathLike, names: _Names) -> average_precision.Instances:
    """Reads THUMOS14's text, whose class ids have names of their own."""
    return thumos.read_detections(path, classes=names or thumos.CLASSES)


def _write_thumos(
    path: str | os.PathLike, detections: average_precision.Instances, *, details: str
) -> None:
    """Writes THUMOS14's text, which has no place for details."""
    thumos.write_detections(path, detections)


def _write_table(
    path: str | os.PathLike, detections: average_precision.Instances, *, details: str
) -> None:
    """Writes CSV, which has no place for details."""
    table.write_detections(path, detections)


_JSON = Format(_reader(submission.read_detections), submission.write_detections)
# A file without an ending, such as a pipe, is JSON too.
FORMATS = {
    ".json": _JSON,
    "": _JSON,
    ".txt": Format(_read_thumos, _write_thumos),
    ".csv": Format(_reader(table.read_detections), _write_table),
    ".pkl": Format(_reader(actionformer.read_detections), None),
}


def read(
    path: str | os.PathLike, *, names: Mapping[int, str] | None = None
) -> average_precision.Instances:
    """Returns the detections of a file, [M], in its order.

    Args:
      path: the file.
      names: of the labels that are numbers; None for the format's own.

    Raises:
      InputError: the ending is of no format, or the file is not of its format; the
        message names the first place.
    """
    return FORMATS[_ending(path, FORMATS)].read(path, names)


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
      InputError: the ending is of no format that is written, or a name cannot be
        written in the format.
      ValueError: a score or an end of a segment is not finite.
    """
    check_ending(path)
    function = FORMATS[_ending(path, FORMATS)].write
    if function is not None:
        function(path, detections, details=details)


def check_ending(path: str | os.PathLike) -> None:
    """Raises unless detections can be written under a name, before any work is done.

    Raises:
      InputError: the ending is of no format that is written.
    """
    _ending(path, [name for name, form in FORMATS.items() if form.write is not None])


def check_names(
    path: str | os.PathLike, labels: Iterable[str], videos: Iterable[str]
) -> None:
    """Raises unless such detections can be written there, before any work is done.

    Raises:
      InputError: as `check_ending` does, the folder is not there, or the format has no
        place for a name.
    """
    check_ending(path)
    if not pathlib.Path(path).absolute().parent.is_dir():
        raise errors.InputError(f"{path}: no such folder")
    if _ending(path, FORMATS) == ".txt":
        thumos.check_names(path, labels, videos)


def _ending(path: str | os.PathLike, known: Collection[str]) -> str:
    """The ending of a name, which must be a known one."""
    ending = pathlib.Path(path).suffix.lower()
    if ending in known:
        return ending
    hint = " (cleannet convert --layout autoloc-results reads AutoLoc's)"
    raise errors.InputError(
        f"{path}: found the ending {ending!r}, expected"
        f" {', '.join(name for name in known if name)} or none, for JSON"
        f"{hint if ending == '.pc' else ''}"
    )
