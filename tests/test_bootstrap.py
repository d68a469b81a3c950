"""Resampled videos: weighing the outcome of a matching equals copying the videos."""

import itertools

import numpy as np
import pytest

from cleannet_jax.metrics import average_precision, bootstrap, student

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
    draws = rng.multinomial(5, np.full(5, 0.2), 5)
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


@pytest.mark.parametrize(("videos", "half"), [(8, 4), (7, 3), (2, 1), (1, 1)])
def test_draws_are_halves_and_a_function_of_the_seed(videos, half):
    first = bootstrap.draw_halves(videos, samples=50, seed=3)
    again = bootstrap.draw_halves(videos, samples=50, seed=3)
    np.testing.assert_array_equal(first, again)
    assert first.shape == (50, videos)
    assert set(first.ravel()) <= {0, 1} and (first.sum(axis=1) == half).all()
    if videos > 2:
        other = bootstrap.draw_halves(videos, samples=50, seed=4)
        assert not np.array_equal(first, other)


def every_half(videos):
    """All halves of a few videos, as the rows of draws."""
    chosen = list(itertools.combinations(range(videos), videos // 2))
    return np.array([np.isin(range(videos), row) for row in chosen], int)


@pytest.mark.parametrize("videos", [2, 5, 6, 9])
def test_error_of_a_mean_is_the_textbook_one(videos):
    # The mean of some numbers has the standard error s / sqrt(n). All halves give
    # just that: their variance is s^2 / h (1 - h / n), by sampling without replacement.
    numbers = np.random.default_rng(0).normal(size=(videos, 2))
    draws = every_half(videos)
    halves = draws @ numbers / draws.sum(axis=1, keepdims=True)
    found = bootstrap.standard_error(halves, num_videos=videos)
    expected = numbers.std(axis=0, ddof=1) / np.sqrt(videos)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_error_of_a_map_equals_evaluating_every_half():
    rng = np.random.default_rng(5)
    truths = random_table(rng, 25, scored=False)
    detections = random_table(rng, 150, scored=True)
    ranking = average_precision.rank_activitynet(detections, truths, tious=(0.3,))
    draws = every_half(5)
    halves = bootstrap.mean_average_precision(ranking, draws)
    expected = [
        average_precision.activitynet(
            copied(detections, row), copied(truths, row), tious=(0.3,)
        ).mean[0]
        for row in draws
    ]
    mean = sum(expected) / 10
    variance = 2 / 3 * sum((value - mean) ** 2 for value in expected) / 10
    found = bootstrap.standard_error(halves, num_videos=5)
    np.testing.assert_allclose(found, [variance**0.5], rtol=1e-12)
    # Halves that are drawn estimate the same.
    drawn = bootstrap.draw_halves(5, samples=4000, seed=0)
    halves = bootstrap.mean_average_precision(ranking, drawn)
    found = bootstrap.standard_error(halves, num_videos=5)
    np.testing.assert_allclose(found, [variance**0.5], rtol=0.05)


def test_interval_by_hand():
    value, error = np.array([0.5, 0.05, 0.98, 0.3]), np.array([0.1, 0.1, 0.1, 0])
    # t of 0.95 at 10 degrees of freedom is 2.228 in every table.
    low, high = bootstrap.interval(value, error, freedom=10, level=0.95)
    np.testing.assert_allclose(low, [0.2772, 0, 0.7572, 0.3], atol=1e-4)
    np.testing.assert_allclose(high, [0.7228, 0.2728, 1, 0.3], atol=1e-4)
    assert ((low <= value) & (value <= high)).all()
    low, _ = bootstrap.interval(value, error, freedom=10, level=0.95, least=-1)
    np.testing.assert_allclose(low[1], 0.05 - 0.2228, atol=1e-4)


def test_of_one_video_nothing_is_known():
    error = bootstrap.standard_error(np.full((9, 2), 0.5), num_videos=1)
    low, high = bootstrap.interval(np.full(2, 0.5), error, freedom=0, level=0.95)
    assert (low.tolist(), high.tolist()) == ([0, 0], [1, 1])


@pytest.mark.parametrize(
    ("freedom", "level", "expected"),
    [  # As in printed tables of Student's t, two-sided.
        (1, 0.95, 12.706),
        (2, 0.95, 4.303),
        (3, 0.95, 3.182),
        (4, 0.99, 4.604),
        (19, 0.95, 2.093),
        (30, 0.9, 1.697),
        (120, 0.99, 2.617),
        (100_000, 0.95, 1.960),
    ],
)
def test_student_equals_the_tables(freedom, level, expected):
    assert student.quantile(level, freedom=freedom) == pytest.approx(expected, abs=5e-4)
