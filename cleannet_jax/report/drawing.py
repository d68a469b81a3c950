"""What all drawings share: matplotlib without its state, fonts, files without dates."""

import contextlib
import importlib
import io
import os
import pathlib
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from cleannet_jax import errors
from cleannet_jax.data import files
from cleannet_jax.report import plain

# Inches: one of two columns of a paper.
COLUMN = 3.4

# Metadata that would make two drawings of one thing differ, by the ending of a file.
_UNDATED: Mapping[str, dict[str, Any]] = {
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None},
    ".png": {"Software": None},
}
# PDF has whole fonts in it; SVG has outlines.
_FILES = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "cleannet"}
# The first one comes with matplotlib; the others have what it lacks.
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans",
    "Arial Unicode MS",
)
_MISSING = "\N{WHITE SQUARE}"


def matplotlib(name: str) -> Any:
    """Returns a module of matplotlib, which two extras bring.

    Raises:
      InputError: it is not there.
    """
    try:
        return importlib.import_module(f"matplotlib.{name}")
    except ImportError:
        raise errors.InputError(
            "drawing: found no matplotlib, expected it: pip install"
            " 'cleannet_jax[report]'"
        ) from None


class Font:
    """What the fonts at hand can draw.

    Attributes:
      family: their names, the first that has a character draws it.
    """

    def __init__(self) -> None:
        manager = matplotlib("font_manager")
        names = {entry.name for entry in manager.fontManager.ttflist}
        self.family = [name for name in _FONTS if name in names]
        self._characters: set[int] = set()

    def shown(self, text: str, longest: int) -> str:
        """The text on one line of so many characters, with a box for what no font has."""
        line = plain.one_line(text, longest)
        if line.isascii():
            return line
        if not self._characters:
            manager, ft2font = matplotlib("font_manager"), matplotlib("ft2font")
            for name in self.family:
                path = manager.findfont(name)
                self._characters |= set(ft2font.FT2Font(path).get_charmap())
        return "".join(map(self._drawable, line))

    def _drawable(self, character: str) -> str:
        if ord(character) in self._characters:
            return character
        # Joiners and selectors are nothing by themselves.
        is_own = unicodedata.category(character)[0] not in "MC"
        return _MISSING if is_own else ""


def styled(
    style: Mapping[str, Any], font: Font
) -> contextlib.AbstractContextManager[None]:
    """Lets nothing but a style and fonts decide: the user's own may, say, call LaTeX.

    Args:
      style: of matplotlib's settings, beside its default ones.
      font: to write with.
    """
    settings = {**_FILES, **style, "font.family": font.family}
    return matplotlib("style").context(["default", settings])


def checked_ending(path: str | os.PathLike) -> str:
    """Returns the ending of a figure's file, in lower case.

    Raises:
      InputError: it is none of PDF, SVG and PNG.
    """
    ending = pathlib.Path(path).suffix.lower()
    if ending not in _UNDATED:
        raise errors.InputError(
            f"{path}: found the ending {ending!r}, expected {', '.join(_UNDATED)}"
        )
    return ending


def save(
    path: str | os.PathLike,
    draw: Callable[[Font], Any],
    *,
    style: Mapping[str, Any],
    dots: int,
) -> None:
    """Writes a figure, atomically; the same one is the same bytes.

    Args:
      path: of the file, which is PDF, SVG or PNG by its ending.
      draw: makes the figure, with what fonts there are.
      style: as for `styled`.
      dots: an inch, of PNG.

    Raises:
      InputError: the path has another ending, or matplotlib is missing.
    """
    ending = checked_ending(path)
    content, font = io.BytesIO(), Font()
    with styled(style, font):
        figure = draw(font)
        figure.savefig(content, format=ending[1:], dpi=dots, metadata=_UNDATED[ending])
    with files.open_atomic(path, "wb") as file:
        file.write(content.getvalue())
