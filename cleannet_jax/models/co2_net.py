"""CO2-Net (Hong et al., ACM MM 2021): attention, a background class, two streams' consensus.

Each stream m is filtered by the consensus of what it holds all through the video and of
what the other streams hold at a snippet, and attends to snippets by what is left:

    G = f(mean over t of X_m), [D]    L = f(conv X_others), [T, D]
    X̃_m = σ(G ⊙ L) ⊙ X_m              A_m = σ(conv(f(conv(f(conv X̃_m))))), [T]

f is a leaky ReLU (0.2), the convolutions are 3, 3 and 1 wide. A fused layer X = f(W [X̃])
and two convolutions give class activations a, [T, N + 1], of which the last is of the
background. A is the mean of the A_m, and a' = A (a − min a) + min a, the minimum over
classes, are the activations that attention suppresses. With b the background's part in
the softmax of a, and the mean of a class's largest T / 7 activations for its score, the
losses of a batch of videos, some of them pairs that share a category, are

* MILL, the cross-entropy of the scores' softmax: of a with background as a label of every
  video, and of a' without it;
* CASL of X under a', as in W-TALC (`w_talc.co_activity_loss`);
* 0.8 × the mean of A, and 0.8 × the mean of |1 − A − b| over A and every A_m;
* the mean square of A_m − A_n over m ≠ n, A_n a target without gradient.

A snippet's score is A a; a video's is the softmax of the mean of the largest T / 10.
Settings are those of the published code for THUMOS14, weight decay among them: in Adam
that is ½ × 1e-3 × the parameters' sum of squares, so that it stands in the loss.

Read differently: a stream that is alone is its own other, as if it were given twice; of
three or more, the others stand side by side. Layers are as wide as the streams are, that
of attention half as wide (512 of 1,024). Means over snippets are of each video, then of
the batch, as videos keep their lengths, where the published code samples all to 500
snippets. CASL is meaned over all pairs of a category, then over categories, where it is
over the three drawn pairs. Labels sum to 1, not to 1 − 1e-4. The averaging over
time that the code has for ActivityNet is left out. What other localizers read, the SCP,
is A times the softmax of a, as A a is no probability.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from cleannet_jax import streams as streams_lib
from cleannet_jax.models import predictions, w_talc
from cleannet_jax.ops import losses, pooling

Params = Any
Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]

LEAK = 0.2
ATTENTION_DROPOUT = 0.5
DROPOUT = 0.7
SPARSITY_WEIGHT = 0.8
GUIDE_WEIGHT = 0.8
CO_ACTIVITY_WEIGHT = 1.0
MUTUAL_WEIGHT = 1.0
WEIGHT_DECAY = 1e-3
# One of how many snippets counts for a class, in training and in localization.
TRAINING_SHARE = 7
LOCALIZATION_SHARE = 10

_uniform = nn.initializers.he_uniform()
# The published layer of G is 3 wide and sees one time: two thirds of what its
# initialization counts as inputs are zero.
_uniform_of_three = nn.initializers.variance_scaling(2 / 3, "fan_in", "uniform")


class Outputs(NamedTuple):
    """What the network says of a video; in the padding it means nothing."""

    hidden: jax.Array  # [T, D of all streams], X
    activations: jax.Array  # [T, N + 1], a, the background last
    attentions: jax.Array  # [T, S] in [0, 1], A_m


class Consensus(nn.Module):
    """A stream [T, D] to X̃ [T, D] and A_m [T], by the consensus with the others."""

    @nn.compact
    def __call__(
        self, main: jax.Array, others: jax.Array, mask: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, jax.Array]:
        """Returns X̃ and A_m; units drop out under a random key."""
        drop = _dropout(ATTENTION_DROPOUT, key)
        width = main.shape[-1]
        mean = jnp.sum(jnp.where(mask[:, None], main, 0), axis=0)
        mean /= jnp.maximum(jnp.sum(mask), 1)
        whole = nn.Dense(width, kernel_init=_uniform_of_three, name="whole")(mean)
        local = _convolution(width, others, mask, "local")
        consensus = drop(_leaky(whole), 0) * drop(_leaky(local), 1)
        filtered = nn.sigmoid(consensus) * main
        half = max(width // 2, 1)
        hidden = _leaky(_convolution(half, filtered, mask, "attention0"))
        hidden = _leaky(_convolution(half, drop(hidden, 2), mask, "attention1"))
        logits = nn.Dense(1, kernel_init=_uniform, name="attention2")(hidden)
        return filtered, nn.sigmoid(drop(logits, 3))[:, 0]


class Network(nn.Module):
    """Features [T, D] of all streams to `Outputs`.

    Attributes:
      num_categories: N.
      streams: of the features.
    """

    num_categories: int
    streams: streams_lib.Streams

    @nn.compact
    def __call__(
        self, features: jax.Array, mask: jax.Array, *, key: jax.Array | None = None
    ) -> Outputs:
        """Returns X, a and the A_m; units drop out under a random key.

        Args:
          features: [T, D].
          mask: [T] bool, true for the snippets of the video.
          key: random key for training.
        """
        filtered, attentions = [], []
        parts = self.streams.split(features)
        for index, (stream, main) in enumerate(parts.items()):
            others = [part for name, part in parts.items() if name != stream] or [main]
            found, attention = Consensus(name=f"consensus_{stream}")(
                main, jnp.concatenate(others, axis=-1), mask, _folded(key, index)
            )
            filtered.append(found)
            attentions.append(attention)
        drop = _dropout(DROPOUT, _folded(key, len(parts)))
        width = features.shape[-1]
        fused = nn.Dense(width, kernel_init=_uniform, name="fusion")
        hidden = drop(_leaky(fused(jnp.concatenate(filtered, axis=-1))), 0)
        last = _leaky(_convolution(width, drop(hidden, 1), mask, "classification0"))
        number = self.num_categories + 1
        classes = nn.Dense(number, kernel_init=_uniform, name="classification1")
        return Outputs(hidden, classes(drop(last, 2)), jnp.stack(attentions, axis=-1))


def _convolution(
    width: int, values: jax.Array, mask: jax.Array, name: str
) -> jax.Array:
    """A layer [T, width] that sees three snippets; outside the video are zeros (R4)."""
    layer = nn.Conv(width, kernel_size=(3,), kernel_init=_uniform, name=name)
    return layer(jnp.where(mask[:, None], values, 0))


def _leaky(values: jax.Array) -> jax.Array:
    return nn.leaky_relu(values, LEAK)


def _folded(key: jax.Array | None, index: int) -> jax.Array | None:
    """One of the keys that come from a key, if there is one."""
    return None if key is None else jax.random.fold_in(key, index)


def _dropout(rate: float, key: jax.Array | None) -> Any:
    """A function of values and the number of the layer, which decides what drops."""

    def drop(values: jax.Array, index: int) -> jax.Array:
        layer = nn.Dropout(rate, deterministic=key is None, parent=None)
        return layer.apply({}, values, rng=_folded(key, index))

    return drop


def create_params(key: jax.Array, streams: streams_lib.Streams, num: int) -> Params:
    """Parameters for features of the streams and N = `num` categories."""
    shortest = jnp.zeros((1, streams.width)), jnp.ones((1,), bool)
    return Network(num, streams).init(key, *shortest)["params"]


def loss(
    params: Params, batch: Batch, key: jax.Array | None, streams: streams_lib.Streams
) -> tuple[jax.Array, Metrics]:
    """The weighted sum of all losses of B videos.

    Args:
      params: of `Network`.
      batch: features [B, T, D], length [B], labels [B, N].
      key: random key of the dropout; None for none.
      streams: of the features.

    Returns:
      A scalar, and the losses.
    """
    features, labels = batch["features"], batch["labels"]
    masks = jax.vmap(pooling.valid_snippets, in_axes=(None, 0))(
        features.shape[1], batch["length"]
    )
    keys = None if key is None else jax.random.split(key, features.shape[0])
    apply = jax.vmap(lambda one, mask, key: _apply(params, one, mask, streams, key=key))
    outputs = apply(features, masks, keys)
    terms = jax.tree.map(jnp.mean, jax.vmap(video_losses)(outputs, labels, masks))
    suppressed_activations = jax.vmap(suppressed)(outputs)[..., :-1]
    terms["co_activity"] = w_talc.co_activity_loss(
        outputs.hidden, suppressed_activations, labels, masks
    )
    squares = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))
    terms["decay"] = squares / 2
    total = (
        terms["instance"]
        + terms["suppressed_instance"]
        + CO_ACTIVITY_WEIGHT * terms["co_activity"]
        + SPARSITY_WEIGHT * terms["sparsity"]
        + GUIDE_WEIGHT * terms["guide"]
        + MUTUAL_WEIGHT * terms["mutual"]
        + WEIGHT_DECAY * terms["decay"]
    )
    return total, terms


def video_losses(outputs: Outputs, labels: jax.Array, mask: jax.Array) -> Metrics:
    """The losses of one video by itself, scalars without their weights.

    Args:
      outputs: of the video.
      labels: [N], positive for the video's categories.
      mask: [T] bool.
    """
    attention = jnp.mean(outputs.attentions, axis=-1)
    background = jax.nn.softmax(outputs.activations)[:, -1]
    every = jnp.concatenate([attention[:, None], outputs.attentions], axis=-1)
    guide = jnp.mean(jnp.abs(1 - every - background[:, None]), axis=-1)
    of_video = (labels > 0).astype(outputs.activations.dtype)
    return {
        "instance": instance_loss(outputs.activations, jnp.append(of_video, 1), mask),
        "suppressed_instance": instance_loss(
            suppressed(outputs), jnp.append(of_video, 0), mask
        ),
        "sparsity": losses.masked_mean(attention, mask),
        "guide": losses.masked_mean(guide, mask),
        "mutual": losses.masked_mean(_disagreement(outputs.attentions), mask),
    }


def suppressed(outputs: Outputs) -> jax.Array:
    """Activations a' [T, N + 1], which attention has drawn to each snippet's lowest."""
    attention = jnp.mean(outputs.attentions, axis=-1, keepdims=True)
    lowest = jnp.min(outputs.activations, axis=-1, keepdims=True)
    return attention * (outputs.activations - lowest) + lowest


def instance_loss(
    activations: jax.Array, labels: jax.Array, mask: jax.Array
) -> jax.Array:
    """MILL of one video, a scalar.

    Args:
      activations: [T, N + 1].
      labels: [N + 1], positive for the video's classes.
      mask: [T] bool.
    """
    scores = pooling.top_mean(activations, mask, share=TRAINING_SHARE, round_up=False)
    return jnp.sum(losses.classification_loss(jax.nn.log_softmax(scores), labels))


def _disagreement(attentions: jax.Array) -> jax.Array:
    """Mean of (A_m − A_n)² over m ≠ n, [T]; each learns from the others as they are."""
    targets = jax.lax.stop_gradient(attentions)
    squares = (attentions[:, :, None] - targets[:, None, :]) ** 2
    number = attentions.shape[-1]
    return jnp.sum(squares, axis=(1, 2)) / max(number * (number - 1), 1)


def predict(
    params: Params,
    features: jax.Array,
    length: jax.Array | int,
    streams: streams_lib.Streams,
) -> predictions.SnippetPredictions:
    """Snippet predictions of one padded video; activations are A a.

    Args:
      params: of `Network`.
      features: [T, D].
      length: number of valid snippets.
      streams: of the features.
    """
    mask = pooling.valid_snippets(features.shape[0], length)
    outputs = _apply(params, features, mask, streams)
    attention = jnp.where(mask, jnp.mean(outputs.attentions, axis=-1), 0)
    weighted = attention[:, None] * outputs.activations
    scores = pooling.top_mean(weighted, mask, share=LOCALIZATION_SHARE, round_up=False)
    least = jnp.finfo(attention.dtype).tiny
    return predictions.SnippetPredictions(
        scp=attention[:, None] * jax.nn.softmax(outputs.activations)[:, :-1],
        sap=attention / jnp.maximum(jnp.sum(attention), least),
        video=jax.nn.softmax(scores)[:-1],
        activations=weighted[:, :-1],
    )


def _apply(
    params: Params,
    features: jax.Array,
    mask: jax.Array,
    streams: streams_lib.Streams,
    *,
    key: jax.Array | None = None,
) -> Outputs:
    """What the network says of one video."""
    num_categories = params["classification1"]["bias"].shape[0] - 1
    network = Network(num_categories, streams)
    return network.apply({"params": params}, features, mask, key=key)
