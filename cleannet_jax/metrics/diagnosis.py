"""What goes wrong in detections, after DETAD (Alwassel et al., ECCV 2018).

NumPy in float64. Times are seconds, rates in [0, 1]. Matching is ActivityNet's
(`average_precision`). As in DETAD only the best 10 G of each category's detections are
looked at, G being its number of instances, so that a flood of low scores does not hide
what matters; every figure here, the mAP among them, is of those, also where DETAD's code
looks at all detections (docs/evaluation.md).

Each detection has one type at each threshold t, the first that fits:

* true positive: matched to an instance.
* Of the instance of its video, of any category, that it overlaps most (its own category
  where two are equal) the category and the tIoU decide: with its own category, double
  detection from t on and localization from 0.1 on; with another, wrong label from t on
  and confusion from 0.1 on.
* background: what is left.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cleannet_jax.metrics import average_precision

TYPES = (
    "true positive",
    "double detection",
    "wrong label",
    "localization",
    "confusion",
    "background",
)
MIN_TIOU = 0.1
MULTIPLES = 10  # Of G: how many of a category's detections are looked at.


class Bins(NamedTuple):
    """Where characteristics of instances are cut; each bin includes its upper edge.

    Attributes:
      length: five upper edges, in seconds.
      coverage: five upper edges, length of the instance / of the video, in [0, 1].
      instances: four upper edges, of the category in the video.
    """

    length: tuple[float, ...]
    coverage: tuple[float, ...]
    instances: tuple[float, ...]


# Names of the bins from the smallest on.
SIZES = ("XS", "S", "M", "L", "XL")
# DETAD's own, for the two benchmarks.
BINS = {
    "thumos14": Bins(
        length=(3, 6, 12, 18, np.inf),
        coverage=(0.02, 0.04, 0.06, 0.08, np.inf),
        instances=(1, 40, 80, np.inf),
    ),
    "activitynet": Bins(
        length=(30, 60, 120, 180, np.inf),
        coverage=(0.2, 0.4, 0.6, 0.8, np.inf),
        instances=(1, 4, 8, np.inf),
    ),
}


class Characteristic(NamedTuple):
    """How detection depends on one characteristic of the instances.

    Attributes:
      edges: [B] upper edges of the bins.
      count: [B] int, instances.
      unknown: instances that it is not known of, which are in no bin.
      missed: [K, B] share of them that no detection is matched to, NaN without any.
      map_n: [K, B] normalised mAP of them alone, NaN without any.
    """

    edges: tuple[float, ...]
    count: np.ndarray
    unknown: int
    missed: np.ndarray
    map_n: np.ndarray


class Diagnosis(NamedTuple):
    """What goes wrong at each of K thresholds.

    Attributes:
      tious: [K] thresholds.
      counts: [K, 10, 6] int, detections of each of `TYPES` among the best k G of the
        categories, k = 1 to 10.
      map: [K] mAP.
      impact: [K, 5] by how much it rises without the errors of each type, from
        double detection on.
      map_n: [K] normalised mAP, to which those of `characteristics` compare.
      characteristics: "length", "coverage", where durations are known, "instances".
    """

    tious: np.ndarray
    counts: np.ndarray
    map: np.ndarray
    impact: np.ndarray
    map_n: np.ndarray
    characteristics: dict[str, Characteristic]


class Outcomes(NamedTuple):
    """What became of each of M detections at each of K thresholds.

    Attributes:
      place: [M] int, how many detections of its category are ranked before it.
      types: [K, M] int, indices into `TYPES`.
      matches: [K, M] int, the row of the instance that it is matched to, or -1.
    """

    place: np.ndarray
    types: np.ndarray
    matches: np.ndarray


def outcomes(
    detections: average_precision.Instances,
    ground_truth: average_precision.Instances,
    *,
    tious: Sequence[float],
) -> Outcomes:
    """Returns what became of every detection, also of those that `diagnose` leaves out.

    Args:
      detections: [M] segments with scores, in any order.
      ground_truth: [G] segments.
      tious: [K] thresholds in (0, 1].

    Raises:
      ValueError: as `average_precision.activitynet` does.
    """
    average_precision.check_tables(detections, ground_truth, tious)
    found, truths = average_precision.on_common_names(detections, ground_truth)
    order = _order(found)
    ranked = average_precision.take(found, order)
    place = np.arange(order.size) - np.searchsorted(ranked.label, ranked.label)
    matches = _matches(ranked, truths, tious)
    types = _types(ranked, truths, matches, tious)
    back = np.argsort(order)
    return Outcomes(place[back], types[:, back], matches[:, back])


def diagnose(
    detections: average_precision.Instances,
    ground_truth: average_precision.Instances,
    durations: Sequence[float],
    *,
    tious: Sequence[float],
    bins: Bins,
) -> Diagnosis:
    """Returns what goes wrong in detections.

    The normalised mAP has N R / (N R + F) for a precision, where R is the recall, F the
    number of false positives and N the mean number of instances of a category, so that
    groups of different size compare (Hoiem et al., ECCV 2012). Of a bin, instances of
    other bins and what is matched to them are left out.

    Args:
      detections: [M] segments with scores.
      ground_truth: [G] segments.
      durations: of `ground_truth.videos`, in seconds; NaN where it is not known. An
        instance in such a video is in no bin of coverage.
      tious: [K] thresholds in (0, 1].
      bins: of the characteristics.

    Raises:
      ValueError: as `average_precision.activitynet` does.
    """
    average_precision.check_tables(detections, ground_truth, tious)
    values = _characteristics(ground_truth, np.asarray(durations, float))
    found, truths = average_precision.on_common_names(detections, ground_truth)
    positives = np.bincount(truths.label, minlength=len(truths.labels))
    found, place = _best(found, positives)
    matches = _matches(found, truths, tious)  # [K, M]
    types = _types(found, truths, matches, tious)
    multiple = place // np.maximum(positives[found.label], 1)
    counts = np.zeros((len(tious), MULTIPLES, len(TYPES)), int)
    for row, kinds in zip(counts, types, strict=True):
        np.add.at(row, (multiple, kinds), 1)
    whole = [_mean_ap(found, positives, match >= 0) for match in matches]
    impact = [
        [
            _mean_ap(found, positives, match >= 0, kinds != kind) - before
            for kind in range(1, len(TYPES))
        ]
        for match, kinds, before in zip(matches, types, whole, strict=True)
    ]
    every = np.ones(truths.label.size, bool)
    characteristics = {
        name: _characteristic(found, truths, matches, values[name], edges)
        for name, edges in bins._asdict().items()
        if not np.isnan(values[name]).all()
    }
    return Diagnosis(
        tious=np.array(tious, float),
        counts=counts.cumsum(axis=1),
        map=np.array(whole),
        impact=np.array(impact),
        map_n=np.array([_map_n(found, truths, match, every) for match in matches]),
        characteristics=characteristics,
    )


@np.errstate(over="ignore", invalid="ignore")  # Times can be of any size.
def _characteristics(
    truths: average_precision.Instances, durations: np.ndarray
) -> dict[str, np.ndarray]:
    """Length, coverage and number of instances of every instance, [G] each."""
    length = np.abs(truths.segments[:, 1] - truths.segments[:, 0])
    keys = truths.video * len(truths.labels) + truths.label
    _, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        coverage = length / durations[truths.video]
    return {"length": length, "coverage": coverage, "instances": sizes[group] * 1.0}


def _order(found: average_precision.Instances) -> np.ndarray:
    """[M] the rows as ranked, the categories one after the other."""
    return np.lexsort((found.scores, -found.label))[::-1]


def _best(
    found: average_precision.Instances, positives: np.ndarray
) -> tuple[average_precision.Instances, np.ndarray]:
    """The best 10 G detections of each category as ranked, and their places in it."""
    order = _order(found)
    label = found.label[order]
    place = np.arange(label.size) - np.searchsorted(label, label)
    kept = place < MULTIPLES * positives[label]
    return average_precision.take(found, order[kept]), place[kept]


def _matches(
    found: average_precision.Instances,
    truths: average_precision.Instances,
    tious: Sequence[float],
) -> np.ndarray:
    """[K, M] the instance that each detection is matched to, or -1."""
    return average_precision.match_detections(found, truths, tious)


def _types(
    found: average_precision.Instances,
    truths: average_precision.Instances,
    matches: np.ndarray,
    tious: Sequence[float],
) -> np.ndarray:
    """[K, M] the type of each detection, an index into `TYPES`."""
    tables = (
        table._replace(labels=("any",), label=np.zeros(table.label.size, int))
        for table in (found, truths)
    )
    best = np.zeros((2, found.label.size))  # of another category, of its own
    for pairs in average_precision.iterate_pairs(
        *tables, average_precision.union, least=min(MIN_TIOU, *tious)
    ):
        is_own = found.label[pairs.detection] == truths.label[pairs.truth]
        np.maximum.at(best, (is_own.astype(int), pairs.detection), pairs.overlap)
    own, tiou = best[1] >= best[0], best.max(axis=0)
    near = np.where(own, TYPES.index("localization"), TYPES.index("confusion"))
    on = np.where(own, TYPES.index("double detection"), TYPES.index("wrong label"))
    types = np.where(tiou >= MIN_TIOU, near, TYPES.index("background"))
    types = np.where(tiou >= np.reshape(tious, (-1, 1)), on, types)
    return np.where(matches >= 0, TYPES.index("true positive"), types)


def _mean_ap(
    found: average_precision.Instances,
    positives: np.ndarray,
    hit: np.ndarray,
    kept: np.ndarray | None = None,
) -> float:
    """mAP of ranked detections of which some are kept."""
    kept = np.ones(hit.size, bool) if kept is None else kept
    label, hit = found.label[kept], hit[kept]
    areas = [
        average_precision.interpolated_average_precision(
            hit[slice(*np.searchsorted(label, [category, category + 1]))],
            positives[category],
        )
        for category in np.flatnonzero(positives)
    ]
    return float(np.mean(areas))


def _characteristic(
    found: average_precision.Instances,
    truths: average_precision.Instances,
    matches: np.ndarray,
    values: np.ndarray,
    edges: tuple[float, ...],
) -> Characteristic:
    """How detection depends on the values [G] of a characteristic."""
    member = np.where(np.isnan(values), -1, np.searchsorted(edges, values))
    shape = (len(matches), len(edges))
    missed, map_n = np.full(shape, np.nan), np.full(shape, np.nan)
    for index in range(len(edges)):
        inside = member == index
        if not inside.any():
            continue
        for row, match in enumerate(matches):
            was_found = np.isin(np.flatnonzero(inside), match[match >= 0])
            missed[row, index] = 1 - was_found.mean()
            map_n[row, index] = _map_n(found, truths, match, inside)
    count = np.bincount(member[member >= 0], minlength=len(edges))
    return Characteristic(edges, count, int(np.isnan(values).sum()), missed, map_n)


def _map_n(
    found: average_precision.Instances,
    truths: average_precision.Instances,
    match: np.ndarray,
    inside: np.ndarray,
) -> float:
    """Normalised mAP of the instances inside a group, of the categories that have any."""
    hit = match >= 0
    counted = ~hit | inside[match]
    label, hit = found.label[counted], hit[counted]
    positives = np.bincount(truths.label[inside], minlength=len(truths.labels))
    expected = truths.label.size / np.unique(truths.label).size
    areas = []
    for category in np.flatnonzero(positives):
        rows = slice(*np.searchsorted(label, [category, category + 1]))
        right = np.cumsum(hit[rows]) / positives[category] * expected
        wrong = np.cumsum(~hit[rows])
        precision = (right / np.maximum(right + wrong, 1e-300))[hit[rows]]
        best_from_here = np.maximum.accumulate(precision[::-1])
        areas.append(best_from_here.sum() / positives[category])
    return float(np.mean(areas))
