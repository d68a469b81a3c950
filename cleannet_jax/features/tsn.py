"""UntrimmedNet's two streams: crops of frames and flow through BN-Inceptions.

An image of a snippet becomes the mean over its crops of 1,024 features, for each stream.
Frames are blue, green, red without their means; flow has 128 where nothing moves.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import recovered_heads
from cleannet_jax.features import batches, flow, weights
from cleannet_jax.models import bn_inception

# Of blue, green and red, as Caffe's weights were trained. Those that went through PyTorch
# may have 128 for red.
MEANS = (104.0, 117.0, 123.0)
FLOW_MEAN = 128.0
FRAMES = 15
CROP = 224
CHUNK = 8
RANDOM = "random"
_CHANNELS = weights.STREAM_CHANNELS
_BATCH = 8


class Networks(NamedTuple):
    """The networks of the streams.

    Attributes:
      weights: by stream, rgb and flow.
      means: of blue, green and red, subtracted from frames.
      flow_mean: subtracted from flow.
      trained_on: what files say that weights have seen.
    """

    weights: Mapping[str, bn_inception.Weights]
    means: tuple[float, ...] = MEANS
    flow_mean: float = FLOW_MEAN
    trained_on: tuple[str, ...] = ()


def read_networks(files: Sequence[str], names: Sequence[str]) -> Networks:
    """Returns the networks of the streams.

    Args:
      files: one a stream, in the order of the names; or ("random",). Converted ones say
        what is subtracted, and what they were trained on.
      names: of the streams, rgb and flow.

    Raises:
      InputError: there are not as many files, or one does not fit its stream.
    """
    if tuple(files) == (RANDOM,):
        made = {
            name: bn_inception.Weights(
                bn_inception.random_params(_CHANNELS[name], seed), None
            )
            for seed, name in enumerate(names)
        }
        return Networks(made)
    if len(files) != len(names):
        raise errors.InputError(
            f"--weights: found {len(files)} files, expected one for each of the streams"
            f" {', '.join(names)}: those of UntrimmedNet or TSN, which no package has, as"
            " .caffemodel, .pth or .safetensors; or `random`, for tests"
        )
    found, more = {}, {}
    for name, path in zip(names, files, strict=True):
        record = None
        if weights.is_converted(path):
            found[name], record = weights.read_converted(path)
        else:
            found[name] = weights.read_bn_inception(path)
        channels = found[name].params["conv1_7x7_s2"]["kernel"].shape[2]
        if channels != _CHANNELS[name]:
            raise errors.InputError(
                f"{path}: found a network of {channels} channels, expected"
                f" {_CHANNELS[name]} for the stream {name!r}; the order of files is that"
                f" of {', '.join(names)}"
            )
        if record is not None:
            more[name] = record
            if record.colour_order == "RGB":
                raise errors.InputError(
                    f"{path}: found weights for red, green, blue, expected blue, green,"
                    " red, as UntrimmedNet's and TSN's are"
                )
    rgb, flow_record = more.get("rgb"), more.get("flow")
    return Networks(
        found,
        means=rgb.means if rgb else MEANS,
        flow_mean=flow_record.means[0] if flow_record else FLOW_MEAN,
        trained_on=tuple(dict.fromkeys(record.trained_on for record in more.values())),
    )


def heads(networks: Networks, classes: Sequence[str]) -> recovered_heads.Heads | None:
    """Returns UntrimmedNet's heads of both streams, as stage 1 takes them (Eqs. 4, 5).

    Args:
      networks: of rgb and flow; None is returned where either has no attention.
      classes: names of the K classes of the weights.

    Raises:
      InputError: there are not as many classes.
    """
    found = {name: own.heads for name, own in networks.weights.items()}
    if set(found) != set(_CHANNELS) or any(
        own is None or own.attention_kernel is None for own in found.values()
    ):
        return None
    params = {}
    for name, own in found.items():
        if own.class_bias.size != len(classes):
            raise errors.InputError(
                f"--classes: found {len(classes)} names, expected {own.class_bias.size},"
                f" the classes of the weights of {name!r}"
            )
        params[name] = {
            "classification": {"kernel": own.class_kernel, "bias": own.class_bias},
            "attention": {"kernel": own.attention_kernel, "bias": own.attention_bias},
        }
    exact = (0.0, 0.0)
    return recovered_heads.Heads(tuple(classes), params, 0, 0, exact, exact)


def features(
    networks: Networks, made: Mapping[str, np.ndarray], *, crops: str = "center"
) -> dict[str, np.ndarray]:
    """Features [n, 1024] of snippets by stream.

    Args:
      networks: of the streams.
      made: images [n, 256, 340, C] uint8 by stream, C = 3 (BGR) or 10.
      crops: "center", or "ten" for the mean over ten.
    """
    found = {}
    for name, network in networks.weights.items():
        images = made[name]
        mean: Any = networks.means if name == "rgb" else networks.flow_mean
        compute = functools.partial(_apply, network.params, np.float32(mean))
        if crops == "center":
            cropped = flow.centre_crop(images, CROP)
        else:
            ten = flow.ten_crops(images, CROP, name == "flow")
            cropped = ten.reshape(-1, *ten.shape[2:])
        values = batches.batched(compute, cropped, _BATCH)
        found[name] = values.reshape(len(images), -1, values.shape[1]).mean(axis=1)
    return found


@jax.jit
def _apply(params: Any, mean: jax.Array, images: jax.Array) -> jax.Array:
    return bn_inception.Network().apply({"params": params}, images - mean)
