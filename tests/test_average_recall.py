"""Recall against the number of proposals: by hand, and against slow loops."""

import numpy as np
import pytest

from cleannet_jax.metrics import average_precision, average_recall


def table(rows):
    """Instances from (video, start, end[, score]) rows; every row has its own label."""
    videos = tuple(dict.fromkeys(row[0] for row in rows))
    scores = np.array([row[3] for row in rows if len(row) == 4], float)
    return average_precision.Instances(
        videos=videos,
        labels=tuple(f"label{index}" for index in range(len(rows))),
        video=np.array([videos.index(row[0]) for row in rows], int),
        label=np.arange(len(rows)),
        segments=np.array([row[1:3] for row in rows], float).reshape(-1, 2),
        scores=scores if scores.size == len(rows) else None,
    )


def slow_average_recall(proposals, truths, tious, largest):
    """The metric video by video, threshold by threshold, proposal by proposal."""
    videos = sorted({row[0] for row in truths})
    ranked = {}
    for video in videos:
        here = [(row[3], i, row) for i, row in enumerate(proposals) if row[0] == video]
        ranked[video] = [row for _, _, row in sorted(here, reverse=True)]
    ratio = largest * float(len(videos)) / len(proposals)
    for video in videos:
        count = len(ranked[video])
        ranked[video] = ranked[video][: min(int(count * ratio), count)]
    total = sum(map(len, ranked.values()))
    curve = np.zeros((len(tious), 100))
    for k, tiou in enumerate(tious):
        for j in range(100):
            share = (j + 1) / 100.0 * (largest * float(len(videos)) / total)
            found = 0
            for video, start, end in truths:
                for _, s, e, _ in ranked[video][: int(len(ranked[video]) * share)]:
                    inside = max(min(end, e) - max(start, s), 0)
                    if inside / (end - start + e - s - inside) >= tiou:
                        found += 1
                        break
            curve[k, j] = found / len(truths)
    return curve


def random_rows(rng, count, *, scored):
    rows = []
    for _ in range(count):
        start = int(rng.integers(0, 10))
        row = (f"video{rng.integers(0, 5)}", start, start + int(rng.integers(1, 8)))
        rows.append((*row, int(rng.integers(0, 9))) if scored else row)
    return rows


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("count", "largest"), [(40, 100), (300, 20), (300, 7)])
def test_equals_slow_loops_on_ties(seed, count, largest):
    rng = np.random.default_rng(seed)
    truths = random_rows(rng, 25, scored=False)
    # Some proposals are in a video without ground truth: they count as proposals.
    proposals = [*random_rows(rng, count, scored=True), ("other", 0, 5, 3)]
    tious = (0.3, 0.5, 0.75)
    found = average_recall.average_recall(
        table(proposals), table(truths), tious=tious, largest=largest
    )
    expected = slow_average_recall(proposals, truths, tious, largest)
    np.testing.assert_allclose(found.recall, expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.mean, expected.mean(axis=0), rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.numbers, np.arange(1, 101) * largest / 100)


def test_curve_by_hand():
    # One video with two instances. Of 100 proposals the first hits the one, the fifth
    # the other; at an average of n, the one video keeps n proposals.
    truths = table([("a", 0, 10), ("a", 20, 30)])
    rows = [("a", 50, 51, 0.0)] * 100
    rows[0], rows[4] = ("a", 0, 10, 100.0), ("a", 20, 29, 96.0)
    rows[1:4] = [("a", 50, 51, 99.0 - index) for index in range(3)]
    found = average_recall.average_recall(table(rows), truths, tious=(0.9, 0.95))
    # The fifth has a tIoU of 0.9.
    assert found.recall[0].tolist() == [0.5] * 4 + [1] * 96
    assert found.recall[1].tolist() == [0.5] * 100
    # Trapezoids from 1 to 100 under the mean, 0.5 at first and 0.75 from 5 on.
    assert found.auc == pytest.approx((3 * 0.5 + 0.625 + 95 * 0.75) / 100)


def test_videos_keep_a_share_and_not_a_number():
    # At an average of 1, the video with three proposals keeps one, the other none.
    truths = table([("a", 0, 10), ("b", 0, 10)])
    rows = [
        ("a", 0, 10, 3.0),
        ("a", 40, 41, 2.0),
        ("a", 40, 41, 1.0),
        ("b", 0, 10, 9.0),
    ]
    found = average_recall.average_recall(table(rows), truths, tious=(0.5,), largest=2)
    halves, whole = found.recall[0, 49], found.recall[0, 99]
    assert (found.numbers[49], halves, whole) == (1, 0.5, 1)


def test_one_proposal_finds_several_instances():
    truths = table([("a", 0, 10), ("a", 1, 10)])
    found = average_recall.average_recall(table([("a", 0, 10, 1.0)]), truths)
    # tIoU 1 and 0.9, which nine of the ten thresholds accept.
    assert found.mean[-1] == pytest.approx((9 * 1 + 0.5) / 10)


@pytest.mark.parametrize(
    "rows", [[], [("other", 0, 1, 1.0)], [("a", 5, 5, 1.0)], [("a", 0, np.nan, 1.0)]]
)
def test_nothing_found_is_zero(rows):
    truths = table([("a", 0, 10)])
    found = average_recall.average_recall(table(rows), truths)
    assert found.recall.shape == (10, 100)
    assert found.auc == 0


def test_mistakes_are_named():
    rows = table([("a", 0, 1, 1.0)])
    with pytest.raises(ValueError, match="there is no ground truth"):
        average_recall.average_recall(rows, table([]))
    with pytest.raises(ValueError, match="tIoU thresholds in"):
        average_recall.average_recall(rows, rows, tious=(0,))
