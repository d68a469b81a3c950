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
