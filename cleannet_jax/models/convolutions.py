"""Convolutions of networks that only infer, in the ways that are fast on a CPU.

Images and maps are [n, h, w, channels] float32. Batch normalization, which is affine
once a network is trained, is in the kernels: `fold`.
"""

import functools
import operator
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

Activation = Callable[[jax.Array], jax.Array]
# Rows and columns of zeros before and after a map.
Padding = tuple[int, int]


class Convolution(nn.Module):
    """A convolution with a bias, then an activation.

    Attributes:
      features: number of output channels; a depthwise convolution has those of its input.
      size: of the kernel, on both axes.
      stride: on both axes.
      padding: of both axes; None for as little as makes the output ⌈h / stride⌉ high,
        the odd one behind.
      is_depthwise: whether each channel has a kernel of its own.
      activation: of the output.
    """

    features: int
    size: int = 1
    stride: int = 1
    padding: Padding | None = None
    is_depthwise: bool = False
    activation: Activation = nn.relu

    @nn.compact
    def weights(self, inputs: int) -> tuple[jax.Array, jax.Array]:
        """Returns kernel [size, size, inputs, features] and bias [features]."""
        shape = (self.size, self.size, inputs, self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        return kernel, self.param("bias", nn.initializers.zeros, (self.features,))

    def __call__(self, maps: jax.Array) -> jax.Array:
        """Returns maps [n, h', w', features]; h' = ⌈h / stride⌉ without `padding`."""
        kernel, bias = self.weights(1 if self.is_depthwise else maps.shape[-1])
        paddings = [
            same_padding(length, self.size, self.stride)
            if self.padding is None
            else self.padding
            for length in maps.shape[1:3]
        ]
        if self.is_depthwise:
            outputs = depthwise(maps, kernel, self.stride, paddings)
        elif self.size == 1:
            outputs = maps @ kernel[0, 0]
        else:
            outputs = lax.conv_general_dilated(
                maps,
                kernel,
                (self.stride, self.stride),
                paddings,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        return self.activation(outputs + bias)


def same_padding(length: int, size: int, stride: int) -> Padding:
    """Zeros before and after an axis whose output is to be ⌈length / stride⌉ long."""
    outputs = -(-length // stride)
    total = max((outputs - 1) * stride + size - length, 0)
    return total // 2, total - total // 2


def products(
    layers: Sequence[Convolution], maps: jax.Array
) -> list[tuple[jax.Array, jax.Array]]:
    """Returns the output of each 1 × 1 convolution before its bias, and that bias.

    One wide product of matrices is faster than several narrow ones.

    Args:
      layers: of 1 × 1 and stride 1; within a network.
      maps: [n, h, w, c], the input of all.
    """
    weights = [layer.weights(maps.shape[-1]) for layer in layers]
    kernel = jnp.concatenate([kernel[0, 0] for kernel, _ in weights], axis=-1)
    ends = np.cumsum([layer.features for layer in layers])[:-1]
    parts = jnp.split(maps @ kernel, ends, axis=-1)
    return [(part, bias) for part, (_, bias) in zip(parts, weights, strict=True)]


def depthwise(
    maps: jax.Array, kernel: jax.Array, stride: int, paddings: Sequence[Padding]
) -> jax.Array:
    """Returns a convolution of each channel with its own kernel.

    Args:
      maps: [n, h, w, c].
      kernel: [size, size, 1, c].
      stride: on both axes.
      paddings: of the rows and of the columns.
    """
    views = _shifted(maps, len(kernel), stride, paddings, 0.0)
    rows = kernel[:, :, 0].reshape(-1, kernel.shape[-1])
    return functools.reduce(
        operator.add, (view * row for view, row in zip(views, rows, strict=True))
    )


def max_pool(
    maps: jax.Array, size: int, stride: int, paddings: Sequence[Padding]
) -> jax.Array:
    """Returns the maximum of each window; there are no zeros around the map.

    Args:
      maps: [n, h, w, c].
      size: of a window, on both axes.
      stride: on both axes.
      paddings: how far windows reach outside, of the rows and of the columns.
    """
    views = _shifted(maps, size, stride, paddings, -jnp.inf)
    return functools.reduce(jnp.maximum, views)


def average_pool(
    maps: jax.Array, size: int, stride: int, paddings: Sequence[Padding]
) -> jax.Array:
    """Returns the mean of each window, of zeros where it is outside of the map.

    Args:
      maps: [n, h, w, c].
      size: of a window, on both axes.
      stride: on both axes.
      paddings: of the rows and of the columns.
    """
    views = _shifted(maps, size, stride, paddings, 0.0)
    return functools.reduce(operator.add, views) / size**2


def _shifted(
    maps: jax.Array,
    size: int,
    stride: int,
    paddings: Sequence[Padding],
    fill: float,
) -> list[jax.Array]:
    """What each place of a window sees, by rows.

    XLA fuses what is made of these into one pass over the map. Its own grouped
    convolution is ten times slower on a CPU, and its own pooling two to ten times.
    """
    around = ((0, 0), *paddings, (0, 0))
    padded = jnp.pad(maps, around, constant_values=fill)
    ends = [(length - size) // stride * stride + 1 for length in padded.shape[1:3]]
    return [
        padded[:, row : row + ends[0] : stride, column : column + ends[1] : stride]
        for row in range(size)
        for column in range(size)
    ]


def fold(
    kernel: np.ndarray,
    bias: np.ndarray | None,
    scale: np.ndarray,
    shift: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    *,
    epsilon: float,
) -> dict[str, np.ndarray]:
    """Returns kernel and bias of a convolution together with the normalization after it.

    With s = scale / √(variance + ε): kernel · s, and (bias − mean) · s + shift.

    Args:
      kernel: [outputs, inputs, h, w], as PyTorch and Caffe have it.
      bias: [outputs], or None for a convolution without.
      scale: [outputs], as all that follow.
      shift: added after scaling.
      mean: of the convolution's output in training.
      variance: of the same, not its root.
      epsilon: ε.

    Returns:
      {"kernel": [h, w, inputs, outputs], "bias": [outputs]}, float32.
    """
    factor = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)
    folded = kernel.astype(np.float64).transpose(2, 3, 1, 0) * factor
    moved = (0 if bias is None else bias.astype(np.float64)) - mean
    return {
        "kernel": folded.astype(np.float32),
        "bias": (moved * factor + shift).astype(np.float32),
    }


def random_params(network: nn.Module, channels: int, seed: int) -> dict:
    """Returns parameters for tests: He's normal kernels, biases of zero.

    Args:
      network: of images [n, 224, 224, channels].
      channels: of the images.
      seed: of the kernels.
    """
    image = jax.ShapeDtypeStruct((1, 224, 224, channels), jnp.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), image)["params"]
    rng = np.random.default_rng(seed)

    def draw(shape: jax.ShapeDtypeStruct) -> np.ndarray:
        if len(shape.shape) == 1:
            return np.zeros(shape.shape, np.float32)
        deviation = np.sqrt(2 / np.prod(shape.shape[:-1]))
        return rng.normal(0, deviation, shape.shape).astype(np.float32)

    return jax.tree.map(draw, shapes)
