"""Detections that are read row by row, kept in compact columns: files have millions."""

import array
import os

import numpy as np

from cleannet_jax.data import faults
from cleannet_jax.metrics import average_precision


class Columns:
    """The detections of a file that has one on each line."""

    def __init__(self, path: str | os.PathLike) -> None:
        self._path = str(path)
        self._videos: dict[str, int] = {}
        self._labels: dict[str, int] = {}
        self._video, self._label = array.array("q"), array.array("q")
        self._ends, self._scores = array.array("d"), array.array("d")
        self._lines = array.array("q")

    def add(
        self,
        video: str,
        label: str,
        ends: tuple[float, float],
        score: float,
        *,
        line: int,
    ) -> None:
        """Adds the detection on a line of the file, (start, end) in seconds."""
        self._video.append(self._videos.setdefault(video, len(self._videos)))
        self._label.append(self._labels.setdefault(label, len(self._labels)))
        self._ends.extend(ends)
        self._scores.append(score)
        self._lines.append(line)

    def instances(self) -> average_precision.Instances:
        """The detections, [M], in the order of the file; names as they were first used.

        Raises:
          InputError: segments end before they start; the message names their lines.
        """
        segments = np.array(self._ends, float).reshape(-1, 2)
        faults.check_order(self._path, segments, lambda row: f"line {self._lines[row]}")
        return average_precision.Instances(
            videos=tuple(self._videos),
            labels=tuple(self._labels),
            video=np.array(self._video, int),
            label=np.array(self._label, int),
            segments=segments,
            scores=np.array(self._scores, float),
        )
