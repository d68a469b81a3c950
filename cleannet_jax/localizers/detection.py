"""Detection by proposals: the chosen categories' proposals, scored and suppressed."""

from typing import Any

import jax
import jax.numpy as jnp

from cleannet_jax import config as config_lib
from cleannet_jax.localizers import proposals as proposals_lib
from cleannet_jax.localizers import recipes, scoring, suppression, table
from cleannet_jax.models import predictions as predictions_lib
from cleannet_jax.ops import nms

Params = Any


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


def detect(
    generator: Params | None,
    features: jax.Array,
    predictions: predictions_lib.SnippetPredictions,
    length: jax.Array | int,
    config: config_lib.Settings,
    *,
    most: int,
    second: jax.Array | float = recipes.SECOND,
    weighed: bool = False,
) -> tuple[jax.Array, nms.Kept]:
    """Proposes in the chosen categories, scores, and suppresses what overlaps.

    Args:
      generator: its parameters; None where none is trained.
      features: [T, D], of which anchors read T alone.
      predictions: of T snippets and N categories.
      length: number of valid snippets.
      config: thresholds, and the localizer.
      most: C, of categories that are chosen.
      second: in snippets, which the traps of published recipes read.
      weighed: whether the SCP is a product with attention, which recipes ask.

    Returns:
      Categories [C], and what was kept of each, [C, max_detections].
    """
    localizer = table.of(config)
    if localizer.kind == "recipe":
        scp = scoring.conditioned(predictions.scp, length, config)
        return recipes.detect(
            recipes.RECIPES[config.recipe],
            predictions._replace(scp=scp),
            length,
            most=most,
            max_outputs=config.max_detections,
            traps=config.traps,
            second=second,
            weighed=weighed,
        )
    categories, chosen = choose_categories(
        predictions.video, min_score=config.min_video_score, most=most
    )
    scp = scoring.conditioned(predictions.scp[:, categories], length, config)
    if localizer.propose is None:
        proposals = proposals_lib.of_runs(scp, predictions.sap, length, config)
        candidates = jnp.ones(proposals.shape[:2], bool)
    else:
        grid = localizer.propose(generator, features, length, config)
        proposals = grid.reshape(-1, 2)
        of_interest = jax.vmap(
            lambda psi: scoring.anchors_of_interest(
                psi, predictions.sap, length, config
            ),
            in_axes=1,
        )(scp)
        candidates = jnp.repeat(of_interest, grid.shape[1], axis=1)
    scores = scoring.score(localizer.scores, scp, proposals, length)  # [C, P]
    more = config.video_score_weight * predictions.video[categories][:, None]
    candidates = jnp.where(candidates & chosen[:, None], scores + more, -jnp.inf)
    kept = suppression.suppress(
        proposals,
        candidates,
        suppression.of(config),
        max_outputs=config.max_detections,
    )
    if localizer.ranking:
        used = kept.scores > -jnp.inf
        ranks = scoring.score(localizer.ranking, scp, kept.segments, length) + more
        ranks = jnp.where(used, ranks, -jnp.inf)
        order = jnp.argsort(ranks, axis=1, descending=True, stable=True)
        kept = nms.Kept(
            jnp.take_along_axis(kept.segments, order[..., None], axis=1),
            jnp.take_along_axis(ranks, order, axis=1),
        )
    return categories, kept
