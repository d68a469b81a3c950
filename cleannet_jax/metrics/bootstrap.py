"""How far a mAP depends on which videos happened to be evaluated.

Each resample is a half of the annotated videos, drawn without replacement. The spread
of its mAP around the mean of all halves is that of the mAP of all videos: half as many
videos have twice the variance, of which the half that is left out, the complement, has
its share (McCarthy, Rev. ISI 1969; the jackknife of Shao and Wu, Ann. Statist. 1989,
that leaves out half). The interval is the mAP itself plus and minus Student's t times
that spread.

The bootstrap with replacement is not used. It counts a video that is drawn twice as
two; their detections have equal scores, precision at the last of them is that of all,
and so interpolated AP rises. With few videos its percentiles may all lie above the mAP
that they are of. Bias correction and acceleration (BCa, Efron, JASA 1987) move the ends
down, and leave them as narrow as they were, because a category's videos that are drawn
twice hide how few there are: `benchmarks/coverage.py` measures it.

Matching happens within a video, so it is done once, and a resample only weighs its
outcome. Videos without ground truth are in every resample. NumPy in float64.
"""

import numpy as np

from cleannet_jax.metrics import average_precision, student

# What an interval is, in the words of a report.
METHOD = "half-samples of the videos, Student's t"

_ELEMENTS = 1 << 22  # Weighed detections at a time: bounds the memory only.


def draw_halves(num_videos: int, *, samples: int, seed: int) -> np.ndarray:
    """Returns which videos are in each half; of an odd number, the smaller half.

    Args:
      num_videos: A, annotated videos, at least one; of one, it is in every resample.
      samples: B, number of resamples.
      seed: of the draw; the same seed gives the same resamples.

    Returns:
      [B, A] int of 0 and 1, each row of sum A // 2, and at least one.
    """
    rng = np.random.default_rng(seed)
    half = np.zeros(num_videos, int)
    half[: max(1, num_videos // 2)] = 1
    return rng.permuted(np.tile(half, (samples, 1)), axis=1)


def mean_average_precision(
    ranking: average_precision.Ranking, draws: np.ndarray
) -> np.ndarray:
    """Returns the mAP of every resample, over the categories with ground truth in it.

    Args:
      ranking: detections after matching, at K thresholds.
      draws: [B, A] int, how often each annotated video is in a resample, usually 0 or
        1, in the order of `ranking.videos`; no row is zero.

    Returns:
      [B, K] in [0, 1].
    """
    step = max(1, _ELEMENTS // max(1, len(ranking.videos), _longest(ranking)))
    blocks = [
        _block(ranking, draws[start : start + step])
        for start in range(0, len(draws), step)
    ]
    return np.concatenate(blocks)


def standard_error(halves: np.ndarray, *, num_videos: int) -> np.ndarray:
    """Returns the standard error of a statistic of all videos, from its halves.

    sqrt(h / (A - h) · mean over halves of (value - mean)^2), where h = A // 2.

    Args:
      halves: [B, ...] the statistic of each of `draw_halves`.
      num_videos: A.

    Returns:
      [...], at least 0; infinite where there is one video, of which nothing is known.
    """
    half = num_videos // 2
    if not half:
        return np.full(np.shape(halves)[1:], np.inf)
    return np.sqrt(half / (num_videos - half)) * np.std(halves, axis=0)


def interval(
    value: np.ndarray,
    error: np.ndarray,
    *,
    freedom: int,
    level: float,
    least: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ends of the interval value ± t · error, cut to the possible values.

    Args:
      value: [...] the statistic of all videos, in [least, 1]; every interval holds it.
      error: [...] its standard error, such as that of `standard_error`.
      freedom: degrees of freedom of t; A - 1 for A videos, and at least one.
      level: in (0, 1), such as 0.95.
      least: 0 for a mAP, -1 for a difference of two.

    Returns:
      Lower and upper ends, each [...].
    """
    reach = student.quantile(level, freedom=max(1, freedom)) * error
    return np.maximum(value - reach, least), np.minimum(value + reach, 1)


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
