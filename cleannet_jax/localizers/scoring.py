"""How proposals are judged: the SCP that they are judged by, which count, what score.

Times are in snippets. Where an array has T snippets the first `length` are the video's.
"""

from collections.abc import Sequence

import jax

from cleannet_jax import config as config_lib
from cleannet_jax.ops import contrast, pooling

# What evaluators are named for; several can be added.
EVALUATORS = ("contrast", "outer_inner", "oic", "mean")


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


def score(
    names: Sequence[str],
    scp: jax.Array,
    proposals: jax.Array,
    length: jax.Array | int,
) -> jax.Array:
    """The sum of named scores of proposals, [N, P].

    Args:
      names: of scores, as `contrast.evaluate_some` knows them.
      scp: [T, N].
      proposals: [P, 2] in snippets, or [N, P, 2].
      length: number of valid snippets.
    """
    found = contrast.evaluate_some(scp, proposals, names, length=length)
    return sum(found.values())
