"""Hide-and-Seek (Singh and Lee, ICCV 2017) for videos: parts are hidden in training.

Two layers of 500 filters of width 1, the maximum over time, and a softmax classifier.
In training the video is cut into 20 equal parts, each hidden with probability ½, so
that the network must not rely on the one part that tells most. The class activation map
is the classifier applied to every snippet.

Read differently: the features are ours instead of C3D's. A hidden snippet takes no part
in the maximum, where the paper puts the mean feature in its place.
"""

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

WIDTH = 500
NUM_PARTS = 20
HIDING_PROBABILITY = 0.5


class Network(nn.Module):
    """Features [T, D] to hidden activations [T, 500], and those to logits [N].

    Attributes:
      num_categories: N.
    """

    num_categories: int

    def setup(self) -> None:
        """Names the layers."""
        self.first = nn.Dense(WIDTH)
        self.second = nn.Dense(WIDTH)
        self.classification = nn.Dense(self.num_categories)

    def __call__(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns hidden activations [T, 500] and their class activations [T, N]."""
        hidden = nn.relu(self.second(nn.relu(self.first(features))))
        return hidden, self.classification(hidden)


def create_params(key: jax.Array, streams: streams_lib.Streams, num: int) -> Params:
    """Parameters for features of the streams and N = `num` categories."""
    return Network(num).init(key, jnp.zeros((1, streams.width)))["params"]


def seen_snippets(
    key: jax.Array, num_snippets: int, length: jax.Array | int
) -> jax.Array:
    """The mask [T] of the snippets that are not hidden, at least one part of them.

    Args:
      key: random key.
      num_snippets: T.
      length: number of valid snippets, cut into 20 parts.
    """
    draw = jax.random.uniform(key, (NUM_PARTS,))
    part = jnp.arange(num_snippets) * NUM_PARTS // jnp.maximum(length, 1)
    # Only parts that have a snippet can be the one that stays.
    parts = jnp.arange(NUM_PARTS)
    first = -(-parts * length // NUM_PARTS)
    last = -(-(parts + 1) * length // NUM_PARTS)
    draw = jnp.where(first < last, draw, -1.0)
    shown = (draw >= HIDING_PROBABILITY) | (parts == jnp.argmax(draw))
    valid = pooling.valid_snippets(num_snippets, length)
    return shown[jnp.clip(part, 0, NUM_PARTS - 1)] & valid


def loss(
    params: Params, batch: Batch, key: jax.Array, streams: streams_lib.Streams
) -> tuple[jax.Array, Metrics]:
    """The classification loss of one video of which parts are hidden, a scalar."""
    del streams
    features = batch["features"]
    seen = seen_snippets(key, features.shape[0], batch["length"])
    prediction = _video_logits(params, features, seen)
    terms = losses.classification_loss(jax.nn.log_softmax(prediction), batch["labels"])
    return jnp.sum(terms), {}


def predict(
    params: Params,
    features: jax.Array,
    length: jax.Array | int,
    streams: streams_lib.Streams,
) -> predictions.SnippetPredictions:
    """Snippet predictions of one padded video; activations are the map.

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
        video=jax.nn.softmax(_video_logits(params, features, mask)),
        activations=activations,
    )


def _apply(params: Params, features: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Hidden activations and class activations."""
    network = Network(params["classification"]["bias"].shape[0])
    return network.apply({"params": params}, features)


def _video_logits(params: Params, features: jax.Array, mask: jax.Array) -> jax.Array:
    """Logits [N] of the maximum over masked-in snippets."""
    hidden, _ = _apply(params, features)
    # Activations are not negative: zero never wins over a snippet that counts.
    pooled = jnp.max(jnp.where(mask[:, None], hidden, 0), axis=0)
    layer = params["classification"]
    return pooled @ layer["kernel"] + layer["bias"]
