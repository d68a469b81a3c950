"""How far a mAP depends on which videos happened to be evaluated.

A bootstrap over videos: each resample draws as many videos with replacement as were
annotated, and the mAP is computed as if a video drawn twice were two videos. Matching
happens within a video, so it is done once, and a resample only weighs its outcome.
Videos without ground truth are in every resample. NumPy in float64.
"""

import numpy as np

from cleannet_jax.metrics import average_precision

_ELEMENTS = 1 << 22  # Weighed detections at a time: bounds the memory only.


def draw_videos(num_videos: int, *, samples: int, seed: int) -> np.ndarray:
    """Returns how often each video is in each resample.

    Args:
      num_videos: A, annotated videos, at least one.
      samples: B, number of resamples.
      seed: of the draw; the same seed gives the same resamples.

    Returns:
      [B, A] int, each row of sum A.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_videos, np.full(num_videos, 1 / num_videos), samples)


def mean_average_precision(
    ranking: average_precision.Ranking, draws: np.ndarray
) -> np.ndarray:
    """Returns the mAP of every resample, over the categories with ground truth in it.

    Args:
      ranking: detections after matching, at K thresholds.
      draws: [B, A] int, how often each annotated video is in a resample, in the order
        of `ranking.videos`; no row is zero.

    Returns:
      [B, K] in [0, 1].
    """
    step = max(1, _ELEMENTS // max(1, len(ranking.videos), _longest(ranking)))
    blocks = [
        _block(ranking, draws[start : start + step])
        for start in range(0, len(draws), step)
    ]
    return np.concatenate(blocks)


def interval(values: np.ndarray, *, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ends of the interval that holds the middle `level` of the resamples.

    Args:
      values: [B, ...] a number of each resample.
      level: in (0, 1), such as 0.95.

    Returns:
      Lower and upper ends, each [...].
    """
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail], axis=0)
    return low, high


def _longest(ranking: average_precision.Ranking) -> int:
    """Detections of the category that has most."""
    return np.bincount(ranking.label, minlength=1).max()


def _block(ranking: average_precision.Ranking, draws: np.ndarray) -> np.ndarray:
    """[B, K] mAP of a few resamples."""
    annotated = np.unique(ranking.truth_video)
    weights = np.ones((len(draws), len(ranking.videos)), np.int64)
    weights[:, annotated] = draws
    total = np.zeros((len(draws), len(ranking.tious)))
    categories = np.zeros((len(draws), 1), int)
    for category in np.unique(ranking.truth_label):
        truth_video = ranking.truth_video[ranking.truth_label == category]
        positives = weights[:, truth_video].sum(axis=1, keepdims=True)
        hits = _weighed_hits(ranking, category, weights)
        total += np.where(positives > 0, hits / np.maximum(positives, 1), 0)
        categories += positives > 0
    return total / categories


def _weighed_hits(
    ranking: average_precision.Ranking, category: int, weights: np.ndarray
) -> np.ndarray:
    """[B, K] precision summed over the true positives of one category."""
    rows = ranking.rows(category)
    weight = weights[:, ranking.video[rows]]  # [B, M]
    seen = weight.cumsum(axis=1)
    sums = np.zeros((len(weights), len(ranking.tious)))
    for index in range(len(ranking.tious)):
        hit = np.flatnonzero(ranking.hit[index, rows])
        skipped = np.flatnonzero(~ranking.counted[index, rows])
        before = np.searchsorted(skipped, hit)
        skips = weight[:, skipped].cumsum(axis=1)
        skips = np.pad(skips, ((0, 0), (1, 0)))[:, before]
        copies = weight[:, hit]  # [B, H]
        area = _interpolated if ranking.is_interpolated else _uninterpolated
        sums[:, index] = area(copies, seen[:, hit] - skips)
    return sums


def _interpolated(copies: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """[B] sum of the best precision from each true positive on.

    Of a true positive's copies, the last has the best precision, so all have that.
    """
    precision = copies.cumsum(axis=1) / np.maximum(seen, 1)
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return (copies * best_from_here).sum(axis=1)


def _uninterpolated(copies: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """[B] sum of the precision at each true positive, one copy after the other."""
    found = copies.cumsum(axis=1)
    total = np.zeros(len(copies))
    for left in range(copies.max(initial=0)):
        precision = (found - left) / np.maximum(seen - left, 1)
        total += np.where(left < copies, precision, 0).sum(axis=1)
    return total
