"""Functions of images in batches of one size, so that they are compiled once."""

from collections.abc import Callable
from typing import Any

import numpy as np


def batched(
    function: Callable[[np.ndarray], Any], values: np.ndarray, size: int
) -> np.ndarray:
    """Returns a function of [size, ...] applied to [n, ...], whose end is padded.

    Args:
      function: to [size, D].
      values: [n, ...].
      size: of a batch.

    Returns:
      [n, D] float32.
    """
    found = []
    for first in range(0, len(values), size):
        part = values[first : first + size]
        missing = [(0, size - len(part))] + [(0, 0)] * (part.ndim - 1)
        found.append(np.asarray(function(np.pad(part, missing)))[: len(part)])
    return np.concatenate(found).astype(np.float32)
