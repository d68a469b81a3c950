"""What every reader of a foreign layout returns, for `convert` to write in ours."""

import dataclasses
from collections.abc import Callable

import numpy as np

from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import manifest as manifest_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A set of features in a foreign layout; nothing but headers was read yet.

    Attributes:
      manifest: describes the converted folder: `{stream}/{id}.npy`, RGB first.
      annotations: as far as the layout has them.
      ids: of the videos with features, each usable as a file name.
      read: id -> (RGB, flow), each (T, D) floats of the same T. Raises an InputError
        that names the file and the row.
      notes: what a person should know, a line each; `convert` prints them.
    """

    manifest: manifest_lib.Manifest
    annotations: annotations_lib.Annotations
    ids: tuple[str, ...]
    read: Callable[[str], tuple[np.ndarray, np.ndarray]]
    notes: tuple[str, ...] = ()
