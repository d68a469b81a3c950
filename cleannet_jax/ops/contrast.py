"""The scores of proposals by an SCP: inside, at either edge, and their sum.

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
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from cleannet_jax.ops import arguments, edges, integral, sharding

SHORTEST = 2**-10

# Eq. 8: the proposal inflated and deflated by a quarter of its length on each side.
INSIDE = (0.0, 1.0)
INFLATED = (-0.25, 1.25)
DEFLATED = (0.25, 0.75)
AROUND_START = (-0.25, 0.25)
BEFORE_START = (-0.25, 0.0)
AROUND_END = (0.75, 1.25)
AFTER_END = (1.0, 1.25)


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


def proposal_scores(
    scp: ArrayLike,
    proposals: ArrayLike,
    *,
    window: int = edges.WINDOW,
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
      TypeError, ValueError: as `edges.windowed_extrema`.
    """
    proposals = arguments.floats("proposals", proposals, (..., 2), way_out=_PAIRS)
    found = _proposal_scores(arguments.one_category(scp), proposals, window, length)
    return ProposalScores(**found)


def contrast_score(
    scp: ArrayLike,
    proposals: ArrayLike,
    *,
    window: int = edges.WINDOW,
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
      TypeError, ValueError: as `edges.windowed_extrema`.
    """
    proposals = arguments.floats("proposals", proposals, (..., 2), way_out=_PAIRS)
    scp, names = arguments.one_category(scp), ("contrast",)
    return _proposal_scores(scp, proposals, window, length, names)["contrast"]


def evaluate_proposals(
    scp: ArrayLike,
    proposals: ArrayLike,
    *,
    window: int = edges.WINDOW,
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
      TypeError, ValueError: as `edges.windowed_extrema`.
    """
    found = evaluate_some(
        scp, proposals, ProposalScores._fields, window=window, length=length
    )
    return ProposalScores(**found)


def evaluate_some(
    scp: ArrayLike,
    proposals: ArrayLike,
    names: Sequence[str],
    *,
    window: int = edges.WINDOW,
    length: ArrayLike | None = None,
) -> dict[str, jax.Array]:
    """Scores of proposals by their names; the others are not even traced.

    Args:
      scp: [T, N] of N categories.
      proposals: [P, 2] the same for all categories, or [N, P, 2]; in snippets.
      names: fields of `ProposalScores`; "mean", avg ψ(x_s : x_e); and "oic", that less
        the mean of the parts in the video of the quarters of a length before and
        after, taken together: 0 where nothing of them is in it. So score the methods
        that followed AutoLoc (BaS-Net, CO2-Net and others); "outer_inner" takes what
        is outside the video for zeros.
      window: odd number of snippets.
      length: number of valid snippets, an integer.

    Returns:
      Each [N, P], in the unit of the SCP.

    Raises:
      TypeError, ValueError: as `edges.windowed_extrema`; or a name is none of these.
    """
    unknown = set(names) - {*_REGIONS, "oic"}
    if unknown:
        raise ValueError(
            f"names: expected {', '.join(_REGIONS)} or oic, found {min(unknown)!r}"
        )
    scp = arguments.floats(
        "scp", scp, ("T", "N"), way_out="for one category use proposal_scores"
    )
    shapes = ("P", 2), (scp.shape[1], "P", 2)
    proposals = arguments.floats("proposals", proposals, *shapes, way_out=_PAIRS)
    length, window = arguments.length(length), arguments.window(window)
    return _evaluate_some(scp, proposals, length, window=window, names=tuple(names))


@functools.partial(jax.jit, static_argnames=("window", "names"))
def _evaluate_some(scp, proposals, length, *, window, names) -> dict[str, jax.Array]:
    if proposals.ndim == 3:
        of_scp, of_proposals = map(sharding.explicit_axes, (scp, proposals))
        axes = (of_proposals[0] or of_scp[1], of_proposals[1])
        score = functools.partial(_scores_by_category, window=window, names=names)
        return sharding.automatically(score, (scp, proposals, length), axes)
    # The categories stay together in rows; only the finished scores are transposed.
    scores = _proposal_scores(scp, proposals, window, length, names)
    return jax.tree.map(jnp.transpose, scores)


def _scores_by_category(scp, proposals, length, *, window, names):
    """Scores of each category's own proposals, [N, P]."""

    def score(scp, proposals):
        return _scores_of(scp, proposals, length, window=window, names=names)

    return jax.vmap(score, in_axes=(1, 0))(scp, proposals)


_PAIRS = "a proposal is a pair (start, end) in snippets"


def _proposal_scores(
    scp, proposals, window, length, names=ProposalScores._fields
) -> dict[str, jax.Array]:
    """Scores of proposals [..., 2] by an SCP [T, ...]: [..., categories if any]."""
    of_proposals = sharding.explicit_axes(proposals)[:-1]
    # No mesh axis can share out both: then categories are whole on every device.
    of_categories = [
        axis if axis not in of_proposals else None
        for axis in sharding.explicit_axes(scp)[1:]
    ]
    operands = scp, proposals, arguments.length(length)
    score = functools.partial(_scores_of, window=arguments.window(window), names=names)
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
    "mean": (integral.Region(1, 0, *INSIDE),),
}


def _scores_of(scp, proposals, length, *, window, names) -> dict[str, jax.Array]:
    """The named scores, on arrays whose sharding is not part of their types."""
    shape = *proposals.shape[:-1], *scp.shape[1:]
    psi = edges.signal(scp, length)
    psi = psi.astype(jnp.promote_types(psi.dtype, proposals.dtype))
    if psi.size == 0 or proposals.size == 0:
        return {name: _of_nothing(psi, proposals).reshape(shape) for name in names}
    factor = _shrinking(psi)
    psi *= factor
    if {"starting", "ending", "contrast"} & set(names):
        of_signal = functools.partial(edges.of_signal, window=window)
        edge = integral.apart(lambda psi: of_signal(psi, length))(psi)
    start, extent, valid = _start_and_extent(proposals, psi.dtype)
    alone = together = None
    if {"starting", "ending"} & set(names):
        alone = integral.integrate((psi, edge))
    elif set(names) - {"contrast"}:
        alone = integral.integrate((psi,))
    if "contrast" in names:
        together = integral.integrate((psi, psi - edge / 2, psi + edge / 2))

    back = 1 / factor  # Exact: a power of two.

    def score(name):
        if name == "oic":
            end = psi.shape[0] if length is None else length
            return _inside_the_video(alone, start, extent, valid, end) * back
        sums = together if name == "contrast" else alone
        return integral.weighted_means(_REGIONS[name], sums, start, extent, valid, back)

    return {name: score(name).reshape(shape) for name in names}


def _of_nothing(psi, proposals) -> jax.Array:
    """Scores [P, ...] where there is no snippet, no category or no proposal."""
    valid = _start_and_extent(proposals, psi.dtype)[2]
    valid = valid.reshape(-1, *[1] * (psi.ndim - 1))
    scores = jnp.where(valid, 0, -jnp.inf).astype(psi.dtype)
    return jnp.broadcast_to(scores, (scores.shape[0], *psi.shape[1:]))


def _shrinking(psi) -> jax.Array:
    """A power of two, 1 unless sums of values so large would not be finite."""
    bits = jnp.finfo(psi.dtype).maxexp
    largest = jnp.max(jnp.abs(jax.lax.stop_gradient(psi)))
    few = jnp.asarray(2.0 ** -(bits // 2), psi.dtype)
    return jnp.where(largest > 2.0 ** (bits * 5 // 8), few, jnp.ones_like(few))


def _inside_the_video(sums, start, extent, valid, end) -> jax.Array:
    """The score "oic": flanks begin and end where the video does."""
    mean = functools.partial(integral.weighted_means, _REGIONS["mean"], sums)
    bounds = (start - extent / 4, start), (start + extent, start + extent * 1.25)
    flanks = []
    for bound in bounds:
        first, last = (jnp.clip(time, 0, end) for time in bound)
        # Of less than that a mean is noise.
        width = jnp.where(last - first >= SHORTEST, last - first, 0)
        flanks.append((first, width))
    total = sum(width for _, width in flanks)
    around = 0.0
    for first, width in flanks:
        found = mean(first, jnp.where(width > 0, width, 1), valid)
        weight = jnp.where(valid, width / jnp.where(total > 0, total, 1), 0)
        weight = weight.reshape(-1, *[1] * (found.ndim - 1))
        around += weight * jnp.where(weight > 0, found, 0)
    return mean(start, extent, valid) - around


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
