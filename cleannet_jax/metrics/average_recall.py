"""Recall against the number of proposals: ActivityNet's metric for proposals.

NumPy in float64. Times are seconds. Categories do not matter here: a ground-truth
segment is found when any proposal of its video has a tIoU >= t with it, and one
proposal may find several. The number of proposals is an average over the annotated
videos: at an average of n, every video keeps the same share of its own proposals, best
first, so that videos with many proposals keep more than n of them. Of equal scores the
later row comes first; NaN comes before every number.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cleannet_jax.metrics import average_precision

# As the official script has them: its 0.9 is the double below 0.9.
TIOUS = tuple(np.linspace(0.5, 0.95, 10).tolist())

_POINTS = 100  # Points of the curve, whatever the largest average number is.


class AverageRecall(NamedTuple):
    """The curve of recall against the average number of proposals.

    Attributes:
      tious: [K] thresholds.
      numbers: [100] average number of proposals a video, ascending, evenly spaced.
      recall: [K, 100], in [0, 1].
    """

    tious: np.ndarray
    numbers: np.ndarray
    recall: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """[100] mean over the thresholds: the average recall."""
        return self.recall.mean(axis=0)

    @property
    def auc(self) -> float:
        """Area under `mean`, from its first point on, over the largest number.

        It stays below 1: the curve starts at the first number and not at 0.
        """
        return float(np.trapezoid(self.mean, self.numbers) / self.numbers[-1])


def average_recall(
    proposals: average_precision.Instances,
    ground_truth: average_precision.Instances,
    *,
    tious: Sequence[float] = TIOUS,
    largest: float = 100,
) -> AverageRecall:
    """Returns the recall of proposals, whatever their labels are.

    Args:
      proposals: [M] segments with scores; none is a recall of 0. Those in videos
        without ground truth count towards the average number.
      ground_truth: [G] segments.
      tious: [K] thresholds in (0, 1].
      largest: average number of proposals a video at the end of the curve.

    Raises:
      ValueError: there is no ground truth, a threshold is outside of (0, 1], or the
        columns of a table do not belong together.
    """
    average_precision.check_tables(proposals, ground_truth, tious)
    proposals, truths = average_precision.on_common_names(
        _without_labels(proposals), _without_labels(ground_truth)
    )
    # Reversing an ascending stable sort puts the later of equal rows first.
    order = np.lexsort((proposals.scores, proposals.video))[::-1]
    proposals = average_precision.take(proposals, order)
    allowed = _allowed(proposals, truths, largest)
    rank = _rank(proposals.video)
    first = np.full((len(tious), truths.video.size), proposals.video.size)
    for pairs in average_precision.iterate_pairs(
        proposals, truths, average_precision.union, least=min(tious)
    ):
        for row, tiou in zip(first, tious, strict=True):
            able = pairs.overlap >= tiou
            np.minimum.at(row, pairs.truth[able], rank[pairs.detection[able]])
    recall = np.zeros((len(tious), _POINTS))
    for row, found in zip(recall, first, strict=True):
        row[:] = [np.mean(found < count[truths.video]) for count in allowed]
    numbers = np.arange(1, _POINTS + 1) / _POINTS * largest
    return AverageRecall(np.array(tious, float), numbers, recall)


def _without_labels(
    table: average_precision.Instances,
) -> average_precision.Instances:
    """The table with one label for all."""
    return table._replace(labels=("any",), label=np.zeros(len(table.video), int))


def _rank(video: np.ndarray) -> np.ndarray:
    """[M] position of each proposal among those of its video, which lie together."""
    rows = np.arange(video.size)
    is_first = np.append(True, video[1:] != video[:-1])[: video.size]
    return rows - np.maximum.accumulate(np.where(is_first, rows, 0))


def _allowed(
    proposals: average_precision.Instances,
    truths: average_precision.Instances,
    largest: float,
) -> np.ndarray:
    """[100, V] int, how many of its proposals each video keeps along the curve.

    The products are rounded down, and taken in the order in which the official script
    has them, because 0.29 * 100 is less than 29.
    """
    num_videos = len(truths.videos)
    counts = np.bincount(proposals.video, minlength=num_videos)
    annotated = np.unique(truths.video)
    wanted = largest * float(annotated.size)
    kept = np.zeros(num_videos, int)
    if proposals.video.size:
        shares = (counts[annotated] * (wanted / proposals.video.size)).astype(int)
        kept[annotated] = np.minimum(shares, counts[annotated])
    share = np.arange(1, _POINTS + 1) / _POINTS * (wanted / max(kept.sum(), 1))
    return np.minimum((kept * share[:, None]).astype(int), kept)
