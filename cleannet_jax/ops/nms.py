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

    explicit = sharding.mesh_is_explicit()
    read, write = (_read_by_mask, _write_by_mask) if explicit else (_read, _write)

    def unfinished(carry):
        count, remaining, _ = carry
        return (count < max_outputs) & jnp.any(remaining > -jnp.inf)

    def keep_best(carry):
        count, remaining, kept = carry
        best = jnp.argmax(remaining)
        segment = read(segments, best)
        kept = Kept(
            write(kept.segments, count, segment),
            write(kept.scores, count, jnp.max(remaining)),
        )
        # The best one is removed by name: an empty segment overlaps nothing, itself
        # included.
        overlap = segment_ops.tiou(segments, segment)
        remaining = jnp.where(overlap > max_tiou, -jnp.inf, remaining)
        return count + 1, write(remaining, best, -jnp.inf), kept

    kept = Kept(
        jnp.zeros((max_outputs, 2), segments.dtype),
        jnp.full((max_outputs,), -jnp.inf, scores.dtype),
    )
    if scores.shape[0] == 0:
        return kept
    if not explicit:
        start = (jnp.int32(0), scores, kept)
        start = jax.tree.map(
            lambda x: sharding.varying_like(x, segments, scores), start
        )
        return jax.lax.while_loop(unfinished, keep_best, start)[2]

    # On a mesh with explicit axes JAX can vmap no loop whose end depends on the data,
    # nor one that starts from constants.
    def keep_if_any(count, carry):
        _, *new = keep_best((count, *carry))
        some = jnp.any(carry[0] > -jnp.inf)
        return jax.tree.map(lambda n, o: jnp.where(some, n, o), tuple(new), carry)

    nothing = jnp.where(jnp.arange(max_outputs) < 0, jnp.max(scores), 0)
    kept = Kept(nothing[:, None] + kept.segments, nothing + kept.scores)
    return jax.lax.fori_loop(0, max_outputs, keep_if_any, (scores, kept))[1]


def _read(values: jax.Array, place: jax.Array) -> jax.Array:
    return values[place]


def _write(values: jax.Array, place: jax.Array, value: jax.Array | float) -> jax.Array:
    return values.at[place].set(value)


# Where the sharding of a vmapped axis is part of the type, an index cannot be looked up;
# several times slower on a CPU.


def _read_by_mask(values: jax.Array, place: jax.Array) -> jax.Array:
    here = jnp.arange(len(values)) == place
    return jnp.sum(jnp.where(here[:, None], values, 0), axis=0)


def _write_by_mask(
    values: jax.Array, place: jax.Array, value: jax.Array | float
) -> jax.Array:
    here = jnp.arange(len(values)) == place
    return jnp.where(here.reshape(-1, *[1] * (values.ndim - 1)), value, values)
