"""Whether one set of detections is better than another."""

import numpy as np
import pytest

from cleannet_jax import compare, errors, evaluate
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.metrics import average_precision
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
