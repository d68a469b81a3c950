"""The annotation tools, and which of them a file is of."""

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import files
from cleannet_jax.data.annotators import fiftyone, label_studio, via
from cleannet_jax.data.annotators import videos as videos_lib

# Characters in front of the first value that are looked at.
_SPACE = 1 << 12


class Tool(NamedTuple):
    """How a tool is written to and read from.

    Attributes:
      title: its name.
      as_content: from videos to the content of the file to import.
      videos: from the content of a file that was exported, and its path, to videos.
      found_under: what it finds a video's file under, from its path and the folder of videos.
      key: of an object that only its files have at their top level; empty for a list.
    """

    title: str
    as_content: Callable[[Sequence[videos_lib.Video]], Any]
    videos: Callable[..., tuple[videos_lib.Video, ...]]
    found_under: Callable[[pathlib.Path, pathlib.Path], str]
    key: str


TOOLS = {
    "label-studio": Tool(
        "Label Studio",
        label_studio.as_content,
        label_studio.videos,
        label_studio.found_under,
        "",
    ),
    "via": Tool("VIA 3", via.as_content, via.videos, via.found_under, "project"),
    "fiftyone": Tool(
        "FiftyOne", fiftyone.as_content, fiftyone.videos, fiftyone.found_under, "labels"
    ),
}


def is_export(path: str | os.PathLike, name: str) -> bool:
    """Returns whether a JSON file is of a tool, and neither annotations nor detections.

    Raises:
      InputError: it is not JSON as far as was read.
    """
    if os.path.isdir(path) or pathlib.Path(path).suffix.lower() not in (".json", ""):
        return False
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        if file.read(_SPACE).lstrip()[:1] == "[":
            return TOOLS[name].key == ""
    ours = ("results", "database")
    first = files.first_key(path, (*ours, TOOLS[name].key))
    return first is not None and first not in ours


def read(
    path: str | os.PathLike,
    name: str,
    *,
    known: annotations_lib.Annotations | None = None,
    fps: float | None = None,
) -> tuple[videos_lib.Video, ...]:
    """Returns the videos of a file that a tool has exported.

    Args:
      path: of the file.
      name: of the tool, a key of `TOOLS`.
      known: annotations with what the file does not say of videos.
      fps: frames a second of videos that have none there either.

    Raises:
      InputError: the file is not of the tool; the message names the first place.
    """
    content = files.read_json(path)
    return TOOLS[name].videos(content, str(path), known=known, fps=fps)
