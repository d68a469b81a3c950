"""Is one set of detections better than another, or is the difference noise?

Both are evaluated on the same resamples of the annotated videos. The difference of
their mAP varies less over these than either mAP does, because videos that are hard for
one are mostly hard for the other. It is called more than noise where its 95 % interval
by `bootstrap.METHOD` is without zero. This is the noise of the choice of videos; that of
training with another seed is not in it. Rates are in [0, 1].
"""

import dataclasses

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
    num_videos = np.unique(first.ranking.truth_video).size
    draws = bootstrap.draw_halves(num_videos, samples=samples, seed=seed)
    halves = [
        evaluate.with_mean(bootstrap.mean_average_precision(report.ranking, draws))
        for report in (first, second)
    ]
    difference = evaluate.with_mean(second.result.mean - first.result.mean)
    low, high = bootstrap.interval(
        difference,
        bootstrap.standard_error(halves[1] - halves[0], num_videos=num_videos),
        freedom=num_videos - 1,
        level=evaluate.LEVEL,
        least=-1,
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


def _truths(report: evaluate.Report) -> list[tuple[str, str]]:
    """Video and category of every instance that was evaluated."""
    ranking = report.ranking
    return [
        (ranking.videos[video], ranking.labels[label])
        for video, label in zip(ranking.truth_video, ranking.truth_label, strict=True)
    ]
