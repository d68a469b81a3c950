"""The anchor grid, and decoding of regressed offsets into proposals (Section 3.3.1).

Anchors lie at every snippet in every size; the anchor at snippet t has its centre at
t + 0.5 (R1). Sizes, centres and proposals are in snippets.
"""

import chex
import jax
import jax.numpy as jnp

# exp(4) makes a proposal 55 times as long as its anchor: no video needs more, and
# float32 is far from overflow (R9).
MAX_LOG_WIDTH = 4.0


def centres(num_snippets: int) -> jax.Array:
    """The centres of the anchors at each snippet, [T]."""
    return jnp.arange(num_snippets, dtype=jnp.float32) + 0.5


def decode(offsets: jax.Array, centre: jax.Array, size: jax.Array) -> jax.Array:
    """Turns the regressed offsets of one anchor into a proposal.

    x_c = a_w r_c + tau and x_w = a_w exp(r_w), with r_w bounded (R9).

    Args:
      offsets: [2], (r_c, r_w).
      centre: scalar, tau.
      size: scalar, a_w.

    Returns:
      [2], (x_c - x_w / 2, x_c + x_w / 2), not clipped to the video.
    """
    chex.assert_shape(offsets, (2,))
    chex.assert_rank([centre, size], 0)
    log_width = jnp.clip(offsets[1], -MAX_LOG_WIDTH, MAX_LOG_WIDTH)
    centre = centre + size * offsets[0]
    half_width = size * jnp.exp(log_width) / 2
    return jnp.stack([centre - half_width, centre + half_width])


def decode_grid(offsets: jax.Array, sizes: jax.Array) -> jax.Array:
    """Decodes the offsets of the whole grid.

    Args:
      offsets: [T, A, 2].
      sizes: [A].

    Returns:
      [T, A, 2] proposals.
    """
    over_sizes = jax.vmap(decode, in_axes=(0, None, 0))
    over_snippets = jax.vmap(over_sizes, in_axes=(0, 0, None))
    return over_snippets(offsets, centres(offsets.shape[0]), sizes)


def sample_times(key: jax.Array | None, sizes: jax.Array, shape: tuple) -> jax.Array:
    """TSN sampling: one time in each of the K equal segments of every anchor (R10).

    Args:
      key: random key for times uniform in their segment; None for its middle.
      sizes: [A].
      shape: (T, K), numbers of snippets and of segments.

    Returns:
      [T, A, K] times in snippets; they may lie outside the video.
    """
    num_snippets, num_segments = shape
    within = 0.5
    if key is not None:
        within = jax.random.uniform(key, (num_snippets, len(sizes), num_segments))
    fractions = (jnp.arange(num_segments) + within) / num_segments - 0.5
    return centres(num_snippets)[:, None, None] + sizes[:, None] * fractions
