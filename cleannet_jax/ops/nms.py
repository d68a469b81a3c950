"""Suppression with a fixed number of outputs, so that it jits and vmaps."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from cleannet_jax.ops import segments as segment_ops


class Kept(NamedTuple):
    """What suppression left, by falling score; unused places come last."""

    segments: jax.Array  # [K, 2], zero where unused
    scores: jax.Array  # [K], -inf where unused


def suppress(
    segments: jax.Array, scores: jax.Array, *, max_tiou: float, max_outputs: int
) -> Kept:
    """Greedy non-maximum suppression of the proposals of one category (Section 4.1).

    Takes the best remaining proposal, removes all that overlap it by more than
    `max_tiou`, and repeats. Among equal scores the earlier proposal wins.

    Args:
      segments: [P, 2].
      scores: [P]; proposals with -inf take no part.
      max_tiou: the largest overlap that two kept proposals may have, in [0, 1].
      max_outputs: K, the largest number of proposals kept.

    Returns:
      `Kept`, K places.
    """
    chex.assert_shape(segments, (None, 2))
    chex.assert_equal_shape_prefix([segments, scores], 1)

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

    kept = Kept(
        jnp.zeros((max_outputs, 2), segments.dtype),
        jnp.full((max_outputs,), -jnp.inf, scores.dtype),
    )
    if scores.shape[0] == 0:
        return kept
    return jax.lax.while_loop(unfinished, keep_best, (0, scores, kept))[2]
