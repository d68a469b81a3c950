"""Features of blocks, on frames of a few colours and a square that moves."""

import numpy as np
import pytest

from cleannet_jax.features import blocks

# Where motion is in the difference features of the usual grid.
SPEEDS, SHARES = slice(129, 133), slice(133, 137)


def square(*, x=40.0, y=30.0, size=12.0, angle=0.0, height=60, width=80):
    """A frame with a square in two tones on grey, with soft edges."""
    down, right = np.mgrid[:height, :width] + 0.5
    right, down = right - x, down - y
    along = right * np.cos(angle) + down * np.sin(angle)
    across = down * np.cos(angle) - right * np.sin(angle)
    reach = np.maximum(np.abs(along), np.abs(across))
    inside = np.clip((size - reach) / 4 + 0.5, 0, 1)
    tone = 128 + 100 * np.clip(along / 4, -1, 1) * inside
    return np.repeat(tone[..., None], 3, axis=-1).astype(np.uint8)


def motion(first, second):
    """The features of one pair."""
    return blocks.difference_blocks(square(**first)[None], square(**second)[None])[0]


def test_colours_are_those_of_the_blocks():
    frames = np.zeros((2, 4, 6, 3), np.uint8)
    frames[0, :2, :3] = (255, 0, 51)
    frames[1, 2:, 3:] = (0, 102, 255)
    found = blocks.rgb_blocks(frames, grid=(2, 2))
    assert found.dtype == np.float32 and found.shape == (2, 12)
    np.testing.assert_allclose(found[0], [1, 0, 0.2] + [0] * 9, atol=1e-6)
    np.testing.assert_allclose(found[1], [0] * 9 + [0, 0.4, 1], atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (9, 12), (100, 13), (37, 301)])
def test_frames_of_any_size_have_features_of_one_width(shape):
    frames = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), dtype=np.uint8)
    found = blocks.rgb_blocks(frames)
    assert found.shape == (3, 324) and 0 <= found.min() and found.max() <= 1
    if min(shape) > 9:
        rows = np.arange(10) * shape[0] // 9
        columns = np.arange(13) * shape[1] // 12
        block = frames[2, rows[4] : rows[5], columns[3] : columns[4], 1]
        place = (4 * 12 + 3) * 3 + 1
        np.testing.assert_allclose(found[2, place], block.mean() / 255, rtol=1e-5)
    moving = blocks.difference_blocks(frames[:-1], frames[1:])
    assert moving.shape == (2, 137) and np.isfinite(moving).all() and moving.min() >= 0


def test_no_frames_have_no_features():
    none = np.zeros((0, 9, 12, 3), np.uint8)
    assert blocks.rgb_blocks(none).shape == (0, 324)
    assert blocks.difference_blocks(none, none).shape == (0, 137)


def test_nothing_moves_between_equal_frames():
    assert not motion({}, {}).any()


@pytest.mark.parametrize("place", [{}, {"x": 20.0, "y": 18.0}, {"x": 58.0, "y": 41.0}])
@pytest.mark.parametrize(
    ("change", "which"),
    [
        ({"x": 1.5}, 0),
        ({"x": -1.5}, 0),
        ({"y": 1.5}, 1),
        ({"y": -1.5}, 1),
        ({"size": 1.5}, 2),
        ({"angle": 0.12}, 3),
        ({"angle": -0.12}, 3),
    ],
)
def test_motions_are_told_apart_wherever_they_are(place, change, which):
    first = {"x": 40.0, "y": 30.0, "size": 12.0, "angle": 0.3} | place
    second = first | {name: first[name] + value for name, value in change.items()}
    found = motion(first, second)
    assert found[SHARES].argmax() == found[SPEEDS].argmax() == which
    assert found[SPEEDS][which] > 2 * np.delete(found[SPEEDS], which).max()


def test_speed_is_in_quarters_of_a_block():
    # 80 pixels are 12 blocks: 1.25 pixels are 3/16 of a block.
    found = motion({"x": 40.0}, {"x": 41.25})
    assert found[SPEEDS][0] / 6 == pytest.approx(0.75, rel=0.15)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((2, 4, 6, 3), np.float32),
        np.zeros((4, 6, 3), np.uint8),
        np.zeros((2, 4, 6, 1), np.uint8),
        np.zeros((2, 0, 6, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(frames):
    with pytest.raises(ValueError, match="expected"):
        blocks.rgb_blocks(frames)
    with pytest.raises(ValueError, match="expected"):
        blocks.difference_blocks(frames, frames)


def test_pairs_must_be_pairs():
    frames = np.zeros((3, 4, 6, 3), np.uint8)
    with pytest.raises(ValueError, match="found 3 frames, expected 2"):
        blocks.difference_blocks(frames[:2], frames)
