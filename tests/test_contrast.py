"""The evaluator, against a float64 NumPy version and numbers checked by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cleannet_jax.ops import contrast, edges

NAMES = contrast.ProposalScores._fields


def reference_edgeness(psi, window=7):
    """Eqs. 6 and 7 of one category, snippet by snippet, in float64."""
    psi = np.asarray(psi, np.float64)
    temporal_contrast, edge = np.zeros(len(psi)), np.zeros(len(psi))
    for t in range(len(psi)):
        first = max(t - window // 2, 0)
        seen = psi[first : t + window // 2 + 1]
        low, high = first + np.argmin(seen), first + np.argmax(seen)
        if low != high:
            temporal_contrast[t] = (psi[high] - psi[low]) / abs(high - low)
        if low <= t < high:
            edge[t] = temporal_contrast[t]
        elif high <= t < low:
            edge[t] = -temporal_contrast[t]
    return temporal_contrast, edge


def mean_over(signal, start, end):
    """The mean over [start, end] of a signal constant on snippets and zero outside."""
    borders = np.arange(len(signal) + 1.0)
    overlap = np.minimum(end, borders[1:]) - np.maximum(start, borders[:-1])
    return np.sum(signal * np.maximum(overlap, 0)) / (end - start)


def reference_scores(psi, proposal, window=7):
    """Eqs. 8 to 12 for one proposal of one category, in float64."""
    psi = np.asarray(psi, np.float64)
    start, end = np.asarray(proposal, np.float64)
    edge = reference_edgeness(psi, window)[1]
    quarter = (end - start) / 4
    inflated, deflated = (
        (start - quarter, end + quarter),
        (start + quarter, end - quarter),
    )
    action = mean_over(psi, *deflated)
    starting = mean_over(edge, inflated[0], deflated[0])
    starting -= mean_over(psi, inflated[0], start)
    ending = -mean_over(edge, deflated[1], inflated[1])
    ending -= mean_over(psi, end, inflated[1])
    ring = mean_over(psi, inflated[0], start) + mean_over(psi, end, inflated[1])
    outer_inner = mean_over(psi, start, end) - ring / 2
    total = action + (starting + ending) / 2
    return np.array([action, starting, ending, total, outer_inner])


def all_reference_scores(psi, proposals):
    """The same for many proposals by float64 prefix sums: [5, P]."""
    psi = np.asarray(psi, np.float64)
    start, end = np.asarray(proposals, np.float64).T
    edge = reference_edgeness(psi)[1]
    quarter = (end - start) / 4

    def mean(signal, first, last):
        sums = np.concatenate([[0], np.cumsum(signal)])
        upto = functools.partial(np.interp, xp=np.arange(len(sums)), fp=sums)
        return (upto(last) - upto(first)) / (last - first)

    action = mean(psi, start + quarter, end - quarter)
    starting = mean(edge, start - quarter, start + quarter)
    starting -= mean(psi, start - quarter, start)
    ending = -mean(edge, end - quarter, end + quarter) - mean(psi, end, end + quarter)
    ring = mean(psi, start - quarter, start) + mean(psi, end, end + quarter)
    outer_inner = mean(psi, start, end) - ring / 2
    total = action + (starting + ending) / 2
    return np.stack([action, starting, ending, total, outer_inner])


jitted_scores = jax.jit(contrast.proposal_scores, static_argnames="window")


@pytest.fixture(params=["eager", "jitted"])
def evaluate(request):
    return jitted_scores if request.param == "jitted" else contrast.proposal_scores


def random_sequence(snippets=40, seed=0):
    return np.random.default_rng(seed).random(snippets, np.float32)


def random_proposals(count=48, snippets=40, shortest=1.01, seed=0):
    """Bounds inside, across and beyond the ends of the video."""
    rng = np.random.default_rng(seed)
    length = shortest * np.exp(rng.uniform(0, np.log(2 * snippets / shortest), count))
    centre = rng.uniform(-0.1, 1.1, count) * snippets
    return np.stack([centre - length / 2, centre + length / 2], -1).astype(np.float32)


# Numbers by hand.

# Window 3. The windows of snippets 0 to 5 are (0 0), (0 0 1), (0 1 1), (1 1 0),
# (1 0 0), (0 0); their first minima lie at 0, 0, 1, 4, 4, 4 and first maxima at
# 0, 2, 2, 2, 3, 4.
STEP = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]


def test_temporal_contrast_by_hand():
    psi = jnp.array(STEP)
    expected = [0, 1 / 2, 1, 1 / 2, 1, 0]
    np.testing.assert_allclose(edges.temporal_contrast(psi, window=3), expected)


def test_edgeness_by_hand():
    # Snippet 1 is between its minimum 0 and maximum 2, and 3 between its maximum 2
    # and minimum 4. Snippet 2 is at its maximum, after the minimum, and 4 conversely.
    psi = jnp.array(STEP)
    np.testing.assert_allclose(
        edges.edgeness(psi, window=3), [0, 1 / 2, 0, -1 / 2, 0, 0]
    )


def test_windowed_extrema_have_absolute_positions_and_earliest_ties():
    extrema = edges.windowed_extrema(jnp.array(STEP), window=3)
    np.testing.assert_array_equal(extrema.argmin, [0, 0, 1, 4, 4, 4])
    np.testing.assert_array_equal(extrema.argmax, [0, 2, 2, 2, 3, 4])
    np.testing.assert_array_equal(extrema.minimum, [0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(extrema.maximum, [0, 1, 1, 1, 1, 0])


def test_scores_by_hand(evaluate):
    # Window 1 leaves no edgeness. The proposal [2, 6] has a mean of 1 over [3, 5], of
    # 0 over [1, 2] and of 1 / 2 over [6, 7]; over itself it has 3 / 4.
    psi = jnp.array([0, 0, 0.5, 1, 1, 0.5, 0.5, 0])
    scores = evaluate(psi, jnp.array([2.0, 6.0]), window=1)
    np.testing.assert_allclose(scores, [1, 0, -0.5, 0.75, 0.5], atol=1e-7)


def test_scores_with_edges_by_hand():
    # On STEP with window 3 the proposal [1.5, 4.5] is deflated to [2.25, 3.75] and
    # inflated to [0.75, 5.25]. ψ covers 1.5 of [2.25, 3.75], and none of [0.75, 1.5]
    # or [4.5, 5.25]. e has 1/2 over [1, 2] of [0.75, 2.25] and −1/2 over [3.75, 4] of
    # [3.75, 5.25]. ψ covers 2 of the 3 snippets, and none of those around.
    scores = jitted_scores(jnp.array(STEP), jnp.array([1.5, 4.5]), window=3)
    starting, ending = 0.5 / 1.5, 0.125 / 1.5
    expected = [1, starting, ending, 1 + (starting + ending) / 2, 2 / 3]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


# Accuracy.


@pytest.mark.parametrize("window", [1, 3, 7, 15])
def test_edgeness_equals_reference(window):
    for seed in range(3):
        # Few distinct values, so that there are many ties.
        psi = np.round(4 * random_sequence(seed=seed)) / 4
        temporal_contrast, edge = reference_edgeness(psi, window)
        psi = jnp.asarray(psi)
        np.testing.assert_allclose(
            edges.temporal_contrast(psi, window=window), temporal_contrast, atol=1e-6
        )
        np.testing.assert_allclose(edges.edgeness(psi, window=window), edge, atol=1e-6)


def test_scores_equal_reference():
    psi, proposals = random_sequence(), random_proposals(shortest=0.25)
    scores = jitted_scores(jnp.asarray(psi), jnp.asarray(proposals))
    expected = np.stack([reference_scores(psi, proposal) for proposal in proposals], 1)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


T = 16384
SIGNALS = {
    "ones": np.ones(T, np.float32),
    "noise": random_sequence(T),
    "high noise": 1 - 0.1 * random_sequence(T),
    "sawtooth": (np.arange(T) % 7 / 6).astype(np.float32),
    "steps": (np.arange(T) // 11 % 2).astype(np.float32),
    "third": np.full(T, 1 / 3, np.float32),
    "one step": (np.arange(T) > T // 2).astype(np.float32),
    "tiny": 1e-6 * random_sequence(T),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_scores_are_accurate_in_long_videos(name):
    psi = SIGNALS[name]
    ends = np.stack([T - 40 + np.arange(32) + 0.3, T - 38.9 + np.arange(32)], -1)
    proposals = np.concatenate([random_proposals(4000, T), ends.astype(np.float32)])
    scores = contrast.evaluate_proposals(jnp.asarray(psi)[:, None], proposals)
    expected = all_reference_scores(psi, proposals)
    np.testing.assert_allclose(np.stack(scores)[:, 0], expected, rtol=0, atol=1e-5)


def test_the_two_references_agree():
    psi, proposals = random_sequence(), random_proposals()
    one_by_one = [reference_scores(psi, proposal) for proposal in proposals]
    np.testing.assert_allclose(
        all_reference_scores(psi, proposals), np.stack(one_by_one, 1), atol=1e-12
    )


# Relations.


def test_constant_sequence_has_no_edgeness():
    np.testing.assert_array_equal(edges.edgeness(jnp.full(20, 0.7)), np.zeros(20))


def test_contrast_is_action_plus_half_of_the_rest():
    scores = jitted_scores(random_sequence(), random_proposals())
    together = scores.action + (scores.starting + scores.ending) / 2
    np.testing.assert_allclose(scores.contrast, together, atol=2e-6)


def test_shifting_sequence_and_proposals_changes_nothing():
    psi, zeros = random_sequence(), np.zeros(33, np.float32)
    proposals = random_proposals()
    # Zeros around make the shifted sequence the same signal, at its ends too.
    here = jitted_scores(np.concatenate([zeros, psi, zeros]), proposals + 33)
    there = jitted_scores(np.concatenate([zeros, zeros, psi, zeros]), proposals + 66)
    for before, after in zip(here, there, strict=True):
        np.testing.assert_allclose(before, after, atol=2e-5)


def test_reversing_time_keeps_temporal_contrast():
    psi = random_sequence(60)  # no ties
    reversed_contrast = edges.temporal_contrast(jnp.asarray(psi[::-1]))
    np.testing.assert_allclose(
        reversed_contrast[::-1], edges.temporal_contrast(jnp.asarray(psi))
    )


def test_reversing_time_swaps_starting_and_ending():
    # One rise and one fall of 0.8, each well inside the proposal's rings of 20
    # snippets. An edge holds one of its two extrema, the other one in reversed time,
    # so it moves by a snippet: the slow slopes outside, 0.01, enter or leave a ring.
    slope = 0.01 * np.arange(10)
    psi = np.concatenate([slope, 0.8 + slope, 0.8 + slope[::-1], slope[::-1]])
    psi, proposals = psi.astype(np.float32), jnp.array([[0.0, 40.0], [3.0, 38.0]])
    forward = jitted_scores(jnp.asarray(psi), proposals)
    backward = jitted_scores(jnp.asarray(psi[::-1]), 40 - proposals[:, ::-1])
    ring = 17.5
    close = functools.partial(np.testing.assert_allclose, atol=2 * 0.01 / ring)
    close(forward.action, backward.action)
    close(forward.starting, backward.ending)
    close(forward.ending, backward.starting)
    assert np.all(forward.starting > 0)


@pytest.mark.parametrize("traced", [False, True])
def test_padding_changes_nothing(traced):
    psi, proposals = random_sequence(), random_proposals()
    garbage = np.concatenate([psi, 9 * random_sequence(19, 1), [np.nan]])
    garbage = jnp.asarray(garbage, jnp.float32)

    def results(psi, length):
        return (
            edges.temporal_contrast(psi, length=length)[:40],
            edges.edgeness(psi, length=length)[:40],
            *contrast.proposal_scores(psi, proposals, length=length),
        )

    padded = jax.jit(results)(garbage, 40) if traced else results(garbage, 40)
    for one, other in zip(results(jnp.asarray(psi), None), padded, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    assert not np.any(edges.edgeness(garbage, length=40)[40:])
    assert not np.any(edges.temporal_contrast(garbage, length=40)[40:])


def test_contrast_score_is_one_of_the_scores():
    psi, proposals = jnp.asarray(random_sequence()), random_proposals()
    np.testing.assert_array_equal(
        jax.jit(contrast.contrast_score)(psi, proposals),
        jitted_scores(psi, proposals).contrast,
    )


# Batches.


def categories(count):
    return np.stack([random_sequence(seed=seed) for seed in range(count)], -1)


@pytest.mark.parametrize("own_proposals", [False, True])
def test_evaluate_proposals_equals_a_loop_over_categories(own_proposals):
    scp = categories(3)
    proposals = np.stack([random_proposals(seed=n) for n in range(3)])
    together = contrast.evaluate_proposals(
        scp, proposals if own_proposals else proposals[0]
    )
    for n in range(3):
        alone = jitted_scores(scp[:, n], proposals[n if own_proposals else 0])
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(one, other[n], atol=2e-6)


def test_any_leading_axes_of_proposals():
    psi, proposals = random_sequence(), random_proposals()
    flat = jitted_scores(psi, proposals)
    for shape in [(6, 8), (2, 3, 8)]:
        shaped = jitted_scores(psi, proposals.reshape(*shape, 2))
        for one, other in zip(flat, shaped, strict=True):
            np.testing.assert_array_equal(one.reshape(shape), other)
    assert jitted_scores(psi, proposals[0]).action.shape == ()


def test_vmap_and_scan_over_videos():
    scp = np.stack([categories(2) + n for n in range(4)])
    proposals = np.stack([random_proposals(seed=n) for n in range(4)])
    lengths = jnp.array([40, 20, 7, 0])

    def scores(scp, proposals, length):
        return contrast.evaluate_proposals(scp, proposals, length=length)

    mapped = jax.vmap(scores)(scp, proposals, lengths)
    _, scanned = jax.lax.scan(
        lambda carry, video: (carry, scores(*video)), 0, (scp, proposals, lengths)
    )
    for n in range(4):
        alone = scores(scp[n], proposals[n], lengths[n])
        for one, *others in zip(alone, mapped, scanned, strict=True):
            for other in others:
                np.testing.assert_allclose(one, other[n], atol=2e-5)


def test_batch_sharded_over_devices():
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("videos",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("videos"))
    count = 2 * jax.device_count()
    scp = np.stack([categories(2) + n for n in range(count)])
    proposals = np.stack([random_proposals(seed=n) for n in range(count)])
    mapped = jax.jit(jax.vmap(contrast.evaluate_proposals))
    here = mapped(scp, proposals)
    there = mapped(*jax.device_put((scp, proposals), sharding))
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


# Proposals that are degenerate, and ones that only look it.

HUGE = 3e38
DEGENERATE = [
    (3.0, 3.0),
    (5.0, 2.0),
    (-0.0, 0.0),
    (np.nan, 4.0),
    (4.0, np.nan),
    (-np.inf, 4.0),
    (4.0, np.inf),
    (-np.inf, np.inf),
    (np.inf, np.inf),
    (HUGE, -HUGE),
]
# A mean over a huge length of a signal that is zero outside the video is zero.
ZERO = [
    (-HUGE, HUGE),
    (0.0, HUGE),
    (-HUGE, 5.0),
    (-HUGE, -1e38),
    (50.0, 60.0),
    (-9, -5),
]
TOUCHING = [(0.0, 10.0), (9.0, 10.0), (0.0, 1.0), (-2.0, 0.0), (10.0, 12.0), (-5, 15)]
TINY = [(4.0, 4 + 1e-6), (0.0, 1e-30), (-1e-38, 1e-38), (9.9999, 10.0), (2.5, 2.501)]


def test_degenerate_proposals_score_minus_infinity(evaluate):
    psi, proposals = jnp.asarray(random_sequence(10)), jnp.array(DEGENERATE)
    with jax.debug_nans(True):
        scores = evaluate(psi, proposals)
    np.testing.assert_array_equal(np.stack(scores), -np.inf)


def test_gradients_of_odd_proposals_are_finite_and_of_degenerate_ones_zero():
    psi = jnp.asarray(random_sequence(10))

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1))
    def gradient(psi, proposals):
        return sum(jnp.sum(score) for score in contrast.proposal_scores(psi, proposals))

    odd = ZERO + TOUCHING + TINY
    with jax.debug_nans(True):
        for part in gradient(psi, jnp.array(odd)):
            assert np.all(np.isfinite(part)) and np.any(part)
    degenerate = jnp.array(DEGENERATE)
    with jax.debug_nans(True):
        for part in gradient(psi, degenerate):
            np.testing.assert_array_equal(part, 0)


def test_far_and_huge_proposals_score_zero():
    with jax.debug_nans(True):
        scores = jitted_scores(random_sequence(10), jnp.array(ZERO))
    np.testing.assert_allclose(np.stack(scores), 0, atol=1e-6)


def test_touching_proposals_equal_reference():
    psi = random_sequence(10)
    scores = jitted_scores(jnp.asarray(psi), jnp.array(TOUCHING))
    expected = np.stack([reference_scores(psi, proposal) for proposal in TOUCHING], 1)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_tiny_proposals_approach_the_signal():
    # Around the middle of a snippet every mean is the signal's value there.
    psi = random_sequence(10)
    edge = reference_edgeness(psi)[1]
    for length in (1e-2, 1e-4, 1e-6):
        scores = jitted_scores(jnp.asarray(psi), jnp.array([4.5, 4.5 + length]))
        expected = [psi[4], edge[4] - psi[4], -edge[4] - psi[4], 0, 0]
        np.testing.assert_allclose(scores, expected, atol=1e-3)


@pytest.mark.parametrize("snippets, count", [(0, 3), (5, 0), (0, 0)])
def test_empty_inputs(snippets, count):
    scp = jnp.zeros((snippets, 2))
    proposals = jnp.tile(jnp.array([0.0, 2.0]), (count, 1))

    def total(scp, proposals):
        scores = contrast.evaluate_proposals(scp, proposals)
        return sum(jnp.sum(s) for s in scores), scores

    gradient = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))
    with jax.debug_nans(True):
        gradient, scores = gradient(scp, proposals)
    for score in scores:
        np.testing.assert_array_equal(score, np.zeros((2, count)))
    assert [g.shape for g in gradient] == [scp.shape, proposals.shape]
    assert edges.edgeness(scp[:, 0]).shape == (snippets,)


def test_no_valid_snippet_is_an_empty_video():
    scores = jitted_scores(jnp.ones(5), jnp.array([1.0, 3.0]), length=0)
    np.testing.assert_array_equal(np.stack(scores), 0)


# Gradients.


def away_from_borders(proposals, margin=0.02):
    """The proposals none of whose bounds lies near the border of a snippet."""
    start, length = proposals[:, :1], np.diff(proposals)
    bounds = start + length * [-0.25, 0, 0.25, 0.75, 1, 1.25]
    return proposals[np.all(np.abs(bounds - np.round(bounds)) > margin, axis=-1)]


def numerical_gradient(function, x, step):
    """Central differences of a function of a float64 array: [..., x.size]."""
    x = np.asarray(x, np.float64)
    moves = step * np.eye(x.size).reshape(-1, *x.shape)
    slopes = [(function(x + move) - function(x - move)) / (2 * step) for move in moves]
    return np.stack(slopes, -1)


@pytest.mark.parametrize("jacobian", [jax.jacfwd, jax.jacrev])
def test_gradient_in_proposals_equals_numerical(jacobian):
    psi, proposals = (
        random_sequence(),
        away_from_borders(random_proposals(shortest=0.5)),
    )
    assert len(proposals) > 12
    scores = functools.partial(contrast.proposal_scores, jnp.asarray(psi))
    jacobians = jax.vmap(jax.jit(jacobian(scores)))(jnp.asarray(proposals))
    for index, proposal in enumerate(proposals):
        expected = numerical_gradient(
            functools.partial(reference_scores, psi), proposal, 1e-4
        )
        actual = [part[index] for part in jacobians]
        np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.parametrize("jacobian", [jax.jacfwd, jax.jacrev])
def test_gradient_in_scp_equals_numerical(jacobian):
    psi, proposal = random_sequence(), np.array([4.3, 11.9], np.float32)
    actual = jax.jit(jacobian(contrast.proposal_scores))(psi, proposal)
    expected = numerical_gradient(
        lambda psi: reference_scores(psi, proposal), psi, 1e-4
    )
    np.testing.assert_allclose(np.stack(actual), expected, atol=1e-4)


def test_gradient_of_all_categories_is_the_sum_of_each():
    scp, proposals = categories(3), random_proposals()

    @jax.jit
    @jax.grad
    def gradient(proposals, scp):
        return jnp.sum(contrast.evaluate_proposals(scp, proposals).contrast)

    together = gradient(proposals, scp)
    alone = sum(gradient(proposals, scp[:, n : n + 1]) for n in range(3))
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)


def test_second_derivative_is_finite():
    score = functools.partial(contrast.contrast_score, jnp.asarray(random_sequence()))
    hessian = jax.jit(jax.hessian(score))(jnp.array([4.3, 11.9]))
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-5)


# Types.


def test_bfloat16_is_summed_in_float32():
    psi = jnp.asarray(random_sequence(), jnp.bfloat16)
    proposals = jnp.asarray(random_proposals(), jnp.bfloat16)
    scores = jitted_scores(psi, proposals)
    same = jitted_scores(psi.astype(jnp.float32), proposals.astype(jnp.float32))
    for one, other in zip(scores, same, strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_array_equal(one, other)


def test_float64_has_its_own_accuracy():
    # Older versions of JAX have it in another place.
    place = jax if hasattr(jax, "enable_x64") else jax.experimental
    with place.enable_x64(True):
        psi = np.float64(random_sequence(3000))
        proposals = np.float64(random_proposals(200, 3000))
        scores = jitted_scores(psi, proposals)
        expected = all_reference_scores(psi, proposals)
        assert scores.action.dtype == jnp.float64
        np.testing.assert_allclose(np.stack(scores), expected, atol=1e-12)


def test_numpy_arrays_are_welcome_in_any_precision():
    psi = np.random.default_rng(0).random(20)  # float64
    proposals = np.array([[3.0, 9.0], [1.0, 2.0]])
    extrema = edges.windowed_extrema(psi)
    np.testing.assert_allclose(
        extrema.maximum,
        np.maximum.reduce(
            np.lib.stride_tricks.sliding_window_view(np.pad(psi, 3), 7), axis=1
        ),
        rtol=1e-6,
    )
    expected = contrast.contrast_score(
        jnp.asarray(psi, jnp.float32), jnp.asarray(proposals, jnp.float32)
    )
    np.testing.assert_array_equal(contrast.contrast_score(psi, proposals), expected)
