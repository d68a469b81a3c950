"""The streams of a feature set: their names, and how wide each is.

One value that is passed along: features are [T, D] with the streams side by side, in
the order declared, and nothing else says where one ends and the next begins.
"""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Streams:
    """Names and widths of S streams; hashable, so that it can be static under jit.

    Attributes:
      names: S different names, RGB (appearance) before flow (motion).
      widths: S numbers of columns, each above 0.
    """

    names: tuple[str, ...]
    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        """Makes sure that there is a width for every name."""
        if len(self.names) != len(self.widths) or not self.names:
            raise ValueError(
                f"streams: found names {self.names} and widths {self.widths}, expected"
                " as many of either, at least one"
            )

    def __len__(self) -> int:
        """S."""
        return len(self.names)

    @property
    def width(self) -> int:
        """Columns of all streams together."""
        return sum(self.widths)

    def __str__(self) -> str:
        """Names and widths, as in "rgb 1024, flow 1024"."""
        pairs = zip(self.names, self.widths, strict=True)
        return ", ".join(f"{name} {width}" for name, width in pairs)

    @property
    def rgb_first(self) -> "Streams":
        """The same streams; where two are called rgb and flow, rgb stands first."""
        names = [name.casefold() for name in self.names]
        if not {"rgb", "flow"} <= set(names):
            return self
        rgb, flow = names.index("rgb"), names.index("flow")
        order = list(range(len(names)))
        if flow < rgb:
            order[rgb], order[flow] = flow, rgb
        return Streams(
            tuple(self.names[index] for index in order),
            tuple(self.widths[index] for index in order),
        )

    def split(self, features: Any) -> dict[str, Any]:
        """The columns of each stream.

        Args:
          features: [..., width], of NumPy or JAX.

        Returns:
          [..., D] by name, in order.
        """
        parts, start = {}, 0
        for name, width in zip(self.names, self.widths, strict=True):
            parts[name] = features[..., start : start + width]
            start += width
        return parts
