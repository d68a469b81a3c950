"""The rows of AutoLoc's TSV files: one video each, found and read one at a time.

A row has five columns between tabs: the video's number, its labels (counted from 1),
and of its T snippets the features (2 x 1024), the class activations (2 x N, after
UntrimmedNet's softmax) and the attention logits (2 x 1), **flow first, then RGB**, as
text with semicolons between numbers. A row is megabytes long: files are mapped, and
one column of one row is read at a time. What leaves here is RGB first, then flow.
"""

import mmap
import os
import pathlib
import re
import reprlib
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import arrays, recovered_heads, text

# Width of UntrimmedNet's features, once a stream.
WIDTH = 1024

_COLUMNS = ("video", "labels", "features", "activations", "attention")
_LABELS = re.compile(r"([1-9]\d{0,3}(;[1-9]\d{0,3})*)?")
# The first two columns are never longer, and rows are looked for in such blocks.
_HEAD_BYTES = 4096
_BLOCK_BYTES = 1 << 20


class Place(NamedTuple):
    """Where the row of one video is, and its first two columns.

    Attributes:
      path: the TSV file.
      number: of the row in it, from 1.
      start: where the row begins, in bytes.
      stop: where the next one does, or the file ends.
      video: the video's number.
      labels: its categories, counted from 0.
    """

    path: pathlib.Path
    number: int
    start: int
    stop: int
    video: int
    labels: tuple[int, ...]

    def __str__(self) -> str:
        """The place as messages name it."""
        return f"{self.path}: row {self.number} (video {self.video})"


def find_files(folder: str | os.PathLike) -> dict[str, list[pathlib.Path]]:
    """Returns the TSV files by stage: the one of all videos, or those of single ones.

    Args:
      folder: holds `{stage}.all.tsv` or `{stage}.{number}.tsv`, itself or in a folder
        `att_unfused*`.

    Raises:
      InputError: there is no such file, or that of all videos is there twice.
    """
    folder = pathlib.Path(folder)
    found: dict[str, list[pathlib.Path]] = {}
    for path in sorted([*folder.glob("*.tsv"), *folder.glob("att_unfused*/*.tsv")]):
        match = re.fullmatch(r"(train|val|test)\.(all|\d+)\.tsv", path.name)
        if match:
            found.setdefault(match[1], []).append(path)
    if not found:
        raise errors.InputError(
            f"{folder}: found no file such as val.all.tsv or val.0000051.tsv, there or"
            " in a folder att_unfused in it"
        )
    for stage, paths in found.items():
        whole = [path for path in paths if path.name.endswith(".all.tsv")]
        if len(whole) > 1:
            raise errors.InputError(f"{whole[1]}: is there again as {whole[0]}")
        found[stage] = whole or paths
    return found


def find_rows(path: pathlib.Path) -> Iterator[Place]:
    """Yields where the rows of a file are.

    The `.lineidx` beside it says so, or the file is looked through once.

    Raises:
      InputError: the first columns of a row are no number and labels, or an offset in
        the `.lineidx` is not the start of a row.
    """
    content = arrays.map_file(path)
    index = path.with_suffix(".lineidx")
    if index.exists():
        starts = _read_index(index, path, content)
    else:
        starts = _row_starts(content)
    stops = [*starts[1:], len(content)]
    for number, (start, stop) in enumerate(zip(starts, stops, strict=True), start=1):
        head = content[start : min(stop, start + _HEAD_BYTES)]
        yield Place(path, number, start, stop, *_first_columns(head, path, number))


def count_snippets(place: Place) -> int:
    """Returns T as the last column of a row tells it, the only one that is short.

    A row that was cut has any T; `read_row` refuses it.
    """
    content = arrays.map_file(place.path)
    start = content.rfind(b"\t", place.start, place.stop) + 1
    numbers = content[start : place.stop].rstrip(b";\r\n").count(b";") + 1
    return max(1, numbers // 2)


def read_row(place: Place, *, num_categories: int) -> recovered_heads.Outputs:
    """Returns all numbers of a row.

    Args:
      place: of the row.
      num_categories: N.

    Raises:
      InputError: a column is missing, is not of numbers, or has more or fewer of them
        than T snippets have; a row that was cut anywhere is one of these.
    """
    content = arrays.map_file(place.path)
    ends = _column_ends(content, place)
    sizes = {"features": WIDTH, "activations": num_categories, "attention": 1}
    both, length = [], None
    for column, size in sizes.items():
        values = _numbers(content, place, ends, column)
        if length is None:
            length = max(1, round(values.size / (2 * size)))
        if values.size != 2 * size * length:
            raise errors.InputError(
                f"{place}: {column}: found {values.size} numbers, expected"
                f" {2 * size * length}: {length} snippets of 2 x {size}"
            )
        streams = values.reshape(length, 2, size).swapaxes(0, 1)
        both.append(np.ascontiguousarray(streams[::-1]))  # Flow was first.
    features, probabilities, attention = both
    return recovered_heads.Outputs(features, probabilities, attention[:, :, 0])


def _row_starts(content: mmap.mmap) -> list[int]:
    """Where rows begin, in bytes: at the start, and after every line end but the last."""
    starts = [0]
    for offset in range(0, len(content), _BLOCK_BYTES):
        block = np.frombuffer(content[offset : offset + _BLOCK_BYTES], np.uint8)
        starts += (np.flatnonzero(block == ord("\n")) + offset + 1).tolist()
    return starts if starts[-1] < len(content) else starts[:-1]


def _read_index(
    index: pathlib.Path, path: pathlib.Path, content: mmap.mmap
) -> list[int]:
    """The offsets in a `.lineidx`, once each is known to be the start of a row."""
    starts: list[int] = []
    for line in text.read_lines(index):
        start = text.count(line.text.split()[0], line.place)
        if starts:
            is_next = starts[-1] < start < len(content)
            is_next = is_next and content[start - 1 : start] == b"\n"
        else:
            is_next = start == 0
        if not is_next:
            raise errors.InputError(
                f"{line.place}: found offset {start}, expected the start of the next"
                f" row of {path}; without this file the rows are looked for"
            )
        starts.append(start)
    return starts


def _first_columns(
    head: bytes, path: pathlib.Path, number: int
) -> tuple[int, tuple[int, ...]]:
    """The number of the video, and its labels counted from 0."""
    video, _, rest = head.decode("latin-1").partition("\t")
    place = f"{path}: row {number}"
    if not re.fullmatch(r"\d{1,9}", video):
        raise errors.InputError(
            f"{place}: found {reprlib.repr(video)}, expected the number of a video"
        )
    labels = rest.partition("\t")[0].strip()
    if not _LABELS.fullmatch(labels):
        raise errors.InputError(
            f"{place} (video {video}): labels: found {reprlib.repr(labels)}, expected"
            " numbers from 1 with semicolons between them"
        )
    return int(video), tuple(int(label) - 1 for label in labels.split(";") if label)


def _column_ends(content: mmap.mmap, place: Place) -> list[int]:
    """Where the columns of a row end; the first entry is where column 0 begins, less 1."""
    ends = [place.start - 1]
    while ends[-1] < place.stop and len(ends) <= len(_COLUMNS):
        end = content.find(b"\t", ends[-1] + 1, place.stop)
        ends.append(place.stop if end < 0 else end)
    if len(ends) != len(_COLUMNS) + 1 or ends[-1] != place.stop:
        found = len(ends) - 1 if ends[-1] == place.stop else "more than 5"
        raise errors.InputError(
            f"{place}: found {found} columns, expected {len(_COLUMNS)}:"
            f" {', '.join(_COLUMNS)}"
        )
    return ends


def _numbers(
    content: mmap.mmap, place: Place, ends: Sequence[int], name: str
) -> np.ndarray:
    """The numbers of one column, [size] float32."""
    column = _COLUMNS.index(name)
    cell = content[ends[column] + 1 : ends[column + 1]]
    try:
        # Before 2.3 NumPy warns about what it cannot read and returns the rest.
        with warnings.catch_warnings(action="error"):
            return np.fromstring(cell, dtype=np.float32, sep=";")
    except (ValueError, DeprecationWarning):
        raise errors.InputError(
            f"{place}: {name}: found something else than numbers with semicolons"
            " between them"
        ) from None
