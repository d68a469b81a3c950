import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cleannet_jax.ops import anchors


def test_decode_by_hand():
    # Centre 10, size 4: half a size later, and twice as long.
    found = anchors.decode(
        jnp.array([0.5, np.log(2.0)]), jnp.array(10.0), jnp.array(4.0)
    )
    np.testing.assert_allclose(found, [8, 16], rtol=1e-6)


def test_no_offsets_propose_the_anchors():
    grid = anchors.decode_grid(jnp.zeros((3, 2, 2)), jnp.array([1.0, 4.0]))
    np.testing.assert_allclose(grid[0], [[0, 1], [-1.5, 2.5]])
    np.testing.assert_allclose(grid[2], [[2, 3], [0.5, 4.5]])


def test_huge_offsets_stay_finite():
    found = anchors.decode(jnp.array([0.0, 1e30]), jnp.array(0.5), jnp.array(512.0))
    assert np.isfinite(found).all()


def test_middle_samples_by_hand():
    # Anchor of size 8 at snippet 10: [6.5, 14.5], in four segments of two snippets.
    times = anchors.sample_times(None, jnp.array([8.0]), (11, 4))
    np.testing.assert_allclose(times[10, 0], [7.5, 9.5, 11.5, 13.5])


@pytest.mark.parametrize("size", [1.0, 7.0, 512.0])
def test_random_samples_fall_in_their_own_segment(size):
    times = anchors.sample_times(jax.random.key(0), jnp.array([size]), (200, 3))
    start = np.arange(200) + 0.5 - size / 2
    segment = (np.asarray(times[:, 0]) - start[:, None]) / (size / 3)
    assert (np.floor(segment + 1e-3) == [0, 1, 2]).mean() > 0.99
    assert np.std(segment) > 0.5
