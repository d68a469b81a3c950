"""The evaluator on inputs that no classifier gives, against the float64 version."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_contrast import (
    all_reference_scores,
    mean_over,
    random_proposals,
    reference_edgeness,
)

from cleannet_jax.ops import contrast, edges

pytestmark = pytest.mark.once

jitted_scores = jax.jit(contrast.proposal_scores)

# Every sequence has a unit: scores are within 1e-5 of it.
LARGEST = float(np.finfo(np.float32).max)


def wild(kind, snippets, rng):
    """A sequence [T] float32 and its unit."""
    values = rng.random(snippets)
    if kind == "plateaus":
        values = np.repeat(rng.integers(0, 3, snippets) / 2, rng.integers(1, 60))
        return values[:snippets].astype(np.float32), 1.0
    if kind == "constant":
        return np.full(snippets, rng.random(), np.float32), 1.0
    if kind == "denormal":
        return (values * 1e-40).astype(np.float32), 1.0
    if kind == "spikes":
        return (values < 0.02).astype(np.float32), 1.0
    if kind == "huge":
        return ((2 * values - 1) * LARGEST / 4).astype(np.float32), LARGEST / 4
    signs = rng.choice([-1, 1], snippets)
    # Of all sizes together, so that the small ones are nothing beside the large.
    return (signs * 10.0 ** rng.uniform(-30, 6, snippets)).astype(np.float32), 1e6


@pytest.mark.parametrize("padded, most", [(64, 64), (1024, 1024), (20_000, 20_000)])
def test_within_rounding_of_float64(padded, most):
    rng = np.random.default_rng(padded)
    kinds = ["plateaus", "constant", "denormal", "spikes", "huge", "all_sizes"]
    for round_, kind in enumerate(kinds * (1 if most > 2000 else 4)):
        snippets = int(np.exp(rng.uniform(0, np.log(most))))
        psi, unit = wild(kind, snippets, rng)
        proposals = random_proposals(200, snippets, seed=round_)
        garbage = np.full(padded - snippets, np.nan, np.float32)
        found = jitted_scores(
            np.concatenate([psi, garbage]), proposals, length=snippets
        )
        expected = all_reference_scores(psi.astype(np.float64), proposals)
        # The temporal contrast of two neighbours can be twice the unit.
        np.testing.assert_allclose(
            np.stack(found) / unit, expected / unit, rtol=0, atol=4e-5
        )


@pytest.mark.parametrize("window", [1, 17, 19, 33, 257, 10_001])
@pytest.mark.parametrize("snippets, length", [(1, 1), (5, 3), (40, 40), (200, 137)])
def test_windows_of_any_width(window, snippets, length):
    psi = np.random.default_rng(window).integers(0, 6, snippets) / 5
    expected, edge = reference_edgeness(psi[:length], window)
    psi = psi.astype(np.float32)
    found = edges.temporal_contrast(psi, window=window, length=length)
    np.testing.assert_allclose(found[:length], expected, atol=1e-6)
    found = edges.edgeness(psi, window=window, length=length)
    np.testing.assert_allclose(found[:length], edge, atol=1e-6)


def test_wide_windows_have_the_same_gradient():
    # Those of 17 snippets are searched one by one, those of 19 by doubling; 1 and 2
    # snippets of a plateau more or less change nothing between.
    psi = np.repeat(np.random.default_rng(0).random(8), 30).astype(np.float32)

    def total(psi, window):
        return jnp.sum(jnp.sin(edges.temporal_contrast(psi, window=window) * 9))

    step = 1e-3
    gradient = jax.grad(total)(psi, 19)
    direction = np.random.default_rng(1).normal(size=len(psi)).astype(np.float32)
    direction = np.repeat(direction[::30], 30)
    slope = total(psi + step * direction, 19) - total(psi - step * direction, 19)
    np.testing.assert_allclose(gradient @ direction, slope / (2 * step), rtol=2e-2)


@pytest.mark.parametrize("sign", [-1, 1])
def test_huge_values_give_no_nan(sign):
    psi = sign * np.array([3e38, -3e38] * 10, np.float32)
    proposals = random_proposals(100, 20)
    scores = contrast.proposal_scores(psi, proposals)
    assert not np.isnan(np.stack(scores)).any()
    action = [
        mean_over(psi.astype(float), start + (end - start) / 4, end - (end - start) / 4)
        for start, end in proposals.astype(float)
    ]
    np.testing.assert_allclose(scores.action, action, rtol=1e-4, atol=LARGEST * 1e-5)
    both = jax.grad(lambda x, y: contrast.contrast_score(x, y).sum(), argnums=(0, 1))
    for gradient in both(psi / 1e4, proposals):
        assert not np.isnan(gradient).any()


@pytest.mark.parametrize(
    "proposal, expected",
    [
        # Of flanks too short for a mean there is nothing.
        ([1e-6, 1000], 1),
        ([0, 1000], 1),
        # What is before the video is no flank; half of the first one's is in it.
        ([-5, -0.5], -1),
        ([2, 6], 0),
        ([1000, 1004], -1),
    ],
)
def test_flanks_end_with_the_video(proposal, expected):
    scp, pair = np.ones((1000, 1), np.float32), np.array([proposal], np.float32)
    found = contrast.evaluate_some(scp, pair, ("oic",))["oic"]
    np.testing.assert_allclose(found, [[expected]], atol=1e-5)


def test_names_of_scores_are_known():
    with pytest.raises(ValueError, match="names: expected action.* found 'bogus'"):
        contrast.evaluate_some(np.ones((2, 1)), np.ones((1, 2)), ("bogus",))


@pytest.mark.parametrize(
    "snippets, categories, count", [(0, 3, 2), (5, 0, 2), (5, 3, 0), (0, 0, 0)]
)
def test_of_nothing(snippets, categories, count):
    scp = np.zeros((snippets, categories), np.float32)
    proposals = np.array([[0, 1], [3, 3]], np.float32)[:count]
    found = contrast.evaluate_proposals(scp, proposals)
    expected = np.broadcast_to([0, -np.inf][:count], (categories, count))
    for scores in found:
        np.testing.assert_array_equal(scores, expected)
    assert edges.edgeness(
        scp[:, 0] if categories else np.zeros(0, np.float32)
    ).size in (
        0,
        snippets,
    )
    own = np.broadcast_to(proposals, (categories, count, 2))
    assert contrast.evaluate_proposals(scp, own).action.shape == (categories, count)
