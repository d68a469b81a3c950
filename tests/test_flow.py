"""Optical flow, its quantisation, and crops."""

import sys

import numpy as np
import pytest

from cleannet_jax import errors
from cleannet_jax.features import flow as flow_lib


def texture(height=64, width=80, seed=0):
    """A smooth random image, float."""
    image = np.random.default_rng(seed).random((height, width)) * 255
    for axis in (0, 1):
        for _ in range(4):
            image = (np.roll(image, 1, axis) + 2 * image + np.roll(image, -1, axis)) / 4
    low, high = image.min(), image.max()
    return (image - low) / (high - low) * 255


def moving(count, right, down):
    """Grey images of a texture that moves by whole pixels, [count, h, w] uint8."""
    image = texture()
    moved = [np.roll(image, (i * down, i * right), (0, 1)) for i in range(count)]
    return np.stack(moved).round().astype(np.uint8)


def test_flow_is_quantised_with_halves_to_even():
    # 255 (v + 20) / 40: 0 is 127.5, and one level is 0.157 pixels.
    values = [0, 20, -20, 21, -1000, 1000, 40 / 255, 20 / 255, -20 / 255]
    levels = [128, 255, 0, 255, 0, 255, 128, 128, 127]
    found = flow_lib.quantised(np.array(values))
    np.testing.assert_array_equal(found, levels)
    assert found.dtype == np.uint8


@pytest.mark.parametrize("method", ["tvl1", "dis"])
def test_flow_of_a_translation_is_the_translation(method):
    pytest.importorskip("cv2")
    first, second = moving(2, 3, 2)
    found = flow_lib.flow(first, second, method)
    assert found.shape == (64, 80, 2) and found.dtype == np.float32
    np.testing.assert_allclose(np.median(found, axis=(0, 1)), [3, 2], atol=0.1)
    # What was computed before does not matter.
    flow_lib.flow(second, first, method)
    np.testing.assert_array_equal(flow_lib.flow(first, second, method), found)


def test_channels_of_a_stack_are_x_and_y_in_turn():
    pytest.importorskip("cv2")
    image = texture(96, 128)
    places = np.cumsum([(0, 0), (1, -2), (2, 0), (-1, 3), (0, 1), (-3, -1)], axis=0)
    images = [np.roll(image, (down, right), (0, 1)) for right, down in places]
    frames = np.stack(images).round().astype(np.uint8)[..., None].repeat(3, axis=-1)
    stack = flow_lib.flow_stack(frames, "dis")
    assert stack.shape == (96, 128, 10) and stack.dtype == np.uint8
    levels = flow_lib.quantised(np.diff(places, axis=0)).ravel()
    middle = np.median(stack[16:-16, 16:-16], axis=(0, 1))
    np.testing.assert_allclose(middle, levels, atol=1)


def test_frames_are_made_grey_as_rgb():
    cv2 = pytest.importorskip("cv2")
    frames = np.zeros((6, 64, 64, 3), np.uint8)
    frames[..., 0] = texture(64, 64)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    assert grey[0].max() == 76  # 0.299 of 255.
    # Red moves right, fainter blue moves up.
    for number, frame in enumerate(frames):
        frame[..., 0] = np.roll(texture(64, 64), number, axis=1)
        frame[..., 2] = np.roll(texture(64, 64)[::-1], -number, axis=0)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    wanted = [flow_lib.flow(grey[n], grey[n + 1], "dis") for n in range(5)]
    wanted = flow_lib.quantised(np.concatenate(wanted, axis=-1))
    np.testing.assert_array_equal(flow_lib.flow_stack(frames, "dis"), wanted)
    assert np.any(flow_lib.flow_stack(frames[..., ::-1].copy(), "dis") != wanted)


def test_a_mirror_negates_x_alone():
    stack = np.zeros((2, 3, 10), np.uint8)
    stack[:] = np.arange(10) * 10
    stack[:, 0] += 1
    found = flow_lib.mirrored(stack)
    np.testing.assert_array_equal(found[..., 1::2], stack[:, ::-1, 1::2])
    np.testing.assert_array_equal(found[..., ::2], 255 - stack[:, ::-1, ::2])
    np.testing.assert_array_equal(flow_lib.mirrored(found), stack)


def test_crops_are_the_corners_the_centre_and_their_mirrors():
    rows, columns = np.mgrid[:256, :340] % 256
    images = np.stack([rows, columns], axis=-1)[None].astype(np.uint8)
    crops = flow_lib.ten_crops(images, 224, False)
    assert crops.shape == (1, 10, 224, 224, 2)
    corners = [(0, 0), (0, 116), (32, 0), (32, 116), (16, 58)]
    np.testing.assert_array_equal(crops[0, :5, 0, 0], corners)
    np.testing.assert_array_equal(crops[:, 5:], crops[:, :5, :, ::-1])
    centre = flow_lib.centre_crop(images, 224)
    np.testing.assert_array_equal(crops[:, 4], centre)
    flows = flow_lib.ten_crops(images, 224, True)
    np.testing.assert_array_equal(flows[:, :5], crops[:, :5])
    np.testing.assert_array_equal(flows[:, 5:], flow_lib.mirrored(crops[:, :5]))
    whole = flow_lib.ten_crops(images[:, :20, :20], 20, False)
    np.testing.assert_array_equal(whole[:, 0], images[:, :20, :20])


def test_what_does_not_fit_is_named():
    grey = np.zeros((8, 8), np.uint8)
    with pytest.raises(ValueError, match="expected two uint8 images"):
        flow_lib.flow(grey, grey[:4], "dis")
    with pytest.raises(ValueError, match="expected two uint8 images"):
        flow_lib.flow(grey.astype(float), grey, "dis")
    with pytest.raises(ValueError, match="expected uint8 frames"):
        flow_lib.flow_stack(np.zeros((1, 8, 8, 3), np.uint8), "dis")
    with pytest.raises(ValueError, match="expected a crop within 8x8, found 9"):
        flow_lib.ten_crops(np.zeros((1, 8, 8, 3)), 9, False)


def test_an_unknown_method_is_named():
    pytest.importorskip("cv2")
    grey = np.zeros((8, 8), np.uint8)
    with pytest.raises(ValueError, match="expected 'tvl1' or 'dis', found 'fast'"):
        flow_lib.flow(grey, grey, "fast")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    for cached in (flow_lib._opencv, flow_lib._algorithm):
        cached.cache_clear()
    grey = np.zeros((8, 8), np.uint8)
    with pytest.raises(errors.InputError, match=r"install 'cleannet_jax\[video\]'"):
        flow_lib.flow(grey, grey, "dis")
