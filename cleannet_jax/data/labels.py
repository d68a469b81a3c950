"""Names of categories that files of predictions or annotations call by their numbers.

A label that is a number is kept as its digits until a list of names is at hand.
"""

import dataclasses
import os
import re
from collections.abc import Mapping

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import text
from cleannet_jax.metrics import average_precision

_NUMBERED = re.compile(r"(\d{1,9})[\s,]+(\S.*)")


def read_names(path: str | os.PathLike) -> dict[int, str]:
    """Returns names of categories by their number.

    The file has one name a line. Its number is the one in front of it, where every line
    has one as in THUMOS14's class list; otherwise lines are counted from 0, blank ones
    left out.

    Raises:
      InputError: the file is absent or empty, or a number or a name stands twice.
    """
    lines = list(text.read_lines(path))
    if not lines:
        raise errors.InputError(f"{path}: found no line, expected a name on each")
    matches = [_NUMBERED.fullmatch(line.text) for line in lines]
    names: dict[int, str] = {}
    seen: set[str] = set()
    are_numbered = all(matches)
    for row, (line, match) in enumerate(zip(lines, matches, strict=True)):
        is_numbered = match is not None and are_numbered
        number, name = (int(match[1]), match[2]) if is_numbered else (row, line.text)
        if number in names or name in seen:
            raise errors.InputError(
                f"{line.place}: found {text.quoted(line.text)}, expected a number and a name that"
                " stand in no line above"
            )
        seen.add(name)
        names[number] = name
    return names


def is_number(label: str) -> bool:
    """Returns whether a label is a number, as files without names have it."""
    return label.isascii() and label.isdigit()


def named(label: str, names: Mapping[int, str]) -> str:
    """Returns the name of a label that is a number with a name; any other as it is."""
    return names.get(int(label[:18]), label) if is_number(label) else label


def name_instances(
    table: average_precision.Instances, names: Mapping[int, str]
) -> average_precision.Instances:
    """Returns the table with names in place of numbers, in the order of its labels."""
    given = [named(label, names) for label in table.labels]
    labels = {name: index for index, name in enumerate(dict.fromkeys(given))}
    places = np.array([labels[name] for name in given], int)
    return table._replace(labels=tuple(labels), label=places[table.label])


def name_annotations(
    annotations: annotations_lib.Annotations, names: Mapping[int, str]
) -> annotations_lib.Annotations:
    """Returns the annotations with names in place of numbers."""
    videos = {
        video.id: dataclasses.replace(
            video,
            labels=tuple(named(label, names) for label in video.labels),
            tags=tuple(dict.fromkeys(named(label, names) for label in video.tags)),
        )
        for video in annotations.videos.values()
    }
    return dataclasses.replace(annotations, videos=videos)
