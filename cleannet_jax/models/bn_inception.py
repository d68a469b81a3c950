"""BN-Inception (Ioffe and Szegedy, ICML 2015), the backbone of TSN and UntrimmedNet.

Images are [n, 224, 224, C] float32 with the means subtracted, C = 3 (BGR) for RGB or
10 (x, y of five flows in turn); features are [n, 1024], ReLU'd and averaged over the
last 7 × 7 map. The network of either stream is the same but for the channels of its stem.

Each of the 69 convolutions has a bias, and is followed by batch normalization, which is
folded into it here, and ReLU. Names are those of the published weights, with _ for /.
Max pools reach over the lower and right border as Caffe's do, and 3 × 3 averages count
the zeros around the map.
"""

import functools
import types
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cleannet_jax import errors
from cleannet_jax.models import convolutions

Params = dict[str, Any]

FEATURES = 1024
EPSILON = 1e-5
# Prefixes that a network has within another, as in TSN's, or on several devices.
_PREFIXES = ("module.", "base_model.")
_SHOWN = 8


class _Block(NamedTuple):
    """Output channels of the branches of a block.

    Attributes:
      single: of the 1 × 1 branch; 0 for none, where the block halves its map.
      reduce: of the 1 × 1 before the 3 × 3.
      output: of the 3 × 3.
      double_reduce: of the 1 × 1 before two 3 × 3.
      double: of each of the two.
      pool: of the 1 × 1 after the pool; 0 for the pool alone.
      is_max: whether the pool takes the maximum, not the average.
    """

    single: int
    reduce: int
    output: int
    double_reduce: int
    double: int
    pool: int
    is_max: bool = False

    @property
    def stride(self) -> int:
        """Of the last convolutions and the pool."""
        return 1 if self.single else 2


_BLOCKS: Mapping[str, _Block] = {
    "3a": _Block(64, 64, 64, 64, 96, 32),
    "3b": _Block(64, 64, 96, 64, 96, 64),
    "3c": _Block(0, 128, 160, 64, 96, 0, is_max=True),
    "4a": _Block(224, 64, 96, 96, 128, 128),
    "4b": _Block(192, 96, 128, 96, 128, 128),
    "4c": _Block(160, 128, 160, 128, 160, 128),
    "4d": _Block(96, 128, 192, 160, 192, 128),
    "4e": _Block(0, 128, 192, 192, 256, 0, is_max=True),
    "5a": _Block(352, 192, 320, 160, 224, 128),
    "5b": _Block(352, 192, 320, 192, 224, 128, is_max=True),
}


class Heads(NamedTuple):
    """Affine layers on features that were trained with the network.

    Attributes:
      class_kernel: [1024, K].
      class_bias: [K].
      attention_kernel: [1024, 1]; None where there is no attention.
      attention_bias: [1], or None likewise.
    """

    class_kernel: np.ndarray
    class_bias: np.ndarray
    attention_kernel: np.ndarray | None
    attention_bias: np.ndarray | None


class Weights(NamedTuple):
    """What a file of weights holds.

    Attributes:
      params: of `Network`.
      heads: UntrimmedNet's, or any other classifier; None where there is none.
    """

    params: Params
    heads: Heads | None


class Network(nn.Module):
    """Images [n, 224, 224, C], means subtracted, to features [n, 1024]."""

    def __call__(self, images: jax.Array) -> jax.Array:
        """Returns the features, each at least 0."""
        return jnp.mean(self.maps(images)["5b"], axis=(1, 2))

    @nn.compact
    def maps(self, images: jax.Array) -> dict[str, jax.Array]:
        """Returns the output [n, h, w, channels] of the stem and of each block."""
        maps = _layer("conv1_7x7_s2", 64, size=7, stride=2)(images)
        maps = _max_pool(maps, stride=2)
        maps = _layer("conv2_3x3_reduce", 64)(maps)
        maps = _layer("conv2_3x3", 192, size=3)(maps)
        outputs = {"stem": _max_pool(maps, stride=2)}
        maps = outputs["stem"]
        for name, block in _BLOCKS.items():
            maps = outputs[name] = _inception(f"inception_{name}", block, maps)
        return outputs


def _layer(
    name: str, features: int, *, size: int = 1, stride: int = 1
) -> convolutions.Convolution:
    padding = (size // 2, size // 2)
    return convolutions.Convolution(features, size, stride, padding, name=name)


def _inception(name: str, block: _Block, maps: jax.Array) -> jax.Array:
    """The branches of a block side by side; within a network.

    An average of maps goes through a 1 × 1 convolution as the average of its output
    before the bias does, which has fewer channels.
    """
    stride, double = block.stride, f"{name}_double_3x3"
    pool = None
    first = [
        _layer(f"{name}_3x3_reduce", block.reduce),
        _layer(f"{double}_reduce", block.double_reduce),
    ]
    if block.single:
        first.append(_layer(f"{name}_1x1", block.single))
    if block.pool:
        pool = _layer(f"{name}_pool_proj", block.pool)
    if pool and not block.is_max:
        first.append(pool)
    found = convolutions.products(first, maps)
    reduced, double_reduced, *single = [nn.relu(part + bias) for part, bias in found]
    if block.is_max:
        last = _max_pool(maps, stride=stride)
        last = pool(last) if pool else last
    else:
        part, bias = found[-1]
        last = nn.relu(convolutions.average_pool(part, 3, 1, ((1, 1),) * 2) + bias)
    output = _layer(f"{name}_3x3", block.output, size=3, stride=stride)(reduced)
    part = _layer(f"{double}_1", block.double, size=3)(double_reduced)
    part = _layer(f"{double}_2", block.double, size=3, stride=stride)(part)
    return jnp.concatenate([*single[:1], output, part, last], axis=-1)


def _max_pool(maps: jax.Array, *, stride: int) -> jax.Array:
    """3 × 3; of stride 2 over even sizes, the last row and column reach outside."""
    before = 1 if stride == 1 else 0
    paddings = []
    for size in maps.shape[1:3]:
        steps = -(-(size + 2 * before - 3) // stride)
        paddings.append((before, steps * stride + 3 - size - before))
    return convolutions.max_pool(maps, 3, stride, paddings)


def random_params(channels: int, seed: int) -> Params:
    """Returns parameters for tests, of a stem of `channels`: kernels at random."""
    return convolutions.random_params(Network(), channels, seed)


@functools.cache
def layer_shapes(channels: int) -> Mapping[str, tuple[int, int, int, int]]:
    """Returns the shape of each kernel, (outputs, inputs, h, w), by name.

    Args:
      channels: of the stem's input.
    """
    image = jax.ShapeDtypeStruct((1, 224, 224, channels), jnp.float32)
    params = jax.eval_shape(Network().init, jax.random.key(0), image)["params"]
    shapes = {name: layer["kernel"].shape for name, layer in params.items()}
    return types.MappingProxyType(
        {name: (o, i, h, w) for name, (h, w, i, o) in shapes.items()}
    )


def params_from_state(state: Mapping[str, np.ndarray], *, place: str) -> Weights:
    """Returns the weights in a PyTorch state dict.

    Args:
      state: arrays by name: NAME.weight and .bias of each convolution; NAME_bn.weight,
        .bias, .running_mean and .running_var of its normalization. A prefix of all
        names, such as "module.base_model.", is left out. Vectors may be [1, C]. Affine
        layers of 1024 inputs are heads: one output is the attention, more are classes.
      place: what messages call it.

    Raises:
      InputError: a layer is missing or has another shape, or there is more than a
        network and its heads.
    """
    layers: dict[str, dict[str, np.ndarray]] = {}
    for key, values in state.items():
        name, _, field = _stripped(key).rpartition(".")
        if field != "num_batches_tracked":
            layers.setdefault(name, {})[field] = values
    normalization = ("weight", "bias", "running_mean", "running_var")
    return _weights(
        {
            name: [fields[field] for field in normalization if field in fields]
            for name, fields in layers.items()
            if set(fields) <= set(normalization)
        },
        place=place,
        superfluous=[
            name for name, fields in layers.items() if set(fields) - set(normalization)
        ],
    )


def _stripped(key: str) -> str:
    """A name without the prefixes."""
    while key.startswith(_PREFIXES):
        key = key.partition(".")[2]
    return key


def params_from_caffe(
    layers: Mapping[str, Sequence[np.ndarray]], *, place: str
) -> Weights:
    """Returns the weights in a network of Caffe.

    Args:
      layers: the blobs of each layer, those of normalization in the order scale, shift,
        mean, variance. Names have / where the state dict has _; layers without blobs
        are left out. Vectors may have axes of length 1. Heads are as in a state dict.
      place: what messages call it.

    Raises:
      InputError: as `params_from_state` does.
    """
    named = {name.replace("/", "_"): list(blobs) for name, blobs in layers.items()}
    return _weights(
        {name: blobs for name, blobs in named.items() if blobs},
        place=place,
        superfluous=[],
    )


def _weights(
    layers: Mapping[str, Sequence[np.ndarray]], *, place: str, superfluous: list[str]
) -> Weights:
    """The weights in arrays by layer: weight and bias, or those of normalization."""
    stem = layers.get("conv1_7x7_s2", [np.empty((64, 3, 7, 7))])[0]
    shapes = layer_shapes(stem.shape[1] if stem.ndim == 4 and stem.shape[1] else 3)
    both = [name + end for name in shapes for end in ("", "_bn")]
    missing = [name for name in both if name not in layers]
    if missing:
        raise errors.InputError(
            f"{place}: found no layer {_listed(missing)}, expected the"
            f" {len(both)} of BN-Inception and its normalization"
        )
    params = {
        name: convolutions.fold(
            *_arrays(layers, name, (shape, shape[:1]), place),
            *_arrays(layers, f"{name}_bn", (shape[:1],) * 4, place),
            epsilon=EPSILON,
        )
        for name, shape in shapes.items()
    }
    others = {name: arrays for name, arrays in layers.items() if name not in set(both)}
    return Weights(params, _heads(others, place, superfluous))


def _arrays(
    layers: Mapping[str, Sequence[np.ndarray]],
    name: str,
    shapes: Sequence[tuple[int, ...]],
    place: str,
) -> list[np.ndarray]:
    """The arrays of a layer, once they are of these shapes but for axes of length 1."""
    arrays = layers[name]
    found = [tuple(array.shape) for array in arrays]
    fits = len(arrays) == len(shapes) and all(
        _squeezed(one) == _squeezed(other)
        for one, other in zip(found, shapes, strict=True)
    )
    if not fits:
        raise errors.InputError(
            f"{place}: layer {name!r}: found shapes {_joined(found)}, expected"
            f" {_joined(shapes)}"
        )
    whole = [
        np.reshape(array, shape) for array, shape in zip(arrays, shapes, strict=True)
    ]
    if not all(np.isfinite(array).all() for array in whole):
        raise errors.InputError(
            f"{place}: layer {name!r}: found values that are no numbers, expected"
            " finite ones"
        )
    if len(shapes) == 4 and (whole[3] < 0).any():
        raise errors.InputError(
            f"{place}: layer {name!r}: found a variance of {whole[3].min():g}, expected"
            " none below 0"
        )
    return whole


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _joined(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes)) or "none"


def _listed(names: Sequence[str]) -> str:
    """Names for a message, the first of many."""
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _heads(
    layers: Mapping[str, Sequence[np.ndarray]], place: str, superfluous: list[str]
) -> Heads | None:
    """The heads among the layers beside the network; all others are superfluous."""
    classes: list[str] = []
    attentions: list[str] = []
    for name, arrays in layers.items():
        outputs = arrays[-1].size if len(arrays) == 2 else 0
        if len(arrays) != 2 or arrays[0].size != outputs * FEATURES:
            superfluous = [*superfluous, name]
        else:
            (attentions if outputs == 1 else classes).append(name)
    if superfluous or len(classes) > 1 or len(attentions) > len(classes):
        found = superfluous or classes + attentions
        raise errors.InputError(
            f"{place}: found the layers {_listed(found)} beside BN-Inception, expected"
            f" at most one of {FEATURES} inputs with a bias for classes and one for"
            " attention"
        )
    if not classes:
        return None
    attention = _head(layers, attentions[0], place) if attentions else (None, None)
    return Heads(*_head(layers, classes[0], place), *attention)


def _head(
    layers: Mapping[str, Sequence[np.ndarray]], name: str, place: str
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel [1024, K] and bias [K] of a head."""
    outputs = layers[name][1].size
    kernel, bias = _arrays(layers, name, ((outputs, FEATURES), (outputs,)), place)
    return kernel.T.astype(np.float32), bias.astype(np.float32)
