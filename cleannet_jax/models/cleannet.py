"""CleanNet: the head, the generator and the evaluator on one padded video.

Times are in snippets. Where an array has T snippets the first `length` are the
video's and the rest is padding (R4).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cleannet_jax import config as config_lib
from cleannet_jax.models import generator as generator_lib
from cleannet_jax.models import head as head_lib
from cleannet_jax.ops import anchors, contrast, pooling, segments

Params = Any


class SnippetPredictions(NamedTuple):
    """What a head says of a video; anything that yields these can be localized from."""

    scp: jax.Array  # [T, N], probabilities
    sap: jax.Array  # [T], weights that sum to 1, zero in the padding
    video: jax.Array  # [N], the video-level prediction x
    activations: jax.Array  # [T, N], what the head's own method thresholds


def predict(logits: head_lib.HeadLogits, length: jax.Array | int) -> SnippetPredictions:
    """SCP, SAP and video prediction from the logits of a head (R7)."""
    log_scp = jax.nn.log_softmax(logits.scp)
    mask = pooling.valid_snippets(logits.sap.shape[0], length)
    log_sap = pooling.log_attention(logits.sap, mask)
    video = jnp.exp(pooling.log_video_prediction(log_sap, log_scp))
    scp = jnp.exp(log_scp)
    return SnippetPredictions(scp, jnp.exp(log_sap), video, activations=scp)


def conditioned(
    scp: jax.Array, length: jax.Array | int, config: config_lib.Config
) -> jax.Array:
    """The SCP [T, N] that proposals are judged by: as it is, or smoothed over time.

    Smoothing is not in the paper. It keeps the edges of an action apart from the
    fluctuation of snippets that last much less than it.
    """
    if not config.smooth:
        return scp
    return pooling.smoothed(scp, width=config.smoothing_width, length=length)


def anchors_of_interest(
    psi: jax.Array, sap: jax.Array, length: jax.Array | int, config: config_lib.Config
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


def generate_proposals(
    params: Params | None,
    features: jax.Array,
    length: jax.Array | int,
    config: config_lib.Config,
    *,
    key: jax.Array | None = None,
) -> jax.Array:
    """Proposals of a video, clipped to it (R9).

    Args:
      params: of the generator; None where the anchors are the proposals (no C1).
      features: [T, 2D].
      length: number of valid snippets.
      config: says which anchors there are and how they are regressed.
      key: random key for training; None when localizing.

    Returns:
      [T, A, 2].
    """
    if params is None:
        sizes = jnp.asarray(config.anchor_sizes, jnp.float32)
        no_offsets = jnp.zeros((features.shape[0], len(sizes), 2))
        proposals = anchors.decode_grid(no_offsets, sizes)
    else:
        mask = pooling.valid_snippets(features.shape[0], length)
        network = generator(config)
        proposals = network.apply({"params": params}, features, mask, key=key)
    return segments.clip(proposals, length=length)


def generator(config: config_lib.Config) -> generator_lib.ProposalGenerator:
    """The proposal generator that a config describes."""
    return generator_lib.ProposalGenerator(
        anchor_sizes=config.anchor_sizes,
        width=config.generator_width,
        num_samples=config.num_samples,
        tsn_sampling=config.tsn_sampling,
    )


def evaluate(
    scp: jax.Array,
    proposals: jax.Array,
    length: jax.Array | int,
    config: config_lib.Config,
) -> jax.Array:
    """The score of proposals under the components C2 and C3 (Table 2).

    With both it is the contrast score of Eq. 12, else s_a or s_s + s_e. In their place
    there may be AutoLoc's outer–inner contrast.

    Args:
      scp: [T, N].
      proposals: [P, 2].
      length: number of valid snippets.
      config: says which components there are.

    Returns:
      [N, P].
    """
    scores = contrast.evaluate_proposals(scp, proposals, length=length)
    if config.outer_inner:
        return scores.outer_inner
    if config.action_score and config.edge_scores:
        return scores.contrast
    if config.action_score:
        return scores.action
    return scores.starting + scores.ending
