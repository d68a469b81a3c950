import numpy as np
import pytest

from cleannet_jax import errors, fusion
from cleannet_jax.localizers import suppression as suppression_lib
from cleannet_jax.metrics import average_precision


def table(seed, count, videos, labels):
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 60, count)
    return average_precision.Instances(
        videos=tuple(f"v{index}" for index in range(videos)),
        labels=tuple(f"c{index}" for index in range(labels)),
        video=rng.integers(0, videos, count),
        label=rng.integers(0, labels, count),
        segments=np.stack([start, start + rng.uniform(1, 20, count)], axis=1),
        scores=rng.permutation(count) / count - 0.1,
    )


def slow_suppressed(detections, suppression):
    """Row after row, in float64."""
    scores = detections.scores.copy()
    waiting, left = list(range(len(scores))), np.zeros(len(scores), bool)
    while waiting:
        best = max(waiting, key=lambda row: scores[row])
        waiting.remove(best)
        left[best] = True
        for row in list(waiting):
            if detections.video[row] != detections.video[best]:
                continue
            if detections.label[row] != detections.label[best]:
                continue
            (a, b), (c, d) = detections.segments[[best, row]]
            shared = max(0.0, min(b, d) - max(a, c))
            tiou = shared / (b - a + d - c - shared)
            if suppression.kind == "hard" and tiou > suppression.value:
                waiting.remove(row)
            if suppression.kind == "soft" and scores[row] > 0:
                scores[row] *= np.exp(-(tiou**2) / suppression.value)
    return scores, left


@pytest.mark.parametrize("text", ["none", "soft:0.3", "hard:0.4", "hard:0"])
def test_suppression_is_of_a_video_and_a_category(text):
    # Groups of one and of forty rows: several sizes of programs.
    detections = table(0, 300, 5, 2)
    lonely = table(1, 30, 30, 3)
    for found in (detections, lonely):
        suppression = suppression_lib.parse(text)
        assert str(suppression) == text
        done = []
        scores, left = fusion.suppressed(found, suppression, advance=done.append)
        expected = slow_suppressed(found, suppression)
        np.testing.assert_allclose(scores, expected[0], rtol=1e-3, atol=1e-6)
        np.testing.assert_array_equal(left, expected[1])
        assert text == "none" or sum(done) == len(scores)


def test_nothing_is_suppressed_of_nothing():
    detections = table(0, 0, 2, 2)
    for text in ("none", "soft:0.3", "hard:0.4"):
        scores, left = fusion.suppressed(detections, suppression_lib.parse(text))
        assert scores.shape == left.shape == (0,)


def test_scales():
    scores = np.array([4.0, -2.0, 4.0, 0.0])
    np.testing.assert_array_equal(fusion.scaled(scores, "none"), scores)
    # Ranks 1, 2, and 3 and 4 shared.
    np.testing.assert_allclose(
        fusion.scaled(scores, "rank"), [3.5 / 4, 1 / 4, 3.5 / 4, 2 / 4]
    )
    unit = fusion.scaled(scores, "unit")
    assert unit.std() == pytest.approx(1) and unit[0] == -2 * unit[1]
    for scale in fusion.SCALES:
        assert fusion.scaled(np.zeros(0), scale).shape == (0,)
        assert np.isfinite(fusion.scaled(np.ones(3), scale)).all()
    found = fusion.fused(scores, 10 * scores, weight=0.5, scale="unit")
    np.testing.assert_allclose(found, 1.5 * unit)


def test_recipes_come_back_from_a_file():
    for recipe in (
        fusion.Recipe(1.0, "sum", suppression_lib.Suppression("soft", 0.3), "unit"),
        fusion.Recipe(0.0),
    ):
        assert fusion.from_dict(fusion.as_dict(recipe), "x") == recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": -1}, "w.json: weight: found -1, expected a number of at least 0"),
        ({"weight": True}, "w.json: weight: found True"),
        ({"scale": "log"}, "w.json: scale: found 'log', expected one of none, rank"),
        ({"evaluator": []}, "w.json: evaluator: found '[]', expected contrast"),
        ({"suppression": 3}, "suppression: found '3'"),
    ],
)
def test_bad_files_are_named(change, message):
    content = fusion.as_dict(fusion.Recipe(1.0)) | change
    with pytest.raises(errors.InputError) as caught:
        fusion.from_dict(content, "w.json")
    assert message in str(caught.value)
    with pytest.raises(errors.InputError, match=r"w.json: expected an object with"):
        fusion.from_dict([], "w.json")
