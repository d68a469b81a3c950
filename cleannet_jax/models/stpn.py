"""STPN (Nguyen et al., CVPR 2018): sparse temporal pooling under class-agnostic attention.

Of each stream, attention λ_t = σ(FC(relu(FC(x_t)))) weighs the snippets of a video,
x̄ = Σ_t λ_t x_t / T, and one logistic classifier a category reads x̄. The loss is the
binary cross-entropy plus β‖λ‖₁. The classifier applied to every snippet is the temporal
class activation map a_t; λ_t σ(a_t), weighted, is what localizes.

Read differently: the sum over snippets is divided by T, and so is the norm, so that
both mean the same in a long and in a short video; β is 400 times as large for it, the
number of segments that the paper samples. The mean of all streams' weighted maps is
thresholded, where the paper thresholds each and suppresses what overlaps.
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cleannet_jax import streams as streams_lib
from cleannet_jax.models import predictions
from cleannet_jax.ops import losses, pooling

Params = Any
Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]

ATTENTION_WIDTH = 256
SPARSITY = 1e-4 * 400


class StreamNetwork(nn.Module):
    """Features [T, D] of one stream to λ [T] in [0, 1] and activations a [T, N].

    Attributes:
      num_categories: N.
    """

    num_categories: int

    @nn.compact
    def __call__(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns attention [T] and class activations [T, N]."""
        hidden = nn.relu(nn.Dense(ATTENTION_WIDTH, name="attention_hidden")(features))
        attention = nn.sigmoid(nn.Dense(1, name="attention")(hidden))[:, 0]
        return attention, nn.Dense(self.num_categories, name="classification")(features)


def create_params(key: jax.Array, streams: streams_lib.Streams, num: int) -> Params:
    """Parameters by stream for N = `num` categories."""
    keys = jax.random.split(key, len(streams))
    return {
        stream: StreamNetwork(num).init(stream_key, jnp.zeros((1, width)))["params"]
        for stream, stream_key, width in zip(
            streams.names, keys, streams.widths, strict=True
        )
    }


def loss(
    params: Params,
    batch: Batch,
    key: jax.Array | None,
    streams: streams_lib.Streams,
) -> tuple[jax.Array, Metrics]:
    """L_class + β L_sparsity of one video, summed over the streams, a scalar."""
    del key
    mask = pooling.valid_snippets(len(batch["features"]), batch["length"])
    classification = sparsity = 0.0
    for layers, attention, activations in _outputs(params, batch["features"], streams):
        logits = _video_logits(layers, attention, activations, mask)
        # −log σ(a) for a label, −log(1 − σ(a)) for any other category.
        signed = jnp.where(batch["labels"] > 0, -logits, logits)
        classification += jnp.mean(nn.softplus(signed))
        sparsity += losses.masked_mean(attention, mask)
    terms = {"classification": classification, "sparsity": sparsity}
    return classification + SPARSITY * sparsity, terms


def predict(
    params: Params,
    features: jax.Array,
    length: jax.Array | int,
    streams: streams_lib.Streams,
) -> predictions.SnippetPredictions:
    """Snippet predictions of one padded video, the mean over the streams.

    The SCP, which is also what is thresholded, is the weighted map λ_t σ(a_t).

    Args:
      params: by stream.
      features: [T, D].
      length: number of valid snippets.
      streams: of the features.
    """
    mask = pooling.valid_snippets(features.shape[0], length)
    outputs = list(_outputs(params, features, streams))
    scp = sum(
        attention[:, None] * nn.sigmoid(activations)
        for _, attention, activations in outputs
    )
    video = sum(nn.sigmoid(_video_logits(*stream, mask)) for stream in outputs)
    attention = jnp.where(mask, sum(attention for _, attention, _ in outputs), 0)
    least = jnp.finfo(attention.dtype).tiny
    return predictions.SnippetPredictions(
        scp=scp / len(outputs),
        sap=attention / jnp.maximum(jnp.sum(attention), least),
        video=video / len(outputs),
        activations=scp / len(outputs),
    )


def _outputs(
    params: Params, features: jax.Array, streams: streams_lib.Streams
) -> Iterator[tuple[Params, jax.Array, jax.Array]]:
    """Parameters, attention and activations of each stream."""
    for stream, part in streams.split(features).items():
        layers = params[stream]
        network = StreamNetwork(layers["classification"]["bias"].shape[0])
        yield layers, *network.apply({"params": layers}, part)


def _video_logits(
    layers: Params, attention: jax.Array, activations: jax.Array, mask: jax.Array
) -> jax.Array:
    """The classifier on x̄ [N]: it is affine, so its activations are pooled instead."""
    bias = layers["classification"]["bias"]
    weights = jnp.where(mask, attention, 0) / jnp.maximum(jnp.sum(mask), 1)
    return weights @ (activations - bias) + bias
