"""Segment algebra: length, overlap, clipping, snippets to seconds.

A segment is a pair (start, end) on the last axis, real-valued, in snippets unless a
function says seconds. Snippet t covers [t, t + 1) (R1). Functions accept NumPy and
JAX arrays and broadcast over leading axes.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from cleannet_jax.ops import arguments

Array = np.ndarray | jax.Array


def clip(segments: jax.Array, *, length: jax.Array | int) -> jax.Array:
    """Returns the part of each segment inside the video [0, length] (R9).

    Args:
      segments: [..., 2] snippets.
      length: number of snippets of the video.

    Returns:
      [..., 2]; a segment outside the video becomes an empty one.
    """
    return jnp.clip(segments, 0, length)


def tiou(first: ArrayLike, second: ArrayLike) -> jax.Array:
    """Temporal intersection over union of two segments, in [0, 1].

    >>> tiou(jnp.array([0.0, 4.0]), jnp.array([[1.0, 3.0], [4.0, 8.0]])).tolist()
    [0.5, 0.0]

    Args:
      first: [..., 2].
      second: [..., 2], in the same unit.

    Returns:
      [...]; zero where either is empty.

    Raises:
      TypeError: if one is no array.
      ValueError: if the last axis of one is not of two.
    """
    first = arguments.numbers("first", first, (..., 2))
    second = arguments.numbers("second", second, (..., 2))
    start = jnp.maximum(first[..., 0], second[..., 0])
    end = jnp.minimum(first[..., 1], second[..., 1])
    intersection = jnp.maximum(end - start, 0)
    lengths = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0])
    union = lengths - intersection
    return jnp.where(intersection > 0, intersection / jnp.where(union > 0, union, 1), 0)


def snippets_to_seconds(
    segments: Array, *, stride: float, offset: float, fps: float
) -> Array:
    """Converts times in snippets to seconds: (t * stride + offset) / fps.

    Args:
      segments: times in snippets, any shape.
      stride: frames from the start of one snippet to the start of the next.
      offset: the frame where snippet 0 starts.
      fps: frames per second of the video.

    Returns:
      Times in seconds, same shape.
    """
    return (segments * stride + offset) / fps


def seconds_to_snippets(
    segments: Array, *, stride: float, offset: float, fps: float
) -> Array:
    """Converts times in seconds to snippets; inverse of `snippets_to_seconds`."""
    return (segments * fps - offset) / stride


def covered_snippets(
    segments: jax.Array, mask: jax.Array, *, num_snippets: int
) -> jax.Array:
    """Which snippets have their centre in at least one of the masked-in segments.

    Args:
      segments: [P, 2] snippets, inside [0, num_snippets].
      mask: [P] bool, true for the segments that count.
      num_snippets: T.

    Returns:
      [T] bool.
    """
    # One up where a segment begins to cover and one down where it has stopped.
    bounds = jnp.ceil(segments - 0.5).astype(jnp.int32)
    steps = jnp.where(mask, 1, 0)
    changes = jnp.zeros(num_snippets + 1, jnp.int32)
    changes = changes.at[bounds[:, 0]].add(steps).at[bounds[:, 1]].add(-steps)
    return jnp.cumsum(changes[:-1]) > 0
