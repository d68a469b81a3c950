"""Whether one set of detections is better than another."""

import numpy as np
import pytest

from cleannet_jax import compare, errors, evaluate
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.metrics import average_precision, bootstrap
from cleannet_jax.report import comparison

NUM_VIDEOS = 40
NAMES = tuple(f"video{index:02d}" for index in range(NUM_VIDEOS))


@pytest.fixture
def annotations():
    """Forty videos with one instance each."""
    videos = {
        name: annotations_lib.Video(
            id=name,
            subset="test",
            duration=None,
            fps=None,
            segments=np.array([[0.0, 10.0]]),
            labels=("Dive",),
            ambiguous=np.zeros((0, 2)),
        )
        for name in NAMES
    }
    return annotations_lib.Annotations(videos, "gt.json")


def report_on(annotations, is_found, **options):
    """The report on one detection a video, right where `is_found`."""
    ends = np.where(is_found, 10.0, 1.0)
    predictions = average_precision.Instances(
        NAMES[: len(is_found)],
        ("Dive",),
        np.arange(len(is_found)),
        np.zeros(len(is_found), int),
        np.stack([np.zeros(len(is_found)), ends], axis=1),
        np.linspace(1, 0, len(is_found)),
    )
    return evaluate.evaluate(
        predictions, annotations, subset="test", tious=(0.5, 0.75), **options
    )


def test_same_detections_do_not_differ(annotations):
    found = report_on(annotations, np.arange(NUM_VIDEOS) % 2 == 0)
    result = compare.compare(found, found, samples=50)
    for values in (result.difference, result.low, result.high):
        assert values.tolist() == [0, 0, 0]
    assert not result.is_real.any()
    assert comparison.as_text(result).endswith(": not more than noise")


def test_consistent_difference_is_real(annotations):
    half = report_on(annotations, np.arange(NUM_VIDEOS) % 2 == 0)
    all_found = report_on(annotations, np.ones(NUM_VIDEOS, bool))
    result = compare.compare(half, all_found, samples=200, seed=1)
    expected = 1 - half.result.mean[0]
    np.testing.assert_allclose(result.difference, [expected] * 3)
    assert (result.low > 0).all() and result.is_real.all()
    assert (result.low <= expected).all() and (expected <= result.high).all()
    back = compare.compare(all_found, half, samples=200, seed=1)
    np.testing.assert_allclose(back.low, -result.high, atol=1e-15)
    assert comparison.as_text(result).endswith("(seed 1): more than noise")
    content = comparison.as_dict(result)["difference"]
    assert content["more_than_noise"] == [True] * 3
    np.testing.assert_allclose(content["value"], 100 * result.difference)


def test_difference_in_one_video_is_noise(annotations):
    first, second = np.ones((2, NUM_VIDEOS), bool)
    first[7] = False
    reports = [report_on(annotations, found) for found in (first, second)]
    result = compare.compare(*reports, samples=500)
    # Half of the halves are without that video.
    assert result.difference[0] > 0
    assert result.low[0] < 0 < result.high[0] and not result.is_real.any()


def test_only_like_is_compared(annotations):
    found = np.ones(NUM_VIDEOS, bool)
    one = report_on(annotations, found)
    other = report_on(annotations, found, protocol="thumos14")
    with pytest.raises(
        errors.InputError, match="protocol: found 'activitynet' and 'th"
    ):
        compare.compare(one, other, samples=5)
    fewer = report_on(annotations, found[:30], missing="skip")
    with pytest.raises(errors.InputError, match="do not name the same videos"):
        compare.compare(one, fewer, samples=5)


def some_reports(annotations, rates, seed):
    """A report for each share of videos where the detection is right."""
    rng = np.random.default_rng(seed)
    return [report_on(annotations, rng.random(NUM_VIDEOS) < rate) for rate in rates]


def halves_of(reports, samples):
    """[S, B, 3] mAP of every report on the same halves."""
    draws = bootstrap.draw_halves(NUM_VIDEOS, samples=samples, seed=0)
    found = [bootstrap.mean_average_precision(r.ranking, draws) for r in reports]
    return np.array([np.c_[values, values.mean(axis=1)] for values in found])


# Of Student's t, two-sided 95 %, in printed tables: freedom from 1 on.
STUDENT = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201]
STUDENT += [2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074]
STUDENT += [2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042, 2.040, 2.037, 2.035]
STUDENT += [2.032, 2.030, 2.028, 2.026, 2.024, 2.023, 2.021, 2.020, 2.018, 2.017, 2.015]


@pytest.mark.parametrize("rates", [(0.8, 0.85, 0.9), (0.8, 0.9)])
def test_seeds_by_hand(annotations, rates):
    first = some_reports(annotations, (0.3, 0.4, 0.5), seed=1)
    second = some_reports(annotations, rates, seed=2)
    result = compare.compare_seeds(first, second, samples=300)
    maps = [[r.result.mean.mean() for r in reports] for reports in (first, second)]
    halves = [
        halves_of(reports, 300).mean(axis=0)[:, -1] for reports in (first, second)
    ]
    # Halves of 40 videos: 20 / (40 - 20) = 1.
    parts = [(np.var(halves[1] - halves[0]), 39)]
    if len(rates) == 3:
        difference = np.subtract(maps[1], maps[0])
        parts.append((difference.var(ddof=1) / 3, 2))
    else:
        parts += [(np.var(m, ddof=1) / len(m), len(m) - 1) for m in maps]
    variance = sum(v for v, _ in parts)
    freedom = int(variance**2 / sum(v**2 / f for v, f in parts))
    reach = STUDENT[freedom - 1] * variance**0.5
    expected = np.mean(maps[1]) - np.mean(maps[0])
    assert result.is_paired == (len(rates) == 3)
    assert result.difference[-1] == pytest.approx(expected)
    assert result.low[-1] == pytest.approx(expected - reach, abs=1e-3)
    assert result.high[-1] == pytest.approx(min(1, expected + reach), abs=1e-3)
    text = comparison.seeds_as_text(result)
    assert f"the means of 3 and {len(rates)} seeds" in text
    content = comparison.seeds_as_dict(result)
    assert len(content["second"]) == len(rates)
    assert content["difference"]["seeds"] == [3, len(rates)]


def test_one_seed_each_is_the_comparison_of_two(annotations):
    first, second = some_reports(annotations, (0.4, 0.7), seed=3)
    expected = compare.compare(first, second, samples=50)
    found = compare.compare_seeds([first], [second], samples=50)
    for name in ("difference", "low", "high"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name))


def test_seeds_that_disagree_are_noise(annotations):
    first = some_reports(annotations, (0.4, 0.4, 0.4), seed=4)
    second = [first[0], *some_reports(annotations, (0.1, 1), seed=5)]
    assert not compare.compare_seeds(first, second, samples=50).is_real.any()
    same = compare.compare_seeds(first, first, samples=50)
    assert same.low.tolist() == same.high.tolist() == [0, 0, 0]


def test_a_single_seed_has_no_variance(annotations):
    reports = some_reports(annotations, (0.4, 0.5), seed=6)
    with pytest.raises(errors.InputError, match="found 2 and 1 seeds, expected two"):
        compare.compare_seeds(reports, reports[:1], samples=5)


def test_of_one_video_nothing_is_known(annotations):
    one = annotations_lib.Annotations(
        {NAMES[0]: annotations.videos[NAMES[0]]}, "gt.json"
    )
    right = report_on(one, np.array([True]))
    wrong = report_on(one, np.array([False]))
    found = compare.compare_seeds([wrong], [right], samples=10)
    np.testing.assert_array_equal(found.difference, 1)
    np.testing.assert_array_equal(found.low, -1)
    np.testing.assert_array_equal(found.high, 1)
