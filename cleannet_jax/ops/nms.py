"""Suppression with a fixed number of outputs, so that it jits and vmaps."""

import functools
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
      scores: [P]; proposals with -inf take no part.
      max_tiou: the largest overlap that two kept proposals may have, in [0, 1].
      max_outputs: K, the largest number of proposals kept.

    Returns:
      `Kept`, K places.

    Raises:
      TypeError: if segments or scores are no arrays of floating-point numbers, or K
        is no int.
      ValueError: if a shape does not fit.
    """
    segments = arguments.floats("segments", segments, ("P", 2))
    way_out = "for many categories use jax.vmap"
    scores = arguments.floats("scores", scores, (len(segments),), way_out=way_out)
    max_outputs = arguments.whole("max_outputs", max_outputs)
    if scores.shape[0] == 0:
        return _nothing(segments, scores, max_outputs)
    greedily = functools.partial(_suppress, max_tiou=max_tiou, max_outputs=max_outputs)
    return sharding.automatically(greedily, (segments, scores), ())


def _nothing(segments: jax.Array, scores: jax.Array, max_outputs: int) -> Kept:
    return Kept(
        jnp.zeros((max_outputs, 2), segments.dtype),
        jnp.full((max_outputs,), -jnp.inf, scores.dtype),
    )


def _suppress(
    segments: jax.Array, scores: jax.Array, *, max_tiou: float, max_outputs: int
) -> Kept:
    """Suppression of at least one proposal."""

    def unfinished(carry):
        count, remaining, _ = carry
        return (count < max_outputs) & jnp.any(remaining > -jnp.inf)

    def keep_best(carry):
        count, remaining, kept = carry
        best = jnp.argmax(remaining)
        overlap = segment_ops.tiou(segments, segments[best])
        kept = Kept(
            kept.segments.at[count].set(segments[best]),
            kept.scores.at[count].set(remaining[best]),
        )
        # The best one is removed by name: an empty segment overlaps nothing, itself
        # included.
        remaining = jnp.where(overlap > max_tiou, -jnp.inf, remaining)
        return count + 1, remaining.at[best].set(-jnp.inf), kept

    kept = _nothing(segments, scores, max_outputs)
    start = jax.tree.map(
        lambda x: sharding.varying_like(x, segments, scores), (0, scores, kept)
    )
    return jax.lax.while_loop(unfinished, keep_best, start)[2]
