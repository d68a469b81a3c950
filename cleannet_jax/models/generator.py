"""The proposal generator: snippet features to regressed anchors (Section 3.3.1)."""

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from cleannet_jax.ops import anchors


class TemporalConvolution(nn.Module):
    """A convolution over three snippets; what lies outside the video is zero (R4).

    Its parameters are those of `nn.Conv`, by name, shape and initial value. It is one
    matrix product, whose three parts are shifted and added: with XLA's convolution a
    training step takes half as long again on a CPU.

    Attributes:
      features: number of output channels C.
    """

    features: int

    @nn.compact
    def __call__(self, inputs: jax.Array, mask: jax.Array) -> jax.Array:
        """Returns the outputs of each snippet.

        Args:
          inputs: [T, D], finite.
          mask: [T] bool, true for the snippets of the video.

        Returns:
          [T, C]; in the padding it means nothing.
        """
        chex.assert_rank([inputs, mask], [2, 1])
        shape = (3, inputs.shape[1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, shape[-1:])
        outputs = inputs @ jnp.concatenate(list(kernel), axis=1)
        # Products of zeros are zeros, and there are fewer of them than of inputs.
        outputs = jnp.where(mask[:, None], outputs, 0)
        before, here, after = jnp.split(outputs, 3, axis=1)
        before = jnp.pad(before[:-1], [(1, 0), (0, 0)])
        after = jnp.pad(after[1:], [(0, 1), (0, 0)])
        return before + here + after + bias


class ProposalGenerator(nn.Module):
    """Three temporal convolutions, then one pair of offsets for each anchor (R10).

    With TSN sampling an anchor of any size is described by K samples, and one more
    convolution over them gives its offsets. Without, the offsets of every size are
    read at the anchor's centre. The last layer starts at zero: an untrained generator
    proposes its anchors.

    Attributes:
      anchor_sizes: A sizes in snippets.
      width: channels of the convolutions.
      num_samples: K.
      tsn_sampling: whether to sample (C4).
    """

    anchor_sizes: tuple[int, ...]
    width: int = 128
    num_samples: int = 4
    tsn_sampling: bool = True

    @nn.compact
    def __call__(
        self, features: jax.Array, mask: jax.Array, *, key: jax.Array | None = None
    ) -> jax.Array:
        """Returns the proposal of every anchor.

        Args:
          features: [T, D].
          mask: [T] bool, true for the snippets of the video.
          key: random key for training; None samples the middle of each segment.

        Returns:
          [T, A, 2] proposals in snippets, not clipped to the video.
        """
        chex.assert_rank([features, mask], [2, 1])
        chex.assert_equal_shape_prefix([features, mask], 1)
        hidden = features
        for layer in range(3):
            convolution = TemporalConvolution(self.width, name=f"conv{layer}")
            hidden = nn.leaky_relu(convolution(hidden, mask))
        hidden = jnp.where(mask[:, None], hidden, 0)
        regress = self._at_samples if self.tsn_sampling else self._at_centre
        sizes = jnp.asarray(self.anchor_sizes, hidden.dtype)
        return anchors.decode_grid(regress(hidden, sizes, key), sizes)

    def _at_centre(
        self, hidden: jax.Array, sizes: jax.Array, key: jax.Array | None
    ) -> jax.Array:
        """Offsets read at the anchor's centre, [T, A, 2]."""
        del key
        dense = nn.Dense(
            2 * len(sizes), kernel_init=nn.initializers.zeros, name="regression"
        )
        return dense(hidden).reshape(-1, len(sizes), 2)

    def _at_samples(
        self, hidden: jax.Array, sizes: jax.Array, key: jax.Array | None
    ) -> jax.Array:
        """Offsets from K samples of each anchor, [T, A, 2].

        A convolution as wide as its K inputs is a sum of K linear maps, one a sample.
        They are applied to every snippet first and their results sampled: two numbers
        a sample are looked up instead of `width`.
        """
        snippets = hidden.shape[0]
        kernel = self.param(
            "regression_kernel",
            nn.initializers.zeros,
            (self.num_samples, self.width, 2),
        )
        bias = self.param("regression_bias", nn.initializers.zeros, (2,))
        mapped = jnp.einsum("tc,kcr->tkr", hidden, kernel)
        times = anchors.sample_times(key, sizes, (snippets, self.num_samples))
        # Every sample outside the video reads one row of zeros.
        mapped = jnp.pad(mapped, [(0, 1), (0, 0), (0, 0)])
        inside = (times >= 0) & (times < snippets)
        rows = jnp.where(inside, jnp.floor(times), snippets).astype(jnp.int32)
        return jnp.sum(mapped[rows, jnp.arange(self.num_samples)], axis=2) + bias
