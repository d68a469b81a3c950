"""A picture of one video: what was found in it, and why (the paper's Figure 4).

On one time axis, from top to bottom: frames; annotated and detected actions, a row a
category with the score beside each; the SCP of the shown categories with its edgeness,
rising and falling in two tones; attention with its threshold. Times are in seconds.
"""

import dataclasses
import math
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import run
from cleannet_jax.report import drawing, plain

# At most so many ...
_SHOWN = 4  # categories with their SCP, unless they are named
_ROWS = 8  # categories with bars
_LANES = 4  # bars below each other in a row
_DETECTIONS = 50

# Sizes in inches.
_WIDTH, _LEFT, _RIGHT = 10.0, 1.75, 0.25
_NUMBERS = 0.36  # Left of the axes, between them and names.
_INNER = _WIDTH - _LEFT - _RIGHT
_LANE, _STRIP, _SCP, _EDGENESS, _ATTENTION = 0.19, 1.2, 0.62, 0.4, 0.5
_TOP, _GAP, _BOTTOM = 0.42, 0.12, 0.5
_DOTS = 150  # an inch

# Okabe and Ito's colours, which colour-blind people can tell apart.
_FOUND, _RISING, _FALLING, _WEIGHT = "#009E73", "#E69F00", "#0072B2", "#CC79A7"
_LINE, _FAINT = "#333333", "#DDDDDD"

_STYLE = {
    "font.size": 8,
    "hatch.linewidth": 0.6,
    "axes.linewidth": 0.6,
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """What is to be seen of a video of T snippets and N categories.

    Attributes:
      title: the video's id.
      duration: in seconds.
      times: [T + 1] seconds, where snippets begin and end.
      categories: names of the N categories.
      scp: [T, N], the snippet-level classification prediction.
      edgeness: [T, N], positive on a rising and negative on a falling edge.
      detections: in any order.
      truth: (label, start, end) of each annotated action.
      frames: (seconds, [h, w, 3] uint8) of some frames.
      attention: [T], if there is any.
      attention_threshold: above which attention counts, if there is one.
      shown: indices of the categories whose SCP is shown; None for four at most:
        annotated ones, then those of the best detections.
    """

    title: str
    duration: float
    times: np.ndarray
    categories: Sequence[str]
    scp: np.ndarray
    edgeness: np.ndarray
    detections: Sequence[run.Detection] = ()
    truth: Sequence[tuple[str, float, float]] = ()
    frames: Sequence[tuple[float, np.ndarray]] = ()
    attention: np.ndarray | None = None
    attention_threshold: float | None = None
    shown: Sequence[int] | None = None

    def __post_init__(self) -> None:
        snippets, categories = len(self.times) - 1, len(self.categories)
        expected = {
            "scp": (snippets, categories),
            "edgeness": (snippets, categories),
            "attention": (snippets,),
        }
        for name, shape in expected.items():
            value = getattr(self, name)
            if value is not None and np.shape(value) != shape:
                raise ValueError(f"{name}: found {np.shape(value)}, expected {shape}")
        if snippets < 1 or not self.duration > 0:
            raise ValueError(
                f"found {snippets} snippets of {self.duration} s, expected some"
            )


def choose_frames(duration: float, count: int) -> list[float]:
    """Returns the times of frames side by side, the middles of equal parts, in seconds.

    >>> choose_frames(12.0, 3)
    [2.0, 6.0, 10.0]
    """
    return [duration * (index + 0.5) / count for index in range(count)]


def draw(path: str | os.PathLike, picture: Picture) -> None:
    """Writes a picture, atomically.

    The same picture is the same bytes, with one version of matplotlib.

    Args:
      path: of the file, which is PNG, SVG or PDF by its ending.
      picture: what to draw.

    Raises:
      InputError: the path has another ending, or matplotlib is missing.
    """
    drawing.save(path, lambda font: _figure(picture, font), style=_STYLE, dots=_DOTS)


def figure(picture: Picture) -> Any:
    """Returns a picture as a matplotlib Figure, to change before it is saved.

    Raises:
      InputError: matplotlib is missing.
    """
    font = drawing.Font()
    with drawing.styled(_STYLE, font):
        return _figure(picture, font)


class _Bar(NamedTuple):
    """A detection's place, and its score's."""

    lane: int
    start: float  # seconds
    end: float  # seconds
    strength: float  # its score, relative to the best of the video, in [0, 1]
    text: str
    at: float  # seconds
    side: str  # where the text is aligned to: left of `at`, right of it or centred


class _Row(NamedTuple):
    """What one category has."""

    label: str
    truth: list[tuple[float, float]]
    bars: list[_Bar]

    @property
    def lanes(self) -> int:
        """How many bars are below each other."""
        found = 1 + max((bar.lane for bar in self.bars), default=-1)
        return max(bool(self.truth) + found, 1)


def _rows(picture: Picture) -> tuple[list[_Row], int]:
    """The rows of bars, annotated categories first, and how many detections they have."""
    best = sorted(
        (
            found
            for found in picture.detections
            if found.end > found.start
            and found.end > 0 < picture.duration - found.start
        ),
        key=lambda found: -found.score if found.score == found.score else math.inf,
    )[:_DETECTIONS]
    annotated = [label for label, _, _ in picture.truth]
    labels = list(dict.fromkeys(annotated + [found.label for found in best]))[:_ROWS]
    rows = []
    for label in labels:
        truth = [(start, end) for name, start, end in picture.truth if name == label]
        own = [found for found in best if found.label == label]
        bars = _bars(own, picture.duration, best[0].score if best else 0.0)
        rows.append(_Row(label, truth, bars))
    return rows, sum(len(row.bars) for row in rows)


def _bars(
    detections: Iterable[run.Detection], duration: float, best: float
) -> list[_Bar]:
    """Places in which no bar or score overlaps another, the best on top.

    What finds no place is left out.
    """
    lanes: list[list[tuple[float, float]]] = []
    bars = []
    for _, start, end, score in detections:
        start, end = max(start, 0.0), min(end, duration)
        text = plain.score(score)
        # The width of the digits, and a gap on either side.
        width = (0.065 * len(text) + 0.08) * duration / _INNER
        gap = 0.04 * duration / _INNER
        at, side, taken = end + gap, "left", (start, end + width)
        if end + width > duration:
            at, side, taken = start - gap, "right", (start - width, end)
        if taken[0] < 0:
            at, side, taken = (start + end) / 2, "center", (start, end)
        free = [lane for lane, others in enumerate(lanes) if _is_free(taken, others)]
        lane = min(free, default=len(lanes))
        if lane == _LANES:
            continue
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append(taken)
        is_comparable = math.isfinite(best) and best > 0
        strength = min(max(score / best, 0.0), 1.0) if is_comparable else 1.0
        bars.append(_Bar(lane, start, end, strength, text, at, side))
    return bars


def _is_free(place: tuple[float, float], others: list[tuple[float, float]]) -> bool:
    """Whether a place in time overlaps none of the others."""
    return all(place[1] <= first or last <= place[0] for first, last in others)


def _shown(picture: Picture) -> list[int]:
    """Indices of the categories whose SCP is drawn."""
    if picture.shown is not None:
        return list(picture.shown)
    best = sorted(picture.detections, key=lambda found: -found.score)
    labels = [label for label, _, _ in picture.truth] + [found.label for found in best]
    places = {label: index for index, label in enumerate(picture.categories)}
    known = [places[label] for label in dict.fromkeys(labels) if label in places]
    if not known and len(picture.categories):
        known = [int(np.nan_to_num(picture.scp).max(axis=0).argmax())]
    return known[:_SHOWN]


class _Page:
    """A figure that is filled from top to bottom."""

    def __init__(self, picture: Picture, height: float, font: drawing.Font) -> None:
        self.figure = drawing.matplotlib("figure").Figure(figsize=(_WIDTH, height))
        self.canvas = drawing.matplotlib("backends.backend_agg").FigureCanvasAgg(
            self.figure
        )
        self.height, self.at = height, height - _TOP
        self.duration = picture.duration
        self.font = font
        self.ticks = _ticks(picture.duration)

    def panel(self, name: str, height: float, *, gap: float = _GAP) -> Any:
        """Axes below those before, on the time axis."""
        self.at -= height
        box = (_LEFT / _WIDTH, self.at / self.height)
        axes = self.figure.add_axes(
            (*box, _INNER / _WIDTH, height / self.height), label=name
        )
        self.at -= gap
        axes.set_xlim(0, self.duration)
        axes.set_xticks(self.ticks, [])
        axes.tick_params(length=2, width=0.6, pad=2, labelsize=6.5, colors=_LINE)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_LINE)
        axes.grid(axis="x", color=_FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        return axes

    def middle(self, axes: Any) -> float:
        """The height of the middle of axes, in inches."""
        box = axes.get_position()
        return (box.y0 + box.y1) / 2 * self.height

    def write(
        self, text: str, x: float, y: float, *, width: float, **style: Any
    ) -> None:
        """Writes one line at a place in inches, cut where it is wider."""
        line = self.font.shown(text, 120)
        artist = self.figure.text(
            x / _WIDTH, y / self.height, line, parse_math=False, **style
        )
        most, kept = width * self.figure.dpi, line
        while len(kept) > 1 and artist.get_window_extent().width > most:
            # In proportion first: the middle of the way to where it fits.
            share = most / artist.get_window_extent().width
            kept = kept[: max(min(int(len(kept) * share) + 1, len(kept) - 1), 1)]
            artist.set_text(kept.rstrip() + "…")

    def name(self, text: str, y: float, *, part: str = "") -> None:
        """Writes a name left of the axes at a height, and in grey below what of it."""
        right, width = _LEFT - _NUMBERS, _LEFT - _NUMBERS - 0.1
        style: dict[str, Any] = {"ha": "right", "va": "center"}
        if text:
            self.write(text, right, y + 0.07 * bool(part), width=width, **style)
        if part:
            style |= {"color": "#777777", "fontsize": 6.5}
            self.write(part, right, y - 0.08 * bool(text), width=width, **style)


_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


def _ticks(duration: float) -> list[float]:
    """Round times, about ten of them."""
    step = next((step for step in _STEPS if duration / step <= 12), 0.0)
    if not step:
        step = 3600.0 * math.ceil(duration / 3600 / 12)
    return [index * step for index in range(int(duration / step + 1e-6) + 1)]


def _clock(seconds: float) -> str:
    """A time as m:ss, with hours or tenths where it has them."""
    tenths = round(10 * seconds)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes}:{rest // 10:02d}"
    if hours:
        text = f"{hours}:{minutes:02d}:{rest // 10:02d}"
    return f"{text}.{rest % 10}" if rest % 10 else text


def _figure(picture: Picture, font: drawing.Font) -> Any:
    """The whole picture."""
    rows, drawn = _rows(picture)
    shown = _shown(picture)
    strip = _strip_height(picture)
    lanes = sum(row.lanes for row in rows)
    height = _TOP + _BOTTOM + (strip + _GAP if strip else 0)
    height += _LANE * max(lanes, 1) + _GAP
    height += (_SCP + _EDGENESS + 1.7 * _GAP) * len(shown)
    height += _ATTENTION if picture.attention is not None else 0
    page = _Page(picture, height, font)
    _draw_title(page, picture, drawn)
    if strip:
        _draw_frames(page, picture, strip)
    axes = _draw_bars(page, rows)
    for index in shown:
        axes = _draw_category(page, picture, index)
    if picture.attention is not None:
        axes = _draw_attention(page, picture)
    axes.set_xticks(page.ticks, list(map(_clock, page.ticks)))
    _draw_legend(page, picture, bool(drawn), bool(shown))
    return page.figure


def _draw_title(page: _Page, picture: Picture, drawn: int) -> None:
    """The video's id, and how much is not drawn."""
    count = len(picture.detections)
    note = f"{count or 'no'} detection{'s' * (count != 1)}"
    if drawn < count:
        note = f"{drawn} of {count:,} detections drawn"
    y = page.height - 0.2
    page.write(
        picture.title,
        _LEFT,
        y,
        width=_INNER - 2.2,
        fontsize=11,
        va="center",
    )
    note = f"{_clock(picture.duration)}, {note}"
    style = {"ha": "right", "va": "center", "color": "#777777", "fontsize": 7.5}
    page.write(note, _WIDTH - _RIGHT, y, width=2.2, **style)


def _sizes(picture: Picture) -> list[tuple[float, float]]:
    """Width and height of each frame in inches, so that it fits between the others."""
    times = sorted(seconds for seconds, _ in picture.frames)
    closest = min(np.diff(times), default=picture.duration)
    share = min(closest / picture.duration, 1 / len(times))
    cell = max(_INNER * share - 0.03, 0.05)
    sizes = []
    for _, frame in picture.frames:
        height, width = frame.shape[:2]
        scale = min(cell / width, _STRIP / height)
        sizes.append((width * scale, height * scale))
    return sizes


def _strip_height(picture: Picture) -> float:
    """Inches that the frames take."""
    if not picture.frames:
        return 0.0
    return max(height for _, height in _sizes(picture))


def _draw_frames(page: _Page, picture: Picture, height: float) -> None:
    """Frames side by side, each around its time."""
    axes = page.panel("frames", height)
    axes.set_axis_off()
    sizes = _sizes(picture)
    second = picture.duration / _INNER  # Seconds an inch.
    for (seconds, frame), (wide, high) in zip(picture.frames, sizes, strict=True):
        # More pixels than are seen would only make files larger.
        step = max(int(frame.shape[0] / (2 * _DOTS * high)), 1)
        left = min(
            max(seconds - wide * second / 2, 0), picture.duration - wide * second
        )
        extent = (left, left + wide * second, 0, high / height)
        axes.imshow(frame[::step, ::step], extent=extent, aspect="auto")
    axes.set(xlim=(0, picture.duration), ylim=(0, 1))


def _draw_bars(page: _Page, rows: list[_Row]) -> Any:
    """Annotated and detected actions, a row a category."""
    lanes = max(sum(row.lanes for row in rows), 1)
    axes = page.panel("bars", _LANE * lanes)
    axes.set(ylim=(lanes, 0), yticks=[])
    first = 0
    bottom = page.at + _GAP
    truth: list[tuple[float, float, float]] = []
    bars: list[tuple[float, _Bar]] = []
    for row in rows:
        truth += [(first, *segment) for segment in row.truth]
        below = first + bool(row.truth)
        bars += [(below + bar.lane, bar) for bar in row.bars]
        middle = bottom + _LANE * (lanes - first - row.lanes / 2)
        page.name(row.label, middle)
        if first:
            axes.axhline(first, color=_FAINT, linewidth=0.6)
        first += row.lanes
    if truth:
        tops, starts, ends = np.transpose(truth)
        axes.barh(
            tops + 0.5,
            ends - starts,
            0.62,
            starts,
            facecolor="white",
            edgecolor=_LINE,
            hatch="//////",
            linewidth=0.7,
            label="truth",
        )
    if bars:
        axes.barh(
            [top + 0.5 for top, _ in bars],
            [bar.end - bar.start for _, bar in bars],
            0.62,
            [bar.start for _, bar in bars],
            color=[_paler(_FOUND, bar.strength) for _, bar in bars],
            label="detections",
        )
    for top, bar in bars:
        inside = bar.side == "center"
        axes.text(
            bar.at,
            top + 0.52,
            bar.text,
            ha=bar.side,
            va="center",
            fontsize=6.5,
            color="white" if inside and bar.strength > 0.6 else _LINE,
            clip_on=inside,
        )
    return axes


def _paler(color: str, strength: float) -> tuple[float, ...]:
    """A colour, mixed with the more white the weaker."""
    share = 0.3 + 0.7 * strength
    return tuple(
        1 - share + share * int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)
    )


def _draw_category(page: _Page, picture: Picture, index: int) -> Any:
    """SCP of a category, and below it how steep it is."""
    scp = np.asarray(picture.scp)[:, index]
    axes = page.panel("scp", _SCP, gap=0.7 * _GAP)
    width = 1.1 if len(scp) < 400 else 0.7
    top = max(1.0, float(np.nanmax(scp, initial=0.0)))
    axes.set(ylim=(0, 1.06 * top), yticks=[0, round(top, 2)])
    axes.stairs(scp, picture.times, baseline=None, color=_LINE, linewidth=width)
    page.name(str(picture.categories[index]), page.middle(axes), part="SCP")

    edgeness = np.nan_to_num(np.asarray(picture.edgeness)[:, index])
    axes = page.panel("edgeness", _EDGENESS)
    most = float(np.abs(edgeness).max()) or 1.0
    axes.set(ylim=(-1.4 * most, 1.4 * most))
    axes.set_yticks([-most, most], [f"−{_short(most)}", _short(most)])
    for color, part in (
        (_RISING, np.maximum(edgeness, 0)),
        (_FALLING, np.minimum(edgeness, 0)),
    ):
        axes.stairs(part, picture.times, fill=True, color=color, linewidth=0)
    axes.axhline(0, color=_LINE, linewidth=0.5)
    page.name("", page.middle(axes), part="edgeness")
    return axes


def _draw_attention(page: _Page, picture: Picture) -> Any:
    """Attention and its threshold."""
    axes = page.panel("attention", _ATTENTION)
    attention = np.asarray(picture.attention)
    axes.stairs(attention, picture.times, baseline=None, color=_WEIGHT, linewidth=1.1)
    values = [float(np.nanmax(attention, initial=0.0))]
    if picture.attention_threshold is not None:
        values.append(picture.attention_threshold)
        axes.axhline(values[1], color=_LINE, linewidth=0.8, linestyle="--")
    top = max(values) if max(values) > 0 else 1.0
    axes.set(ylim=(0, 1.1 * top))
    axes.set_yticks([0, top], ["0", _short(top)])
    page.name("attention", page.middle(axes))
    return axes


def _short(value: float) -> str:
    """A number on an axis."""
    return f"{value:.2g}".replace("0.", ".", 1)


def _draw_legend(page: _Page, picture: Picture, has_bars: bool, has_scp: bool) -> None:
    """What the colours mean, below the time axis."""
    patch = drawing.matplotlib("patches").Patch
    line = drawing.matplotlib("lines").Line2D
    handles = []
    if picture.truth:
        style = {"facecolor": "white", "edgecolor": _LINE, "hatch": "//////"}
        handles.append(patch(label="annotated", linewidth=0.7, **style))
    if has_bars:
        handles.append(
            patch(label="detected, with score, paler if lower", color=_FOUND)
        )
    if has_scp:
        handles.append(line([], [], label="SCP", color=_LINE, linewidth=1.1))
        handles.append(patch(label="rising edge", color=_RISING))
        handles.append(patch(label="falling edge", color=_FALLING))
    if picture.attention is not None:
        handles.append(line([], [], label="attention", color=_WEIGHT, linewidth=1.1))
        if picture.attention_threshold is not None:
            style = {"color": _LINE, "linestyle": "--"}
            handles.append(line([], [], label="its threshold", linewidth=0.8, **style))
    if handles:
        page.figure.legend(
            handles=handles,
            loc="lower center",
            bbox_to_anchor=((_LEFT + _INNER / 2) / _WIDTH, 0.06 / page.height),
            ncols=len(handles),
            frameon=False,
            fontsize=7,
            handlelength=1.6,
            columnspacing=1.6,
        )
