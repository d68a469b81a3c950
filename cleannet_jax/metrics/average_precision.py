"""Average precision of temporal detections, under the rules of both benchmarks.

NumPy in float64, near-linear in the number of detections. Times are seconds; a
threshold t is a tIoU in (0, 1]. The protocols differ in who does the matching:

* `activitynet`: detections take turns by falling score. Each takes the ground truth
  of its video and category that it overlaps most among those still free, if their
  tIoU is >= t. Precision is interpolated.
* `thumos14`: ground truth takes turns in its own order. Each takes the detection
  that overlaps it most among those still free, if their overlap is > t. Unmatched
  detections that touch ambiguous footage are dropped. Precision is not interpolated.

The official kits' values are reproduced, also for NaN scores: first in ActivityNet's
ranking, last in THUMOS14's. Where a kit's answer depends on the machine, is an artefact
or a crash, it is defined here:

* Equal scores. `activitynet`: the later row first, as its kit has it up to 16 rows.
  `thumos14`: by name of the video, then the earlier row.
* The ends of a segment may come in either order, and a segment without length, or
  with an end that is not finite, overlaps nothing. ActivityNet's kit divides 0 by 0
  for some of these, and counts the result as a true positive at every threshold.
* A category without ground truth has the AP NaN and no part in the mean, so that its
  detections change nothing. The kits can stop instead.
* Without any detection the AP is 0. THUMOS14's kit stops instead.
* Names of videos are compared whole; THUMOS14's kit drops an ending ".mp4".

All of it is in one file, long as it is: ranking, matching and area define one number.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np

_BLOCK = 1 << 18  # Pairs looked at together: bounds the memory, not the result.


class Instances(NamedTuple):
    """Segments, each of one video and one label: detections or ground truth.

    Attributes:
      videos: [V] names of the videos, including those without a segment.
      labels: [N] names of the categories.
      video: [M] int, position in `videos`.
      label: [M] int, position in `labels`.
      segments: [M, 2] float64 (start, end) in seconds.
      scores: [M] float64, higher is better, on any scale; None for ground truth.
    """

    videos: tuple[str, ...]
    labels: tuple[str, ...]
    video: np.ndarray
    label: np.ndarray
    segments: np.ndarray
    scores: np.ndarray | None = None


class Ranking(NamedTuple):
    """Detections after matching, best first: all that an average precision is made of.

    Attributes:
      videos: [V] names of the videos, sorted.
      labels: [N] names of the categories, sorted.
      tious: [K] thresholds.
      video: [M] int, video of each detection.
      label: [M] int, ascending: the rankings of the categories one after the other.
      hit: [K, M] bool, true positives.
      counted: [K, M] bool, False for what is neither a true nor a false positive.
      truth_video: [G] int, video of each ground-truth segment.
      truth_label: [G] int, its category.
      is_interpolated: whether precision is to be interpolated.
    """

    videos: tuple[str, ...]
    labels: tuple[str, ...]
    tious: np.ndarray
    video: np.ndarray
    label: np.ndarray
    hit: np.ndarray
    counted: np.ndarray
    truth_video: np.ndarray
    truth_label: np.ndarray
    is_interpolated: bool

    @property
    def positives(self) -> np.ndarray:
        """[N] int, ground-truth segments of each category."""
        return np.bincount(self.truth_label, minlength=len(self.labels))

    def rows(self, category: int) -> slice:
        """Where the detections of one category are."""
        return slice(*np.searchsorted(self.label, [category, category + 1]))


class AveragePrecision(NamedTuple):
    """Average precision of every category at every threshold, in [0, 1].

    Attributes:
      labels: [N] names of the categories, sorted.
      tious: [K] thresholds.
      ap: [K, N] average precision, NaN for a category without ground truth.
      positives: [N] int, ground-truth segments of each category.
    """

    labels: tuple[str, ...]
    tious: np.ndarray
    ap: np.ndarray
    positives: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """[K] mean over the categories that have ground truth: the mAP."""
        return self.ap[:, self.positives > 0].mean(axis=1)


class Pairs(NamedTuple):
    """Detections and ground truth of one video and category that intersect.

    Attributes:
      detection: [Q] int, row of the detection.
      truth: [Q] int, row of the ground truth.
      overlap: [Q] in (0, 1].
    """

    detection: np.ndarray
    truth: np.ndarray
    overlap: np.ndarray


def interpolated_average_precision(hit: np.ndarray, num_positives: int) -> float:
    """Returns the area under the interpolated precision of one ranking, in [0, 1].

    The precision at a recall is the best one at that recall or beyond it, at every
    step of the recall (as in VOC 2011, not at eleven points).

    Args:
      hit: [M] bool, true positives, in the order of the ranking.
      num_positives: segments that there are to find, at least one.
    """
    precision = _precision_at_hits(hit)
    best_from_here = np.maximum.accumulate(precision[::-1])
    return float(best_from_here.sum() / num_positives)


def uninterpolated_average_precision(hit: np.ndarray, num_positives: int) -> float:
    """Returns the sum of the precision at each hit over the positives, in [0, 1].

    Args:
      hit: [M] bool, true positives, in the order of the ranking.
      num_positives: segments that there are to find, at least one.
    """
    return float(_precision_at_hits(hit).sum() / num_positives)


def activitynet(
    detections: Instances, ground_truth: Instances, *, tious: Sequence[float]
) -> AveragePrecision:
    """Returns the average precision under ActivityNet's rule; see `rank_activitynet`."""
    return average(rank_activitynet(detections, ground_truth, tious=tious))


def thumos14(
    detections: Instances,
    ground_truth: Instances,
    *,
    tious: Sequence[float],
    ambiguous: Instances | None = None,
) -> AveragePrecision:
    """Returns the average precision under THUMOS14's rule; see `rank_thumos14`."""
    return average(
        rank_thumos14(detections, ground_truth, tious=tious, ambiguous=ambiguous)
    )


def average(ranking: Ranking) -> AveragePrecision:
    """Returns the average precision of every category's ranking."""
    areas = (uninterpolated_average_precision, interpolated_average_precision)
    area = areas[ranking.is_interpolated]
    positives = ranking.positives
    ap = np.full((len(ranking.tious), positives.size), np.nan)
    for category in np.flatnonzero(positives):
        rows = ranking.rows(category)
        for index in range(len(ap)):
            hit = ranking.hit[index, rows][ranking.counted[index, rows]]
            ap[index, category] = area(hit, positives[category])
    return AveragePrecision(ranking.labels, ranking.tious, ap, positives)


def rank_activitynet(
    detections: Instances, ground_truth: Instances, *, tious: Sequence[float]
) -> Ranking:
    """Returns the detections as ActivityNet's rule ranks and matches them.

    Args:
      detections: [M] segments with scores. Those in videos or of categories without
        ground truth are welcome: they can only be false positives.
      ground_truth: [G] segments.
      tious: [K] thresholds in (0, 1].

    Raises:
      ValueError: there is no ground truth, a threshold is outside of (0, 1], or the
        columns of a table do not belong together.
    """
    check_tables(detections, ground_truth, tious)
    detections, truths = on_common_names(detections, ground_truth)
    # Reversing an ascending stable sort puts the later of equal rows first.
    ranking = np.lexsort((detections.scores, -detections.label))[::-1]
    detections = take(detections, ranking)
    hit = match_detections(detections, truths, tious) >= 0
    counted = np.broadcast_to(True, hit.shape)
    return _ranking(detections, truths, tious, hit, counted, is_interpolated=True)


def rank_thumos14(
    detections: Instances,
    ground_truth: Instances,
    *,
    tious: Sequence[float],
    ambiguous: Instances | None = None,
) -> Ranking:
    """Returns the detections as THUMOS14's kit ranks and matches them.

    Args:
      detections: [M] segments with scores. Those in videos or of categories without
        ground truth are welcome: they can only be false positives.
      ground_truth: [G] segments, in the order of their turns.
      tious: [K] thresholds in (0, 1].
      ambiguous: [A] segments that nobody could assign to a category; their labels are
        not read. A detection of any category that intersects one of them and is not
        matched counts neither as right nor as wrong.

    Raises:
      ValueError: there is no ground truth, a threshold is outside of (0, 1], or the
        columns of a table do not belong together.
    """
    check_tables(detections, ground_truth, tious)
    excused = _intersects_any(detections, ambiguous)
    detections, truths = on_common_names(detections, ground_truth)
    ranking = np.lexsort((detections.video, -detections.scores, detections.label))
    detections, excused = take(detections, ranking), excused[ranking]
    hit = _match_truths(detections, truths, tious)
    counted = hit | ~excused
    return _ranking(detections, truths, tious, hit, counted, is_interpolated=False)


def without_videos(table: Instances, names: Collection[str]) -> Instances:
    """Returns the table without some of its videos and their segments."""
    names = set(names)
    keep = np.array([name not in names for name in table.videos], bool)
    rows = keep[table.video]
    return Instances(
        tuple(name for name in table.videos if name not in names),
        table.labels,
        (np.cumsum(keep) - 1)[table.video[rows]],
        table.label[rows],
        table.segments[rows],
        None if table.scores is None else table.scores[rows],
    )


def check_tables(
    detections: Instances, ground_truth: Instances, tious: Sequence[float]
) -> None:
    """Raises a ValueError unless there is something to compute.

    Args:
      detections: segments with scores; columns of one length.
      ground_truth: at least one segment; columns of one length.
      tious: at least one threshold, each in (0, 1].
    """
    if detections.scores is None:
        raise ValueError("the detections have no scores")
    for name, table in (("detections", detections), ("ground truth", ground_truth)):
        size = len(table.video)
        shapes = [np.shape(column) for column in table[2:] if column is not None]
        if shapes != [(size,), (size,), (size, 2), (size,)][: len(shapes)]:
            raise ValueError(
                f"{name}: expected video [M], label [M], segments [M, 2] and scores"
                f" [M], found shapes {shapes}"
            )
    if not len(ground_truth.video):
        raise ValueError("there is no ground truth: average precision is not defined")
    if not len(tious) or not all(0 < tiou <= 1 for tiou in tious):
        raise ValueError(f"expected tIoU thresholds in (0, 1], found {list(tious)}")


def on_common_names(*tables: Instances) -> list[Instances]:
    """Returns the tables with one sorted list of videos and of labels.

    The ends of every segment are put in order, NaN where one of them is not finite.
    """
    videos = tuple(sorted(set().union(*(table.videos for table in tables))))
    labels = tuple(sorted(set().union(*(table.labels for table in tables))))
    return [
        Instances(
            videos,
            labels,
            _positions(table.videos, videos)[table.video],
            _positions(table.labels, labels)[table.label],
            _in_order(table.segments),
            None if table.scores is None else np.asarray(table.scores, float),
        )
        for table in tables
    ]


def _positions(names: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """The position in `known` of each name."""
    position = {name: index for index, name in enumerate(known)}
    return np.array([position[name] for name in names], int)


def _in_order(segments: np.ndarray) -> np.ndarray:
    """The segments with the smaller end first, NaN where an end is not finite."""
    segments = np.sort(np.asarray(segments, float), axis=1)
    segments[~np.isfinite(segments).all(axis=1)] = np.nan
    return segments


def take(table: Instances, rows: np.ndarray) -> Instances:
    """Returns rows of a table, in the order asked for."""
    columns = (None if column is None else column[rows] for column in table[2:])
    return Instances(table.videos, table.labels, *columns)


def select(pairs: Pairs, rows: np.ndarray) -> Pairs:
    """Returns some of the pairs, in the order asked for."""
    return Pairs(*(column[rows] for column in pairs))


def union(a: np.ndarray, b: np.ndarray, intersection: np.ndarray) -> np.ndarray:
    """Returns the length of the union of [Q, 2] segments, as ActivityNet's kit adds it."""
    return (b[:, 1] - b[:, 0]) + (a[:, 1] - a[:, 0]) - intersection


def _hull(a: np.ndarray, b: np.ndarray, intersection: np.ndarray) -> np.ndarray:
    """The same length as THUMOS14's kit measures it; the last digit can differ."""
    return np.maximum(a[:, 1], b[:, 1]) - np.minimum(a[:, 0], b[:, 0])


def match_detections(
    detections: Instances, truths: Instances, tious: Sequence[float]
) -> np.ndarray:
    """Returns [K, M] the row of the ground truth that each detection takes, or -1.

    Detections take turns in the order of their rows, each the ground truth that it
    overlaps most, the later of equals, if their tIoU is >= the threshold.

    Args:
      detections: [M] segments in the order of their turns.
      truths: [G] segments; both tables as `on_common_names` returns them.
      tious: [K] thresholds in (0, 1].
    """
    matches = np.full((len(tious), detections.label.size), -1)
    for rows, others, is_large in _parts(detections, truths):
        some, all_truths = take(detections, rows), take(truths, others)
        if is_large:
            found = _in_turn(some, all_truths, union, tious, prefers_later=True)
        else:
            found = np.full((len(tious), rows.size), -1)
            pairs = intersecting_pairs(some, all_truths, union, least=min(tious))
            pairs = select(pairs, turns_of_detections(pairs))
            for row, tiou in zip(found, tious, strict=True):
                able = select(pairs, pairs.overlap >= tiou)
                formed = select(able, take_turns(able.detection, able.truth))
                row[formed.detection] = formed.truth
        matches[:, rows] = np.where(found < 0, -1, others[found])
    return matches


def _match_truths(
    detections: Instances, truths: Instances, tious: Sequence[float]
) -> np.ndarray:
    """[K, M] bool, which detections are taken where ground truth takes turns."""
    hit = np.zeros((len(tious), detections.label.size), bool)
    # What is above a threshold is at least the next number.
    above = np.nextafter(tious, 2)
    for rows, others, is_large in _parts(detections, truths):
        some, all_truths = take(detections, rows), take(truths, others)
        if is_large:
            found = _in_turn(all_truths, some, _hull, above, prefers_later=False)
            for row, taken in zip(hit, found, strict=True):
                row[rows[taken[taken >= 0]]] = True
            continue
        pairs = intersecting_pairs(some, all_truths, _hull, least=min(tious))
        # Of detections that overlap it equally, ground truth takes the best ranked.
        turns = np.lexsort((pairs.detection, -pairs.overlap, pairs.truth))
        pairs = select(pairs, turns)
        for row, tiou in zip(hit, above, strict=True):
            able = select(pairs, pairs.overlap >= tiou)
            formed = take_turns(able.truth, able.detection)
            row[rows[able.detection[formed]]] = True
    return hit


def _parts(
    detections: Instances, truths: Instances
) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """Yields rows of detections and of truths that nothing outside of them matches.

    Each part is some videos and labels of few pairs together, or one that has many,
    which the last value says.
    """
    wanted, keys = _keys(detections), _keys(truths)
    groups, of_truth, counts = np.unique(keys, return_inverse=True, return_counts=True)
    rows = np.flatnonzero(np.isin(wanted, groups))
    of_row = np.searchsorted(groups, wanted[rows])
    pairs = np.bincount(of_row, minlength=groups.size) * counts
    is_large = pairs > _BLOCK
    part = np.cumsum(np.where(is_large, 0, pairs)) // _BLOCK
    most = part.max(initial=0)
    part[is_large] = most + 1 + np.arange(is_large.sum())
    order, of_row = np.argsort(part[of_row], kind="stable"), part[of_row]
    truth_order, of_truth = np.argsort(part[of_truth], kind="stable"), part[of_truth]
    for one in np.unique(of_row):
        first, last = np.searchsorted(of_row, (one, one + 1), sorter=order)
        start, stop = np.searchsorted(of_truth, (one, one + 1), sorter=truth_order)
        yield rows[order[first:last]], truth_order[start:stop], bool(one > most)


def _keys(table: Instances) -> np.ndarray:
    """[M] int, the same for segments of one video and label."""
    return table.video * len(table.labels) + table.label


def _in_turn(
    choosers: Instances,
    options: Instances,
    extent: Callable[..., np.ndarray],
    tious: Sequence[float],
    *,
    prefers_later: bool,
) -> np.ndarray:
    """[K, M] the option that each chooser takes, or -1, one chooser at a time.

    For many segments of one video and label: no pair of them is kept.
    """
    step = -1 if prefers_later else 1
    segments = options.segments[::step]
    free = np.ones((len(tious), len(segments)), bool)
    taken = np.full((len(tious), choosers.label.size), -1)
    for index, own in enumerate(choosers.segments):
        with np.errstate(over="ignore", invalid="ignore"):
            inside = np.minimum(own[1], segments[:, 1])
            inside -= np.maximum(own[0], segments[:, 0])
            near = np.flatnonzero(inside > 0)
            inside, others = inside[near], segments[near]
            same = np.broadcast_to(own, others.shape)
            # The sum of the lengths has an order, which the last digit depends on.
            sides = (same, others) if prefers_later else (others, same)
            overlap = inside / extent(*sides, inside)
        for row, left, tiou in zip(taken, free, tious, strict=True):
            able = np.where(left[near] & (overlap >= tiou), overlap, -1.0)
            if able.size and able.max() >= 0:
                best = near[able.argmax()]
                left[best] = False
                row[index] = len(segments) - 1 - best if prefers_later else best
    return taken


def iterate_pairs(
    detections: Instances,
    truths: Instances,
    extent: Callable[..., np.ndarray],
    *,
    least: float = 0.0,
) -> Iterator[Pairs]:
    """Yields the pairs that `intersecting_pairs` returns, some at a time."""
    wanted, keys = _keys(detections), _keys(truths)
    order = np.argsort(keys, kind="stable")
    first = np.searchsorted(keys, wanted, "left", sorter=order)
    count = np.searchsorted(keys, wanted, "right", sorter=order) - first
    ends = np.cumsum(count)
    for start in range(0, ends[-1] if ends.size else 0, _BLOCK):
        pair = np.arange(start, min(start + _BLOCK, ends[-1]))
        detection = np.searchsorted(ends, pair, "right")
        truth = order[pair + (first + count - ends)[detection]]
        a, b = detections.segments[detection], truths.segments[truth]
        with np.errstate(over="ignore", invalid="ignore"):
            intersection = np.minimum(a[:, 1], b[:, 1]) - np.maximum(a[:, 0], b[:, 0])
            meet = intersection > 0
            overlap = intersection[meet] / extent(a[meet], b[meet], intersection[meet])
        block = Pairs(detection[meet], truth[meet], overlap)
        yield select(block, overlap >= least)


def intersecting_pairs(
    detections: Instances,
    truths: Instances,
    extent: Callable[..., np.ndarray],
    *,
    least: float = 0.0,
) -> Pairs:
    """Returns the pairs of one video and label that overlap by `least` or more.

    Args:
      detections: [M] segments.
      truths: [G] segments; both tables as `on_common_names` returns them.
      extent: what an intersection is measured against, such as `union`: from the
        segments [Q, 2] of either side and the lengths [Q] of their intersections.
      least: smallest overlap, in [0, 1].
    """
    blocks = [Pairs(np.zeros(0, int), np.zeros(0, int), np.zeros(0))]
    blocks += iterate_pairs(detections, truths, extent, least=least)
    return Pairs(*(np.concatenate(columns) for columns in zip(*blocks, strict=True)))


def _intersects_any(detections: Instances, others: Instances | None) -> np.ndarray:
    """[M] whether a detection intersects any other segment of its video."""
    intersects = np.zeros(len(detections.video), bool)
    if others is not None:
        tables = (
            table._replace(labels=("any",), label=np.zeros(len(table.label), int))
            for table in (detections, others)
        )
        for pairs in iterate_pairs(*on_common_names(*tables), _hull):
            intersects[pairs.detection] = True
    return intersects


def turns_of_detections(pairs: Pairs) -> np.ndarray:
    """Returns the order of pairs, which are by detection, in which each prefers the first.

    Of ground truth that it overlaps equally, a detection prefers the later. Most
    detections have one pair, and only the others are sorted.
    """
    is_next = pairs.detection[1:] == pairs.detection[:-1]
    rows = np.flatnonzero(np.append(is_next, False) | np.append(False, is_next))
    some = select(pairs, rows)
    turns = np.arange(pairs.detection.size)
    turns[rows] = rows[np.lexsort((-some.truth, -some.overlap, some.detection))]
    return turns


def take_turns(chooser: np.ndarray, option: np.ndarray) -> np.ndarray:
    """Returns the pairs that form when each chooser in turn takes one option.

    The pairs are sorted by turn, then by the chooser's preference. A pair is settled
    when it is the chooser's first and nobody with an earlier turn has the option in
    any pair: taking turns one by one must come to it. So all such pairs are settled
    at once, and the rest goes on without what they use up.

    Args:
      chooser: [Q] int, the turn of the one who chooses.
      option: [Q] int, what can be taken once.
    """
    settled = [np.zeros(0, int)]
    left = np.arange(chooser.size)
    earliest = np.empty(option.max(initial=-1) + 1, int)
    served = np.zeros(chooser.max(initial=-1) + 1, bool)
    taken = np.zeros(earliest.size, bool)
    while left.size:
        who, what = chooser[left], option[left]
        earliest[what] = served.size
        np.minimum.at(earliest, what, who)
        favourite = np.append(True, who[1:] != who[:-1])
        mutual = favourite & (earliest[what] == who)
        served[who[mutual]] = True
        taken[what[mutual]] = True
        settled.append(left[mutual])
        left = left[~(served[who] | taken[what])]
    return np.concatenate(settled)


def _precision_at_hits(hit: np.ndarray) -> np.ndarray:
    """[H] precision of the ranking down to each true positive."""
    ranks = np.flatnonzero(hit)
    return np.arange(1, ranks.size + 1) / (ranks + 1)


def _ranking(
    detections: Instances,
    truths: Instances,
    tious: Sequence[float],
    hit: np.ndarray,
    counted: np.ndarray,
    *,
    is_interpolated: bool,
) -> Ranking:
    """What both protocols return, from ranked detections."""
    return Ranking(
        videos=truths.videos,
        labels=truths.labels,
        tious=np.array(tious, float),
        video=detections.video,
        label=detections.label,
        hit=hit,
        counted=counted,
        truth_video=truths.video,
        truth_label=truths.label,
        is_interpolated=is_interpolated,
    )
