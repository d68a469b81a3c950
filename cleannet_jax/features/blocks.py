"""Features that need no weights: colours and motion of a frame's blocks.

Frames are [n, h, w, 3] uint8 of any size, RGB. They are divided into a grid of blocks,
rows first, so that what is returned does not depend on the size; a frame with fewer
pixels than blocks repeats some.
"""

import numpy as np

# Rows and columns of blocks.
GRID = (9, 12)
# Motion is measured in cells, so many a block each way: fine enough for gradients,
# coarse enough for noise to average out.
_CELLS = 4
# Differences of grey below it, of [0, 1], are noise.
_NOISE = 0.03
# Keeps motion at 0 where hardly anything changes.
_RIDGE = 1e-4
# Motion, in cells, of which shares are half of what they are of fast motion.
_SLOW = 0.5
# What learning rates are made for, see `difference_blocks`.
_SCALE = 6.0


def rgb_blocks(frames: np.ndarray, *, grid: tuple[int, int] = GRID) -> np.ndarray:
    """Returns the mean colours of the blocks, [n, rows * columns * 3] in [0, 1].

    Args:
      frames: [n, h, w, 3] uint8.
      grid: rows and columns.

    Raises:
      ValueError: frames are of another shape or type.
    """
    _check(frames)
    return _means(frames, grid).reshape(len(frames), 3 * grid[0] * grid[1]) / 255


def difference_blocks(
    first: np.ndarray, second: np.ndarray, *, grid: tuple[int, int] = GRID
) -> np.ndarray:
    """Returns where frames change from one to the next, and how what changes moves.

    With d the difference of grey and g its gradient, d = -g . v where what moves keeps
    its brightness (Horn and Schunck, 1981). Let v be a shift along the axes, a growth
    and a turn about the middle of the change: v(p) = (a, b) + s p + r p', p' being p
    turned by a right angle. Its least squares over the frame, weighted by |d|, say what
    moves how fast, wherever it is.

    All values are 0 or above, so that the mean over the pairs of a snippet keeps what
    moves to and fro.

    Args:
      first: [n, h, w, 3] uint8.
      second: [n, h, w, 3] uint8, a short time later: consecutive frames, say.
      grid: rows and columns.

    Returns:
      [n, rows * columns + rows + columns + 8] float32: the root of the mean |d| of each
      block, row and column; |a|, |b|, |s|, |r|, in quarters of a block; and the share
      of each of these in their sum; all times 6, so that features of something that
      moves half of the time have a root mean square near 1.

    Raises:
      ValueError: frames are of another shape or type, or not as many in both.
    """
    _check(first)
    _check(second)
    if len(first) != len(second):
        raise ValueError(
            f"second: found {len(second)} frames, expected {len(first)}, one for each of"
            " the first"
        )
    cells = (_CELLS * grid[0], _CELLS * grid[1])
    before, after = (_grey(frames, cells) for frames in (first, second))
    change = np.abs(after - before)
    change = np.where(change < _NOISE, 0, change)
    by_cell = change.reshape(len(first), grid[0], _CELLS, grid[1], _CELLS)
    by_block = by_cell.mean(axis=(2, 4))
    parts = [
        by_block.reshape(len(first), grid[0] * grid[1]),
        by_block.mean(axis=2),
        by_block.mean(axis=1),
    ]
    motion = _motion(after - before, (after + before) / 2, change)
    where = np.sqrt(np.concatenate(parts, axis=1))
    return np.float32(_SCALE) * np.concatenate([where, motion], axis=1)


def _check(frames: np.ndarray) -> None:
    """Raises a ValueError unless these are frames."""
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(
            f"frames: found {frames.dtype} of shape {frames.shape}, expected uint8 of"
            " shape (n, h, w, 3)"
        )
    if not frames.shape[1] or not frames.shape[2]:
        raise ValueError(f"frames: found shape {frames.shape}, expected pixels")


def _means(frames: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """The means of the blocks, [n, rows, columns, channels] float32."""
    (rows, heights), (columns, widths) = (
        _divided(size, count)
        for size, count in zip(frames.shape[1:3], grid, strict=True)
    )
    # For the pixels themselves reduceat takes ten times as long.
    bands = [
        frames[:, start : start + height].sum(axis=1, dtype=np.float32)
        for start, height in zip(rows, heights, strict=True)
    ]
    sums = np.add.reduceat(np.stack(bands, axis=1), columns, axis=2)
    return sums / np.outer(heights, widths)[..., None].astype(np.float32)


def _divided(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts and sizes of blocks; of more blocks than pixels each has one."""
    starts = np.arange(count) * size // count
    return starts, np.maximum(np.diff(starts, append=size), 1)


def _grey(frames: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """The brightness of cells, [n, rows, columns] in [0, 1]."""
    return _means(frames, grid).mean(axis=-1) / 255


def _motion(difference: np.ndarray, grey: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """How what changes moves as a whole, [n, 8], see `difference_blocks`.

    Args:
      difference: [n, rows, columns], d.
      grey: [n, rows, columns], whose gradient is g.
      weight: [n, rows, columns], how much each cell counts.
    """
    n, rows, columns = grey.shape
    down, right = np.gradient(grey, axis=(1, 2))
    y, x = np.mgrid[:rows, :columns].astype(np.float32) + 0.5
    total = weight.sum(axis=(1, 2)) + _RIDGE
    x, y = (
        axis - ((weight * axis).sum(axis=(1, 2)) / total)[:, None, None]
        for axis in (x, y)
    )
    # Growth and turn as the speed at the object's own radius.
    spread = np.sqrt((weight * (x**2 + y**2)).sum(axis=(1, 2)) / total + 1)
    growth = (right * x + down * y) / spread[:, None, None]
    turn = (down * x - right * y) / spread[:, None, None]
    terms = np.stack([right, down, growth, turn], axis=1).reshape(n, 4, rows * columns)
    weighted = terms * weight.reshape(n, 1, rows * columns)
    normal = weighted @ terms.swapaxes(1, 2) + _RIDGE * np.eye(4, dtype=np.float32)
    target = weighted @ -difference.reshape(n, rows * columns, 1)
    speeds = np.abs(np.linalg.solve(normal, target)[..., 0])
    shares = speeds / (speeds.sum(axis=1, keepdims=True) + _SLOW)
    return np.concatenate([speeds, shares], axis=1)
