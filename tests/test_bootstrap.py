"""Resampled videos: weighing the outcome of a matching equals copying the videos."""

import numpy as np
import pytest

from cleannet_jax.metrics import average_precision, bootstrap

RULES = [
    (average_precision.rank_activitynet, average_precision.activitynet),
    (average_precision.rank_thumos14, average_precision.thumos14),
]


def random_table(rng, count, *, scored):
    """Segments of five videos and three categories; no two scores are equal."""
    start = rng.uniform(0, 12, count)
    return average_precision.Instances(
        videos=tuple("abcde"),
        labels=("Dive", "Jump", "Throw"),
        video=rng.integers(0, 5, count),
        label=rng.integers(0, 3, count),
        segments=np.stack([start, start + rng.uniform(2, 8, count)], axis=1),
        scores=rng.permutation(count) / count if scored else None,
    )


def copied(table, draws):
    """The table with each of its videos there as often as drawn, under new names."""
    blocks, videos = [], []
    for video, name in enumerate(table.videos):
        rows = np.flatnonzero(table.video == video)
        for copy in range(draws[video]):
            blocks.append((rows, np.full(rows.size, len(videos))))
            videos.append(f"{name}{copy}")
    rows, video = map(np.concatenate, zip(*blocks, strict=True))
    scores = None if table.scores is None else table.scores[rows]
    return average_precision.Instances(
        tuple(videos), table.labels, video, table.label[rows], table.segments[rows],
        scores,
    )  # fmt: skip


@pytest.mark.parametrize(("rank", "protocol"), RULES)
@pytest.mark.parametrize("elements", [1 << 22, 100])
def test_weights_equal_copies(rank, protocol, elements, monkeypatch):
    monkeypatch.setattr(bootstrap, "_ELEMENTS", elements)
    rng = np.random.default_rng(0)
    truths = random_table(rng, 25, scored=False)
    detections = random_table(rng, 150, scored=True)
    options = [{}] * 5
    if protocol is average_precision.thumos14:
        ambiguous = random_table(rng, 3, scored=False)
    draws = bootstrap.draw_videos(5, samples=5, seed=1)
    tious = (0.2, 0.5)
    if protocol is average_precision.thumos14:
        options = [{"ambiguous": copied(ambiguous, row)} for row in draws]
        ranking = rank(detections, truths, tious=tious, ambiguous=ambiguous)
    else:
        ranking = rank(detections, truths, tious=tious)
    found = bootstrap.mean_average_precision(ranking, draws)
    assert found.shape == (5, 2)
    for row, option, values in zip(draws, options, found, strict=True):
        expected = protocol(
            copied(detections, row), copied(truths, row), tious=tious, **option
        )
        np.testing.assert_allclose(values, expected.mean, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("rank", "protocol"), RULES)
def test_every_video_once_is_the_map(rank, protocol):
    rng = np.random.default_rng(2)
    truths = random_table(rng, 30, scored=False)
    detections = random_table(rng, 200, scored=True)
    # A detection elsewhere is wrong in every resample.
    stray = detections._replace(videos=(*"abcd", "elsewhere"))
    for table in (detections, stray):
        ranking = rank(table, truths, tious=(0.3, 0.7))
        found = bootstrap.mean_average_precision(ranking, np.ones((1, 5), int))
        expected = protocol(table, truths, tious=(0.3, 0.7)).mean
        np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-14)


def test_categories_without_instances_leave_the_mean():
    # Dive is right in a, Throw is missed in b.
    truths = average_precision.Instances(
        ("a", "b"), ("Dive", "Throw"), np.array([0, 1]), np.array([0, 1]),
        np.array([[0.0, 4.0], [0.0, 4.0]]),
    )  # fmt: skip
    detections = average_precision.Instances(
        ("a",), ("Dive",), np.array([0]), np.array([0]), np.array([[0.0, 4.0]]),
        np.array([1.0]),
    )  # fmt: skip
    ranking = average_precision.rank_activitynet(detections, truths, tious=(0.5,))
    draws = np.array([[1, 1], [2, 0], [0, 2]])
    found = bootstrap.mean_average_precision(ranking, draws)
    assert found[:, 0].tolist() == [0.5, 1, 0]


def test_draws_are_a_function_of_the_seed():
    first = bootstrap.draw_videos(7, samples=50, seed=3)
    np.testing.assert_array_equal(first, bootstrap.draw_videos(7, samples=50, seed=3))
    assert not np.array_equal(first, bootstrap.draw_videos(7, samples=50, seed=4))
    assert first.shape == (50, 7)
    assert (first.sum(axis=1) == 7).all()


def test_interval_holds_the_middle():
    values = np.stack([np.arange(101.0), np.arange(101.0) * 2], axis=1)
    low, high = bootstrap.interval(values, level=0.9)
    np.testing.assert_allclose(low, [5, 10], atol=1e-9)
    np.testing.assert_allclose(high, [95, 190], atol=1e-9)
