"""The classification head: snippet features to SCP and SAP logits (Section 3.2).

Features F are [T, D], the streams side by side. Outputs are logits; `ops.pooling` turns
them into predictions (R7).
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

Params = Any


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


class _MeanDense(nn.Module):
    """The mean over S of S affine maps, whose parameters are those of one `nn.Dense`.

    The mean of the maps is taken first: it is an S-th of the arithmetic.

    Attributes:
      features: outputs of each map.
      num_maps: S; map s has the s-th part of the columns.
    """

    features: int
    num_maps: int

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Returns [T, features] for inputs [T, D]."""
        outputs = self.num_maps * self.features
        shape = inputs.shape[1], outputs
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (outputs,))

        def mean(values):
            return sum(jnp.split(values, self.num_maps, axis=-1)) / self.num_maps

        return inputs @ mean(kernel) + mean(bias)


class ClassificationHead(nn.Module):
    """The head of all streams: Eqs. 1 to 3, whose mean is over S streams.

    Attributes:
      num_categories: N.
      num_streams: S.
    """

    num_categories: int
    num_streams: int

    @nn.compact
    def __call__(self, features: jax.Array) -> HeadLogits:
        """Returns the logits of each snippet.

        Args:
          features: [T, D].
        """
        chex.assert_rank(features, 2)
        mean = _MeanDense(self.num_categories, self.num_streams, name="classification")
        scp = mean(features)
        sap = nn.Dense(1, name="attention")(features)
        return HeadLogits(scp, sap[:, 0])


def fuse_streams(heads: Sequence[Params]) -> Params:
    """Parameters of a `ClassificationHead` from S `StreamHead`s (Eqs. 4 and 5).

    The fused head's logits are the mean of the heads' logits.

    Args:
      heads: parameters of each stream's head, in the order of the columns.

    Returns:
      Parameters of a head of the features of all streams.
    """
    chex.assert_equal_shape([one["classification"]["bias"] for one in heads])

    def stack(layer: str, name: str) -> jax.Array:
        return jnp.concatenate([one[layer][name] for one in heads])

    kernels = [one["classification"]["kernel"] for one in heads]
    return {
        "classification": {
            "kernel": jax.scipy.linalg.block_diag(*kernels),
            "bias": stack("classification", "bias"),
        },
        "attention": {
            "kernel": stack("attention", "kernel") / len(heads),
            "bias": sum(one["attention"]["bias"] for one in heads) / len(heads),
        },
    }
