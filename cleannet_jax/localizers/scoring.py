"""How proposals are judged: the SCP that they are judged by, which count, what score.

Times are in snippets. Where an array has T snippets the first `length` are the video's.
"""

from collections.abc import Sequence

import jax

from cleannet_jax import config as config_lib
from cleannet_jax import errors
from cleannet_jax.ops import contrast, pooling

# What evaluators are made of.
_SCORES = ("contrast", "outer_inner", "oic", "mean")
_SUM = ("contrast", "outer_inner")


def parts(evaluator: str, *, place: str) -> tuple[str, ...]:
    """The scores whose sum an evaluator is.

    Args:
      evaluator: contrast, outer_inner, oic, mean, several with + between them, or sum,
        which is contrast+outer_inner.
      place: what messages call it.

    Raises:
      InputError: it is none of these.
    """
    found = _SUM if evaluator == "sum" else tuple(evaluator.split("+"))
    if not set(found) <= set(_SCORES) or len(set(found)) < len(found):
        raise errors.InputError(
            f"{place}: found {evaluator!r}, expected {', '.join(_SCORES)}, sum (of the"
            " first two), or several, each once, with + between them"
        )
    return found


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
    return likely & pooling.valid_snippets(psi.shape[0], length)


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
