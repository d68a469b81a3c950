import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cleannet_jax.ops import runs


def slow_runs(selected):
    """The runs of true entries, by a walk over them."""
    found, start = [], None
    for place, value in enumerate([*selected, False]):
        if value and start is None:
            start = place
        if not value and start is not None:
            found.append((start, place))
            start = None
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("snippets, length", [(1, 1), (2, 2), (17, 17), (32, 21)])
def test_equals_a_walk_over_snippets(seed, snippets, length):
    sequence = np.random.default_rng(seed).integers(0, 6, snippets) / 5
    thresholds = np.array([0.0, 0.3, 0.6, 0.95])
    found = jax.jit(runs.above)(sequence, thresholds, length=length)
    assert found.shape == (4, (snippets + 1) // 2, 2)
    for own, threshold in zip(np.asarray(found), thresholds, strict=True):
        expected = slow_runs(sequence[:length] > threshold)
        used = own[:, 1] > own[:, 0]
        np.testing.assert_array_equal(own[used], np.reshape(expected, (-1, 2)))
        np.testing.assert_array_equal(own[~used], 0)


def test_normalised_is_of_the_video_alone():
    found = runs.normalised(jnp.array([2.0, 3.0, 4.0, 9.0, -9.0]), length=3)
    np.testing.assert_array_equal(found, [0, 0.5, 1, 0, 0])
    np.testing.assert_array_equal(runs.normalised(jnp.full(4, 0.5), length=4), 0)


def test_distinct_keeps_the_first_of_equal_segments():
    segments = jnp.array([[2.0, 5.0], [1.0, 3.0], [2.0, 5.0], [2.0, 4.0], [1.0, 3.0]])
    found = runs.distinct(segments)
    np.testing.assert_array_equal(found, [[2, 5], [1, 3], [0, 0], [2, 4], [0, 0]])
