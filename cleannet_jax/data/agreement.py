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
from cleannet_jax.data import labels as labels_lib
from cleannet_jax.data import text
from cleannet_jax.metrics import average_precision

# Unknown labels that a message lists; it counts the rest.
_SHOWN = 5
# Known labels that one is compared with to find the nearest.
_COMPARED = 2000


def unknown_labels(
    predictions: average_precision.Instances,
    annotations: annotations_lib.Annotations,
) -> list[str]:
    """Returns the labels of detections that the annotations use nowhere, sorted."""
    known = _categories(annotations)
    used = {predictions.labels[index] for index in np.unique(predictions.label)}
    return sorted(used - known)


def check_labels(
    predictions: average_precision.Instances,
    annotations: annotations_lib.Annotations,
    source: str,
) -> None:
    """Raises if detections have labels that the annotations use nowhere.

    Args:
      predictions: [M] detections.
      annotations: the file that they are measured against.
      source: what the message calls the predictions, usually their path.

    Raises:
      InputError: there are such labels; the message lists them, each with the nearest
        known one, and says how to go on.
    """
    known = _categories(annotations)
    unknown = unknown_labels(predictions, annotations)
    if unknown:
        shown = ", ".join(
            f"{text.quoted(label)}{_nearest(label, known)}"
            for label in unknown[:_SHOWN]
        )
        more = len(unknown) - _SHOWN
        is_unnamed = all(map(labels_lib.is_number, unknown)) != all(
            map(labels_lib.is_number, known)
        )
        raise errors.InputError(
            f"{source}: found labels that are no category of"
            f" {annotations.path}: {shown}{f' and {more} more' if more > 0 else ''};"
            f"{' --labels FILE names those that are numbers,' if is_unnamed else ''}"
            " --ignore-unknown-labels leaves their detections out"
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
            f" ({listed(known)}){respelling(names, known)}"
        )


def of_other_subsets(
    predictions: average_precision.Instances,
    annotations: annotations_lib.Annotations,
    subset: str,
) -> set[str]:
    """Returns the videos with detections that the annotations list in another subset."""
    videos = annotations.videos
    return {
        name
        for name in videos_with_rows(predictions)
        if name in videos and videos[name].subset != subset
    }


def disagreements(
    predictions: average_precision.Instances,
    truths: average_precision.Instances,
    others: Collection[str],
) -> list[str]:
    """Returns what a reader of the numbers should know of both tables, a line each.

    Args:
      predictions: [M] detections.
      truths: [G] what they are measured against.
      others: videos that the annotations list in another subset.
    """
    lines = []
    count = count_in(predictions, others)
    if count:
        lines.append(
            "detections in videos of other subsets, counted as false positives:"
            f" {count}, in {listed(others)}; --other-subsets leave-out leaves them out"
        )
    known = {*truths.videos, *others}
    strays, count = _foreign(predictions.videos, predictions.video, known)
    if count:
        lines.append(
            "detections in videos that the annotations do not list, counted as false"
            f" positives: {count}, in {listed(strays)}"
            f"{respelling(strays, truths.videos)}"
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


def count_in(table: average_precision.Instances, names: Collection[str]) -> int:
    """Returns how many rows are of some videos."""
    is_one = np.array([name in names for name in table.videos], bool)
    return int(is_one[table.video].sum())


def listed(names: Collection[str]) -> str:
    """Returns the first three names, and how many more there are."""
    shown = ", ".join(map(text.quoted, sorted(names)[:3])) or "none"
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def printable(name: str) -> str:
    """Returns the name, escaped if a terminal would take it for more than text."""
    return name if name.isprintable() else repr(name)


def respelling(names: Collection[str], known: Collection[str]) -> str:
    """Returns what would make unknown ids known, as the end of a sentence, or nothing."""
    folded = {name.casefold(): name for name in known}
    spellings: dict[str, Callable[[str], str]] = {
        "without the prefix 'v_'": lambda name: name.removeprefix("v_"),
        "with the prefix 'v_'": lambda name: f"v_{name}",
        "without the file ending": lambda name: name.rpartition(".")[0],
        "in other letters, capital or small": lambda name: folded.get(
            name.casefold(), ""
        ),
    }
    known = set(known)
    for how, spell in spellings.items():
        count = sum(spell(name) in known for name in names)
        if count:
            return f"; {how}, {count} of them would be"
    return ""


def _categories(annotations: annotations_lib.Annotations) -> set[str]:
    """The categories of all videos."""
    return {
        label for video in annotations.videos.values() for label in video.categories
    }


def _nearest(label: str, known: Collection[str]) -> str:
    """The known label that is spelled most alike, in brackets."""
    words = sorted(name[:100] for name in known if not labels_lib.is_number(name))
    if labels_lib.is_number(label):
        return ""
    # Comparing takes time with the square of the length; no label is this long.
    found = difflib.get_close_matches(label[:100], words[:_COMPARED], n=1, cutoff=0.0)
    return f" (the nearest is {found[0]!r})" if found else ""


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
