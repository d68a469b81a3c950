import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cleannet_jax.ops import nms


def slow_suppress(segments, scores, max_tiou, max_outputs):
    """Greedy suppression with a list, in float64."""
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    kept = []
    for row in order:
        start, end = segments[row]
        overlaps = []
        for other in kept:
            low, high = segments[other]
            shared = max(0.0, min(end, high) - max(start, low))
            overlaps.append(shared / (end - start + high - low - shared))
        if len(kept) < max_outputs and all(o <= max_tiou for o in overlaps):
            kept.append(row)
    return kept


def test_by_hand():
    # The second overlaps the first by 8/12, the third by 2/18.
    segments = jnp.array([[0.0, 10.0], [2.0, 12.0], [8.0, 18.0]])
    kept = nms.suppress(
        segments, jnp.array([0.9, 0.8, 0.7]), max_tiou=0.4, max_outputs=4
    )
    np.testing.assert_array_equal(kept.segments[:2], [[0, 10], [8, 18]])
    np.testing.assert_allclose(kept.scores, [0.9, 0.7, -np.inf, -np.inf])
    np.testing.assert_array_equal(kept.segments[2:], 0)


@pytest.mark.parametrize("max_outputs", [3, 50])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_slow_version_eager_and_jitted(seed, max_outputs):
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, 40, 60).astype(float)
    segments = np.stack([starts, starts + rng.integers(1, 12, 60)], axis=1)
    scores = rng.integers(0, 8, 60) / 8  # many ties
    expected = slow_suppress(segments, scores, 0.4, max_outputs)
    suppress = functools.partial(nms.suppress, max_tiou=0.4, max_outputs=max_outputs)
    for function in (suppress, jax.jit(suppress)):
        kept = function(jnp.asarray(segments), jnp.asarray(scores))
        used = np.isfinite(kept.scores)
        np.testing.assert_array_equal(kept.segments[used], segments[expected])
        np.testing.assert_array_equal(kept.scores[used], scores[expected])


@pytest.mark.parametrize("max_outputs", [10, 400])
def test_many_are_as_few(max_outputs):
    # More than are looked at, compared with, or kept at a time.
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 2000, 900).astype(float)
    segments = np.stack([starts, starts + rng.integers(1, 12, 900)], axis=1)
    scores = rng.integers(0, 300, 900) / 512
    scores[::9] = -np.inf
    # The best are one, so that few of them are not enough.
    segments[500:], scores[500:] = (7.0, 9.0), scores[500:] + 1
    suppress = functools.partial(nms.suppress, max_tiou=0.4, max_outputs=max_outputs)
    kept = jax.jit(suppress)(jnp.asarray(segments), jnp.asarray(scores))
    valid = np.flatnonzero(scores > -np.inf)
    order = slow_suppress(segments[valid], scores[valid], 0.4, max_outputs)
    expected = valid[order]
    used = np.isfinite(kept.scores)
    assert len(expected) >= min(max_outputs, 200)
    np.testing.assert_array_equal(kept.segments[used], segments[expected])
    np.testing.assert_array_equal(kept.scores[used], scores[expected])


def slow_demote(segments, scores, max_tiou, sigma):
    """Suppression with a list that keeps what it removes, faded."""
    scores, left = list(map(float, scores)), list(range(len(scores)))
    while left:
        best = max(left, key=lambda row: (scores[row], -row))
        left.remove(best)
        for row in list(left):
            (start, end), (low, high) = segments[best], segments[row]
            shared = max(0.0, min(end, high) - max(start, low))
            tiou = shared / (end - start + high - low - shared)
            if tiou > max_tiou:
                scores[row] *= np.exp(-(tiou**2) / sigma)
                left.remove(row)
    return scores


def test_demoted_proposals_suppress_nothing():
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 30, 40).astype(float)
    segments = np.stack([starts, starts + rng.integers(1, 12, 40)], axis=1)
    scores = rng.normal(size=40)
    found = jax.jit(functools.partial(nms.demote, max_tiou=0.4, sigma=0.3))(
        jnp.asarray(segments), jnp.asarray(scores)
    )
    np.testing.assert_allclose(
        found, slow_demote(segments, scores, 0.4, 0.3), rtol=1e-5
    )
    nothing = nms.demote(jnp.zeros((0, 2)), jnp.zeros(0), max_tiou=0.4, sigma=0.3)
    assert nothing.shape == (0,)


def test_vmaps_over_categories():
    segments = jnp.array([[0.0, 10.0], [2.0, 12.0]])
    scores = jnp.array([[0.9, 0.8], [0.1, 0.2], [-jnp.inf, -jnp.inf]])
    suppress = functools.partial(nms.suppress, max_tiou=0.4, max_outputs=2)
    kept = jax.vmap(suppress, in_axes=(None, 0))(segments, scores)
    np.testing.assert_array_equal(kept.segments[:, 0], [[0, 10], [2, 12], [0, 0]])


def test_equal_empty_segments_end():
    kept = nms.suppress(jnp.zeros((3, 2)), jnp.ones(3), max_tiou=0.4, max_outputs=5)
    assert np.isfinite(kept.scores).sum() == 3


def test_no_proposals():
    kept = nms.suppress(jnp.zeros((0, 2)), jnp.zeros(0), max_tiou=0.4, max_outputs=2)
    assert kept.segments.shape == (2, 2) and np.isneginf(kept.scores).all()


def slow_soften(segments, scores, sigma):
    """Gaussian soft suppression with a loop over pairs, in float64."""
    scores, left = list(map(float, scores)), list(range(len(scores)))
    while left:
        best = max(left, key=lambda row: (scores[row], -row))
        left.remove(best)
        for row in left:
            (a, b), (c, d) = segments[best], segments[row]
            shared = max(0.0, min(b, d) - max(a, c))
            tiou = shared / (b - a + d - c - shared)
            if scores[row] > 0:
                scores[row] *= np.exp(-(tiou**2) / sigma)
    return np.array(scores)


def random_proposals(seed, count=60):
    rng = np.random.default_rng(seed)
    starts = rng.uniform(0, 40, count)
    segments = np.stack([starts, starts + rng.uniform(0.3, 12, count)], axis=1)
    return segments.astype(np.float32), rng.uniform(-0.2, 1, count).astype(np.float32)


def test_soft_by_hand():
    # The second overlaps the first by 1/3, the third only the second.
    segments = jnp.array([[0.0, 2.0], [1.0, 3.0], [2.5, 3.5]])
    found = nms.soften(segments, jnp.array([0.9, 0.8, 0.1]), sigma=0.5)
    second = 0.8 * np.exp(-(1 / 9) / 0.5)
    np.testing.assert_allclose(
        found, [0.9, second, 0.1 * np.exp(-(0.2**2) / 0.5)], rtol=1e-5
    )


@pytest.mark.parametrize("sigma", [0.05, 0.3, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_soft_equals_the_slow_version_eager_and_jitted(seed, sigma):
    segments, scores = random_proposals(seed)
    scores[::7] = scores[0]  # ties
    expected = slow_soften(segments.astype(float), scores, sigma)
    function = functools.partial(nms.soften, sigma=sigma)
    for soften in (function, jax.jit(function)):
        np.testing.assert_allclose(
            soften(segments, scores), expected, rtol=2e-4, atol=1e-7
        )
    order = np.argsort(-expected, kind="stable")
    for count in (5, 80):
        kept = nms.suppress_softly(segments, scores, sigma=sigma, max_outputs=count)
        best = expected[order][:count]
        np.testing.assert_allclose(kept.scores[: len(best)], best, rtol=2e-4, atol=1e-7)
        assert np.isneginf(kept.scores[len(best) :]).all()
        assert not np.any(kept.segments[len(best) :])


def test_soft_vmaps_and_padding_takes_no_part():
    segments, scores = random_proposals(5, 12)
    padded = np.concatenate([scores, np.full(4, -np.inf, np.float32)])
    boxes = np.concatenate([segments, np.zeros((4, 2), np.float32)])
    both = jax.vmap(functools.partial(nms.soften, sigma=1e-4))(
        np.stack([boxes, boxes]), np.stack([padded, padded[::-1]])
    )
    np.testing.assert_allclose(
        both[0, :12], nms.soften(segments, scores, sigma=1e-4), rtol=1e-5
    )
    assert np.isneginf(both[0, 12:]).all() and not np.isnan(both).any()


@pytest.mark.parametrize("seed", range(3))
def test_survivors_are_what_suppress_keeps(seed):
    segments, scores = random_proposals(seed)
    found = nms.survivors(segments, scores, max_tiou=0.4)
    kept = nms.suppress(segments, scores, max_tiou=0.4, max_outputs=60)
    expected = segments[slow_suppress(segments.astype(float), scores, 0.4, 60)]
    np.testing.assert_array_equal(segments[found][np.argsort(-scores[found])], expected)
    np.testing.assert_array_equal(kept.segments[: len(expected)], expected)


def test_soft_suppression_of_nothing():
    nothing = jnp.zeros((0, 2)), jnp.zeros(0)
    assert nms.soften(*nothing, sigma=0.3).shape == (0,)
    assert nms.survivors(*nothing, max_tiou=0.3).shape == (0,)
    kept = nms.suppress_softly(*nothing, sigma=0.3, max_outputs=2)
    assert kept.segments.shape == (2, 2) and np.isneginf(kept.scores).all()


def test_scores_that_are_no_numbers_take_no_part():
    segments = jnp.array([[0.0, 4.0], [2.0, 3.0], [6.0, 8.0]])
    scores = jnp.array([0.5, jnp.nan, 0.25])
    kept = nms.suppress(segments, scores, max_tiou=0.5, max_outputs=3)
    assert kept.scores.tolist() == [0.5, 0.25, -jnp.inf]
