"""UntrimmedNet (Wang et al., CVPR 2017): one affine head a stream, soft or hard selection.

Soft selection weighs snippets by attention (R7). Hard selection has none: a category's
score is the mean of its largest logits, and a softmax over categories comes after it.
Each stream is trained alone; Eqs. 4 and 5 join them. Parameters are those of a
`head.StreamHead` by stream.

Read differently: the paper selects among a few sampled clips, we among all snippets,
the eighth of them that W-TALC takes.
"""

from typing import Any

import jax
import jax.numpy as jnp

from cleannet_jax import streams as streams_lib
from cleannet_jax.models import head, predictions
from cleannet_jax.ops import losses, pooling

Params = Any
Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]


def create_params(key: jax.Array, streams: streams_lib.Streams, num: int) -> Params:
    """Parameters of the single-stream heads, for N = `num` categories."""
    network = head.StreamHead(num)
    keys = jax.random.split(key, len(streams))
    return {
        stream: network.init(stream_key, jnp.zeros((1, width)))["params"]
        for stream, stream_key, width in zip(
            streams.names, keys, streams.widths, strict=True
        )
    }


def classification_loss(
    logits: head.HeadLogits, labels: jax.Array, mask: jax.Array
) -> jax.Array:
    """L_cls of one video over the snippets of a mask (R7), a scalar."""
    log_sap = pooling.log_attention(logits.sap, mask)
    prediction = pooling.log_video_prediction(log_sap, jax.nn.log_softmax(logits.scp))
    return jnp.sum(losses.classification_loss(prediction, labels))


def soft_loss(
    params: Params,
    batch: Batch,
    key: jax.Array | None,
    streams: streams_lib.Streams,
) -> tuple[jax.Array, Metrics]:
    """The loss of the streams under soft selection, each trained alone (R8)."""
    del key
    return _sum_over_streams(classification_loss, params, batch, streams)


def hard_loss(
    params: Params,
    batch: Batch,
    key: jax.Array | None,
    streams: streams_lib.Streams,
) -> tuple[jax.Array, Metrics]:
    """The loss of the streams under hard selection, each trained alone."""
    del key

    def loss(logits, labels, mask):
        prediction = jax.nn.log_softmax(pooling.top_mean(logits.scp, mask))
        return jnp.sum(losses.classification_loss(prediction, labels))

    return _sum_over_streams(loss, params, batch, streams)


def _sum_over_streams(loss, params, batch, streams) -> tuple[jax.Array, Metrics]:
    """The sum of a loss over the streams, and its terms by stream."""
    mask = pooling.valid_snippets(len(batch["features"]), batch["length"])
    network = head.StreamHead(len(batch["labels"]))
    terms = {
        stream: loss(
            network.apply({"params": params[stream]}, features), batch["labels"], mask
        )
        for stream, features in streams.split(batch["features"]).items()
    }
    return sum(terms.values()), terms


def fuse(params: Params, streams: streams_lib.Streams) -> Params:
    """Parameters of one head of all streams (Eqs. 4 and 5)."""
    return head.fuse_streams([params[name] for name in streams.names])


def predict_soft(
    params: Params,
    features: jax.Array,
    length: jax.Array | int,
    streams: streams_lib.Streams,
) -> predictions.SnippetPredictions:
    """Snippet predictions of one padded video under a fused head (R7).

    Args:
      params: of a `head.ClassificationHead`.
      features: [T, D].
      length: number of valid snippets.
      streams: of the features.
    """
    return predictions.from_logits(_logits(params, features, streams), length)


def predict_hard(
    params: Params,
    features: jax.Array,
    length: jax.Array | int,
    streams: streams_lib.Streams,
) -> predictions.SnippetPredictions:
    """The same with the video-level prediction of hard selection; SAP is uniform."""
    logits = _logits(params, features, streams)
    mask = pooling.valid_snippets(features.shape[0], length)
    video = jax.nn.softmax(pooling.top_mean(logits.scp, mask))
    # Attention was never trained: its logits are zero.
    return predictions.from_logits(logits, length)._replace(video=video)


def _logits(
    params: Params, features: jax.Array, streams: streams_lib.Streams
) -> head.HeadLogits:
    """What a fused head says of each snippet."""
    num_categories = params["classification"]["bias"].shape[0] // len(streams)
    network = head.ClassificationHead(num_categories, len(streams))
    return network.apply({"params": params}, features)
