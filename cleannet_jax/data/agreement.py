"""Do predictions and annotations speak of the same videos and categories?

Most wrong numbers come from ids that are spelled in two ways or a label that is
misspelt, so every function here names the place and the nearest spelling. Names are
compared whole and printed escaped and shortened.
"""

import difflib
from collections.abc import Callable, Collection, Sequence

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.metrics import average_precision


def check_labels(
    predictions: average_precision.Instances,
    annotations: annotations_lib.Annotations,
    source: str,
) -> None:
    """Raises if a detection has a label that the annotations use nowhere.

    Args:
      predictions: [M] detections.
      annotations: the file that they are measured against.
      source: what the message calls the predictions, usually their path.

    Raises:
      InputError: there is such a label; the message names the nearest known one.
    """
    videos = annotations.videos.values()
    known = {label for video in videos for label in video.categories}
    unknown = [label not in known for label in predictions.labels]
    rows = np.flatnonzero(np.array(unknown, bool)[predictions.label])
    if rows.size:
        label = predictions.labels[predictions.label[rows[0]]]
        video = predictions.video[rows[0]]
        row = np.count_nonzero(predictions.video[: rows[0]] == video)
        raise errors.InputError(
            f"{source}: results[{_shortened(predictions.videos[video])}][{row}]: label"
            f" {_shortened(label)} is no category of {annotations.path}"
            f"{_nearest(label, known)}"
        )


def check_videos(
    predictions: average_precision.Instances,
    known: Collection[str],
    place: str,
    source: str,
) -> None:
    """Raises if there are predicted videos, and none of them is known.

    Args:
      predictions: detections, and the names of all videos that were looked at.
      known: names of the videos to be evaluated.
      place: what the message calls these.
      source: what the message calls the predictions, usually their path.

    Raises:
      InputError: no name is known; the message says how another spelling would be.
    """
    names = predictions.videos
    if names and set(names).isdisjoint(known):
        raise errors.InputError(
            f"{source}: none of its video ids ({listed(names)}) is in {place}"
            f" ({listed(known)}){_respelling(names, known)}"
        )


def disagreements(
    predictions: average_precision.Instances, truths: average_precision.Instances
) -> list[str]:
    """Returns what a reader of the numbers should know of both tables, a line each."""
    lines = []
    strays, count = _foreign(predictions.videos, predictions.video, truths.videos)
    if count:
        lines.append(
            "detections in videos that the subset does not list, counted as false"
            f" positives: {count}, in {listed(strays)}"
            f"{_respelling(strays, truths.videos)}"
        )
    unused, count = _foreign(predictions.labels, predictions.label, truths.labels)
    if count:
        lines.append(
            "detections of categories without an instance in the subset, which change"
            f" nothing: {count}, of {listed(unused)}"
        )
    return lines


def videos_with_rows(table: average_precision.Instances) -> set[str]:
    """Returns the names of the videos that have at least one segment."""
    return {table.videos[position] for position in np.unique(table.video)}


def listed(names: Collection[str]) -> str:
    """Returns the first three names, and how many more there are."""
    shown = ", ".join(map(_shortened, sorted(names)[:3])) or "none"
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def printable(name: str) -> str:
    """Returns the name, escaped if a terminal would take it for more than text."""
    return name if name.isprintable() else repr(name)


def _shortened(name: str) -> str:
    """The name in quotes, escaped; cut where it is longer than any name should be."""
    return repr(name if len(name) <= 100 else f"{name[:100]}...")


def _nearest(label: str, known: Collection[str]) -> str:
    """The known label that is spelled most alike, as the end of a sentence."""
    # Comparing takes time with the square of the length; no label is this long.
    found = difflib.get_close_matches(label[:100], sorted(known), n=1, cutoff=0.0)
    return f"; the nearest is {found[0]!r}" if found else ""


def _respelling(names: Collection[str], known: Collection[str]) -> str:
    """What would make unknown ids known, as the end of a sentence; empty if nothing."""
    spellings: dict[str, Callable[[str], str]] = {
        "without the prefix 'v_'": lambda name: name.removeprefix("v_"),
        "with the prefix 'v_'": lambda name: f"v_{name}",
        "without the file ending": lambda name: name.rpartition(".")[0],
    }
    known = set(known)
    for how, spell in spellings.items():
        count = sum(spell(name) in known for name in names)
        if count:
            return f"; {how}, {count} of them would be"
    return ""


def _foreign(
    names: Sequence[str], index: np.ndarray, known: Collection[str]
) -> tuple[list[str], int]:
    """The names in use that are not known, and how many rows use them."""
    used, counts = np.unique(index, return_counts=True)
    known = set(known)
    foreign = [
        (names[position], int(count))
        for position, count in zip(used, counts, strict=True)
        if names[position] not in known
    ]
    return [name for name, _ in foreign], sum(count for _, count in foreign)
