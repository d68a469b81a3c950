"""Video classification loss and contrast loss of one video (Section 3.4), unreduced."""

import chex
import jax
import jax.numpy as jnp


def classification_loss(log_prediction: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross-entropy terms -y_i log x_i of one video; their sum is L_cls (R7).

    Args:
      log_prediction: [N] log-probabilities.
      labels: [N], positive for the video's categories; l1-normalised here.

    Returns:
      [N], non-negative; zero for a video without labels.
    """
    chex.assert_rank(labels, 1)
    chex.assert_equal_shape([log_prediction, labels])
    labels = labels / jnp.maximum(jnp.sum(labels), 1)
    return jnp.where(labels > 0, -labels * log_prediction, 0)


def margin_loss(scores: jax.Array, *, margin: float) -> jax.Array:
    """max(m - s, 0) of each proposal (Eq. 13), shape and unit of `scores`."""
    return jnp.maximum(margin - scores, 0)


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean over the true entries of a mask; zero if there is none (R12).

    Args:
      values: any shape; entries that are masked out may be infinite.
      mask: bool, same shape.

    Returns:
      A scalar.
    """
    chex.assert_equal_shape([values, mask])
    total = jnp.sum(jnp.where(mask, values, 0))
    return total / jnp.maximum(jnp.sum(mask), 1)
