"""BN-Inception: shapes, parity with two other readings, and what weights it takes."""

import functools

import jax
import jax.numpy as jnp
import networks_by_hand as by_hand
import numpy as np
import pytest

from cleannet_jax import errors
from cleannet_jax.models import bn_inception

pytestmark = pytest.mark.once

CHANNELS = (3, 10)
# Output channels and size of the map after each block, from the network's description.
BLOCKS = {
    "stem": (192, 28),
    "3a": (256, 28),
    "3b": (320, 28),
    "3c": (576, 14),
    "4a": (576, 14),
    "4b": (576, 14),
    "4c": (608, 14),
    "4d": (608, 14),
    "4e": (1056, 7),
    "5a": (1024, 7),
    "5b": (1024, 7),
}


@functools.cache
def case(channels):
    """A state dict, images, and the features of the network."""
    state = by_hand.random_state(by_hand.inception_shapes(channels), channels)
    weights = bn_inception.params_from_state(state, place="a")
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (2, 224, 224, channels)).astype(np.float32)
    apply = jax.jit(bn_inception.Network().apply)
    return state, images, np.asarray(apply({"params": weights.params}, images))


@pytest.mark.parametrize("channels", CHANNELS)
def test_features_are_those_of_a_slow_reading(channels):
    state, images, features = case(channels)
    one = images[:1].transpose(0, 3, 1, 2)
    expected = by_hand.inception_features(state, one, by_hand.Numpy)
    assert expected.std() > 0.5
    np.testing.assert_allclose(features[:1], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("channels", CHANNELS)
def test_features_are_those_of_pytorch(channels):
    pytest.importorskip("torch", reason="torch is not installed")
    state, images, features = case(channels)
    both = images.transpose(0, 3, 1, 2)
    expected = by_hand.inception_features(state, both, by_hand.Torch)
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("channels", CHANNELS)
def test_blocks_have_the_published_sizes(channels):
    params = bn_inception.random_params(channels, 0)
    image = jax.ShapeDtypeStruct((2, 224, 224, channels), jnp.float32)
    network = bn_inception.Network()
    maps = jax.eval_shape(
        lambda params, image: network.apply({"params": params}, image, method="maps"),
        params,
        image,
    )
    found = {name: (value.shape[3], value.shape[1]) for name, value in maps.items()}
    assert found == BLOCKS
    assert all(value.shape[:2] == (2, value.shape[2]) for value in maps.values())


def test_parameters_are_as_many_as_published():
    layers = bn_inception.layer_shapes(3)
    assert len(layers) == 69
    # PyTorch counts kernels, biases, and scales and shifts of normalization.
    outputs = sum(shape[0] for shape in layers.values())
    total = sum(int(np.prod(shape)) for shape in layers.values()) + 3 * outputs
    assert total == 10_270_240
    assert total + 1000 * 1024 + 1000 == 11_295_240
    params = jax.tree.leaves(bn_inception.random_params(3, 0))
    assert sum(leaf.size for leaf in params) == 10_270_240 - 2 * outputs
    shapes = by_hand.inception_shapes(3)
    kernels = {name: shape for name, shape in shapes.items() if len(shape) == 4}
    assert {f"{name}.weight": shape for name, shape in layers.items()} == kernels


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_prefixes_axes_and_counters_of_a_state_make_no_difference():
    state = case(3)[0]
    plain = bn_inception.params_from_state(state, place="a")
    wrapped = {
        f"module.base_model.{name}": values[None] if values.ndim == 1 else values
        for name, values in state.items()
    }
    wrapped["module.base_model.conv1_7x7_s2_bn.num_batches_tracked"] = np.array(3)
    found = bn_inception.params_from_state(wrapped, place="a")
    assert_same(found.params, plain.params)
    assert plain.heads is None and found.heads is None


def caffe_layers(state):
    """The same weights as blobs of layers."""
    fields = ("weight", "bias", "running_mean", "running_var")
    layers = {"data": []}
    for key in state:
        name = key.rpartition(".")[0]
        blobs = [
            state[f"{name}.{field}"] for field in fields if f"{name}.{field}" in state
        ]
        block, _, rest = name.rpartition("_") if name[:4] == "conv" else (name, "", "")
        if name.startswith("inception"):
            block, rest = name[:12], name[13:]
        is_norm = name.endswith("_bn")
        shaped = [blob[None, :, None, None] for blob in blobs] if is_norm else blobs
        layers[f"{block}/{rest}" if rest else block] = shaped
    return layers


def test_blobs_of_caffe_are_the_same_weights():
    state = case(10)[0]
    plain = bn_inception.params_from_state(state, place="a")
    layers = caffe_layers(state)
    layers["conv1/7x7_s2"] = layers.pop("conv1_7x7/s2")
    assert "inception_5b/double_3x3_2_bn" in layers
    found = bn_inception.params_from_caffe(layers, place="a")
    assert_same(found.params, plain.params)


def test_heads_are_found_by_their_shapes():
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(101, 1024)), rng.normal(size=101)
    attention = rng.normal(size=(1, 1024))
    state = case(3)[0] | {"module.new_fc.weight": kernel, "module.new_fc.bias": bias}
    heads = bn_inception.params_from_state(state, place="a").heads
    np.testing.assert_array_equal(heads.class_kernel, kernel.T.astype(np.float32))
    np.testing.assert_array_equal(heads.class_bias, bias.astype(np.float32))
    assert heads.attention_kernel is None and heads.attention_bias is None
    layers = caffe_layers(case(3)[0])
    layers["fc-action"] = [kernel[None, None], bias[None, None, None]]
    layers["fc-attention"] = [attention, np.array([2.0])]
    heads = bn_inception.params_from_caffe(layers, place="a").heads
    np.testing.assert_array_equal(heads.class_kernel, kernel.T.astype(np.float32))
    np.testing.assert_array_equal(
        heads.attention_kernel, attention.T.astype(np.float32)
    )
    np.testing.assert_array_equal(heads.attention_bias, [2.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"conv2_3x3.weight": None, "conv2_3x3.bias": None},
            "no layer 'conv2_3x3', exp",
        ),
        (
            {"conv2_3x3.bias": None},
            r"layer 'conv2_3x3': found shapes \(192, 64, 3, 3\), ",
        ),
        (
            {"inception_4e_3x3.weight": np.ones((192, 128, 5, 5), np.float32)},
            r"'inception_4e_3x3': found .*128, 5, 5\).*expected \(192, 128, 3, 3\), \(192,",
        ),
        ({"conv1_7x7_s2.weight": np.ones((64, 0, 7, 7), np.float32)}, "conv1_7x7_s2"),
        ({"conv1_7x7_s2.weight": np.ones(3, np.float32)}, r"found shapes \(3,\)"),
        ({"conv1_7x7_s2_bn.running_var": -np.ones(64)}, "found a variance of -1"),
        (
            {"conv2_3x3.bias": np.full(192, np.nan)},
            "'conv2_3x3': found values that are",
        ),
        (
            {"extra.weight": np.ones((5, 7)), "extra.bias": np.ones(5)},
            "layers 'extra' b",
        ),
        ({"extra.weird": np.ones(5)}, "found the layers 'extra' beside"),
        (
            {
                f"{name}.{field}": np.ones((7, 1024) if field == "weight" else 7)
                for name in ("a", "b")
                for field in ("weight", "bias")
            },
            "found the layers 'a', 'b' beside BN-Inception, expected at most one",
        ),
        (
            {"at.weight": np.ones((1, 1024)), "at.bias": np.ones(1)},
            "the layers 'at' bes",
        ),
    ],
)
def test_weights_of_another_network_are_named(change, message):
    state = {**case(3)[0], **change}
    state = {name: values for name, values in state.items() if values is not None}
    with pytest.raises(errors.InputError, match=f"^w.pth: .*{message}"):
        bn_inception.params_from_state(state, place="w.pth")


def test_a_network_that_is_none_of_it_has_a_short_message():
    with pytest.raises(errors.InputError, match="'conv1_7x7_s2'.* and 130 more"):
        bn_inception.params_from_state({"a.weight": np.ones(3)}, place="w.pth")
