"""RGB images of decoded frames: scaled, turned as they are shown, and cropped."""

import math
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np


class Size(NamedTuple):
    """How frames are scaled and cropped; by default they stay as shown.

    Attributes:
      shorter: of the shorter side, in pixels; the aspect stays as shown. 0 for any.
      exact: (width, height) whatever the aspect; excludes `shorter`.
      crop: (width, height) that is cut out of the centre of what was scaled.
    """

    shorter: int = 0
    exact: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None


def orientation(frame: Any) -> tuple[int, bool]:
    """Returns how a coded frame is shown: degrees counter-clockwise, is it mirrored.

    It is mirrored before it is turned. Angles are rounded to 0, 90, 180 and 270.
    """
    from av.sidedata import sidedata

    kind = sidedata.Type.DISPLAYMATRIX
    try:
        matrix = np.frombuffer(bytes(frame.side_data[kind]), np.int32)
    except KeyError:
        return 0, False
    # Right and down of a coded frame lead to (a, b) and (c, d), right and down.
    a, b, _, c, d = (float(value) for value in matrix[:5])
    is_mirrored = a * d - b * c < 0
    if is_mirrored:
        a, b = -a, -b
    return round(math.degrees(math.atan2(-b, a)) / 90) % 4 * 90, is_mirrored


def shown_size(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Returns the size with square pixels; a pixel beyond 16:1 is a mistake, ignored."""
    if aspect is None or not Fraction(1, 16) <= aspect <= 16:
        return width, height
    return max(round(width * aspect), 1), height


def scaled_size(width: int, height: int, size: Size) -> tuple[int, int]:
    """Returns width and height that a frame is scaled to, from those as shown."""
    if size.exact is not None:
        if size.shorter:
            raise ValueError(f"expected a shorter side or an exact size, found {size}")
        return size.exact
    if not size.shorter:
        return width, height
    ratio = Fraction(size.shorter, min(width, height))
    return round(width * ratio), round(height * ratio)


class Images:
    """Makes images of frames, all of one size.

    Args:
      rotation: degrees by which they are turned, counter-clockwise.
      is_mirrored: whether left and right are exchanged before that.
      size: (width, height) that they are scaled to, as shown.
      crop: (width, height) of the centre to cut out.
    """

    def __init__(
        self,
        rotation: int,
        is_mirrored: bool,
        size: tuple[int, int],
        crop: tuple[int, int],
    ) -> None:
        from av.video import reformatter

        self._turns = rotation // 90
        self._is_mirrored = is_mirrored
        self._size = size if self._turns % 2 == 0 else size[::-1]
        self._crop = crop
        self._left, self._top = (size[0] - crop[0]) // 2, (size[1] - crop[1]) // 2
        self._reformatter = reformatter.VideoReformatter()
        how = reformatter.Interpolation
        self._how = how.BILINEAR | how.ACCURATE_RND | how.FULL_CHR_H_INT

    def of(self, frame: Any) -> np.ndarray:
        """Returns the image of a decoded frame, [h, w, 3] uint8."""
        scaled = self._reformatter.reformat(
            frame, *self._size, format="rgb24", interpolation=self._how, threads=1
        )
        image = scaled.to_ndarray()
        if self._is_mirrored:
            image = image[:, ::-1]
        image = np.rot90(image, self._turns)
        width, height = self._crop
        return image[self._top : self._top + height, self._left : self._left + width]
