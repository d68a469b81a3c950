"""Weights of image networks: state dicts, and converted files with a record of origin.

A state dict is arrays by name, in a file of torch.save (.pth, .pt, .bin; read without
torch) or .safetensors. A converted file is a .safetensors that has the parameters as the
network here takes them, and among its metadata a `Record`; the same source makes the
same bytes. .safetensors needs the package safetensors, an optional dependency.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import arrays, files
from cleannet_jax.data.feature_files import torch_files
from cleannet_jax.features import caffe
from cleannet_jax.models import bn_inception

Tree = dict[str, Any]

STREAM_CHANNELS: Mapping[str, int] = {"rgb": 3, "flow": 10}
_TORCH = (".pth", ".pt", ".bin", ".tar")
_SAFETENSORS, _CAFFE = ".safetensors", ".caffemodel"
_KEY = "record"
_NETWORK, _HEADS = "network", "heads"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """Where converted weights come from, and what they are to be fed with.

    Attributes:
      network: its name, such as "bn_inception".
      stream: "rgb" or "flow".
      channels: of its input.
      colour_order: of the channels: "BGR", "RGB", or "xy" for flow.
      means: subtracted from bytes, one for each channel or one for all.
      trained_on: data sets and their parts, such as "thumos14 validation".
      source: name of the file that was converted.
      sha256: of its content, in hexadecimal.
    """

    network: str
    stream: str
    channels: int
    colour_order: str
    means: tuple[float, ...]
    trained_on: str
    source: str
    sha256: str


def read_state(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns the arrays of a state dict by name; bfloat16 becomes float32.

    Raises:
      InputError: the file is absent, damaged or of another format, or holds anything
        but arrays.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if suffix == _SAFETENSORS:
        return _safetensors(path)[0]
    if suffix in _TORCH:
        return torch_files.read_tensors(path)
    expected = ", ".join((*_TORCH, _SAFETENSORS, _CAFFE))
    raise errors.InputError(
        f"{path}: found weights in a file of suffix {suffix!r}, expected one of {expected}"
    )


def read_bn_inception(path: str | os.PathLike) -> bn_inception.Weights:
    """Returns the weights of BN-Inception in a .caffemodel or a state dict.

    Raises:
      InputError: as `read_state` does, or the weights are of another network; the
        message names the layer.
    """
    if pathlib.Path(path).suffix.lower() == _CAFFE:
        layers = caffe.read_caffemodel(path)
        return bn_inception.params_from_caffe(layers, place=str(path))
    return bn_inception.params_from_state(read_state(path), place=str(path))


def is_converted(path: str | os.PathLike) -> bool:
    """Whether a file is one that a conversion has written.

    Raises:
      InputError: it is a .safetensors that is absent or damaged.
    """
    if pathlib.Path(path).suffix.lower() != _SAFETENSORS:
        return False
    return _KEY in _safetensors(path)[1]


def convert(
    source: str | os.PathLike,
    target: str | os.PathLike,
    *,
    stream: str,
    means: tuple[float, ...],
    colour_order: str,
    trained_on: str,
) -> Record:
    """Writes BN-Inception's weights as a converted file; returns its record.

    Args:
      source: as `read_bn_inception` takes it.
      target: the .safetensors to write.
      stream: "rgb" or "flow".
      means: as in a `Record`, and so are the others.
      colour_order: of the channels.
      trained_on: data sets and their parts.

    Raises:
      InputError: the source cannot be used, its stem has another number of channels
        than the stream, or there are not as many means.
    """
    weights = read_bn_inception(source)
    channels = weights.params["conv1_7x7_s2"]["kernel"].shape[2]
    if channels != STREAM_CHANNELS[stream]:
        raise errors.InputError(
            f"{source}: layer 'conv1_7x7_s2': found {channels} input channels, expected"
            f" {STREAM_CHANNELS[stream]} for stream {stream!r}"
        )
    if len(means) not in (1, channels):
        raise errors.InputError(
            f"{source}: found {len(means)} means, expected 1 or {channels}"
        )
    with open(source, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    record = Record(
        network="bn_inception",
        stream=stream,
        channels=channels,
        colour_order=colour_order,
        means=tuple(map(float, means)),
        trained_on=trained_on,
        source=pathlib.Path(source).name,
        sha256=digest,
    )
    write(target, _tree(weights), record)
    return record


def read_converted(path: str | os.PathLike) -> tuple[bn_inception.Weights, Record]:
    """Returns the weights of BN-Inception in a converted file, and its record.

    Raises:
      InputError: as `read` does, or a layer is missing, superfluous or of another shape.
    """
    tree, record = read(path)
    if record.network != "bn_inception":
        raise errors.InputError(
            f"{path}: found weights of {record.network!r:.80}, expected 'bn_inception'"
        )
    expected: dict[str, tuple[int, ...]] = {}
    for name, (o, i, h, w) in bn_inception.layer_shapes(record.channels).items():
        expected |= {f"{_NETWORK}/{name}/kernel": (h, w, i, o)}
        expected |= {f"{_NETWORK}/{name}/bias": (o,)}
    found = _flat(tree)
    heads = {name: value for name, value in found.items() if name[:6] == f"{_HEADS}/"}
    if heads:
        classes = heads.get(f"{_HEADS}/class_bias", np.empty(0)).size
        expected |= {f"{_HEADS}/class_kernel": (bn_inception.FEATURES, classes)}
        expected |= {f"{_HEADS}/class_bias": (classes,)}
    if any("attention" in name for name in heads):
        expected |= {f"{_HEADS}/attention_kernel": (bn_inception.FEATURES, 1)}
        expected |= {f"{_HEADS}/attention_bias": (1,)}
    for name in sorted(expected.keys() | found.keys()):
        shape = found[name].shape if name in found else "no such array"
        wanted = expected.get(name, "no such array")
        if shape != wanted:
            raise errors.InputError(
                f"{path}: {name!r:.80}: found {shape}, expected {wanted}"
            )
    fields = (tree.get(_HEADS, {}).get(field) for field in bn_inception.Heads._fields)
    made = bn_inception.Heads(*fields) if heads else None
    return bn_inception.Weights(tree[_NETWORK], made), record


def _tree(weights: bn_inception.Weights) -> Tree:
    """Network and heads as one tree."""
    fields = weights.heads._asdict() if weights.heads else {}
    heads = {name: value for name, value in fields.items() if value is not None}
    return {_NETWORK: weights.params} | ({_HEADS: heads} if heads else {})


def write(path: str | os.PathLike, params: Tree, record: Record) -> None:
    """Writes parameters and their record as a converted file.

    Args:
      path: the .safetensors to write.
      params: dicts in dicts of arrays, by names without /.
      record: of where they come from.

    Raises:
      InputError: safetensors is not installed.
      OSError: the file cannot be written.
    """
    numpy_files, _ = _library(path)
    said = json.dumps(dataclasses.asdict(record), sort_keys=True)
    tensors = {
        name: np.ascontiguousarray(values) for name, values in _flat(params).items()
    }
    with files.open_atomic(path, "wb") as file:
        file.write(numpy_files.save(tensors, {_KEY: said}))


def read(path: str | os.PathLike) -> tuple[Tree, Record]:
    """Returns the parameters and the record of a converted file.

    Raises:
      InputError: the file is absent or damaged, or has no record.
    """
    tensors, metadata = _safetensors(path)
    try:
        said = json.loads(metadata[_KEY])
        record = Record(**(said | {"means": tuple(map(float, said["means"]))}))
        is_text = [
            isinstance(value, str) for value in dataclasses.asdict(record).values()
        ]
        # All but the channels and the means.
        if sum(is_text) != len(is_text) - 2:
            raise TypeError
        if type(record.channels) is not int or not 0 < record.channels < 1000:
            raise ValueError
    except (KeyError, TypeError, ValueError, RecursionError):
        raise errors.InputError(
            f"{path}: found no record of where the weights come from, expected a file"
            " that a conversion has written"
        ) from None
    tree: Tree = {}
    for name, values in tensors.items():
        *parents, last = name.split("/")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise errors.InputError(
                    f"{path}: {name!r:.80}: found an array within an array, expected"
                    " one or the other"
                )
        place[last] = values
    return tree, record


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    """The arrays of a tree, by names with / between levels."""
    flat: dict[str, np.ndarray] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}/")
        else:
            flat[f"{prefix}{name}"] = np.asarray(value)
    return flat


def _safetensors(
    path: str | os.PathLike,
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a .safetensors by name, and its metadata."""
    _, safetensors = _library(path)
    arrays.map_file(path).close()  # Absent, unreadable and empty files are named here.
    try:
        with safetensors.safe_open(os.fspath(path), framework="np") as file:
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
            metadata = dict(file.metadata() or {})
    except (
        safetensors.SafetensorError,
        AttributeError,
        OSError,
        TypeError,
        ValueError,
    ) as error:
        reason = str(error).partition("\n")[0]
        raise errors.InputError(f"{path}: no whole .safetensors: {reason}") from None
    for name, values in tensors.items():
        if values.dtype.name == "bfloat16":
            tensors[name] = values.astype(np.float32)
    return tensors, metadata


def _library(path: str | os.PathLike) -> tuple[Any, Any]:
    """safetensors.numpy and safetensors, if they are there."""
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise errors.InputError(
            f"{path}: .safetensors needs safetensors: pip install 'cleannet_jax[video]'"
        ) from None
    return safetensors.numpy, safetensors
