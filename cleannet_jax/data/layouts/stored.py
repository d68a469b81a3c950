"""Features as layouts store them: all streams in one array, or an array a stream.

A joint array is one row a snippet, with all streams in its columns. Which columns are
whose is declared and never looked for in the data: "rgb,flow" or "flow,rgb" for two
halves, one name for one stream, and names with widths, "rgb:1024,flow:512,pose:34", for
any others.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.layouts import layout

ORDERS = ("rgb,flow", "flow,rgb")


class Stored(NamedTuple):
    """An array of features that was not read yet.

    Attributes:
      place: what messages call it, usually its path.
      shape: (T, columns).
      read: returns it.
    """

    place: str
    shape: tuple[int, int]
    read: Callable[[], np.ndarray]


class Features(NamedTuple):
    """The features of some videos, in a manifest's terms.

    Attributes:
      streams: RGB first.
      lengths: T by id.
      read: id -> an array for each stream, (T, its width), as it is stored.
      notes: what a person should know, a line each.
    """

    streams: streams_lib.Streams
    lengths: dict[str, int]
    read: Callable[[str], tuple[np.ndarray, ...]]
    notes: tuple[str, ...] = ()


def parse_order(order: str) -> tuple[tuple[str, int | None], ...]:
    """Returns the names and widths of streams in the order of their columns.

    A width is None where the columns that there are say it: for one stream, or for the
    halves of `ORDERS`.

    Raises:
      InputError: it is anything else, or has a name twice.
    """
    fields = [field.partition(":") for field in order.split(",")]
    names = [name for name, _, _ in fields]
    whole = order in ORDERS or (len(fields) == 1 and ":" not in order)
    has_widths = all(re.fullmatch("[1-9][0-9]{0,6}", width) for _, _, width in fields)
    is_free = all(map(manifest_lib.is_path_part, names)) and len(names) == len(
        {name.casefold() for name in names}
    )
    if not is_free or not (whole or has_widths):
        raise errors.InputError(
            f"stream order: found {order!r}, expected {' or '.join(map(repr, ORDERS))}"
            " for two halves, a name for one stream, or names with widths, such as"
            " 'rgb:1024,flow:512'"
        )
    return tuple((name, int(width) if width else None) for name, _, width in fields)


def joint(arrays: Mapping[str, Stored], *, order: str) -> Features:
    """Returns features whose streams stand side by side in one array.

    Args:
      arrays: of each video, by id; at least one.
      order: of the columns, see `parse_order`.

    Raises:
      InputError: two arrays differ in width, one cannot be halved, or the widths do not
        add up to its columns.
    """
    order = parse_order(order)
    width = _common_width(arrays.values())
    place = next(iter(arrays.values())).place
    names, declared = zip(*order, strict=True)
    widths = [width // len(names) if part is None else part for part in declared]
    if sum(widths) != width:
        each = " and ".join(f"{part} of {name!r}" for name, part in order)
        halves = "an even number: two streams of the same width"
        raise errors.InputError(
            f"{place}: found {width} columns, expected"
            f" {halves if None in declared else f'{sum(widths)}: {each}'}"
        )
    stored = streams_lib.Streams(names, tuple(widths))
    streams = stored.rgb_first
    lengths = {video_id: array.shape[0] for video_id, array in arrays.items()}
    return Features(
        streams, lengths, functools.partial(_read_joint, arrays, stored, streams)
    )


def separate(arrays: Mapping[str, Mapping[str, Stored]]) -> Features:
    """Returns features with an array for each stream, cut to the shortest of a video.

    Args:
      arrays: of each video by id, of each stream by name, RGB first; at least one.

    Raises:
      InputError: two arrays of a stream differ in width.
    """
    names = tuple(next(iter(arrays.values())))
    widths = (
        _common_width([streams[name] for streams in arrays.values()]) for name in names
    )
    uneven, lengths = {}, {}
    for video_id, streams in arrays.items():
        found = [array.shape[0] for array in streams.values()]
        lengths[video_id] = min(found)
        if max(found) > min(found):
            uneven[video_id] = max(found) - min(found)
    notes = layout.note(
        uneven,
        "streams of different lengths, cut to the shorter by up to"
        f" {max(uneven.values(), default=0)}",
    )
    read = functools.partial(_read_separate, arrays, lengths)
    return Features(streams_lib.Streams(names, tuple(widths)), lengths, read, notes)


def paired(
    found: Mapping[str, Mapping[str, Any]], *, places: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Returns what there is of each video by id, then by stream.

    Args:
      found: what there is of each stream by name, then by id.
      places: where what there is of each stream lies.

    Raises:
      InputError: a video lacks a stream that another one has.
    """
    every = {video_id for videos in found.values() for video_id in videos}
    for video_id in sorted(every):
        lacking = [name for name, videos in found.items() if video_id not in videos]
        if lacking:
            there = next(name for name in found if video_id in found[name])
            raise errors.InputError(
                f"{places[lacking[0]]}: no features of video {video_id!r}, but"
                f" {places[there]} has some"
            )
    return {
        video_id: {name: videos[video_id] for name, videos in found.items()}
        for video_id in next(iter(found.values()))
    }


def _common_width(arrays: Any) -> int:
    """The number of columns that all arrays have."""
    first, *others = arrays
    for other in others:
        if other.shape[1] != first.shape[1]:
            raise errors.InputError(
                f"{other.place}: found {other.shape[1]} columns, expected"
                f" {first.shape[1]} as in {first.place}"
            )
    return first.shape[1]


def _read_joint(
    arrays: Mapping[str, Stored],
    stored: streams_lib.Streams,
    streams: streams_lib.Streams,
    video_id: str,
) -> tuple[np.ndarray, ...]:
    """The streams of one video, copied out of its joint array."""
    parts = stored.split(arrays[video_id].read())
    return tuple(np.array(parts[name]) for name in streams.names)


def _read_separate(
    arrays: Mapping[str, Mapping[str, Stored]],
    lengths: Mapping[str, int],
    video_id: str,
) -> tuple[np.ndarray, ...]:
    """The streams of one video, copied, all of the same length."""
    streams = arrays[video_id].values()
    return tuple(np.array(array.read()[: lengths[video_id]]) for array in streams)
