import jax.numpy as jnp
import numpy as np
import pytest

from cleannet_jax.ops import segments


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0, 4), (2, 6), 2 / 6),
        ((0, 4), (0, 4), 1.0),
        ((0, 4), (4, 8), 0.0),  # touching
        ((0, 4), (1, 2), 1 / 4),
        ((3, 3), (0, 9), 0.0),  # empty
        ((3, 3), (3, 3), 0.0),
    ],
)
def test_tiou_by_hand(first, second, expected):
    first, second = jnp.array(first, float), jnp.array(second, float)
    np.testing.assert_allclose(segments.tiou(first, second), expected, rtol=1e-6)
    np.testing.assert_allclose(segments.tiou(second, first), expected, rtol=1e-6)


def test_tiou_broadcasts():
    many = jnp.array([[0.0, 2.0], [1.0, 3.0]])
    np.testing.assert_allclose(segments.tiou(many, many[0]), [1, 1 / 3], rtol=1e-6)


def test_clip_empties_what_lies_outside():
    clipped = segments.clip(jnp.array([[-3.0, 2.0], [7.0, 9.0]]), length=5)
    np.testing.assert_array_equal(clipped, [[0, 2], [5, 5]])


def test_seconds_follow_the_time_base():
    # Snippets of 15 frames at 30 fps that begin at frame 3: 3/30 s and 18/30 s.
    timebase = {"stride": 15, "offset": 3, "fps": 30}
    seconds = segments.snippets_to_seconds(np.array([0.0, 1.0]), **timebase)
    np.testing.assert_allclose(seconds, [0.1, 0.6])
    back = segments.seconds_to_snippets(seconds, **timebase)
    np.testing.assert_allclose(back, [0, 1], atol=1e-12)


def test_covered_snippets_have_their_centre_in_a_masked_in_segment():
    # Centres are 0.5, 1.5, ...: [0.6, 2.5] holds 1.5 but neither 0.5 nor, as it stops
    # there, 2.5; [4.2, 4.4] holds none; the last segment does not count.
    found = segments.covered_snippets(
        jnp.array([[0.6, 2.5], [4.2, 4.4], [3.0, 6.0], [0.0, 6.0]]),
        jnp.array([True, True, False, False]),
        num_snippets=6,
    )
    np.testing.assert_array_equal(found, [0, 1, 0, 0, 0, 0])


def test_covered_snippets_of_overlapping_segments():
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 30, 12)
    pairs = np.stack([starts, np.minimum(starts + rng.uniform(0, 6, 12), 30)], 1)
    centres = np.arange(30) + 0.5
    inside = (pairs[:, :1] <= centres) & (centres < pairs[:, 1:])
    found = segments.covered_snippets(
        jnp.asarray(pairs), jnp.ones(12, bool), num_snippets=30
    )
    np.testing.assert_array_equal(found, inside.any(0))
