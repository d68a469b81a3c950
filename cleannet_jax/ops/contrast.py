"""Temporal contrast, edgeness, and the scores of one proposal of one category.

Sequences are the snippet-level classification predictions (SCP) of one category, [T],
any finite values, usually probabilities. Snippet t covers [t, t + 1) and proposals
are pairs (start, end) of real-valued times in snippets (R1). The video is the first
`length` snippets (all of them where it is None); what follows is padding, is never
looked at, and changes no result (R4). Signals are zero outside the video (R2).

float32, bfloat16 and float64 are accepted; sums and results are float32, or float64
where an argument is. A proposal of at least one snippet has float32 scores within
1e-5 of exact ones for sequences in [0, 1] of up to 16,384 snippets.

A degenerate proposal, with end ≤ start or a bound that is not finite, scores -inf
with zero gradient (R3). A proposal shorter than `SHORTEST` is scored as if it had that
length, below which a float32 mean would be noise.
"""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from cleannet_jax.ops import integral, sharding

WINDOW = 7
SHORTEST = 2**-10

# Eq. 8: the proposal inflated and deflated by a quarter of its length on each side.
INSIDE = (0.0, 1.0)
INFLATED = (-0.25, 1.25)
DEFLATED = (0.25, 0.75)
AROUND_START = (-0.25, 0.25)
BEFORE_START = (-0.25, 0.0)
AROUND_END = (0.75, 1.25)
AFTER_END = (1.0, 1.25)


class Extrema(NamedTuple):
    """Maximum and minimum of the window around each snippet, and where they are."""

    maximum: jax.Array  # [T]
    argmax: jax.Array  # [T] int32, absolute
    minimum: jax.Array  # [T]
    argmin: jax.Array  # [T] int32, absolute


class ProposalScores(NamedTuple):
    """Scores of proposals, in the unit of the SCP; -inf for a degenerate proposal."""

    action: jax.Array  # [...] Eq. 9
    starting: jax.Array  # [...] Eq. 10
    ending: jax.Array  # [...] Eq. 11
    contrast: jax.Array  # [...] Eq. 12
    outer_inner: jax.Array  # [...] AutoLoc's, for comparison


def windowed_extrema(
    scp: jax.Array, *, window: int = WINDOW, length: int | jax.Array | None = None
) -> Extrema:
    """Extrema of the part of each snippet's window that is in the video.

    Ties go to the earliest snippet (R5).

    Args:
      scp: [T], or [T, N] of N categories.
      window: odd number of snippets.
      length: number of valid snippets.

    Returns:
      `Extrema`, each of the shape of `scp`.

    Raises:
      ValueError: if the window is not odd and positive.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be odd and positive, not {window}")
    chex.assert_type(scp, float)
    scp = jnp.asarray(scp)
    snippets = jnp.arange(len(scp), dtype=jnp.int32)
    last = jnp.maximum(_length(scp, length) - 1, 0)
    extrema = None
    # Outside the video the window sees its first or last snippet again: never a new
    # extremum, and a tie goes to the same index.
    for offset in range(-(window // 2), window // 2 + 1):
        index = jnp.clip(snippets + offset, 0, last)
        value = scp.at[index].get(mode="promise_in_bounds")
        index = jnp.broadcast_to(index.reshape(-1, *[1] * (scp.ndim - 1)), scp.shape)
        extrema = _extended(
            extrema or Extrema(value, index, value, index), value, index
        )
    return extrema


def _extended(extrema: Extrema, value: jax.Array, index: jax.Array) -> Extrema:
    """The extrema of a window that has one more, later value."""
    higher, lower = value > extrema.maximum, value < extrema.minimum
    return Extrema(
        jnp.where(higher, value, extrema.maximum),
        jnp.where(higher, index, extrema.argmax),
        jnp.where(lower, value, extrema.minimum),
        jnp.where(lower, index, extrema.argmin),
    )


def temporal_contrast(
    scp: jax.Array, *, window: int = WINDOW, length: int | jax.Array | None = None
) -> jax.Array:
    """The steepness of a sequence around each snippet.

    c = (ψ_max − ψ_min) / |idx_max − idx_min| over each snippet's window, and 0 where
    the indices coincide (Eq. 6, R6).

    Args:
      scp: [T] of one category.
      window: odd number of snippets.
      length: number of valid snippets.

    Returns:
      [T], not negative, and zero from `length` on.
    """
    chex.assert_rank(scp, 1)
    return _contrast_and_mask(_psi(scp, length), window, length)[0]


def edgeness(
    scp: jax.Array, *, window: int = WINDOW, length: int | jax.Array | None = None
) -> jax.Array:
    """The temporal contrast, positive on a rising and negative on a falling edge.

    e = m ⊙ c; m = +1 where idx_min ≤ t < idx_max, −1 where idx_max ≤ t < idx_min,
    and 0 elsewhere (Eq. 7).

    Args:
      scp: [T] of one category.
      window: odd number of snippets.
      length: number of valid snippets.

    Returns:
      [T], zero from `length` on.
    """
    chex.assert_rank(scp, 1)
    return _edgeness(_psi(scp, length), window, length)


def proposal_scores(
    scp: jax.Array,
    proposals: jax.Array,
    *,
    window: int = WINDOW,
    length: int | jax.Array | None = None,
) -> ProposalScores:
    """Action, starting, ending and contrast scores of proposals (Eqs. 9 to 12).

    Beside them the outer–inner contrast of AutoLoc (Shou et al., ECCV 2018), its loss
    with the sign turned: avg ψ(x_s : x_e) less the mean of ψ over the quarters of a
    length before and after, zero outside the video (R2).

    Args:
      scp: [T] of one category.
      proposals: [..., 2] in snippets.
      window: odd number of snippets.
      length: number of valid snippets.

    Returns:
      `ProposalScores`, each [...].
    """
    chex.assert_rank(scp, 1)
    return _proposal_scores(scp, proposals, window, length)


def contrast_score(
    scp: jax.Array,
    proposals: jax.Array,
    *,
    window: int = WINDOW,
    length: int | jax.Array | None = None,
) -> jax.Array:
    """The contrast score of proposals, Eq. 12 alone.

    Args:
      scp: [T] of one category.
      proposals: [..., 2] in snippets.
      window: odd number of snippets.
      length: number of valid snippets.

    Returns:
      [...]
    """
    return proposal_scores(scp, proposals, window=window, length=length).contrast


@functools.partial(jax.jit, static_argnames="window")
def evaluate_proposals(
    scp: jax.Array,
    proposals: jax.Array,
    *,
    window: int = WINDOW,
    length: int | jax.Array | None = None,
) -> ProposalScores:
    """Scores of proposals in every category.

    Args:
      scp: [T, N] of N categories.
      proposals: [P, 2] the same for all categories, or [N, P, 2]; in snippets.
      window: odd number of snippets.
      length: number of valid snippets.

    Returns:
      `ProposalScores`, each [N, P].
    """
    chex.assert_rank(scp, 2)
    chex.assert_rank(proposals, {2, 3})
    if proposals.ndim == 3:
        chex.assert_axis_dimension(proposals, 0, scp.shape[1])
        scores = functools.partial(proposal_scores, window=window, length=length)
        return jax.vmap(scores, in_axes=(1, 0))(scp, proposals)
    # The categories stay together in rows; only the finished scores are transposed.
    scores = _proposal_scores(scp, proposals, window, length)
    return jax.tree.map(jnp.transpose, scores)


def _length(scp: jax.Array, length: int | jax.Array | None) -> jax.Array:
    """The number of valid snippets."""
    return jnp.int32(len(scp)) if length is None else jnp.asarray(length, jnp.int32)


def _psi(scp: jax.Array, length: int | jax.Array | None) -> jax.Array:
    """The signal ψ, in at least float32 and zero in the padding."""
    chex.assert_type(scp, float)
    scp = jnp.asarray(scp)
    psi = scp.astype(jnp.promote_types(scp.dtype, jnp.float32))
    return psi if length is None else _within(psi, length)


def _within(signal: jax.Array, length: int | jax.Array | None) -> jax.Array:
    """The signal, zero in the padding."""
    snippets = jnp.arange(len(signal)).reshape(-1, *[1] * (signal.ndim - 1))
    return jnp.where(snippets < _length(signal, length), signal, 0)


def _contrast_and_mask(psi, window, length) -> tuple[jax.Array, jax.Array]:
    """Eqs. 6 and 7: temporal contrast and sign mask, the shape of ψ."""
    extrema = windowed_extrema(psi, window=window, length=length)
    snippets = jnp.arange(len(psi), dtype=jnp.int32)
    snippets = snippets.reshape(-1, *[1] * (psi.ndim - 1))
    gap = jnp.maximum(jnp.abs(extrema.argmax - extrema.argmin), 1)
    contrast = (extrema.maximum - extrema.minimum) / gap.astype(psi.dtype)
    rising = (extrema.argmin <= snippets) & (snippets < extrema.argmax)
    falling = (extrema.argmax <= snippets) & (snippets < extrema.argmin)
    mask = rising.astype(psi.dtype) - falling.astype(psi.dtype)
    return _within(contrast, length), mask


def _edgeness(psi, window, length) -> jax.Array:
    """Eq. 7 times Eq. 6, the shape of ψ."""
    contrast, mask = _contrast_and_mask(psi, window, length)
    return mask * contrast


def _proposal_scores(scp, proposals, window, length) -> ProposalScores:
    """Scores of proposals [..., 2] by an SCP [T, ...]: [..., categories if any]."""
    of_proposals = sharding.explicit_axes(proposals)[:-1]
    # No mesh axis can share out both: then categories are whole on every device.
    of_categories = [
        axis if axis not in of_proposals else None
        for axis in sharding.explicit_axes(scp)[1:]
    ]
    score = functools.partial(_scores_of, window=window)
    operands = (scp, proposals) if length is None else (scp, proposals, length)
    return sharding.automatically(score, operands, (*of_proposals, *of_categories))


def _scores_of(scp, proposals, length=None, *, window) -> ProposalScores:
    """The same, on arrays whose sharding is not part of their types."""
    chex.assert_type(proposals, float)
    chex.assert_axis_dimension(proposals, -1, 2)
    proposals = jnp.asarray(proposals)
    psi = _psi(scp, length)
    psi = psi.astype(jnp.promote_types(psi.dtype, proposals.dtype))
    edge = integral.apart(lambda psi: _edgeness(psi, window, length))(psi)
    start, extent, valid = _start_and_extent(proposals, psi.dtype)

    def score(sums, *terms):
        regions = tuple(
            integral.Region(weight, signal, *part) for weight, signal, part in terms
        )
        means = integral.weighted_means(regions, sums, start, extent, valid)
        return means.reshape(*proposals.shape[:-1], *scp.shape[1:])

    sums = integral.integrate((psi, edge))
    # Action + ½ (starting + ending), the integrals of ψ taken together: six bounds to
    # look up instead of ten.
    sums_together = integral.integrate((psi, psi - edge / 2, psi + edge / 2))
    return ProposalScores(
        action=score(sums, (1, 0, DEFLATED)),
        starting=score(sums, (1, 1, AROUND_START), (-1, 0, BEFORE_START)),
        ending=score(sums, (-1, 1, AROUND_END), (-1, 0, AFTER_END)),
        contrast=score(
            sums_together, (2, 0, INSIDE), (-1, 1, AROUND_START), (-1, 2, AROUND_END)
        ),
        # The ring is half as long as the proposal: its mean is 3 inflated − 2 inside.
        outer_inner=score(sums, (3, 0, INSIDE), (-3, 0, INFLATED)),
    )


def _start_and_extent(proposals, dtype) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Start and length [P], [0, 1] for degenerate proposals, and which are not."""
    # Before anything else, so that no operation ever yields NaN.
    finite = jnp.isfinite(proposals)
    bounds = jnp.where(finite, proposals, 0).reshape(-1, 2)
    start, end = bounds.astype(dtype).T
    valid = jnp.all(finite.reshape(-1, 2), axis=-1) & (start < end)
    start, end = jnp.where(valid, start, 0), jnp.where(valid, end, 1)
    # Far enough from the largest float that inflated bounds are finite.
    largest = jnp.finfo(dtype).max / 8
    start = jnp.clip(start, -largest, largest)
    return start, jnp.clip(end - start, SHORTEST, largest), valid
