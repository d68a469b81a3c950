"""The two data sets of AutoLoc's release: stages, categories, and ids of videos.

Videos are numbers in all of its files: ids are made by the benchmark's own rule or
looked up in `org2idx.map`.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import text
from cleannet_jax.data.detections import thumos
from cleannet_jax.data.layouts import autoloc_rows


class Stage(NamedTuple):
    """What file names call a subset, what annotations do, and how ids begin."""

    name: str
    subset: str
    prefix: str


class Release(NamedTuple):
    """One of the two data sets.

    Attributes:
      stages: the one to train on, then the one to evaluate on.
      categories: in the order of their numbers, which is alphabetical; None where
        only annotations tell their names.
      seen: what the backbone was trained on, subsets included.
    """

    stages: tuple[Stage, Stage]
    categories: tuple[str, ...] | None
    seen: tuple[str, ...]


RELEASES: Mapping[str, Release] = {
    "thumos14": Release(
        (
            Stage("val", "validation", "video_validation_"),
            Stage("test", "test", "video_test_"),
        ),
        tuple(thumos.CLASSES.values()),
        ("ImageNet", "UCF101", "validation"),
    ),
    "activitynet12": Release(
        (Stage("train", "training", ""), Stage("val", "validation", "")),
        None,
        ("ImageNet", "training"),
    ),
}


class Opened(NamedTuple):
    """The rows of a release, and what names its videos."""

    name: str
    release: Release
    folder: pathlib.Path
    ids: dict[int, str]  # of org2idx.map
    rows: dict[str, autoloc_rows.Place]  # by id
    stages: dict[str, Stage]  # by id
    notes: tuple[str, ...] = ()  # on lines of org2idx.map that are damaged


class Ids(NamedTuple):
    """What `org2idx.map` says.

    Attributes:
      names: ids of videos by number.
      places: the line of each number.
      damaged: lines that are not a subset, an id and a number, which are left out.
    """

    names: dict[int, str]
    places: dict[int, str]
    damaged: tuple[str, ...]


def find_release(dataset: str) -> Release:
    """Returns the release of that name."""
    if dataset not in RELEASES:
        raise errors.InputError(
            f"dataset: found {dataset!r}, expected {' or '.join(RELEASES)}"
        )
    return RELEASES[dataset]


def open_rows(folder: str | os.PathLike, dataset: str | None) -> Opened:
    """Returns the rows of a folder by the ids of their videos."""
    folder = pathlib.Path(folder)
    paths = autoloc_rows.find_files(folder)
    name = dataset or _dataset_of(folder, paths)
    release = find_release(name)
    id_map = folder / "org2idx.map"
    ids, _, damaged = read_ids(id_map) if id_map.exists() else Ids({}, {}, ())
    opened = Opened(name, release, folder, ids, {}, {}, damaged)
    for stage in release.stages:
        for path in paths.get(stage.name, ()):
            for place in autoloc_rows.find_rows(path):
                video_id = make_id(place.video, stage, ids)
                if video_id in opened.rows:
                    raise errors.InputError(
                        f"{place}: is there again as {opened.rows[video_id]}"
                    )
                opened.rows[video_id] = place
                opened.stages[video_id] = stage
    return opened


def make_id(number: int, stage: Stage, ids: Mapping[int, str]) -> str:
    """Returns the id of a video."""
    return ids.get(number, f"{stage.prefix}{number:07d}")


def read_ids(path: pathlib.Path) -> Ids:
    """Returns ids by number, from lines of a subset, an id and a number.

    In the released file the id of one line has run together with a name of a subset;
    a line that is damaged is left out and named.

    Raises:
      InputError: the file is absent, no line is whole, or a number has two ids.
    """
    ids = Ids({}, {}, ())
    damaged = []
    for line in text.read_lines(path):
        try:
            _, video_id, digits = text.columns(line, "subset id number")
            number = text.count(digits, line.place)
        except errors.InputError as error:
            damaged.append(f"{error}; the line is left out")
            continue
        if ids.names.setdefault(number, video_id) != video_id:
            raise errors.InputError(
                f"{line.place}: number {number} stands above too, in"
                f" {ids.places[number]}"
            )
        ids.places.setdefault(number, line.place)
    if damaged and not ids.names:
        raise errors.InputError(damaged[0].removesuffix("; the line is left out"))
    return ids._replace(damaged=tuple(damaged))


def categories(
    release: Release, truth: annotations_lib.Annotations | None
) -> tuple[str, ...]:
    """Returns the names of the categories in the order of their numbers."""
    if release.categories:
        return release.categories
    if truth is None:
        raise errors.InputError(
            "annotations: found none, expected ActivityNet's own file, since the names"
            " of its categories are in none of the release"
        )
    videos = truth.videos.values()
    return tuple(sorted({name for video in videos for name in video.categories}))


def _dataset_of(folder: pathlib.Path, found: Mapping[str, Any]) -> str:
    """The data set that has the stages found, if only one has."""
    choices = [
        name
        for name, release in RELEASES.items()
        if found.keys() <= {stage.name for stage in release.stages}
    ]
    if len(choices) != 1:
        raise errors.InputError(
            f"{folder}: found files of {' and '.join(sorted(found))}, which do not tell"
            f" the data set; name it: {' or '.join(RELEASES)}"
        )
    return choices[0]
