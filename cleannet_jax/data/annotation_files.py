"""Annotations from a file or a folder, in either of the benchmarks' own forms."""

import os

from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data.detections import thumos


def read_annotations(path: str | os.PathLike) -> annotations_lib.Annotations:
    """Returns annotations from a JSON file, or from a folder of THUMOS14's text files.

    Raises:
      InputError: a file is not of its format; the message names the first place.
    """
    if os.path.isdir(path):
        return thumos.read_annotations(path)
    return annotations_lib.read_annotations(path)
