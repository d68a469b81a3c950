"""What a classifier says of a video: the record that every localizer takes.

Times are in snippets. Where an array has T snippets the first `length` are the video's
and the rest is padding (R4).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from cleannet_jax.models import head
from cleannet_jax.ops import pooling


class SnippetPredictions(NamedTuple):
    """What a classifier says of a video; whatever yields these can be localized from."""

    scp: jax.Array  # [T, N], probabilities
    sap: jax.Array  # [T], weights that sum to 1, zero in the padding
    video: jax.Array  # [N], the video-level prediction x
    activations: jax.Array  # [T, N], what the classifier's own paper thresholds


def from_logits(logits: head.HeadLogits, length: jax.Array | int) -> SnippetPredictions:
    """SCP, SAP and video prediction from the logits of a head (R7)."""
    log_scp = jax.nn.log_softmax(logits.scp)
    mask = pooling.valid_snippets(logits.sap.shape[0], length)
    log_sap = pooling.log_attention(logits.sap, mask)
    video = jnp.exp(pooling.log_video_prediction(log_sap, log_scp))
    scp = jnp.exp(log_scp)
    return SnippetPredictions(scp, jnp.exp(log_sap), video, activations=scp)
