"""Runs of snippets above thresholds, as proposals of a fixed number.

A sequence is [T], its first `length` snippets are the video's; times are in snippets,
snippet t covers [t, t + 1) (R1). Unused places hold the empty segment (0, 0), which
every score of proposals takes for degenerate (R3).
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from cleannet_jax.ops import pooling


def above(
    sequence: ArrayLike, thresholds: ArrayLike, *, length: ArrayLike
) -> jax.Array:
    """The runs of snippets whose value is above each of K thresholds.

    >>> above(jnp.array([0.2, 0.9, 0.6, 0.1]), jnp.array([0.5, 0.8]), length=4).tolist()
    [[[1.0, 3.0], [0.0, 0.0]], [[1.0, 2.0], [0.0, 0.0]]]

    Args:
      sequence: [T], finite.
      thresholds: [K].
      length: number of valid snippets.

    Returns:
      [K, ⌈T / 2⌉, 2], in the order of time: there can be no more runs.
    """
    sequence = jnp.asarray(sequence)
    inside = pooling.valid_snippets(sequence.shape[0], length)
    selected = (sequence > jnp.asarray(thresholds)[:, None]) & inside
    most = (sequence.shape[0] + 1) // 2
    return jax.vmap(lambda mask: of_mask(mask, most=most))(selected)


def of_mask(selected: jax.Array, *, most: int) -> jax.Array:
    """The first `most` runs of true entries of [T] bool: [most, 2] float32."""
    selected = jnp.pad(selected, 1)
    changes = [selected[1:] & ~selected[:-1], selected[:-1] & ~selected[1:]]
    places = [jnp.nonzero(x, size=most, fill_value=0)[0] for x in changes]
    return jnp.stack(places, axis=-1).astype(jnp.float32)


def normalised(sequence: ArrayLike, *, length: ArrayLike) -> jax.Array:
    """A sequence [T] from 0, its minimum in the video, to 1; 0 where it is constant.

    Constant is what varies by no more than rounding, such as sums of probabilities.
    """
    sequence = jnp.asarray(sequence)
    inside = pooling.valid_snippets(sequence.shape[0], length)
    low = jnp.min(jnp.where(inside, sequence, jnp.inf))
    high = jnp.max(jnp.where(inside, sequence, -jnp.inf))
    noise = 1e-6 * jnp.maximum(jnp.abs(low), jnp.abs(high))
    varies = high - low > noise
    extent = jnp.where(varies, high - low, 1)
    return jnp.where(inside & varies, (sequence - low) / extent, 0)


def distinct(segments: jax.Array) -> jax.Array:
    """Segments [P, 2] with (0, 0) in the place of those that came before."""
    order = jnp.lexsort((segments[:, 1], segments[:, 0]))
    ranked = segments[order]
    again = jnp.all(ranked[1:] == ranked[:-1], axis=-1)
    again = jnp.zeros(segments.shape[0], bool).at[order[1:]].set(again)
    return jnp.where(again[:, None], 0, segments)
