"""The classification head: snippet features to SCP and SAP logits (Section 3.2).

Features F are [T, 2D], RGB columns first, then flow. Outputs are logits; `ops.pooling`
turns them into predictions (R7).
"""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

Params = Any

STREAMS = ("rgb", "flow")


class HeadLogits(NamedTuple):
    """What a head says of each snippet, before any softmax."""

    scp: jax.Array  # [T, N], Psi of Eq. 1
    sap: jax.Array  # [T], phi of Eq. 3


class StreamHead(nn.Module):
    """The head of one stream: affine maps D -> N and D -> 1.

    Attributes:
      num_categories: N.
    """

    num_categories: int

    @nn.compact
    def __call__(self, features: jax.Array) -> HeadLogits:
        """Returns the logits of each snippet.

        Args:
          features: [T, D].
        """
        chex.assert_rank(features, 2)
        # Zero is where no category is preferred; the problem is convex but for the
        # product of attention and class, so nothing is gained by a random start.
        dense = functools.partial(nn.Dense, kernel_init=nn.initializers.zeros)
        scp = dense(self.num_categories, name="classification")(features)
        sap = dense(1, name="attention")(features)
        return HeadLogits(scp, sap[:, 0])


class ClassificationHead(nn.Module):
    """The head of both streams: Eqs. 1 to 3.

    Attributes:
      num_categories: N.
    """

    num_categories: int

    @nn.compact
    def __call__(self, features: jax.Array) -> HeadLogits:
        """Returns the logits of each snippet.

        Args:
          features: [T, 2D].
        """
        chex.assert_rank(features, 2)
        both = nn.Dense(2 * self.num_categories, name="classification")(features)
        rgb, flow = jnp.split(both, 2, axis=1)
        sap = nn.Dense(1, name="attention")(features)
        return HeadLogits((rgb + flow) / 2, sap[:, 0])


def fuse_streams(rgb: Params, flow: Params) -> Params:
    """Parameters of a `ClassificationHead` from two `StreamHead`s (Eqs. 4 and 5).

    The fused head's logits are the mean of the two heads' logits.

    Args:
      rgb: parameters of the RGB head, of feature width D_rgb.
      flow: parameters of the flow head, of feature width D_flow.

    Returns:
      Parameters of a head of feature width D_rgb + D_flow.
    """
    chex.assert_equal_shape(
        [rgb["classification"]["bias"], flow["classification"]["bias"]]
    )

    def stack(layer: str, name: str) -> jax.Array:
        return jnp.concatenate([rgb[layer][name], flow[layer][name]])

    return {
        "classification": {
            "kernel": jax.scipy.linalg.block_diag(
                rgb["classification"]["kernel"], flow["classification"]["kernel"]
            ),
            "bias": stack("classification", "bias"),
        },
        "attention": {
            "kernel": stack("attention", "kernel") / 2,
            "bias": (rgb["attention"]["bias"] + flow["attention"]["bias"]) / 2,
        },
    }
