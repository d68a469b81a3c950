"""Optical flow between frames as 8-bit images, and crops of images.

The flow of the two-stream networks: dense, in pixels a frame, quantised so that
-20 .. 20 are 0 .. 255 and no motion is 128. Channels are x1 y1 x2 y2 ...

OpenCV computes it, in one thread, since processes are the parallelism; so a process that
calls `flow` has OpenCV's number of threads set to one. Not for several threads at once.
"""

import functools
from typing import Any, Literal

import numpy as np

from cleannet_jax import errors

# Pixels at both ends of the quantised range.
_BOUND = 20.0

Method = Literal["tvl1", "dis"]


def quantised(flow: np.ndarray) -> np.ndarray:
    """Returns flow as 8-bit values of its shape: round(255 (v + 20) / 40) in 0 .. 255.

    Halves go to the even number, so that 0, which is 127.5, becomes 128.

    Args:
      flow: of any shape, pixels.
    """
    values = 255 * (np.asarray(flow, np.float64) + _BOUND) / (2 * _BOUND)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def flow(first: np.ndarray, second: np.ndarray, method: Method) -> np.ndarray:
    """Returns where each pixel of an image goes, [h, w, 2] float32 pixels: x, then y.

    Args:
      first: [h, w] uint8, grey.
      second: [h, w] uint8, the next image.
      method: "tvl1" is the duality-based TV-L1 that the networks were trained on, with
        OpenCV's default parameters (CPU: not bit for bit what a GPU gives); "dis" is
        dense inverse search with its medium preset, many times faster.

    Raises:
      InputError: OpenCV or its contributed modules are missing.
    """
    if first.dtype != np.uint8 or first.ndim != 2 or first.shape != second.shape:
        raise ValueError(
            f"expected two uint8 images [h, w], found {first.dtype} {first.shape} and"
            f" {second.dtype} {second.shape}"
        )
    return _algorithm(method).calc(first, second, None)


def flow_stack(frames: np.ndarray, method: Method) -> np.ndarray:
    """Returns the flows of frames in turn, quantised, [h, w, 2 (K - 1)] uint8.

    Args:
      frames: [K, h, w, 3] uint8, RGB, consecutive; six where a network takes five flows.
      method: see `flow`.

    Raises:
      InputError: as `flow` does.
    """
    if frames.dtype != np.uint8 or len(frames) < 2 or frames.ndim != 4:
        raise ValueError(
            f"expected uint8 frames [h, w, 3], two or more, found {frames.dtype}"
            f" {frames.shape}"
        )
    cv2 = _opencv()
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    flows = [flow(grey[i], grey[i + 1], method) for i in range(len(frames) - 1)]
    return quantised(np.concatenate(flows, axis=-1))


def mirrored(stack: np.ndarray) -> np.ndarray:
    """Returns a stack of flows with left and right exchanged, [..., h, w, c] uint8.

    What goes right goes left then: x becomes 255 - x, as the published pipelines have
    it. (About the mean of 128 that is half a grey level off the exact 256 - x.)

    Args:
      stack: [..., h, w, c] uint8, quantised, channels x1 y1 x2 y2 ...
    """
    result = stack[..., ::-1, :].copy()
    result[..., ::2] = 255 - result[..., ::2]
    return result


def centre_crop(images: np.ndarray, size: int) -> np.ndarray:
    """Returns the centres of images, [n, s, s, c]; (58, 16) on in 340x256 at 224.

    Args:
      images: [n, h, w, c], at least of the size.
      size: s, pixels.
    """
    height, width = images.shape[1:3]
    if size > min(height, width):
        raise ValueError(f"expected a crop within {width}x{height}, found {size}")
    top, left = (height - size) // 2, (width - size) // 2
    return images[:, top : top + size, left : left + size]


def ten_crops(images: np.ndarray, size: int, is_flow: bool) -> np.ndarray:
    """Returns ten crops of images, [n, 10, s, s, c].

    Upper left, upper right, lower left, lower right and centre; then these mirrored.

    Args:
      images: [n, h, w, c], at least of the size.
      size: s, pixels.
      is_flow: whether they are stacks of flows, of which a mirror negates x.
    """
    low, high = slice(None, size), slice(-size, None)
    corners = [(low, low), (low, high), (high, low), (high, high)]
    crops = [centre_crop(images, size)]
    crops = [images[:, rows, columns] for rows, columns in corners] + crops
    five = np.stack(crops, axis=1)
    other = mirrored(five) if is_flow else five[..., ::-1, :]
    return np.concatenate([five, other], axis=1)


@functools.cache
def _opencv() -> Any:
    """OpenCV, in one thread."""
    try:
        import cv2
    except ImportError:
        raise errors.InputError(
            "optical flow needs OpenCV: pip install 'cleannet_jax[video]'"
        ) from None
    cv2.setNumThreads(1)
    return cv2


@functools.cache
def _algorithm(method: Method) -> Any:
    """What computes flow; made once, since that takes long for a small image."""
    cv2 = _opencv()
    if method == "dis":
        return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    if method != "tvl1":
        raise ValueError(f"expected 'tvl1' or 'dis', found {method!r}")
    if not hasattr(cv2, "optflow"):
        raise errors.InputError(
            "TV-L1 flow needs the contributed modules of OpenCV, found OpenCV without"
            " them: uninstall its packages, then pip install 'cleannet_jax[video]'"
        )
    return cv2.optflow.DualTVL1OpticalFlow_create()
