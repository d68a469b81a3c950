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
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from cleannet_jax.ops import arguments, integral, sharding

Result = TypeVar("Result")

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
    """Maximum and minimum of the window around each snippet, and where they are.

    >>> extrema = windowed_extrema(jnp.array([0.0, 0.5, 1.0]), window=3)
    >>> extrema.maximum.tolist(), extrema.argmin.tolist()
    ([0.5, 1.0, 1.0], [0, 0, 1])
    """

    maximum: jax.Array  # [T]
    argmax: jax.Array  # [T] int32, absolute
    minimum: jax.Array  # [T]
    argmin: jax.Array  # [T] int32, absolute


class ProposalScores(NamedTuple):
    """Scores of proposals, in the unit of the SCP; -inf for a degenerate proposal.

    >>> proposals = jnp.array([[2.0, 6.0], [6.0, 2.0]])
    >>> scores = proposal_scores(jnp.ones(8), proposals)
    >>> scores.action.tolist()
    [1.0, -inf]
    >>> best = jax.tree.map(jnp.max, scores)  # a tuple of arrays, so a pytree
    >>> best.action.item()
    1.0
    """

    action: jax.Array  # [...] Eq. 9
    starting: jax.Array  # [...] Eq. 10
    ending: jax.Array  # [...] Eq. 11
    contrast: jax.Array  # [...] Eq. 12
    outer_inner: jax.Array  # [...] AutoLoc's, for comparison


def windowed_extrema(
    scp: ArrayLike, *, window: int = WINDOW, length: ArrayLike | None = None
) -> Extrema:
    """Extrema of the part of each snippet's window that is in the video.

    Ties go to the earliest snippet (R5).

    >>> scp = jnp.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    >>> windowed_extrema(scp, window=3).argmax.tolist()
    [0, 2, 2, 2, 3, 4]

    Args:
      scp: [T], or [T, N] of N categories.
      window: odd number of snippets.
      length: number of valid snippets, an integer.

    Returns:
      `Extrema`, each of the shape of `scp`.

    Raises:
      TypeError: if an argument is not an array of floating-point numbers, or not a
        whole number where one is needed.
      ValueError: if a shape does not fit, or the window is not odd and positive.
    """
    scp = arguments.floats("scp", scp, ("T",), ("T", "N"))
    return _along_time(_windowed_extrema, scp, window, length)


def temporal_contrast(
    scp: ArrayLike, *, window: int = WINDOW, length: ArrayLike | None = None
) -> jax.Array:
    """The steepness of a sequence around each snippet.

    c = (ψ_max − ψ_min) / |idx_max − idx_min| over each snippet's window, and 0 where
    the indices coincide (Eq. 6, R6).

    >>> scp = jnp.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    >>> temporal_contrast(scp, window=3).tolist()
    [0.0, 0.5, 1.0, 0.5, 1.0, 0.0]

    Args:
      scp: [T] of one category.
      window: odd number of snippets.
      length: number of valid snippets, an integer.

    Returns:
      [T], not negative, and zero from `length` on.

    Raises:
      TypeError, ValueError: as `windowed_extrema`.
    """
    return _along_time(_temporal_contrast, _one_category(scp), window, length)


def edgeness(
    scp: ArrayLike, *, window: int = WINDOW, length: ArrayLike | None = None
) -> jax.Array:
    """The temporal contrast, positive on a rising and negative on a falling edge.

    e = m ⊙ c; m = +1 where idx_min ≤ t < idx_max, −1 where idx_max ≤ t < idx_min,
    and 0 elsewhere (Eq. 7).

    >>> scp = jnp.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    >>> edgeness(scp, window=3).tolist()
    [0.0, 0.5, 0.0, -0.5, 0.0, 0.0]

    Of many categories at once:

    >>> both = jnp.stack([scp, 1 - scp], axis=1)
    >>> jax.vmap(edgeness, in_axes=1, out_axes=1)(both).shape
    (6, 2)

    Args:
      scp: [T] of one category.
      window: odd number of snippets.
      length: number of valid snippets, an integer.

    Returns:
      [T], zero from `length` on.

    Raises:
      TypeError, ValueError: as `windowed_extrema`.
    """
    return _along_time(_edgeness, _one_category(scp), window, length)


def proposal_scores(
    scp: ArrayLike,
    proposals: ArrayLike,
    *,
    window: int = WINDOW,
    length: ArrayLike | None = None,
) -> ProposalScores:
    """Action, starting, ending and contrast scores of proposals (Eqs. 9 to 12).

    Beside them the outer–inner contrast of AutoLoc (Shou et al., ECCV 2018), its loss
    with the sign turned: avg ψ(x_s : x_e) less the mean of ψ over the quarters of a
    length before and after, zero outside the video (R2).

    >>> scp = jnp.array([0.0, 0.0, 0.5, 1.0, 1.0, 0.5, 0.5, 0.0])
    >>> scores = proposal_scores(scp, jnp.array([[2.0, 6.0]]), window=1)
    >>> scores.action.item(), scores.outer_inner.item()
    (1.0, 0.5)

    Args:
      scp: [T] of one category.
      proposals: [..., 2] in snippets.
      window: odd number of snippets.
      length: number of valid snippets, an integer.

    Returns:
      `ProposalScores`, each [...].

    Raises:
      TypeError, ValueError: as `windowed_extrema`.
    """
    proposals = arguments.floats("proposals", proposals, (..., 2), way_out=_PAIRS)
    return _proposal_scores(_one_category(scp), proposals, window, length)


def contrast_score(
    scp: ArrayLike,
    proposals: ArrayLike,
    *,
    window: int = WINDOW,
    length: ArrayLike | None = None,
) -> jax.Array:
    """The contrast score of proposals, Eq. 12 alone.

    >>> scp = jnp.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    >>> proposals = jnp.array([[2.0, 6.0], [3.0, 7.0]])
    >>> exact, late = contrast_score(scp, proposals)
    >>> bool(exact > late)
    True

    It has gradients, in the SCP and in the proposals.

    >>> total = lambda proposals: contrast_score(scp, proposals).sum()
    >>> jax.jit(jax.grad(total))(proposals).shape
    (2, 2)

    Args:
      scp: [T] of one category.
      proposals: [..., 2] in snippets.
      window: odd number of snippets.
      length: number of valid snippets, an integer.

    Returns:
      [...]

    Raises:
      TypeError, ValueError: as `windowed_extrema`.
    """
    proposals = arguments.floats("proposals", proposals, (..., 2), way_out=_PAIRS)
    scp, names = _one_category(scp), ("contrast",)
    return _proposal_scores(scp, proposals, window, length, names).contrast


def evaluate_proposals(
    scp: ArrayLike,
    proposals: ArrayLike,
    *,
    window: int = WINDOW,
    length: ArrayLike | None = None,
) -> ProposalScores:
    """Scores of proposals in every category, compiled.

    >>> scp = jnp.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> proposals = jnp.array([[1.0, 3.0], [0.0, 1.0], [2.0, 4.0]])
    >>> evaluate_proposals(scp, proposals).contrast.argmax(axis=1).tolist()
    [0, 1]

    Args:
      scp: [T, N] of N categories.
      proposals: [P, 2] the same for all categories, or [N, P, 2]; in snippets.
      window: odd number of snippets.
      length: number of valid snippets, an integer.

    Returns:
      `ProposalScores`, each [N, P].

    Raises:
      TypeError, ValueError: as `windowed_extrema`.
    """
    return evaluate_some(
        scp, proposals, ProposalScores._fields, window=window, length=length
    )


def evaluate_some(
    scp: ArrayLike,
    proposals: ArrayLike,
    names: Sequence[str],
    *,
    window: int = WINDOW,
    length: ArrayLike | None = None,
) -> ProposalScores:
    """As `evaluate_proposals`, of the named scores alone; the others are None.

    They cost no time once compiled, but would have to be traced.
    """
    scp = arguments.floats(
        "scp", scp, ("T", "N"), way_out="for one category use proposal_scores"
    )
    shapes = ("P", 2), (scp.shape[1], "P", 2)
    proposals = arguments.floats("proposals", proposals, *shapes, way_out=_PAIRS)
    length, window = _length(length), _window(window)
    return _evaluate_some(scp, proposals, length, window=window, names=tuple(names))


@functools.partial(jax.jit, static_argnames=("window", "names"))
def _evaluate_some(scp, proposals, length, *, window, names) -> ProposalScores:
    if proposals.ndim == 3:
        of_scp, of_proposals = map(sharding.explicit_axes, (scp, proposals))
        axes = (of_proposals[0] or of_scp[1], of_proposals[1])
        score = functools.partial(_scores_by_category, window=window, names=names)
        return sharding.automatically(score, (scp, proposals, length), axes)
    # The categories stay together in rows; only the finished scores are transposed.
    scores = _proposal_scores(scp, proposals, window, length, names)
    return jax.tree.map(jnp.transpose, scores)


def _scores_by_category(scp, proposals, length, *, window, names) -> ProposalScores:
    """Scores of each category's own proposals, [N, P]."""

    def score(scp, proposals):
        return _scores_of(scp, proposals, length, window=window, names=names)

    return jax.vmap(score, in_axes=(1, 0))(scp, proposals)


_PAIRS = "a proposal is a pair (start, end) in snippets"
_BATCH = "for a batch of videos use jax.vmap"


def _one_category(scp: ArrayLike) -> jax.Array:
    way_out = "for all categories use evaluate_proposals or jax.vmap"
    return arguments.floats("scp", scp, ("T",), way_out=way_out)


def _window(window: int) -> int:
    window = arguments.whole("window", window)
    if window % 2 == 0:
        raise ValueError(
            f"window: expected an odd number of snippets, found {window}; the snippet "
            f"itself is in the middle"
        )
    return window


def _length(length: ArrayLike | None) -> jax.Array | None:
    """The number of valid snippets, int32."""
    if length is None:
        return None
    array = jnp.asarray(length)
    if array.shape != ():
        raise ValueError(
            f"length: expected one number, found shape {array.shape}; {_BATCH}"
        )
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"length: expected an integer, found {array.dtype}")
    return array.astype(jnp.int32)


def _along_time(
    function: Callable[..., Result], scp: jax.Array, window: int, length: Any
) -> Result:
    """function(scp, length, window=window), shared out over devices as the SCP is."""
    function = functools.partial(function, window=_window(window))
    axes = sharding.explicit_axes(scp)
    return sharding.automatically(function, (scp, _length(length)), axes)


def _windowed_extrema(scp, length, *, window) -> Extrema:
    snippets = jnp.arange(len(scp), dtype=jnp.int32)
    last = len(scp) - 1 if length is None else jnp.maximum(length - 1, 0)
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


def _psi(scp: jax.Array, length: jax.Array | None) -> jax.Array:
    """The signal ψ, in at least float32 and zero in the padding."""
    psi = scp.astype(jnp.promote_types(scp.dtype, jnp.float32))
    return _within(psi, length)


def _within(signal: jax.Array, length: jax.Array | None) -> jax.Array:
    """The signal, zero in the padding."""
    if length is None:
        return signal
    snippets = jnp.arange(len(signal)).reshape(-1, *[1] * (signal.ndim - 1))
    return jnp.where(snippets < length, signal, 0)


def _contrast_and_mask(psi, length, window) -> tuple[jax.Array, jax.Array]:
    """Eqs. 6 and 7: temporal contrast and sign mask, the shape of ψ."""
    extrema = _windowed_extrema(psi, length, window=window)
    snippets = jnp.arange(len(psi), dtype=jnp.int32)
    snippets = snippets.reshape(-1, *[1] * (psi.ndim - 1))
    gap = jnp.maximum(jnp.abs(extrema.argmax - extrema.argmin), 1)
    contrast = (extrema.maximum - extrema.minimum) / gap.astype(psi.dtype)
    rising = (extrema.argmin <= snippets) & (snippets < extrema.argmax)
    falling = (extrema.argmax <= snippets) & (snippets < extrema.argmin)
    mask = rising.astype(psi.dtype) - falling.astype(psi.dtype)
    return _within(contrast, length), mask


def _temporal_contrast(scp, length, *, window) -> jax.Array:
    """Eq. 6, the shape of the SCP."""
    return _contrast_and_mask(_psi(scp, length), length, window)[0]


def _edgeness(scp, length, *, window) -> jax.Array:
    """Eq. 7 times Eq. 6, the shape of the SCP."""
    contrast, mask = _contrast_and_mask(_psi(scp, length), length, window)
    return mask * contrast


def _proposal_scores(
    scp, proposals, window, length, names=ProposalScores._fields
) -> ProposalScores:
    """Scores of proposals [..., 2] by an SCP [T, ...]: [..., categories if any]."""
    of_proposals = sharding.explicit_axes(proposals)[:-1]
    # No mesh axis can share out both: then categories are whole on every device.
    of_categories = [
        axis if axis not in of_proposals else None
        for axis in sharding.explicit_axes(scp)[1:]
    ]
    operands = scp, proposals, _length(length)
    score = functools.partial(_scores_of, window=_window(window), names=names)
    return sharding.automatically(score, operands, (*of_proposals, *of_categories))


# The regions that make up each score. Action + ½ (starting + ending) takes the integrals
# of ψ together: six bounds to look up instead of ten.
_REGIONS = {
    "action": (integral.Region(1, 0, *DEFLATED),),
    "starting": (
        integral.Region(1, 1, *AROUND_START),
        integral.Region(-1, 0, *BEFORE_START),
    ),
    "ending": (
        integral.Region(-1, 1, *AROUND_END),
        integral.Region(-1, 0, *AFTER_END),
    ),
    "contrast": (
        integral.Region(2, 0, *INSIDE),
        integral.Region(-1, 1, *AROUND_START),
        integral.Region(-1, 2, *AROUND_END),
    ),
    # The ring is half as long as the proposal: its mean is 3 inflated − 2 inside.
    "outer_inner": (
        integral.Region(3, 0, *INSIDE),
        integral.Region(-3, 0, *INFLATED),
    ),
}


def _scores_of(scp, proposals, length, *, window, names) -> ProposalScores:
    """The named scores, on arrays whose sharding is not part of their types."""
    psi = _psi(scp, length)
    psi = psi.astype(jnp.promote_types(psi.dtype, proposals.dtype))
    edge = integral.apart(lambda psi: _edgeness(psi, length, window=window))(psi)
    start, extent, valid = _start_and_extent(proposals, psi.dtype)
    sums = {}
    if set(names) - {"contrast"}:
        sums = dict.fromkeys(names, integral.integrate((psi, edge)))
    if "contrast" in names:
        together = (psi, psi - edge / 2, psi + edge / 2)
        sums["contrast"] = integral.integrate(together)

    def score(name):
        if name not in names:
            return None
        means = integral.weighted_means(
            _REGIONS[name], sums[name], start, extent, valid
        )
        return means.reshape(*proposals.shape[:-1], *scp.shape[1:])

    return ProposalScores(*map(score, ProposalScores._fields))


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
