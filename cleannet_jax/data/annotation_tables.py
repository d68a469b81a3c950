"""Annotations as CSV, an instance a row. Times are seconds.

Columns are `video,label,start,end`, or `video-name,t-start,t-end,label` as RefineLoc
names them, in any order; `subset`, `duration` (or `video-duration`) and `fps` may be
there too. Without a column `subset` all videos are of `annotations.EVERYTHING`. A row
without times is of the whole video, and one without a label says that nothing is in it.
A label that is a number is kept as its digits.

A table without times at all, `id,labels`, tells what is in whole videos: a video may have
several rows, a row several labels with semicolons between them or in further cells, and
one without a label says nothing of its video.
"""

import math
import os

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import csv_rows, text

_COLUMNS = {
    "video": ("video", "id", "video-name", "video-id", "video_id"),
    "label": ("label", "labels"),
}
_TIMES = {
    "start": ("start", "t-start"),
    "end": ("end", "t-end"),
}
# What all rows of a video must agree on.
_FACTS = {
    "subset": ("subset",),
    "duration": ("duration", "video-duration"),
    "fps": ("fps",),
}


def read_annotations(path: str | os.PathLike) -> annotations_lib.Annotations:
    """Returns the content of a file, videos in the order of their first rows.

    Raises:
      InputError: a column is missing, a row is not an instance, or rows of a video
        differ in what they say of it; the message names the line.
    """
    rows: dict[str, list[annotations_lib.Row]] = {}
    facts: dict[str, tuple[str, ...]] = {}
    names_subsets = None
    columns = _COLUMNS | (_TIMES if _has_times(path) else {})
    spills = "" if "start" in columns else "label"
    for row in csv_rows.read(path, columns, optional=_FACTS, spills=spills):
        place = f"{path}: line {row.line}"
        name = row.cells["video"]
        if not name:
            raise errors.InputError(f"{place}: video: found none, expected a name")
        fact = tuple(row.cells[key] for key in _FACTS)
        if facts.setdefault(name, fact) != fact:
            raise errors.InputError(
                f"{place}: video {name!r}: found {_stated(fact)}, expected"
                f" {_stated(facts[name])} as above"
            )
        names_subsets = bool(fact[0]) if names_subsets is None else names_subsets
        if names_subsets != bool(fact[0]):
            raise errors.InputError(
                f"{place}: found a row {'with' if fact[0] else 'without'} a subset,"
                " expected one in all rows or in none"
            )
        found = _tags(row, place) if spills else _annotations(row, place)
        rows.setdefault(name, []).extend(found)
    videos = {
        name: _video(name, own, facts[name], path, said=not spills or bool(own))
        for name, own in rows.items()
    }
    return annotations_lib.Annotations(videos, str(path))


def _has_times(path: str | os.PathLike) -> bool:
    """Whether the header has a column for either end of a segment."""
    names = [name for spellings in _TIMES.values() for name in spellings]
    header = next(iter(text.read_lines(path)), text.Line("", ""))
    cells = {cell.strip(" \"'").lower() for cell in header.text.split(",")}
    return not cells.isdisjoint(names)


def _tags(row: csv_rows.Row, place: str) -> list[annotations_lib.Row]:
    """The labels that a row gives to its whole video."""
    names = filter(None, map(str.strip, row.cells["label"].split(";")))
    return [annotations_lib.Row(name, None, place) for name in names]


def _annotations(row: csv_rows.Row, place: str) -> list[annotations_lib.Row]:
    """What a row says is in its video."""
    label, *ends = (row.cells[key] for key in ("label", "start", "end"))
    if not any(ends):
        return [annotations_lib.Row(label, None, place)] if label else []
    if not label:
        raise errors.InputError(f"{place}: label: found none, expected a name")
    start, end = (text.finite(value, place) for value in ends)
    # A place is for messages alone, and takes more than the row itself.
    return [annotations_lib.Row(label, (start, end), place if end < start else "")]


def _video(
    name: str,
    rows: list[annotations_lib.Row],
    fact: tuple[str, ...],
    path: str | os.PathLike,
    *,
    said: bool,
) -> annotations_lib.Video:
    """A video from its rows and what they say of it, if anything is said at all."""
    numbers = []
    for key, value in zip(("duration", "fps"), fact[1:], strict=True):
        place = f"{path}: video {name!r}: {key}"
        number = text.finite(value, place) if value else None
        if number is not None and not 0 < number < math.inf:
            raise errors.InputError(f"{place}: found {value}, expected one above 0")
        numbers.append(number)
    return annotations_lib.make_video(
        name,
        rows,
        subset=fact[0] or annotations_lib.EVERYTHING,
        duration=numbers[0],
        fps=numbers[1],
        annotated=said,
    )


def _stated(fact: tuple[str, ...]) -> str:
    """What a row says of its video, for a message."""
    return ", ".join(
        f"{key} {value or 'none'}" for key, value in zip(_FACTS, fact, strict=True)
    )
