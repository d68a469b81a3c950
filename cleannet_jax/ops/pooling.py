"""From snippet predictions to one video prediction, under attention and mask.

Masks are bool and true where a snippet takes part. Everything stays in logarithms
until the end, so that a category of vanishing probability has a finite loss.
"""

import chex
import jax
import jax.numpy as jnp

# One of how many snippets is taken for an instance of a category; s of W-TALC.
INSTANCE_SHARE = 8


def valid_snippets(num_snippets: int, length: jax.Array | int) -> jax.Array:
    """The mask [T] of the first `length` snippets (R4)."""
    return jnp.arange(num_snippets) < length


def log_attention(logits: jax.Array, mask: jax.Array) -> jax.Array:
    """Logarithm of the SAP: softmax of attention logits over masked-in snippets (R7).

    Args:
      logits: [T].
      mask: [T] bool.

    Returns:
      [T]; -inf where masked out. With no snippet at all everything is -inf.
    """
    chex.assert_rank(logits, 1)
    chex.assert_equal_shape([logits, mask])
    # Finite stand-ins keep the gradient of the masked entries zero instead of NaN.
    masked = jnp.where(mask, logits, jnp.finfo(logits.dtype).min)
    return jnp.where(mask, jax.nn.log_softmax(masked), -jnp.inf)


def log_video_prediction(log_sap: jax.Array, log_scp: jax.Array) -> jax.Array:
    """Logarithm of the video prediction x = sum over t of SAP(t) SCP(t) (R7).

    Args:
      log_sap: [T], -inf where a snippet takes no part.
      log_scp: [T, N] log-probabilities.

    Returns:
      [N] log-probabilities.
    """
    chex.assert_rank([log_sap, log_scp], [1, 2])
    chex.assert_equal_shape_prefix([log_sap, log_scp], 1)
    terms = log_sap[:, None] + log_scp
    takes_part = jnp.any(jnp.isfinite(log_sap))
    # With no snippet at all the prediction is a constant, not the log of zero.
    terms = jnp.where(takes_part, terms, -jnp.log(log_scp.size))
    return jax.nn.logsumexp(terms, axis=0)


def uniform_attention(mask: jax.Array) -> jax.Array:
    """The SAP that prefers no snippet: equal weights [T] that sum to 1."""
    return mask / jnp.maximum(jnp.sum(mask), 1)


def smoothed(values: jax.Array, *, width: int, length: jax.Array | int) -> jax.Array:
    """The mean of the part of each snippet's window that is in the video.

    Args:
      values: [T, N].
      width: odd number of snippets.
      length: number of valid snippets.

    Returns:
      [T, N], zero from `length` on.
    """
    chex.assert_rank(values, 2)
    # A wider window sees nothing more.
    width = min(width, max(2 * values.shape[0] - 1, 1))
    mask = valid_snippets(values.shape[0], length)
    inside = jnp.where(mask[:, None], values, 0)
    window = (width, 1)
    total = jax.lax.reduce_window(inside, 0.0, jax.lax.add, window, (1, 1), "SAME")
    ones = mask[:, None].astype(values.dtype)
    count = jax.lax.reduce_window(ones, 0.0, jax.lax.add, window, (1, 1), "SAME")
    return jnp.where(mask[:, None], total / jnp.maximum(count, 1), 0)


def top_mean(
    values: jax.Array,
    mask: jax.Array,
    *,
    share: int = INSTANCE_SHARE,
    round_up: bool = True,
) -> jax.Array:
    """Multiple-instance pooling: the mean of the largest T / 8 values, rounded up.

    s_n = 1 / k max over k-subsets of snippets of their sum, k = ⌈T / 8⌉ (W-TALC, Paul
    et al., ECCV 2018, Section 3.3).

    Args:
      values: [T, N].
      mask: [T] bool; T is the number of true entries.
      share: one of how many snippets counts.
      round_up: if not, k is rounded down, and one at least.

    Returns:
      [N], zero without any snippet.
    """
    chex.assert_rank([values, mask], [2, 1])
    chex.assert_equal_shape_prefix([values, mask], 1)
    number = jnp.sum(mask)
    count = -(-number // share) if round_up else jnp.maximum(number // share, 1)
    hidden = jnp.where(mask[:, None], values, -jnp.inf)
    # A full sort takes six times as long on a CPU.
    best, _ = jax.lax.top_k(hidden.T, -(-values.shape[0] // share))
    counted = jnp.arange(best.shape[1]) < jnp.minimum(count, number)
    total = jnp.sum(jnp.where(counted, best, 0), axis=1)
    return total / jnp.maximum(count, 1)
