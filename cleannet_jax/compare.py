"""Is one set of detections better than another, or is the difference noise?

Both are evaluated on the same resamples of the annotated videos. The difference of
their mAP varies less over these than either mAP does, because videos that are hard for
one are mostly hard for the other. It is called more than noise where its 95 % interval
by `bootstrap.METHOD` is without zero. This is the noise of the choice of videos; that of
training with another seed is in it where each method has the reports of several seeds.
Rates are in [0, 1].
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from cleannet_jax import errors, evaluate
from cleannet_jax.metrics import bootstrap


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """The mAP of the second report minus that of the first.

    Attributes:
      first: report on the one.
      second: report on the other, with the same ground truth, protocol and thresholds.
      samples: number of resamples.
      seed: of the draw.
      difference: [K + 1], at each threshold and of the means over them.
      low: [K + 1] lower ends of the 95 % intervals.
      high: [K + 1] upper ends.
    """

    first: evaluate.Report
    second: evaluate.Report
    samples: int
    seed: int
    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def is_real(self) -> np.ndarray:
        """[K + 1] bool, whether a difference is more than noise."""
        return (self.low > 0) | (self.high < 0)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SeedComparison:
    """The mean mAP of the second method's seeds minus that of the first's.

    Attributes:
      first: reports on the one method, a seed each.
      second: reports on the other.
      samples: number of resamples of the videos.
      seed: of their draw.
      level: of the intervals.
      difference: [K + 1], at each threshold and of the means over them.
      low: [K + 1] lower ends of the intervals.
      high: [K + 1] upper ends.
    """

    first: tuple[evaluate.Report, ...]
    second: tuple[evaluate.Report, ...]
    samples: int
    seed: int
    level: float
    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def is_paired(self) -> bool:
        """Whether there are as many seeds of both, and their differences were taken."""
        return len(self.first) == len(self.second)

    @property
    def is_real(self) -> np.ndarray:
        """[K + 1] bool, whether a difference is more than noise."""
        return (self.low > 0) | (self.high < 0)


def compare(
    first: evaluate.Report, second: evaluate.Report, *, samples: int, seed: int = 0
) -> Comparison:
    """Returns the difference of two reports, with intervals over resampled videos.

    Args:
      first: report on the one.
      second: report on the other.
      samples: number of resamples, at least one.
      seed: of the draw.

    Raises:
      InputError: they are not on the same ground truth by the same protocol.
    """
    _check_alike(first, second)
    difference, error, freedom = _over_videos([first], [second], samples, seed)
    low, high = bootstrap.interval(
        difference, error, freedom=freedom, level=evaluate.LEVEL, least=-1
    )
    return Comparison(
        first=first,
        second=second,
        samples=samples,
        seed=seed,
        difference=difference,
        low=low,
        high=high,
    )


def compare_seeds(
    first: Sequence[evaluate.Report],
    second: Sequence[evaluate.Report],
    *,
    samples: int,
    seed: int = 0,
    level: float = evaluate.LEVEL,
) -> SeedComparison:
    """Returns the difference of the means of two methods over seeds, with intervals.

    Two variances are added: that of the choice of videos, from halves of the videos on
    which all reports are evaluated, and that of the seeds. The latter is s^2 / S of the
    S differences where both have S seeds, in the order given, else the sum of s^2 / S of
    either. Degrees of freedom are Welch's and Satterthwaite's (Biometrics 1946), rounded
    down. What depends on video and seed together is in both, so that the interval is
    rather wide than narrow.

    Args:
      first: reports on the one method, a seed each.
      second: reports on the other; one seed each, or two and more each.
      samples: number of halves, at least one.
      seed: of their draw.
      level: of the intervals, in (0, 1).

    Raises:
      InputError: reports are not on the same ground truth by the same protocol, or
        one method alone has a single seed, whose variance nobody knows.
    """
    sizes = (len(first), len(second))
    if min(sizes) < 1 or min(sizes) == 1 < max(sizes):
        raise errors.InputError(
            f"found {sizes[0]} and {sizes[1]} seeds, expected two or more of each, or"
            " one of each"
        )
    for report in (*first[1:], *second):
        _check_alike(first[0], report)
    difference, error, freedom = _over_videos(first, second, samples, seed)
    variances, freedoms = _over_seeds(first, second)
    variance = np.stack([error**2, *variances])  # [1 + P, K + 1]
    total = variance.sum(axis=0)
    parts = (variance**2 / np.array([freedom, *freedoms])[:, None]).sum(axis=0)
    # A single video has no spread that is known: the interval is all there can be.
    known = np.isfinite(total) & (parts > 0)
    ratio = np.where(known, total, 1) ** 2 / np.where(known, parts, 1)
    welch = np.maximum(np.floor(ratio + 1e-9), 1)
    ends = [
        bootstrap.interval(value, error, freedom=int(number), level=level, least=-1)
        for value, error, number in zip(difference, np.sqrt(total), welch, strict=True)
    ]
    low, high = np.array(ends).T
    return SeedComparison(
        first=tuple(first),
        second=tuple(second),
        samples=samples,
        seed=seed,
        level=level,
        difference=difference,
        low=low,
        high=high,
    )


def _over_videos(
    first: Sequence[evaluate.Report],
    second: Sequence[evaluate.Report],
    samples: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, int]:
    """[K + 1] difference of the means, its error by the choice of videos, and freedom."""
    num_videos = np.unique(first[0].ranking.truth_video).size
    draws = bootstrap.draw_halves(num_videos, samples=samples, seed=seed)
    values, halves = [], []
    for reports in (first, second):
        values.append(np.mean([report.result.mean for report in reports], axis=0))
        drawn = [
            bootstrap.mean_average_precision(report.ranking, draws)
            for report in reports
        ]
        halves.append(evaluate.with_mean(np.mean(drawn, axis=0)))
    error = bootstrap.standard_error(halves[1] - halves[0], num_videos=num_videos)
    difference = evaluate.with_mean(values[1] - values[0])
    return difference, error, max(1, num_videos - 1)


def _over_seeds(
    first: Sequence[evaluate.Report], second: Sequence[evaluate.Report]
) -> tuple[list[np.ndarray], list[int]]:
    """Variances [K + 1] of the difference of the means by the seeds, and freedoms."""
    sets = [
        np.array([evaluate.with_mean(report.result.mean) for report in reports])
        for reports in (first, second)
    ]
    if len(first) == len(second):
        sets = [sets[1] - sets[0]]
    sets = [values for values in sets if len(values) > 1]
    variances = [values.var(axis=0, ddof=1) / len(values) for values in sets]
    return variances, [len(values) - 1 for values in sets]


def _check_alike(first: evaluate.Report, second: evaluate.Report) -> None:
    """Raises an InputError unless both are on the same ground truth by one protocol."""
    for name in ("protocol", "ground_truth", "subset", "variant"):
        found = [getattr(report, name) for report in (first, second)]
        if found[0] != found[1]:
            raise errors.InputError(
                f"{name}: found {found[0]!r} and {found[1]!r}, expected the same for"
                " both predictions"
            )
    if not np.array_equal(first.result.tious, second.result.tious):
        raise errors.InputError("tIoU thresholds: expected the same for both")
    if _truths(first) != _truths(second):
        raise errors.InputError(
            f"{first.predictions} and {second.predictions} do not name the same videos,"
            " so that they are evaluated on different ones; compare with missing videos"
            " counted as empty"
        )


def _truths(report: evaluate.Report) -> list[tuple[str, str]]:
    """Video and category of every instance that was evaluated."""
    ranking = report.ranking
    return [
        (ranking.videos[video], ranking.labels[label])
        for video, label in zip(ranking.truth_video, ranking.truth_label, strict=True)
    ]
