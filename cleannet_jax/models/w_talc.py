"""W-TALC (Paul et al., ECCV 2018): multiple-instance loss and co-activity similarity.

A layer as wide as the features, ReLU and dropout give X, [T, D]; an affine classifier
of it gives class activations A, [T, N]. Two losses train it on batches of videos, some
of them pairs that share a category:

* MILL: cross-entropy of the softmax over categories of the mean of the largest ⌈T / 8⌉
  activations.
* CASL, over pairs m, n of videos that share category j: with Â the softmax of A over
  snippets, h = Σ_t Â_t X_t, l = Σ_t (1 − Â_t) X_t / (T − 1) and d the cosine distance,

    ½ [max(0, d(h_m, h_n) − d(h_m, l_n) + ½) + max(0, d(h_m, h_n) − d(l_m, h_n) + ½)]

  meaned over the pairs of a category, then over the categories that have a pair.

The loss is half of each.

Read differently: the SCP is the softmax of A over categories, as in R7. A category is
localized where its video-level prediction is above R15's threshold, where the paper asks
for a positive mean of its top activations, which the softmax never sees the level of.
"""

import functools
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

DROPOUT = 0.7
MARGIN = 0.5
INSTANCE_LOSS_WEIGHT = 0.5


class Network(nn.Module):
    """Features [T, D] to X [T, D] and class activations A [T, N].

    Attributes:
      num_categories: N.
    """

    num_categories: int

    @nn.compact
    def __call__(
        self, features: jax.Array, kept: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Returns X and A; units of X that are not kept, bool [T, D], drop out."""
        hidden = nn.relu(nn.Dense(features.shape[-1], name="hidden")(features))
        if kept is not None:
            hidden = jnp.where(kept, hidden / (1 - DROPOUT), 0)
        return hidden, nn.Dense(self.num_categories, name="classification")(hidden)


def create_params(key: jax.Array, streams: streams_lib.Streams, num: int) -> Params:
    """Parameters for features of the streams and N = `num` categories."""
    return Network(num).init(key, jnp.zeros((1, streams.width)))["params"]


def loss(
    params: Params, batch: Batch, key: jax.Array | None, streams: streams_lib.Streams
) -> tuple[jax.Array, Metrics]:
    """Half the multiple-instance loss and half the co-activity loss of B videos.

    Args:
      params: of `Network`.
      batch: features [B, T, D], length [B], labels [B, N].
      key: random key of the dropout; None for none.
      streams: of the features, which are not told apart.

    Returns:
      A scalar, and both losses.
    """
    del streams
    features, labels = batch["features"], batch["labels"]
    kept = None if key is None else _kept(key, features.shape)
    hidden, activations = jax.vmap(functools.partial(_apply, params))(features, kept)
    masks = jax.vmap(pooling.valid_snippets, in_axes=(None, 0))(
        features.shape[1], batch["length"]
    )
    instance = jnp.mean(jax.vmap(instance_loss)(activations, labels, masks))
    similarity = co_activity_loss(hidden, activations, labels, masks)
    terms = {"instance": instance, "co_activity": similarity}
    weight = INSTANCE_LOSS_WEIGHT
    return weight * instance + (1 - weight) * similarity, terms


def _kept(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Which units of B videos do not drop out, [B, T, D]."""

    def of_video(key: jax.Array) -> jax.Array:
        return jax.random.bernoulli(key, 1 - DROPOUT, shape[1:])

    # One video after the other, which on a CPU takes less than half as long: the
    # numbers of a video stay in its cache.
    return jax.lax.map(of_video, jax.random.split(key, shape[0]))


def instance_loss(
    activations: jax.Array, labels: jax.Array, mask: jax.Array
) -> jax.Array:
    """MILL of one video, a scalar.

    Args:
      activations: [T, N].
      labels: [N], positive for the video's categories.
      mask: [T] bool.
    """
    prediction = jax.nn.log_softmax(pooling.top_mean(activations, mask))
    return jnp.sum(losses.classification_loss(prediction, labels))


def co_activity_loss(
    hidden: jax.Array, activations: jax.Array, labels: jax.Array, masks: jax.Array
) -> jax.Array:
    """CASL of B videos, a scalar; zero without two videos of one category.

    Args:
      hidden: X, [B, T, D].
      activations: A, [B, T, N].
      labels: [B, N], positive for a video's categories.
      masks: [B, T] bool.
    """
    has = (labels > 0).T  # [N, B]
    loss = functools.partial(_co_activity_loss, hidden, masks=masks)
    number, few = has.shape
    if number <= few:
        return loss(activations, has=has)
    # Most categories have no two videos in a batch, and cost as much as those that do.
    paired = jnp.sum(has, axis=1) > 1
    first = jnp.argsort(~paired)[:few]
    return jax.lax.cond(
        jnp.sum(paired) <= few,
        lambda: loss(activations[..., first], has=has[first]),
        lambda: loss(activations, has=has),
    )


def _co_activity_loss(
    hidden: jax.Array, activations: jax.Array, *, has: jax.Array, masks: jax.Array
) -> jax.Array:
    """CASL over categories [N] that videos have or not, [N, B]."""
    high, low = jax.vmap(_region_features)(hidden, activations, masks)  # [B, N, D]
    high, low = _normalised(high), _normalised(low)
    between_high = 1 - jnp.einsum("mjd,njd->jmn", high, high)
    high_low = 1 - jnp.einsum("mjd,njd->jmn", high, low)
    # The pair (n, m) is the second term of (m, n): the mean over ordered pairs is the
    # mean over pairs of half of either.
    hinge = jnp.maximum(between_high - high_low + MARGIN, 0)  # [N, B, B]
    pairs = has[:, :, None] & has[:, None, :] & ~jnp.eye(has.shape[1], dtype=bool)
    by_category = jax.vmap(losses.masked_mean)(hinge, pairs)
    return losses.masked_mean(by_category, jnp.any(pairs, axis=(1, 2)))


def _region_features(
    hidden: jax.Array, activations: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """High- and low-attention features of one video in each category, [N, D]."""
    lowest = jnp.finfo(activations.dtype).min
    attention = jax.nn.softmax(jnp.where(mask[:, None], activations, lowest), axis=0)
    attention = jnp.where(mask[:, None], attention, 0)
    high = attention.T @ hidden
    # The same as (1 − attention).T @ hidden, without a second product as large.
    rest = mask.astype(hidden.dtype) @ hidden - high
    return high, rest / jnp.maximum(jnp.sum(mask) - 1, 1)


def _normalised(values: jax.Array) -> jax.Array:
    """Vectors [..., D] of length 1; a zero vector stays, without a NaN gradient."""
    square = jnp.sum(values**2, axis=-1, keepdims=True)
    return values * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


def predict(
    params: Params,
    features: jax.Array,
    length: jax.Array | int,
    streams: streams_lib.Streams,
) -> predictions.SnippetPredictions:
    """Snippet predictions of one padded video; activations are A.

    Args:
      params: of `Network`.
      features: [T, D].
      length: number of valid snippets.
      streams: of the features, which are not told apart.
    """
    del streams
    mask = pooling.valid_snippets(features.shape[0], length)
    _, activations = _apply(params, features)
    return predictions.SnippetPredictions(
        scp=jax.nn.softmax(activations),
        sap=pooling.uniform_attention(mask),
        video=jax.nn.softmax(pooling.top_mean(activations, mask)),
        activations=activations,
    )


def _apply(
    params: Params, features: jax.Array, kept: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """X and A of one video."""
    network = Network(params["classification"]["bias"].shape[0])
    return network.apply({"params": params}, features, kept)
