"""Suppression with a fixed number of outputs, so that it jits and vmaps."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from cleannet_jax.ops import segments as segment_ops
from cleannet_jax.ops import sharding


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

    kept = Kept(
        jnp.zeros((max_outputs, 2), segments.dtype),
        jnp.full((max_outputs,), -jnp.inf, scores.dtype),
    )
    if scores.shape[0] == 0:
        return kept
    if sharding.mesh_is_explicit():
        return _suppress_by_masks(segments, scores, kept, max_tiou)

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

    start = jax.tree.map(
        lambda x: sharding.varying_like(x, segments, scores), (0, scores, kept)
    )
    return jax.lax.while_loop(unfinished, keep_best, start)[2]


def _suppress_by_masks(segments, scores, kept, max_tiou) -> Kept:
    """The same where the sharding of a vmapped axis is part of the type.

    There JAX can look up no index, and vmap no loop whose end depends on the data, nor
    one that starts from constants. Several times slower on a CPU.
    """
    proposals, places = jnp.arange(len(scores)), jnp.arange(len(kept.scores))
    nothing = jnp.where(places < 0, jnp.max(scores), 0)
    kept = Kept(nothing[:, None] + kept.segments, nothing + kept.scores)

    def keep_best(count, carry):
        remaining, kept = carry
        highest = jnp.max(remaining)
        best = proposals == jnp.argmax(remaining)
        segment = jnp.sum(jnp.where(best[:, None], segments, 0), axis=0)
        here = (places == count) & (highest > -jnp.inf)
        overlap = segment_ops.tiou(segments, segment)
        return jnp.where((overlap > max_tiou) | best, -jnp.inf, remaining), Kept(
            jnp.where(here[:, None], segment, kept.segments),
            jnp.where(here, highest, kept.scores),
        )

    return jax.lax.fori_loop(0, len(places), keep_best, (scores, kept))[1]
