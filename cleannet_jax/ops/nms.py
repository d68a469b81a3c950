"""Suppression with a fixed number of outputs, so that it jits and vmaps.

Lengths are those of real-valued segments: end − start, in any unit.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from cleannet_jax.ops import arguments, sharding
from cleannet_jax.ops import segments as segment_ops


class Kept(NamedTuple):
    """What suppression left, by falling score; unused places come last."""

    segments: jax.Array  # [K, 2], zero where unused
    scores: jax.Array  # [K], -inf where unused


def suppress(
    segments: ArrayLike, scores: ArrayLike, *, max_tiou: ArrayLike, max_outputs: int
) -> Kept:
    """Greedy non-maximum suppression of the proposals of one category (Section 4.1).

    Takes the best remaining proposal, removes all that overlap it by more than
    `max_tiou`, and repeats. Among equal scores the earlier proposal wins.

    >>> segments = jnp.array([[0.0, 4.0], [1.0, 4.0], [6.0, 8.0]])
    >>> scores = jnp.array([0.5, 0.75, 0.25])
    >>> kept = suppress(segments, scores, max_tiou=0.5, max_outputs=3)
    >>> kept.scores.tolist()
    [0.75, 0.25, -inf]

    Args:
      segments: [P, 2].
      scores: [P]; proposals with -inf or NaN take no part.
      max_tiou: the largest overlap that two kept proposals may have, in [0, 1].
      max_outputs: K, the largest number of proposals kept.

    Returns:
      `Kept`, K places.

    Raises:
      TypeError: if segments or scores are no arrays of floating-point numbers, or K
        is no int.
      ValueError: if a shape does not fit.
    """
    segments, scores = _checked(segments, scores)
    max_outputs = arguments.whole("max_outputs", max_outputs)
    if scores.shape[0] == 0:
        return _nothing(segments, scores, max_outputs)
    greedily = functools.partial(_suppress, max_tiou=max_tiou, max_outputs=max_outputs)
    return sharding.automatically(greedily, (segments, scores), ())


def suppress_softly(
    segments: ArrayLike, scores: ArrayLike, *, sigma: ArrayLike, max_outputs: int
) -> Kept:
    """Gaussian soft suppression of the proposals of one category.

    The best `max_outputs` proposals by the scores of `soften`.

    >>> segments = jnp.array([[0.0, 4.0], [0.0, 4.0], [6.0, 8.0]])
    >>> kept = suppress_softly(
    ...     segments, jnp.array([1.0, 0.75, 0.25]), sigma=0.5, max_outputs=2
    ... )
    >>> kept.scores.tolist()
    [1.0, 0.25]

    Args:
      segments: [P, 2].
      scores: [P]; proposals with -inf take no part.
      sigma: as for `soften`.
      max_outputs: K, the number of proposals kept.

    Returns:
      `Kept`, K places.

    Raises:
      TypeError, ValueError: as `suppress`.
    """
    segments, scores = _checked(segments, scores)
    max_outputs = arguments.whole("max_outputs", max_outputs)

    def softly(segments, scores):
        found = _in_turn(segments, scores, functools.partial(_faded, sigma=sigma))
        # There may be fewer than K.
        filled = jnp.pad(found, (0, max_outputs), constant_values=-jnp.inf)
        best, places = jax.lax.top_k(filled, max_outputs)
        segments = jnp.pad(segments, [(0, max_outputs), (0, 0)])[places]
        return Kept(jnp.where((best > -jnp.inf)[:, None], segments, 0), best)

    return sharding.automatically(softly, (segments, scores), ())


def soften(
    segments: ArrayLike,
    scores: ArrayLike,
    *,
    sigma: ArrayLike,
    all_signs: bool = False,
) -> jax.Array:
    """Scores after Gaussian soft suppression, in the order of the proposals.

    Takes the best remaining proposal, multiplies the scores of the others that remain
    by exp(−tIoU² / sigma), and repeats (Bodla et al., Soft-NMS, ICCV 2017, Eq. 3).
    Among equal scores the earlier proposal is taken first. A score that is not
    positive stays as it is: multiplied, it would rise.

    >>> segments = jnp.array([[0.0, 4.0], [0.0, 4.0], [6.0, 8.0]])
    >>> soften(segments, jnp.array([1.0, 0.75, 0.25]), sigma=0.5).round(3).tolist()
    [1.0, 0.102, 0.25]

    Args:
      segments: [P, 2].
      scores: [P]; proposals with -inf take no part.
      sigma: positive; the smaller, the nearer to removal.
      all_signs: whether to multiply scores that are not positive all the same, as most
        published code does.

    Returns:
      [P], without `all_signs` no score above what it was.

    Raises:
      TypeError, ValueError: as `suppress`.
    """
    segments, scores = _checked(segments, scores)
    fade = functools.partial(_faded, sigma=sigma, all_signs=all_signs)
    function = functools.partial(_in_turn, lower=fade)
    return sharding.automatically(function, (segments, scores), (None,))


def demote(
    segments: ArrayLike,
    scores: ArrayLike,
    *,
    max_tiou: ArrayLike,
    sigma: ArrayLike,
) -> jax.Array:
    """Scores after hard suppression that keeps what it removes, with a lower score.

    Takes the best remaining proposal; the others that it overlaps by more than
    `max_tiou` are out, with their scores times exp(−tIoU² / sigma); and repeats.

    >>> segments = jnp.array([[0.0, 4.0], [0.0, 4.0], [6.0, 8.0]])
    >>> scores = jnp.array([1.0, 0.75, 0.25])
    >>> demote(segments, scores, max_tiou=0.5, sigma=0.5).round(3).tolist()
    [1.0, 0.102, 0.25]

    Args:
      segments: [P, 2].
      scores: [P]; proposals with -inf take no part.
      max_tiou: as for `suppress`.
      sigma: as for `soften`.

    Returns:
      [P].

    Raises:
      TypeError, ValueError: as `suppress`.
    """
    segments, scores = _checked(segments, scores)
    if scores.shape[0] == 0:
        return scores

    def function(segments, scores):
        def unfinished(carry):
            return jnp.any(carry[0] > -jnp.inf)

        def take_best(carry):
            remaining, found = carry
            best = jnp.argmax(remaining)
            overlap = segment_ops.tiou(segments, segments[best])
            out = (overlap > max_tiou) & (remaining > -jnp.inf)
            lower = _faded(remaining, overlap, sigma=sigma, all_signs=True)
            found = jnp.where(out, lower, found).at[best].set(remaining[best])
            remaining = jnp.where(out, -jnp.inf, remaining).at[best].set(-jnp.inf)
            return remaining, found

        start = jax.tree.map(
            lambda x: sharding.varying_like(x, segments, scores),
            (scores, jnp.full_like(scores, -jnp.inf)),
        )
        return jax.lax.while_loop(unfinished, take_best, start)[1]

    return sharding.automatically(function, (segments, scores), (None,))


def survivors(
    segments: ArrayLike, scores: ArrayLike, *, max_tiou: ArrayLike
) -> jax.Array:
    """Which proposals `suppress` would keep, in their own order.

    >>> segments = jnp.array([[1.0, 4.0], [0.0, 4.0], [6.0, 8.0]])
    >>> survivors(segments, jnp.array([0.5, 0.75, 0.25]), max_tiou=0.5).tolist()
    [False, True, True]

    Args:
      segments: [P, 2].
      scores: [P]; proposals with -inf take no part.
      max_tiou: as for `suppress`.

    Returns:
      [P] bool.

    Raises:
      TypeError, ValueError: as `suppress`.
    """
    segments, scores = _checked(segments, scores)

    def remove(remaining, overlap):
        return jnp.where(overlap > max_tiou, -jnp.inf, remaining)

    def function(segments, scores):
        return _in_turn(segments, scores, remove) > -jnp.inf

    return sharding.automatically(function, (segments, scores), (None,))


def _checked(segments: ArrayLike, scores: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Segments [P, 2] and scores [P], once they are that."""
    segments = arguments.floats("segments", segments, ("P", 2))
    way_out = "for many categories use jax.vmap"
    return segments, arguments.floats(
        "scores", scores, (segments.shape[0],), way_out=way_out
    )


def _faded(
    remaining: jax.Array,
    overlap: jax.Array,
    *,
    sigma: ArrayLike,
    all_signs: bool = False,
) -> jax.Array:
    """Scores [P] beside one that they overlap by so much."""
    weight = jnp.exp(-jnp.square(overlap) / sigma).astype(remaining.dtype)
    fades = (remaining > -jnp.inf) & all_signs | (remaining > 0)
    return jnp.where(fades, remaining * weight, remaining)


def _in_turn(
    segments: jax.Array,
    scores: jax.Array,
    lower: Callable[[jax.Array, jax.Array], jax.Array],
) -> jax.Array:
    """The score [P] of each proposal when its turn comes; -inf where it never does.

    Args:
      segments: [P, 2].
      scores: [P].
      lower: from the scores that remain and their overlap with the one taken.
    """
    if scores.shape[0] == 0:
        return scores

    def unfinished(carry):
        return jnp.any(carry[0] > -jnp.inf)

    def take_best(carry):
        remaining, found = carry
        best = jnp.argmax(remaining)
        found = found.at[best].set(remaining[best])
        remaining = lower(remaining, segment_ops.tiou(segments, segments[best]))
        return remaining.at[best].set(-jnp.inf), found

    start = jax.tree.map(
        lambda x: sharding.varying_like(x, segments, scores),
        (scores, jnp.full_like(scores, -jnp.inf)),
    )
    return jax.lax.while_loop(unfinished, take_best, start)[1]


def _nothing(segments: jax.Array, scores: jax.Array, max_outputs: int) -> Kept:
    return Kept(
        jnp.zeros((max_outputs, 2), segments.dtype),
        jnp.full((max_outputs,), -jnp.inf, scores.dtype),
    )


# So many proposals are taken at a time, and compared with so many that are kept.
_BLOCK, _CHUNK = 32, 128


def _suppress(
    segments: jax.Array, scores: jax.Array, *, max_tiou: ArrayLike, max_outputs: int
) -> Kept:
    """Suppression of at least one proposal.

    The best few proposals, of which most that are kept come, are taken a block at a
    time: what of a block overlaps nothing kept before competes within the block, and
    what is left is kept. If they were too few, so are the best few of the rest that
    overlap nothing kept, again and again. All of it is the greedy choice.
    """
    segments, scores = (
        sharding.varying_like(x, segments, scores) for x in (segments, scores)
    )
    # It would come first, and end the search.
    scores = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
    few, size = max(4 * max_outputs, 8 * _BLOCK), scores.shape[0]
    if isinstance(size, int):
        few = min(few, size)
    else:  # A symbol of `jax.export`, for any number.
        segments = jnp.pad(segments, [(0, few), (0, 0)])
        scores = jnp.pad(scores, (0, few), constant_values=-jnp.inf)
    # A block may be written behind the last place; and chunks are whole.
    room = -(-(max_outputs + _BLOCK) // _CHUNK) * _CHUNK
    count, kept = jax.tree.map(
        lambda x: sharding.varying_like(x, segments, scores),
        (jnp.int32(0), _nothing(segments, scores, room)),
    )

    def unfinished(carry):
        count, remaining, _ = carry
        return (count < max_outputs) & jnp.any(remaining > -jnp.inf)

    def take_best(carry):
        before, remaining, kept = carry
        # XLA sorts everything if it sees that more is done with them.
        found = map(jax.lax.optimization_barrier, jax.lax.top_k(remaining, few))
        values, order = found
        count, kept = _take_blocks(
            segments[order],
            values,
            (before, kept),
            max_tiou=max_tiou,
            max_outputs=max_outputs,
        )
        # Among equal scores the earlier come first.
        last, index = values[-1], jnp.arange(scores.shape[0])
        seen = (remaining > last) | ((remaining == last) & (index <= order[-1]))
        remaining = jnp.where(seen, -jnp.inf, remaining)

        def without_overlap(place, remaining):
            overlap = segment_ops.tiou(segments, kept.segments[place])
            return jnp.where(overlap > max_tiou, -jnp.inf, remaining)

        # If the search ends, what remains is of no matter.
        end = jnp.where(unfinished((count, remaining, kept)), count, before)
        remaining = jax.lax.fori_loop(before, end, without_overlap, remaining)
        return count, remaining, kept

    kept = jax.lax.while_loop(unfinished, take_best, (count, scores, kept))[2]
    return jax.tree.map(lambda x: x[:max_outputs], kept)


def _take_blocks(
    segments, scores, start, *, max_tiou, max_outputs
) -> tuple[jax.Array, Kept]:
    """How many are kept, and which, after proposals by falling score."""
    after = -len(scores) % _BLOCK
    segments = jnp.pad(segments, [(0, after), (0, 0)])
    scores = jnp.pad(scores, (0, after), constant_values=-jnp.inf)

    def overlaps(first, second):
        return segment_ops.tiou(first[:, None], second) > max_tiou

    def unfinished(carry):
        start, count, _ = carry
        score = scores.at[start].get(mode="fill", fill_value=-jnp.inf)
        return (count < max_outputs) & (score > -jnp.inf)

    def take_block(carry):
        start, count, kept = carry
        block, values = (
            jax.lax.dynamic_slice_in_dim(x, start, _BLOCK) for x in (segments, scores)
        )

        def without_overlap(chunk, left):
            first = chunk * _CHUNK
            better = jax.lax.dynamic_slice_in_dim(kept.segments, first, _CHUNK)
            used = first + jnp.arange(_CHUNK) < count
            return left & ~jnp.any(overlaps(better, block) & used[:, None], axis=0)

        chunks = -(-count // _CHUNK)
        left = jax.lax.fori_loop(0, chunks, without_overlap, values > -jnp.inf)
        left = _greedily(left, overlaps(block, block))
        kept = Kept(
            _with(kept.segments, block, left, count, unused=0),
            _with(kept.scores, values, left, count, unused=-jnp.inf),
        )
        return start + _BLOCK, count + jnp.sum(left, dtype=count.dtype), kept

    count, kept = start
    carry = jnp.zeros_like(count), count, kept
    return jax.lax.while_loop(unfinished, take_block, carry)[1:]


def _greedily(left: jax.Array, overlaps: jax.Array) -> jax.Array:
    """Which of a block are kept, [B] bool.

    Args:
      left: [B] bool, those that nothing before the block removes.
      overlaps: [B, B] bool.
    """
    removes = jnp.triu(overlaps, k=1)  # [the better one, the other]

    def again(kept):
        return left & ~jnp.any(removes & kept[:, None], axis=0)

    # The first of what is left is right at once, and every repetition settles the next
    # one at least, mostly all.
    def settled(pair):
        return again(pair[0]), pair[0]

    pair = jax.lax.while_loop(
        lambda pair: jnp.any(pair[0] != pair[1]), settled, (again(left), left)
    )
    return pair[0]


def _with(
    places: jax.Array, block: jax.Array, left: jax.Array, count: jax.Array, *, unused
) -> jax.Array:
    """The first `count` places, and then what is left of a block [B, ...]."""
    rank = jnp.cumsum(left) - 1
    chosen = (rank[:, None] == jnp.arange(len(left))) & left[:, None]  # [from, to]
    chosen = chosen.reshape(*chosen.shape, *[1] * (block.ndim - 1))
    values = jnp.sum(jnp.where(chosen, block[:, None], 0), axis=0)
    values = jnp.where(jnp.any(chosen, axis=0), values, unused)
    return jax.lax.dynamic_update_slice_in_dim(places, values, count, axis=0)
