"""Annotations from a file or a folder, in any of the forms that the field has."""

import os
import pathlib

from cleannet_jax import errors
from cleannet_jax.data import annotation_tables, text
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.detections import thumos


def read_annotations(path: str | os.PathLike) -> annotations_lib.Annotations:
    """Returns annotations from JSON, `.csv`, or a folder of THUMOS14's text files.

    Raises:
      InputError: a file is not of its format; the message names the first place.
    """
    if os.path.isdir(path):
        return thumos.read_annotations(path)
    if pathlib.Path(path).suffix.lower() == ".csv":
        return annotation_tables.read_annotations(path)
    return annotations_lib.read_annotations(path)


def read_for(
    folder: str | os.PathLike, manifest: manifest_lib.Manifest
) -> annotations_lib.Annotations:
    """Returns the annotations of a feature folder.

    Videos are of the training subset where the file names no subsets.

    Raises:
      InputError: as `read_annotations` does, or a name cannot be written.
    """
    path = pathlib.Path(folder, manifest.annotations)
    found = read_annotations(path)
    for video in found.videos.values():
        # They become categories of a run, and names of what it writes.
        for name in (video.id, video.subset, *video.categories):
            try:
                text.check_writable(name)
            except errors.InputError as error:
                raise errors.InputError(f"{path}: {error}") from None
    return annotations_lib.with_subset(found, manifest.train_subset)
