"""Means over parts of proposals, by hand and against float64 NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cleannet_jax.ops import integral

INSIDE = integral.Region(1, 0, 0, 1)


def mean(signal, start, length, region=INSIDE):
    """The weighted mean of one signal over one region of one or more proposals."""
    start, length = jnp.atleast_1d(jnp.asarray(start)), jnp.atleast_1d(length)
    sums = integral.integrate([jnp.asarray(signal)])
    valid = jnp.ones(start.shape, bool)
    return integral.weighted_means((region,), sums, start, length, valid)


def reference_mean(signal, start, end):
    """Of a signal constant on snippets and zero outside, in float64."""
    borders = np.arange(len(signal) + 1.0)
    overlap = np.minimum(end, borders[1:]) - np.maximum(start, borders[:-1])
    return np.sum(np.float64(signal) * np.maximum(overlap, 0)) / (end - start)


@pytest.mark.parametrize(
    "start, length, expected",
    [
        (0.0, 5.0, 3.0),  # (1 + 2 + 3 + 4 + 5) / 5
        (1.0, 2.0, 2.5),  # (2 + 3) / 2
        (1.5, 1.0, 2.5),  # ½ 2 + ½ 3
        (3.25, 0.5, 4.0),  # within one snippet
        (-1.0, 2.0, 0.5),  # half of it before the video
        (4.0, 4.0, 1.25),  # 5 / 4, the rest after the video
        (-5.0, 15.0, 1.0),  # 15 / 15
        (7.0, 2.0, 0.0),
        (-9.0, 2.0, 0.0),
    ],
)
def test_means_by_hand(start, length, expected):
    actual = mean([1.0, 2.0, 3.0, 4.0, 5.0], start, length)
    np.testing.assert_allclose(actual, [expected], atol=1e-6)


def test_region_is_in_lengths_from_the_start_and_weighted():
    # [2, 6] plus 3/4 to 5/4 of its length is [5, 7]: −2 (6 + 7) / 2.
    signal, region = (
        np.arange(1.0, 9, dtype=np.float32),
        integral.Region(-2, 0, 0.75, 1.25),
    )
    np.testing.assert_allclose(mean(signal, 2.0, 4.0, region), [-13.0], atol=1e-5)


def test_several_regions_add_up():
    signals = [jnp.arange(20.0), jnp.arange(20.0) ** 2]
    regions = (integral.Region(2, 0, 0, 1), integral.Region(-0.5, 1, -0.25, 0.5))
    start, length = jnp.array([3.3, 8.0]), jnp.array([4.0, 2.7])
    valid = jnp.array([True, True])
    sums = integral.integrate(signals)
    together = integral.weighted_means(regions, sums, start, length, valid)
    alone = [
        mean(signal, start, length, region._replace(signal=0))
        for signal, region in zip(signals, regions, strict=True)
    ]
    np.testing.assert_allclose(together, sum(alone), rtol=1e-6)


def test_invalid_ones_are_minus_infinity():
    sums = integral.integrate([jnp.ones((5, 2))])
    ones, valid = jnp.ones(2), jnp.array([False, True])
    means = integral.weighted_means((INSIDE,), sums, ones, ones, valid)
    np.testing.assert_allclose(means, [[-np.inf, -np.inf], [1, 1]], atol=1e-6)


@pytest.mark.parametrize("snippets", [0, 1, 6, 7, 8, 100, 2000])
def test_means_equal_reference_at_any_length(snippets):
    rng = np.random.default_rng(snippets)
    signal = rng.normal(size=snippets).astype(np.float32)
    start = rng.uniform(-3, snippets + 3, 40).astype(np.float32)
    length = rng.uniform(1, snippets + 9, 40).astype(np.float32)
    actual = jax.jit(mean)(signal, start, length)
    bounds = zip(np.float64(start), np.float64(start) + np.float64(length), strict=True)
    expected = [reference_mean(signal, *bound) for bound in bounds]
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("level", [0.1, 1 / 3, 0.999])
def test_short_means_late_in_a_long_video_are_exact(level):
    # A single float32 prefix sum near 16,000 is only known to 0.001.
    snippets = 16384
    start = snippets - 200 + np.arange(100, dtype=np.float32) * 1.37
    actual = jax.jit(mean)(np.full(snippets, level, np.float32), start, np.ones(100))
    np.testing.assert_allclose(actual, level, rtol=0, atol=2e-6)


def test_categories_do_not_touch_each_other():
    rng = np.random.default_rng(0)
    signal = rng.random((300, 3), np.float32) * np.float32([1, 1e6, 1e-6])
    start, length = rng.uniform(0, 290, (2, 50)).astype(np.float32)
    together = mean(signal, start, length)
    assert together.shape == (50, 3)
    for n in range(3):
        alone = mean(signal[:, n], start, length)
        np.testing.assert_allclose(together[:, n], alone, rtol=1e-5, atol=1e-12)


def test_derivatives_by_hand():
    # On [1.5, 3.5] the signal is 4 at the start and 1 at the end, its mean 2.75.
    # Shifting adds 1 − 4 over the length; growing adds the end's distance to the mean.
    signal = jnp.array([0.0, 4.0, 3.0, 1.0, 9.0])

    def value(start, length):
        return mean(signal, start, length)[0]

    slopes = jax.jacfwd(value, argnums=(0, 1))(1.5, 2.0)
    np.testing.assert_allclose(slopes, [-3 / 2, (1 - 2.75) / 2], atol=1e-6)
    np.testing.assert_allclose(jax.jacrev(value, (0, 1))(1.5, 2.0), slopes, atol=1e-6)


def test_derivative_in_the_signal_is_the_share_of_each_snippet():
    shares = jax.grad(lambda signal: mean(signal, 1.25, 2.0)[0])(jnp.ones(5))
    np.testing.assert_allclose(shares, [0, 0.375, 0.5, 0.125, 0], atol=1e-7)


def test_a_scale_multiplies_values_and_derivatives():
    signals = jnp.array([0.0, 4.0, 3.0, 1.0, 9.0]), jnp.arange(5.0)
    regions = (integral.Region(2, 0, 0, 1), integral.Region(-0.5, 1, -0.25, 0.5))

    def value(start, length, signals, scale):
        one, valid = jnp.array([1.0]), jnp.ones(1, bool)
        sums = integral.integrate(signals)
        operands = start * one, length * one, valid, scale
        return integral.weighted_means(regions, sums, *operands)[0]

    for jacobian in (jax.jacfwd, jax.jacrev):
        found = jacobian(value, (0, 1, 2))(1.5, 2.0, signals, 0.25)
        plain = jacobian(value, (0, 1, 2))(1.5, 2.0, signals, 1.0)
        assert all(jnp.any(leaf) for leaf in jax.tree.leaves(plain))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b / 4, rtol=1e-6), found, plain
        )
    pair = value(1.5, 2.0, signals, 0.25), value(1.5, 2.0, signals, 1.0)
    np.testing.assert_allclose(pair[0], pair[1] / 4, rtol=1e-6)


def test_apart_changes_neither_values_nor_derivatives():
    def function(x, y):
        return jnp.sin(x) * y

    x, y = jnp.arange(3.0), jnp.arange(3.0) + 1
    apart = integral.apart(function)
    np.testing.assert_allclose(apart(x, y), function(x, y), rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(apart)(x, y), function(x, y), rtol=1e-6)
    for jacobian in (jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(
            jax.jit(jacobian(apart))(x, y), jacobian(function)(x, y), rtol=1e-6
        )
