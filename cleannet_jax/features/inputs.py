"""What a backbone is given of a video: pictures and flow of each snippet, on the host.

Snippets are placed in time, by the time stamps of the file: snippet t covers the seconds
[t S, (t + 1) S), S being one value for the whole video. Everything here runs in the
processes that decode, and is sent to the one that computes features as uint8 arrays,
one for each stream, [n, ...] for n snippets in a row.
"""

import dataclasses
import hashlib
import math
import os
import pathlib
from typing import NamedTuple, Protocol

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import arrays, files, folders
from cleannet_jax.features import blocks, flow
from cleannet_jax.features import video as video_lib

# Pictures of networks that ImageNet trained: 256 on the shorter side, of which the
# middle counts.
SHORTER, CROP = 256, 224
# Frames between the two that are subtracted: TSN stacks the differences of six frames in
# a row. A first layer whose kernel is the same for each of them, as TSN's
# is to begin with, sums them up, and all between the first and the last is nothing.
DIFFERENCE_FRAMES = 5
# Differences [-127, 128] as uint8: nothing moves at the value that becomes the network's 0.
NO_DIFFERENCE = 127
# UntrimmedNet's: frames as (width, height), and flows that are stacked.
TSN_SIZE = (340, 256)
FLOWS = 5
# Of the backbone that needs no weights: frames as (width, height), and those a second.
BLOCKS_SIZE = (96, 72)
PAIR_RATE = 15
# Pairs that are compared at a time, which bounds the memory of long snippets.
_PAIRS = 512


class Grid(NamedTuple):
    """How long a snippet lasts; one of the two is given.

    Attributes:
      rate: snippets a second.
      frames: frames a snippet, at the video's own mean frame rate.
    """

    rate: float = 0
    frames: int = 0

    def seconds(self, video: video_lib.Video) -> float:
        """S of a video."""
        return 1 / self.rate if self.rate else self.frames / video.fps

    def count(self, video: video_lib.Video) -> int:
        """T of a video: the last snippet may reach beyond its end."""
        if self.frames:
            return -(-len(video.times) // self.frames)
        # A frame's duration is rounded in many files: a thousandth is no snippet.
        return max(math.ceil(video.duration * self.rate - 1e-3), 1)


class Inputs(Protocol):
    """What is made of snippets `first` to `last` (exclusive) of a video.

    Returns arrays [last - first, ...] by name, whose bytes for each snippet do not
    depend on which snippets are asked for together.
    """

    def __call__(
        self, video: video_lib.Video, first: int, last: int
    ) -> dict[str, np.ndarray]: ...


def numbers(
    video: video_lib.Video, grid: Grid, first: int, last: int, places: tuple[float, ...]
) -> np.ndarray:
    """Numbers of the frames shown in snippets.

    Args:
      video: any.
      grid: of its snippets.
      first: snippet.
      last: the one after the last snippet.
      places: P places in a snippet, of [0, 1).

    Returns:
      [last - first, P] int.
    """
    seconds = (np.arange(first, last)[:, None] + np.array(places)) * grid.seconds(video)
    return video_lib.number_at(video, seconds.ravel()).reshape(seconds.shape)


def pictures(
    video: video_lib.Video, wanted: np.ndarray, size: video_lib.Size
) -> np.ndarray:
    """Frames [..., h, w, 3] uint8 RGB of numbers [...], in any order, each decoded once."""
    unique, places = np.unique(wanted, return_inverse=True)
    return video_lib.frames(video, unique, size)[places.reshape(wanted.shape)]


@dataclasses.dataclass(frozen=True)
class Images:
    """A frame of each snippet, and how it changes.

    rgb is the frame in the middle of the snippet; rgbdiff is the difference of the
    frames around it, `DIFFERENCE_FRAMES` apart, clipped, as `NO_DIFFERENCE` + its value.

    Attributes:
      grid: of the snippets.
      names: of the streams, of rgb and rgbdiff.
      size: of the pictures.
    """

    grid: Grid
    names: tuple[str, ...]
    size: video_lib.Size

    def __call__(
        self, video: video_lib.Video, first: int, last: int
    ) -> dict[str, np.ndarray]:
        """Arrays [n, h, w, 3] by stream."""
        middle = numbers(video, self.grid, first, last, (0.5,))[:, 0]
        start = np.maximum(middle - DIFFERENCE_FRAMES // 2, 0)
        end = np.minimum(start + DIFFERENCE_FRAMES, len(video.times) - 1)
        found = pictures(video, np.stack([middle, start, end]), self.size)
        change = found[2].astype(np.int16) - found[1]
        change = np.clip(change + NO_DIFFERENCE, 0, 255).astype(np.uint8)
        both = {"rgb": found[0], "rgbdiff": change}
        return {name: both[name] for name in self.names}


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Mean colours and motion in the blocks of a grid over small frames.

    Motion is of frames `PAIR_RATE` a second, each compared with the next one, and
    averaged over a snippet. Features are computed here, in the processes that decode.

    Attributes:
      grid: of the snippets.
      names: of the streams, of rgb and motion.
    """

    grid: Grid
    names: tuple[str, ...]

    def __call__(
        self, video: video_lib.Video, first: int, last: int
    ) -> dict[str, np.ndarray]:
        """Arrays [n, D] float32 by stream."""
        size = video_lib.Size(exact=BLOCKS_SIZE)
        made = {}
        if "rgb" in self.names:
            middle = numbers(video, self.grid, first, last, (0.5,))[:, 0]
            made["rgb"] = blocks.rgb_blocks(pictures(video, middle, size))
        if "motion" in self.names:
            made["motion"] = self._motion(video, first, last, size)
        return made

    def _motion(
        self, video: video_lib.Video, first: int, last: int, size: video_lib.Size
    ) -> np.ndarray:
        """The mean over the pairs that begin in each snippet, one at least.

        None begins after the end of the video, where nothing moves.
        """
        seconds = np.arange(first, last + 1) * self.grid.seconds(video)
        borders = np.minimum(seconds, video.duration) * PAIR_RATE
        starts = np.ceil(borders - 1e-6).astype(int)
        ends = np.maximum(starts[1:], starts[:-1] + 1)
        pairs = np.arange(starts[0], max(ends[-1], starts[-1]) + 1)
        shown = video_lib.number_at(video, (pairs + 0.5) / PAIR_RATE)
        parts = []
        for at in range(0, len(pairs) - 1, _PAIRS):
            found = pictures(video, shown[at : at + _PAIRS + 1], size)
            parts.append(blocks.difference_blocks(found[:-1], found[1:]))
        motion = np.concatenate(parts)
        own = zip(starts[:-1] - starts[0], ends - starts[0], strict=True)
        return np.stack([motion[start:end].mean(axis=0) for start, end in own])


@dataclasses.dataclass(frozen=True)
class TwoStream:
    """UntrimmedNet's: the first frame of a snippet, and the first five flows.

    Where the video ends earlier the last flow there is stands in their place.

    Attributes:
      grid: of the snippets.
      names: of the streams, of rgb and flow.
      method: of `flow.flow`.
      cache: folder that flow is kept in, for other weights or crops; empty for none.
    """

    grid: Grid
    names: tuple[str, ...]
    method: flow.Method
    cache: str = ""

    def __call__(
        self, video: video_lib.Video, first: int, last: int
    ) -> dict[str, np.ndarray]:
        """rgb [n, 256, 340, 3] as BGR, flow [n, 256, 340, 10]."""
        size = video_lib.Size(exact=TSN_SIZE)
        # In the middle of a frame's time, so that rounded time stamps change nothing.
        place = min(0.5 / (video.fps * self.grid.seconds(video)), 0.5)
        start = numbers(video, self.grid, first, last, (place,))[:, 0]
        last_frame = len(video.times) - 1
        flows = np.clip(start[:, None] + np.arange(FLOWS), 0, max(last_frame - 1, 0))
        wanted = [start[:, None]]
        is_cached = bool(self.cache) and "flow" in self.names
        kept = self._place(video, first, last) if is_cached else None
        known = self._kept(kept, last - first)
        if "flow" in self.names and known is None:
            wanted += [flows, np.minimum(flows + 1, last_frame)]
        found = pictures(video, np.concatenate(wanted, axis=1), size)
        made = {"rgb": found[:, 0, ..., ::-1]} if "rgb" in self.names else {}
        if known is not None:
            made["flow"] = known
        elif "flow" in self.names:
            pairs = np.stack([found[:, 1 : 1 + FLOWS], found[:, 1 + FLOWS :]], axis=2)
            stacks = [self._stack(*row) for row in zip(flows, pairs, strict=True)]
            made["flow"] = np.stack(stacks)
            self._keep(made["flow"], kept)
        return made

    def _place(self, video: video_lib.Video, first: int, last: int) -> pathlib.Path:
        """Where the flow of some snippets is kept, named for all that decides it."""
        now = os.stat(video.path)
        key = (video.path, now.st_size, now.st_mtime_ns, self.grid, self.method)
        name = hashlib.sha256(repr((*key, first, last)).encode()).hexdigest()[:32]
        return pathlib.Path(self.cache, f"{name}.npz")

    def _kept(self, place: pathlib.Path | None, count: int) -> np.ndarray | None:
        """Flow that was computed before; what cannot be read is computed anew."""
        if place is None or not place.exists():
            return None
        try:
            found = arrays.read_members(place)["flow"]
        except (errors.InputError, KeyError):
            return None
        width, height = TSN_SIZE
        shape = (count, height, width, 2 * FLOWS)
        return found if found.shape == shape and found.dtype == np.uint8 else None

    def _keep(self, found: np.ndarray, place: pathlib.Path | None) -> None:
        """Keeps flow, a tenth of its size or so."""
        if place is not None:
            folders.make(place.parent)
            with files.open_atomic(place, "wb", is_bulk=True) as file:
                np.savez_compressed(file, flow=found)

    def _stack(self, flows: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Five flows [256, 340, 10], of the pairs of frames [5, 2, 256, 340, 3]."""
        made = {}
        for number, pair in zip(flows, found, strict=True):
            if number not in made:
                made[number] = flow.flow_stack(pair, self.method)
        return np.concatenate([made[number] for number in flows], axis=-1)


@dataclasses.dataclass(frozen=True)
class Clips:
    """Frames of each snippet as they are, for a network of somebody else's.

    Attributes:
      grid: of the snippets.
      count: frames a snippet.
      size: of the frames.
    """

    grid: Grid
    count: int
    size: video_lib.Size

    def __call__(
        self, video: video_lib.Video, first: int, last: int
    ) -> dict[str, np.ndarray]:
        """{"frames": [n, count, h, w, 3]}."""
        places = tuple((np.arange(self.count) + 0.5) / self.count)
        wanted = numbers(video, self.grid, first, last, places)
        return {"frames": pictures(video, wanted, self.size)}
