"""How proposals are judged: the SCP that they are judged by, which count, what score.

Times are in snippets. Where an array has T snippets the first `length` are the video's.
"""

import jax

from cleannet_jax import config as config_lib
from cleannet_jax.ops import contrast, pooling


def conditioned(
    scp: jax.Array, length: jax.Array | int, config: config_lib.Settings
) -> jax.Array:
    """The SCP [T, N] that proposals are judged by: as it is, or smoothed over time.

    Smoothing is not in the paper. It keeps the edges of an action apart from the
    fluctuation of snippets that last much less than it.
    """
    if not config.smooth:
        return scp
    return pooling.smoothed(scp, width=config.smoothing_width, length=length)


def anchors_of_interest(
    psi: jax.Array, sap: jax.Array, length: jax.Array | int, config: config_lib.Settings
) -> jax.Array:
    """At which snippets the anchors of a category are kept (Section 3.4, R11).

    Args:
      psi: [T], the SCP of the category.
      sap: [T], weights; relative to uniform ones they are `length` times as large.
      length: number of valid snippets.
      config: holds both thresholds.

    Returns:
      [T] bool.
    """
    # Uniform attention is 1 up to rounding, and must not be below a threshold of 1.
    attention = sap * length * (1 + 1e-5)
    likely = (psi >= config.min_scp) & (attention >= config.min_attention)
    return likely & pooling.valid_snippets(len(psi), length)


# Table 2 takes parts of Eq. 12's sum away; AutoLoc has another evaluator.


def contrast_score(scores: contrast.ProposalScores) -> jax.Array:
    """Eq. 12, with C2 and C3."""
    return scores.contrast


def action_score(scores: contrast.ProposalScores) -> jax.Array:
    """s_a, C2 alone."""
    return scores.action


def edge_score(scores: contrast.ProposalScores) -> jax.Array:
    """s_s + s_e, C3 alone."""
    return scores.starting + scores.ending


def outer_inner(scores: contrast.ProposalScores) -> jax.Array:
    """AutoLoc's outer–inner contrast."""
    return scores.outer_inner
