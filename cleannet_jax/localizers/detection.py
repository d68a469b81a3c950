"""Detection by proposals: the chosen categories' proposals, scored and suppressed."""

import functools

import jax
import jax.numpy as jnp

from cleannet_jax import config as config_lib
from cleannet_jax.localizers import scoring, table
from cleannet_jax.models import predictions as predictions_lib
from cleannet_jax.ops import nms


def choose_categories(
    video: jax.Array, *, min_score: float, most: int
) -> tuple[jax.Array, jax.Array]:
    """The categories to localize: those above a score, or the best one (R15).

    Args:
      video: [N], the video-level prediction.
      min_score: in (0, 1).
      most: C, how many can be above it, which bounds the work.

    Returns:
      Indices [C] by falling score, and [C] bool, true for those to localize.
    """
    scores, categories = jax.lax.top_k(video, most)
    return categories, (scores > min_score).at[0].set(True)


def by_proposals(
    predictions: predictions_lib.SnippetPredictions,
    proposals: jax.Array,
    length: jax.Array | int,
    config: config_lib.Settings,
    *,
    most: int,
) -> tuple[jax.Array, nms.Kept]:
    """Scores the proposals of every chosen category and suppresses overlapping ones.

    Args:
      predictions: of T snippets and N categories.
      proposals: [T, A, 2], those of the anchors at each snippet.
      length: number of valid snippets.
      config: thresholds, and the localizer.
      most: C, of categories that are chosen.

    Returns:
      Categories [C], and what was kept of each, [C, max_detections].
    """
    categories, chosen = choose_categories(
        predictions.video, min_score=config.min_video_score, most=most
    )
    scp = scoring.conditioned(predictions.scp[:, categories], length, config)
    flat = proposals.reshape(-1, 2)
    scores = scoring.score(table.of(config).scores, scp, flat, length)  # [C, P]
    interesting = jax.vmap(
        lambda psi: scoring.anchors_of_interest(psi, predictions.sap, length, config),
        in_axes=1,
    )(scp)
    candidates = jnp.repeat(interesting, proposals.shape[1], axis=1) & chosen[:, None]
    suppress = functools.partial(
        nms.suppress, max_tiou=config.nms_tiou, max_outputs=config.max_detections
    )
    candidate_scores = jnp.where(candidates, scores, -jnp.inf)
    return categories, jax.vmap(suppress, in_axes=(None, 0))(flat, candidate_scores)
