"""Weights of networks: .caffemodel and state dicts in, converted files out and in."""

import dataclasses
import functools
import struct
import time
import tracemalloc

import networks_by_hand
import numpy as np
import pytest
import torch_by_hand

from cleannet_jax import errors
from cleannet_jax.features import caffe, weights
from cleannet_jax.models import bn_inception

KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
BIAS = np.array([0.5, -1.0], np.float32)


def varint(value):
    raw = bytearray()
    while value > 127:
        raw.append(value & 127 | 128)
        value >>= 7
    return bytes([*raw, value])


def number(field, value):
    return varint(field << 3) + varint(value)


def message(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def blob(values, *, is_old=False):
    values = np.asarray(values)
    if is_old:
        sizes = (1,) * (4 - values.ndim) + values.shape
        shape = b"".join(number(i + 1, size) for i, size in enumerate(sizes))
    else:
        shape = message(7, message(1, b"".join(map(varint, values.shape))))
    field = 8 if values.dtype == np.float64 else 5
    return shape + message(field, values.tobytes())


def layer(name, *blobs, is_old=False):
    fields = (4, 6) if is_old else (1, 7)
    content = message(fields[0], name.encode()) + message(2, b"Convolution")
    content += b"".join(message(fields[1], one) for one in blobs)
    return message(2 if is_old else 100, content)


def read(tmp_path, content):
    path = tmp_path / "a.caffemodel"
    path.write_bytes(content)
    return caffe.read_caffemodel(path)


WHOLE = (
    message(1, b"net")
    + layer("data")
    + layer("conv1/7x7_s2", blob(KERNEL), blob(BIAS))
    + layer("conv1/7x7_s2_bn", *[blob(BIAS[None, :, None, None] + i) for i in range(4)])
    + number(5, 1)
)


def test_blobs_of_layers(tmp_path):
    layers = read(tmp_path, WHOLE)
    assert list(layers) == ["conv1/7x7_s2", "conv1/7x7_s2_bn"]
    kernel, bias = layers["conv1/7x7_s2"]
    np.testing.assert_array_equal(kernel, KERNEL)
    np.testing.assert_array_equal(bias, BIAS)
    assert not kernel.flags.owndata
    for index, found in enumerate(layers["conv1/7x7_s2_bn"]):
        np.testing.assert_array_equal(found, BIAS[None, :, None, None] + index)


def test_layers_from_before_2014_and_doubles(tmp_path):
    content = layer(
        "a", blob(KERNEL, is_old=True), blob(BIAS, is_old=True), is_old=True
    )
    content += layer("b", blob(KERNEL.astype(np.float64)))
    layers = read(tmp_path, content)
    np.testing.assert_array_equal(layers["a"][0], KERNEL)
    assert layers["a"][1].shape == (1, 1, 1, 2)
    np.testing.assert_array_equal(layers["b"][0], KERNEL)
    assert layers["b"][0].dtype == np.float64


def test_values_and_lengths_one_by_one(tmp_path):
    shape = message(7, number(1, 2) + number(1, 1))
    values = b"".join(varint(5 << 3 | 5) + struct.pack("<f", value) for value in (1, 2))
    found = read(tmp_path, layer("a", shape + values))["a"]
    np.testing.assert_array_equal(found[0], [[1], [2]])


LONG = 2**63


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (message(1, b"net"), "found no layer with blobs"),
        (layer("a", blob(BIAS)) * 2, "found two layers 'a' with blobs"),
        (b"\x80" * 12, "byte 0: found no end of a number"),
        (varint(100 << 3 | 2) + varint(LONG) + b"a", f"found 1 .*, expected {LONG} in"),
        (varint(1 << 3 | 5) + b"abc", "found 3 bytes .*, expected 4 in field 1"),
        (varint(1 << 3 | 3), "found field 1 of wire type 3"),
        (varint(0), "found field 0 of wire type 0"),
        (number(100, 7), "found a number in field 100, expected bytes"),
        (message(100, number(7, 1)), "found a number in field 7, expected bytes"),
        (message(100, message(1, b"\xff")), "a name that is no UTF-8"),
        (layer("a", number(5, 1)), "a number in field 5, expected bytes or 4 bytes"),
        (
            layer("a", message(5, b"abc")),
            "found 3 bytes of values, expected a multiple",
        ),
        (layer("a", message(1, b"")), "found bytes in field 1, expected a number"),
        (
            layer("a", message(7, message(1, varint(3))) + message(5, bytes(8))),
            r"layer 'a': found 2 values, expected 3 for shape \(3,\)",
        ),
        (
            layer("a", number(1, LONG) + message(5, bytes(8))),
            "found 2 values, expected 9",
        ),
        (layer("a", number(1, 0) + number(2, LONG)), "found 0 values, expected 0 for"),
        (layer("a", message(7, message(1, b"\1" * 50))), "axes, expected at most 8"),
        (b"\x08\x01" * 200_000, "found more than 100000 fields"),
    ],
)
def test_hostile_networks_are_named(tmp_path, content, expected):
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(errors.InputError, match=f"a.caffemodel: .*{expected}"):
        read(tmp_path, content)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
    assert time.process_time() - start < 10


def test_networks_cut_or_changed_anywhere_have_one_kind_of_error(tmp_path):
    rng = np.random.default_rng(0)
    for at in range(1, len(WHOLE)):
        changed = bytearray(WHOLE)
        changed[at] = rng.integers(256)
        for content in (WHOLE[:at], bytes(changed)):
            try:
                read(tmp_path, content)
            except errors.InputError as error:
                assert "a.caffemodel" in str(error) and "\n" not in str(error)


def test_a_state_of_each_format(tmp_path):
    torch_by_hand.save_arrays(tmp_path / "a.pth", kernel=KERNEL)
    np.testing.assert_array_equal(
        weights.read_state(tmp_path / "a.pth")["kernel"], KERNEL
    )
    safetensors = pytest.importorskip("safetensors.numpy", reason="no safetensors")
    safetensors.save_file({"kernel": KERNEL}, tmp_path / "a.safetensors")
    found = weights.read_state(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(found["kernel"], KERNEL)
    with pytest.raises(
        errors.InputError, match="a.h5: .* suffix '.h5', expected one of"
    ):
        weights.read_state(tmp_path / "a.h5")


@functools.cache
def state(channels):
    shapes = networks_by_hand.inception_shapes(channels)
    return networks_by_hand.random_state(shapes, 0)


@functools.cache
def caffemodel(channels):
    """BN-Inception with UntrimmedNet's heads, as a .caffemodel and as weights."""
    content, fields = [], ("weight", "bias", "running_mean", "running_var")
    arrays = state(channels)
    names = list(dict.fromkeys(name.rpartition(".")[0] for name in arrays))
    for name in names:
        of_layer = [arrays.get(f"{name}.{field}") for field in fields]
        blobs = [values for values in of_layer if values is not None]
        if name.endswith("_bn"):
            blobs = [values[None] for values in blobs]
        slashed = name.replace("conv1_", "conv1/").replace("conv2_", "conv2/")
        if name.startswith("inception"):
            slashed = f"{name[:12]}/{name[13:]}"
        content.append(layer(slashed, *map(blob, blobs)))
    rng = np.random.default_rng(1)
    kernel, bias = rng.normal(size=(20, 1024)), rng.normal(size=20)
    floats = kernel.astype("<f4"), bias.astype("<f4")
    content.append(layer("fc-action", *map(blob, floats)))
    content.append(layer("fc-attention", blob(floats[0][:1]), blob(BIAS[:1])))
    heads = {"a.weight": kernel, "a.bias": bias}
    heads |= {"b.weight": kernel[:1], "b.bias": BIAS[:1]}
    whole = bn_inception.params_from_state({**arrays, **heads}, place="a")
    return b"".join(content), whole


OPTIONS = {
    "stream": "flow",
    "means": (128.0,),
    "colour_order": "xy",
    "trained_on": "thumos14 validation",
}


def same(one, other):
    """Whether weights are the same."""
    assert one.params.keys() == other.params.keys()
    for name, arrays in one.params.items():
        for field, values in arrays.items():
            np.testing.assert_array_equal(values, other.params[name][field])
    for left, right in zip(one.heads, other.heads, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_conversion_keeps_all_and_repeats_itself(tmp_path):
    pytest.importorskip("safetensors", reason="no safetensors")
    source, target = tmp_path / "flow.caffemodel", tmp_path / "flow.safetensors"
    content, expected = caffemodel(10)
    source.write_bytes(content)
    record = weights.convert(source, target, **OPTIONS)
    assert record.source == "flow.caffemodel" and len(record.sha256) == 64
    assert record.channels == 10 and record.means == (128.0,)
    found, said = weights.read_converted(target)
    assert said == record
    same(found, expected)
    before = target.read_bytes()
    weights.convert(source, target, **OPTIONS)
    assert target.read_bytes() == before


def test_what_does_not_fit_a_stream_is_refused(tmp_path):
    source = tmp_path / "flow.caffemodel"
    source.write_bytes(caffemodel(10)[0])
    expected = "'conv1_7x7_s2': found 10 input channels, expected 3 for stream 'rgb'"
    with pytest.raises(errors.InputError, match=expected):
        weights.convert(source, tmp_path / "a", **(OPTIONS | {"stream": "rgb"}))
    with pytest.raises(errors.InputError, match="found 3 means, expected 1 or 10"):
        weights.convert(source, tmp_path / "a", **(OPTIONS | {"means": (1, 2, 3)}))


RECORD = weights.Record(
    network="bn_inception",
    channels=3,
    source="a.pth",
    sha256="0" * 64,
    **(OPTIONS | {"stream": "rgb"}),
)


def test_converted_files_of_another_content_are_named(tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy", reason="no safetensors")
    path = tmp_path / "a.safetensors"
    params = bn_inception.params_from_state(state(3), place="a").params
    weights.write(path, {"network": params}, RECORD)
    assert weights.read_converted(path)[0].heads is None
    kernel = params["conv2_3x3"]["kernel"]
    for change, expected in (
        (
            {"kernel": kernel[:1]},
            r"conv2_3x3/kernel': found \(1, 3, 64, 192\), expected",
        ),
        (
            {"kernel": kernel, "c": kernel},
            "conv2_3x3/c': found .*, expected no such arr",
        ),
        ({}, "'network/conv2_3x3/bias': found no such array, expected"),
    ):
        bias = {"bias": np.zeros(192, np.float32)} if change else {}
        network = {**params, "conv2_3x3": {**change, **bias}}
        weights.write(path, {"network": network}, RECORD)
        with pytest.raises(errors.InputError, match=f"a.safetensors: .*{expected}"):
            weights.read_converted(path)
    weights.write(path, {"a": kernel}, dataclasses.replace(RECORD, network="other"))
    with pytest.raises(errors.InputError, match="'other', expected 'bn_inception'"):
        weights.read_converted(path)
    weights.write(path, {"a": kernel}, dataclasses.replace(RECORD, sha256=3))
    with pytest.raises(errors.InputError, match="a.safetensors: found no record"):
        weights.read(path)
    numpy_files.save_file({"a": kernel}, path)
    with pytest.raises(errors.InputError, match="a.safetensors: found no record"):
        weights.read(path)
    whole = path.read_bytes()
    for content in (b"", whole[:-1], whole[:20], b"\xff" * 100):
        path.write_bytes(content)
        with pytest.raises(errors.InputError, match="a.safetensors: "):
            weights.read(path)
    with pytest.raises(errors.InputError, match="b.safetensors: no such file"):
        weights.read(tmp_path / "b.safetensors")
