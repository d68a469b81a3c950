"""UntrimmedNet (Wang et al., CVPR 2017): one affine head a stream, soft or hard selection.

Soft selection weighs snippets by attention (R7). Hard selection has none: a category's
score is the mean of its largest logits, and a softmax over categories comes after it.
Each stream is trained alone; Eqs. 4 and 5 join the two. Parameters of streams are
{"rgb", "flow"}, of `head.StreamHead`s.

Read differently: the paper selects among a few sampled clips, we among all snippets,
the eighth of them that W-TALC takes.
"""

from typing import Any

import jax
import jax.numpy as jnp

from cleannet_jax.models import cleannet, head
from cleannet_jax.ops import losses, pooling

Params = Any
Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]


def create_params(key: jax.Array, widths: tuple[int, int], num: int) -> Params:
    """Parameters of the two single-stream heads, for N = `num` categories."""
    network = head.StreamHead(num)
    keys = jax.random.split(key)
    return {
        stream: network.init(stream_key, jnp.zeros((1, width)))["params"]
        for stream, stream_key, width in zip(head.STREAMS, keys, widths, strict=True)
    }


def classification_loss(
    logits: head.HeadLogits, labels: jax.Array, mask: jax.Array
) -> jax.Array:
    """L_cls of one video over the snippets of a mask (R7), a scalar."""
    log_sap = pooling.log_attention(logits.sap, mask)
    prediction = pooling.log_video_prediction(log_sap, jax.nn.log_softmax(logits.scp))
    return jnp.sum(losses.classification_loss(prediction, labels))


def soft_loss(
    params: Params, batch: Batch, key: jax.Array | None = None
) -> tuple[jax.Array, Metrics]:
    """The loss of both streams under soft selection, each trained alone (R8)."""
    del key
    return _sum_over_streams(classification_loss, params, batch)


def hard_loss(
    params: Params, batch: Batch, key: jax.Array | None = None
) -> tuple[jax.Array, Metrics]:
    """The loss of both streams under hard selection, each trained alone."""
    del key

    def loss(logits, labels, mask):
        prediction = jax.nn.log_softmax(pooling.top_mean(logits.scp, mask))
        return jnp.sum(losses.classification_loss(prediction, labels))

    return _sum_over_streams(loss, params, batch)


def _sum_over_streams(loss, params, batch) -> tuple[jax.Array, Metrics]:
    """The sum of a loss over the streams, and its terms by stream."""
    mask = pooling.valid_snippets(len(batch["features"]), batch["length"])
    width = params["rgb"]["classification"]["kernel"].shape[0]
    streams = jnp.split(batch["features"], [width], axis=1)
    network = head.StreamHead(len(batch["labels"]))
    terms = {
        stream: loss(
            network.apply({"params": params[stream]}, features), batch["labels"], mask
        )
        for stream, features in zip(head.STREAMS, streams, strict=True)
    }
    return sum(terms.values()), terms


def fuse(params: Params) -> Params:
    """Parameters of one head of both streams (Eqs. 4 and 5)."""
    return head.fuse_streams(params["rgb"], params["flow"])


def predict_soft(
    params: Params, features: jax.Array, length: jax.Array | int
) -> cleannet.SnippetPredictions:
    """Snippet predictions of one padded video under a fused head (R7).

    Args:
      params: of a `head.ClassificationHead`.
      features: [T, 2D].
      length: number of valid snippets.
    """
    return cleannet.predict(_logits(params, features), length)


def predict_hard(
    params: Params, features: jax.Array, length: jax.Array | int
) -> cleannet.SnippetPredictions:
    """The same with the video-level prediction of hard selection; SAP is uniform."""
    logits = _logits(params, features)
    mask = pooling.valid_snippets(len(features), length)
    video = jax.nn.softmax(pooling.top_mean(logits.scp, mask))
    # Attention was never trained: its logits are zero.
    return cleannet.predict(logits, length)._replace(video=video)


def _logits(params: Params, features: jax.Array) -> head.HeadLogits:
    """What a fused head says of each snippet."""
    num_categories = params["classification"]["bias"].shape[0] // 2
    network = head.ClassificationHead(num_categories)
    return network.apply({"params": params}, features)
