import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from cleannet_jax import config, localize, methods
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest
from cleannet_jax.localizers import detection, scoring
from cleannet_jax.models import head
from cleannet_jax.models import predictions as predictions_lib

STREAMS = streams_lib.Streams(("rgb", "flow"), (3, 3))


def predictions_of(scp, sap, video):
    return predictions_lib.SnippetPredictions(*map(np.array, (scp, sap, video, scp)))


def test_threshold_joins_snippets_by_hand():
    # Attention keeps snippets 0 to 4 (at least half of 0.2), the SCP of category 0 is
    # at its threshold in 0, 1, 3 and 4: two segments, of mean 0.7 and 0.4 plus a fifth
    # of the video's 0.8. Category 1 is below 0.1 in the video.
    predictions = predictions_of(
        [[0.8, 0.2], [0.6, 0.4], [0.05, 0.95], [0.5, 0.5], [0.3, 0.7], [0.9, 0.1]],
        [0.2, 0.2, 0.2, 0.1, 0.2, 0.05],
        [0.95, 0.05],
    )
    made = config_with(min_scp=0.1)
    found = methods.detect_by_threshold(predictions, made)
    np.testing.assert_array_equal(found.segments, [[0, 2], [3, 5]])
    np.testing.assert_allclose(found.scores, [0.7 + 0.19, 0.4 + 0.19])
    np.testing.assert_array_equal(found.categories, [0, 0])


def test_threshold_takes_the_best_category_if_none_is_likely():
    predictions = predictions_of(
        np.full((4, 20), 0.05), np.full(4, 0.25), np.full(20, 0.05)
    )
    found = methods.detect_by_threshold(predictions, config_with(min_scp=0.01))
    np.testing.assert_array_equal(found.categories, [0])
    np.testing.assert_array_equal(found.segments, [[0, 4]])


def config_with(**changes):
    return dataclasses.replace(config.Config(), **changes)


def test_categories_above_the_score_or_the_best_one():
    categories, chosen = detection.choose_categories(
        jnp.array([0.15, 0.6, 0.2, 0.05]), min_score=0.1, most=4
    )
    np.testing.assert_array_equal(categories, [1, 2, 0, 3])
    np.testing.assert_array_equal(chosen, [True, True, True, False])
    _, chosen = detection.choose_categories(jnp.full(20, 0.05), min_score=0.1, most=10)
    np.testing.assert_array_equal(chosen, [True] + 9 * [False])


@pytest.mark.parametrize(
    "components",
    [
        {"action_score": True, "edge_scores": True},
        {"action_score": False, "edge_scores": True},
    ],
)
def test_contrast_finds_a_step(components):
    # One action in snippets [8, 16) of 30; anchors of size 8 are centred on halves,
    # those of size 7 on it.
    psi = np.full(30, 0.02, np.float32)
    psi[8:16] = 0.95
    scp = jnp.stack([psi, 1 - psi], axis=1)
    sap = jnp.asarray(psi / psi.sum())
    predictions = predictions_of(scp, sap, [0.95, 0.05])
    made = config_with(anchor_sizes=(3, 7, 9), train_generator=False, **components)
    categories, kept = detection.detect(None, scp, predictions, 30, made, most=2)
    assert categories[0] == 0
    start, end = kept.segments[0, 0]
    assert abs(start - 8) <= 1 and abs(end - 16) <= 1
    assert np.isneginf(kept.scores[1]).all()


def test_padding_changes_no_detection():
    rng = np.random.default_rng(0)
    features = jnp.asarray(rng.normal(size=(20, 6)), jnp.float32)
    params = {"head": head_params(rng)}
    made = config_with(
        anchor_sizes=(2, 6), train_generator=False, joint=False, min_attention=0.1
    )
    alone = localize.localize_video(params, features, 20, STREAMS, made)
    padded = jnp.pad(features, [(0, 12), (0, 0)], constant_values=3.0)
    found = localize.localize_video(params, padded, 20, STREAMS, made)
    assert len(alone.scores) > 2
    for first, second in zip(alone, found, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def head_params(rng):
    stream = {
        name: {
            "kernel": jnp.asarray(rng.normal(size=(3, outputs)), jnp.float32),
            "bias": jnp.zeros(outputs),
        }
        for name, outputs in (("classification", 4), ("attention", 1))
    }
    return head.fuse_streams([stream, stream])


def test_seconds_stay_inside_the_video():
    video = dataset_lib.VideoInfo(
        id="a",
        subset="test",
        labels=(),
        length=10,
        timebase=manifest.Timebase(fps=30, stride=15, offset=0),
        duration=4.6,
    )
    found = localize.Detections(
        np.array([[0.0, 2.0], [8.0, 10.0], [9.5, 10.0]]),
        np.array([0, 1, 2]),
        np.array([0.1, 0.9, 0.5]),
    )
    seconds = localize._in_seconds(found, video)
    # By falling score; the third lies after the end of the video.
    np.testing.assert_allclose(seconds.segments, [[4.0, 4.6], [0.0, 1.0]])
    np.testing.assert_array_equal(seconds.categories, [1, 0])


def test_midpoint_thresholding_by_hand():
    # Activations of category 0 range from -1 to 3: snippets at 1 or more count, and
    # score their mean SCP. Of category 1 the video knows nothing.
    scp = [[0.2, 0.8], [0.6, 0.4], [0.8, 0.2], [0.1, 0.9], [0.5, 0.5]]
    predictions = predictions_of(scp, [0.2] * 5, [0.95, 0.05])
    activations = np.array([[-1.0, 0], [1, 0], [3, 0], [0.9, 0], [2, 0]])
    predictions = predictions._replace(activations=activations)
    made = methods.apply(config_with(), "hide_and_seek")
    found = methods.detect_by_threshold(predictions, made)
    np.testing.assert_array_equal(found.segments, [[1, 3], [4, 5]])
    np.testing.assert_allclose(found.scores, [0.7, 0.5])
    # W-TALC scores the peak and 0.7 of the mean of the top ⌈5 / 8⌉ = 1 activations.
    made = methods.apply(config_with(), "w_talc")
    found = methods.detect_by_threshold(predictions, made)
    np.testing.assert_array_equal(found.segments, [[1, 3], [4, 5]])
    np.testing.assert_allclose(found.scores, [3 + 2.1, 2 + 2.1])


@pytest.mark.parametrize("length", [20, 41, 47, 55])
def test_uniform_attention_drops_no_anchor(length):
    # In float32, 41 times 1 / 41 is less than 1, as for 47 and 55.
    sap = np.full(length, 1 / length, np.float32)
    assert (sap[0] * np.float32(length) < 1) == (length > 20)
    made = config_with()
    assert made.min_attention == 1
    psi = np.full(length, 0.5, np.float32)
    assert scoring.anchors_of_interest(psi, sap, np.int32(length), made).all()


def test_sigmoid_predictions_are_not_cut_at_ten_categories():
    # STPN's video-level predictions are sigmoids: twelve of them can be above 0.1, and
    # those of files need not sum to 1 either. A distribution has nine at most.
    stpn, full = (methods.apply(config.Config(), name) for name in ("stpn+plain", "t"))
    assert methods.most_categories(stpn, 12) == 12
    assert methods.most_categories(full, 12) == 10
    scp = np.full((30, 12), 0.5, np.float32)
    scp[8:16] = 0.95
    uniform = np.full(30, 1 / 30, np.float32)
    found = predictions_of(scp, uniform, np.full(12, 0.9, np.float32))
    made = dataclasses.replace(stpn, anchor_sizes=(8,))
    detections = localize.localize_video(
        {}, np.zeros((30, 6), np.float32), 30, STREAMS, made, found
    )
    assert set(detections.categories) == set(range(12))
