"""A picture of one video: what was found in it, and why (the paper's Figure 4).

On one time axis, from top to bottom: frames; annotated and detected actions, a row a
category with the score beside each; the SCP of the shown categories with its edgeness,
rising and falling in two tones; attention; and thresholds. Times are in seconds.
What colours tell, places and words tell too.
"""

import dataclasses
import math
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import run
from cleannet_jax.features import video as video_lib
from cleannet_jax.report import drawing, plain


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """How large a picture is, in inches and points, and how much it shows at most.

    Attributes:
      width: of all.
      left, right: of the axes, where names are and where nothing is.
      numbers: left of the axes, between them and names.
      title: left of the title.
      lane: height of a row of bars.
      strip, scp, edgeness, attention: heights of these, of frames at most.
      top, gap, bottom: above the first, between two, and below the last, for times and
        one row of keys.
      row: height of each more row of keys, and of the note.
      heading, text, small: sizes of the title, of names, and of the rest, in points.
      curve: width of curves in points.
      keys: in a row.
      is_terse: whether what has its name beside the axes has no key.
      dots: an inch, of PNG.
      ticks: on the time axis.
      shown: categories with their SCP, unless they are named.
      rows: categories with bars.
      lanes: bars below each other in a row.
      detections: with a bar.
    """

    width: float
    left: float
    right: float
    numbers: float
    title: float
    lane: float
    strip: float
    scp: float
    edgeness: float
    attention: float
    top: float
    gap: float
    bottom: float
    row: float
    heading: float
    text: float
    small: float
    curve: float
    keys: int
    is_terse: bool
    dots: int
    ticks: int
    shown: int
    rows: int
    lanes: int
    detections: int

    @property
    def inner(self) -> float:
        """Width of the axes."""
        return self.width - self.left - self.right


SCREEN = Layout(
    width=10.0,
    left=1.75,
    right=0.25,
    numbers=0.36,
    title=1.75,
    lane=0.19,
    strip=1.2,
    scp=0.62,
    edgeness=0.4,
    attention=0.5,
    top=0.42,
    gap=0.12,
    bottom=0.5,
    row=0.15,
    heading=11.0,
    text=8.0,
    small=6.5,
    curve=1.1,
    keys=7,
    is_terse=False,
    dots=150,
    ticks=12,
    shown=4,
    rows=8,
    lanes=4,
    detections=50,
)

# A column of a paper.
COLUMN = Layout(
    width=drawing.COLUMN,
    left=1.06,
    right=0.12,
    numbers=0.27,
    title=0.04,
    lane=0.135,
    strip=0.5,
    scp=0.36,
    edgeness=0.27,
    attention=0.32,
    top=0.23,
    gap=0.075,
    bottom=0.34,
    row=0.12,
    heading=7.0,
    text=7.0,
    small=6.0,
    curve=0.8,
    keys=3,
    is_terse=True,
    dots=300,
    ticks=6,
    shown=2,
    rows=4,
    lanes=3,
    detections=50,
)

# Okabe and Ito's colours, which colour-blind people can tell apart.
_FOUND, _RISING, _FALLING, _WEIGHT = "#009E73", "#E69F00", "#0072B2", "#CC79A7"
_RUNS = (_FOUND, "#D55E00", "#56B4E9", "#CC79A7", "#E69F00")
_LINE, _FAINT, _GREY = "#333333", "#DDDDDD", "#666666"

_STYLE = {"hatch.linewidth": 0.6, "axes.linewidth": 0.6}
# Inches between bars' axes, which have no numbers, and names.
_BESIDE = 0.07
_DASHED: dict[str, Any] = {"color": _LINE, "linewidth": 0.8, "linestyle": "--"}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """What is to be seen of a video of T snippets and N categories.

    Attributes:
      title: the video's id.
      duration: in seconds.
      detections: in any order.
      count: how many detections there are, if those are the best of more.
      truth: (label, start, end) of each annotated action.
      frames: (seconds, [h, w, 3] uint8) of some frames.
      times: [T + 1] seconds, where snippets begin and end.
      categories: names of the N categories.
      scp: [T, N], the snippet-level classification prediction, if there is any.
      scp_threshold: above which SCP counts, if there is one.
      edgeness: [T, N], positive on a rising and negative on a falling edge.
      attention: [T], if there is any.
      attention_threshold: above which attention counts, if there is one.
      shown: indices of the categories whose SCP is shown; None for a few: annotated
        ones, then those of the best detections.
      name: of the run, where there are others.
      others: names and detections of other runs, whose bars are below those.
      note: a line below.
    """

    title: str
    duration: float
    detections: Sequence[run.Detection] = ()
    count: int | None = None
    truth: Sequence[tuple[str, float, float]] = ()
    frames: Sequence[tuple[float, np.ndarray]] = ()
    times: np.ndarray | None = None
    categories: Sequence[str] = ()
    scp: np.ndarray | None = None
    scp_threshold: float | None = None
    edgeness: np.ndarray | None = None
    attention: np.ndarray | None = None
    attention_threshold: float | None = None
    shown: Sequence[int] | None = None
    name: str = ""
    others: Sequence[tuple[str, Sequence[run.Detection]]] = ()
    note: str = ""

    @property
    def annotated(self) -> list[str]:
        """The label of each annotated action."""
        return [label for label, _, _ in self.truth]

    def __post_init__(self) -> None:
        if not self.duration > 0:
            raise ValueError(f"found {self.duration} s, expected a duration")
        if self.times is None:
            if self.scp is not None or self.attention is not None:
                raise ValueError("found no times, expected those of SCP or attention")
            return
        snippets, categories = len(self.times) - 1, len(self.categories)
        if snippets < 1:
            raise ValueError(f"found {snippets} snippets, expected some")
        expected = {
            "scp": (snippets, categories),
            "edgeness": (snippets, categories),
            "attention": (snippets,),
        }
        for name, shape in expected.items():
            value = getattr(self, name)
            if value is not None and np.shape(value) != shape:
                raise ValueError(f"{name}: found {np.shape(value)}, expected {shape}")
        if (self.scp is None) != (self.edgeness is None):
            raise ValueError("found one of SCP and edgeness, expected both or neither")


def labels(annotated: Iterable[str], detections: Iterable[run.Detection]) -> list[str]:
    """Returns the categories of a video: annotated ones, then by the best detection.

    Args:
      annotated: label of each annotated action.
      detections: in any order.
    """
    best = sorted(detections, key=_falling)
    return list(dict.fromkeys([*annotated, *(found.label for found in best)]))


def _falling(found: run.Detection) -> float:
    """Sorts by falling score, and what is no number last."""
    return -found.score if found.score == found.score else math.inf


def choose_frames(duration: float, count: int) -> list[float]:
    """Returns the times of frames side by side, the middles of equal parts, in seconds.

    >>> choose_frames(12.0, 3)
    [2.0, 6.0, 10.0]
    """
    return [duration * (index + 0.5) / count for index in range(count)]


def read_frames(
    video: video_lib.Video, *, duration: float, count: int, height: int
) -> list[tuple[float, np.ndarray]]:
    """Returns frames of a video, as `Picture.frames` are.

    Args:
      video: opened.
      duration: of the time axis, in seconds.
      count: how many.
      height: of each in pixels, or the width where that is less.

    Raises:
      InputError: a frame cannot be read.
    """
    seconds = choose_frames(duration, count)
    numbers = video_lib.number_at(video, np.asarray(seconds))
    shown = video_lib.frames(video, numbers, video_lib.Size(shorter=height))
    return list(zip(seconds, shown, strict=True))


def draw(path: str | os.PathLike, picture: Picture, *, layout: Layout = SCREEN) -> None:
    """Writes a picture, atomically.

    The same picture is the same bytes, with one version of matplotlib.

    Args:
      path: of the file, which is PNG, SVG or PDF by its ending.
      picture: what to draw.
      layout: how large.

    Raises:
      InputError: the path has another ending, or matplotlib is missing.
    """
    drawing.save(
        path,
        lambda font: _figure(picture, layout, font),
        style=_style(layout),
        dots=layout.dots,
    )


def figure(picture: Picture, *, layout: Layout = SCREEN) -> Any:
    """Returns a picture as a matplotlib Figure, to change before it is saved.

    Raises:
      InputError: matplotlib is missing.
    """
    font = drawing.Font()
    with drawing.styled(_style(layout), font):
        return _figure(picture, layout, font)


def _style(layout: Layout) -> dict[str, Any]:
    """Settings of matplotlib."""
    return {**_STYLE, "font.size": layout.text}


class _Bar(NamedTuple):
    """A detection's place, and its score's."""

    lane: int
    start: float  # seconds
    end: float  # seconds
    strength: float  # its score, relative to the best of the video, in [0, 1]
    text: str
    at: float  # seconds
    side: str  # where the text is aligned to: left of `at`, right of it or centred


class _Group(NamedTuple):
    """What one run has of one category."""

    name: str  # of the run, if there are others
    color: str
    bars: list[_Bar]
    lanes: int  # bars below each other


class _Row(NamedTuple):
    """What one category has: a lane of annotated actions, then the runs'."""

    label: str
    truth: list[tuple[float, float]]
    groups: list[_Group]

    @property
    def has_truth(self) -> bool:
        """Whether there is a lane for it, as there is above several runs."""
        return bool(self.truth) or len(self.groups) > 1

    @property
    def lanes(self) -> int:
        """How many rows of bars are below each other."""
        found = sum(group.lanes for group in self.groups)
        return max(self.has_truth + found, 1)


def _rows(picture: Picture, layout: Layout) -> tuple[list[_Row], int]:
    """The rows of bars, annotated categories first, and how many detections they have."""
    runs = [(picture.name, picture.detections), *picture.others]
    best = [(name, _best(found, picture.duration, layout)) for name, found in runs]
    kept = labels(picture.annotated, (one for _, found in best for one in found))
    rows = []
    for label in kept[: layout.rows]:
        truth = [(start, end) for name, start, end in picture.truth if name == label]
        groups = []
        for place, (name, found) in enumerate(best):
            own = [one for one in found if one.label == label]
            top = found[0].score if found else 0.0
            bars = _bars(own, picture.duration, top, layout)
            lanes = 1 + max((bar.lane for bar in bars), default=-1)
            # An empty lane says that this run found nothing where others did.
            lanes = max(lanes, int(len(runs) > 1))
            color = _RUNS[place % len(_RUNS)]
            groups.append(_Group(name if len(runs) > 1 else "", color, bars, lanes))
        rows.append(_Row(label, truth, groups))
    return rows, sum(len(group.bars) for row in rows for group in row.groups)


def _best(
    detections: Iterable[run.Detection], duration: float, layout: Layout
) -> list[run.Detection]:
    """The best detections that are in the video, by falling score."""
    inside = [
        found
        for found in detections
        if found.end > found.start and found.end > 0 < duration - found.start
    ]
    return sorted(inside, key=_falling)[: layout.detections]


def _bars(
    detections: Iterable[run.Detection], duration: float, best: float, layout: Layout
) -> list[_Bar]:
    """Places in which no bar or score overlaps another, the best on top.

    What finds no place is left out.
    """
    lanes: list[list[tuple[float, float]]] = []
    bars = []
    inch = duration / layout.inner
    for _, start, end, score in detections:
        start, end = max(start, 0.0), min(end, duration)
        text = plain.score(score)
        # The width of the digits, and a gap on either side.
        width = (0.01 * layout.small * len(text) + 0.08) * inch
        gap = 0.04 * inch
        at, side, taken = end + gap, "left", (start, end + width)
        if end + width > duration:
            at, side, taken = start - gap, "right", (start - width, end)
        if taken[0] < 0:
            at, side, taken = (start + end) / 2, "center", (start, end)
        free = [lane for lane, others in enumerate(lanes) if _is_free(taken, others)]
        lane = min(free, default=len(lanes))
        if lane == layout.lanes:
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


def _shown(picture: Picture, layout: Layout) -> list[int]:
    """Indices of the categories whose SCP is drawn."""
    if picture.scp is None:
        return []
    if picture.shown is not None:
        return list(picture.shown)
    places = {label: index for index, label in enumerate(picture.categories)}
    wanted = labels(picture.annotated, picture.detections)
    known = [places[label] for label in wanted if label in places]
    if not known and len(picture.categories):
        known = [int(np.nan_to_num(picture.scp).max(axis=0).argmax())]
    return known[: layout.shown]


class _Page:
    """A figure that is filled from top to bottom."""

    def __init__(
        self, picture: Picture, layout: Layout, height: float, font: drawing.Font
    ) -> None:
        self.figure = drawing.matplotlib("figure").Figure(
            figsize=(layout.width, height)
        )
        self.canvas = drawing.matplotlib("backends.backend_agg").FigureCanvasAgg(
            self.figure
        )
        self.layout = layout
        self.height, self.at = height, height - layout.top
        self.duration = picture.duration
        self.font = font
        self.ticks = _ticks(picture.duration, layout.ticks)

    def panel(self, name: str, height: float, *, gap: float | None = None) -> Any:
        """Axes below those before, on the time axis."""
        layout = self.layout
        self.at -= height
        place = (layout.left / layout.width, self.at / self.height)
        size = (layout.inner / layout.width, height / self.height)
        axes = self.figure.add_axes((*place, *size), label=name)
        self.at -= layout.gap if gap is None else gap
        axes.set_xlim(0, self.duration)
        axes.set_xticks(self.ticks, [])
        axes.tick_params(
            length=2, width=0.6, pad=2, labelsize=layout.small, colors=_LINE
        )
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
    ) -> Any:
        """Writes one line at a place in inches, cut where it is wider; returns it."""
        line = self.font.shown(text, 120)
        artist = self.figure.text(
            x / self.layout.width, y / self.height, line, parse_math=False, **style
        )
        most, kept = width * self.figure.dpi, line
        while len(kept) > 1 and artist.get_window_extent().width > most:
            # In proportion first: the middle of the way to where it fits.
            share = most / artist.get_window_extent().width
            kept = kept[: max(min(int(len(kept) * share) + 1, len(kept) - 1), 1)]
            artist.set_text(kept.rstrip() + "…")
        return artist

    def name(
        self,
        text: str,
        y: float,
        *,
        part: str = "",
        height: float = 0.0,
        gap: float | None = None,
    ) -> None:
        """Writes a name left of the axes at a height, and in grey below what of it.

        A long one takes two lines where the height that it has, in inches, is enough.
        The gap to the axes is for numbers, unless it is given.
        """
        layout = self.layout
        right = layout.left - (layout.numbers if gap is None else gap)
        width = right - 0.05
        step = 1.15 * layout.text / 72
        lines = [text] if text else []
        if text and height > (2 + bool(part)) * step:
            lines = self._lines(text, width)
        y += step * (len(lines) + bool(part) - 1) / 2
        style: dict[str, Any] = {"ha": "right", "va": "center"}
        for line in lines:
            self.write(line, right, y, width=width, **style)
            y -= step
        if part:
            style |= {"color": _GREY, "fontsize": layout.small}
            self.write(part, right, y, width=width, **style)

    def _lines(self, text: str, width: float) -> list[str]:
        """A name on one line or on two of about one length."""
        line = self.font.shown(text, 120)
        artist = self.figure.text(0, 0, line, parse_math=False)
        is_short = artist.get_window_extent().width <= width * self.figure.dpi
        artist.remove()
        gaps = [place for place, character in enumerate(line) if character == " "]
        if is_short or not gaps:
            return [line]
        gap = min(gaps, key=lambda place: abs(place - len(line) / 2))
        return [line[:gap], line[gap + 1 :]]


_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


def _ticks(duration: float, most: int) -> list[float]:
    """Round times, about so many."""
    step = next((step for step in _STEPS if duration / step <= most), 0.0)
    if not step:
        step = 3600.0 * math.ceil(duration / 3600 / most)
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


def _figure(picture: Picture, layout: Layout, font: drawing.Font) -> Any:
    """The whole picture."""
    rows, drawn = _rows(picture, layout)
    shown = _shown(picture, layout)
    strip = _strip_height(picture, layout)
    keys = _keys(picture, layout, bool(drawn), bool(shown))
    lanes = sum(row.lanes for row in rows)
    more = max(-(-len(keys) // layout.keys) - 1, 0) + bool(picture.note)
    gap = layout.gap
    height = layout.top + layout.bottom + more * layout.row
    height += strip + gap if strip else 0
    height += layout.lane * max(lanes, 1) + gap
    height += (layout.scp + layout.edgeness + 1.7 * gap) * len(shown)
    height += layout.attention if picture.attention is not None else 0
    page = _Page(picture, layout, height, font)
    _draw_title(page, picture, drawn)
    if strip:
        _draw_frames(page, picture, strip)
    axes = _draw_bars(page, rows)
    for index in shown:
        axes = _draw_category(page, picture, index)
    if picture.attention is not None:
        axes = _draw_attention(page, picture)
    axes.set_xticks(page.ticks, list(map(_clock, page.ticks)))
    _draw_legend(page, keys, bool(picture.note))
    if picture.note:
        style = {"color": _GREY, "fontsize": layout.small}
        width = layout.width - 2 * layout.right
        page.write(picture.note, layout.title, 0.04, width=width, **style)
    return page.figure


def _draw_title(page: _Page, picture: Picture, drawn: int) -> None:
    """The video's id, and how much is not drawn."""
    layout = page.layout
    count = len(picture.detections) if picture.count is None else picture.count
    count += sum(len(found) for _, found in picture.others)
    note = f"{count or 'no'} detection{'s' * (count != 1)}"
    if drawn < count:
        note = f"{drawn} of {count:,} detections drawn"
    y, right = page.height - layout.top / 2 + 0.01, layout.width - layout.right
    text = f"{_clock(picture.duration)}, {note}"
    style = {"va": "center", "color": _GREY, "fontsize": layout.small + 0.5}
    artist = page.write(text, right, y, width=layout.width / 2, ha="right", **style)
    taken = artist.get_window_extent().width / page.figure.dpi
    width = right - layout.title - taken - 0.1
    style = {"va": "center", "fontsize": layout.heading}
    page.write(picture.title, layout.title, y, width=width, **style)


def _sizes(picture: Picture, layout: Layout) -> list[tuple[float, float]]:
    """Width and height of each frame in inches, so that it fits between the others."""
    times = sorted(seconds for seconds, _ in picture.frames)
    closest = min(np.diff(times), default=picture.duration)
    share = min(closest / picture.duration, 1 / len(times))
    cell = max(layout.inner * share - 0.03, 0.05)
    sizes = []
    for _, frame in picture.frames:
        height, width = frame.shape[:2]
        scale = min(cell / width, layout.strip / height)
        sizes.append((width * scale, height * scale))
    return sizes


def _strip_height(picture: Picture, layout: Layout) -> float:
    """Inches that the frames take."""
    if not picture.frames:
        return 0.0
    return max(height for _, height in _sizes(picture, layout))


def _draw_frames(page: _Page, picture: Picture, height: float) -> None:
    """Frames side by side, each around its time."""
    axes = page.panel("frames", height)
    axes.set_axis_off()
    layout = page.layout
    sizes = _sizes(picture, layout)
    second = picture.duration / layout.inner  # Seconds an inch.
    for (seconds, frame), (wide, high) in zip(picture.frames, sizes, strict=True):
        # More pixels than are seen would only make files larger.
        step = max(int(frame.shape[0] / (2 * layout.dots * high)), 1)
        left = min(
            max(seconds - wide * second / 2, 0), picture.duration - wide * second
        )
        extent = (left, left + wide * second, 0, high / height)
        axes.imshow(frame[::step, ::step], extent=extent, aspect="auto")
    axes.set(xlim=(0, picture.duration), ylim=(0, 1))


def _draw_bars(page: _Page, rows: list[_Row]) -> Any:
    """Annotated and detected actions, a row a category."""
    layout = page.layout
    lanes = max(sum(row.lanes for row in rows), 1)
    axes = page.panel("bars", layout.lane * lanes)
    axes.set(ylim=(lanes, 0), yticks=[])
    top = page.at + layout.gap + layout.lane * lanes

    def place(first: int, count: int) -> float:
        """The height of the middle of lanes, in inches."""
        return top - layout.lane * (first + count / 2)

    first = 0
    truth: list[tuple[float, float, float]] = []
    bars: list[tuple[float, str, _Bar]] = []
    for row in rows:
        if first:
            axes.axhline(first, color=_FAINT, linewidth=0.6)
        truth += [(first, *segment) for segment in row.truth]
        # Beside several runs are their own names.
        named = 1 if len(row.groups) > 1 else row.lanes
        middle = place(first, named)
        page.name(row.label, middle, height=layout.lane * named, gap=_BESIDE)
        below = first + row.has_truth
        for group in row.groups:
            if group.name:
                axes.axhline(below, color=_FAINT, linewidth=0.6, linestyle=":")
                middle = place(below, group.lanes)
                page.name("", middle, part=group.name, gap=_BESIDE)
            bars += [(below + bar.lane, group.color, bar) for bar in group.bars]
            below += group.lanes
        first += row.lanes
    if truth:
        tops, starts, ends = np.transpose(truth)
        axes.barh(
            tops + 0.5, ends - starts, 0.62, starts, label="truth", **_annotated(layout)
        )
    if bars:
        axes.barh(
            [top + 0.5 for top, _, _ in bars],
            [bar.end - bar.start for _, _, bar in bars],
            0.62,
            [bar.start for _, _, bar in bars],
            color=[_paler(color, bar.strength) for _, color, bar in bars],
            label="detections",
        )
    for lane, color, bar in bars:
        inside = bar.side == "center"
        is_dark = inside and bar.strength > 0.6 and color == _FOUND
        axes.text(
            bar.at,
            lane + 0.52,
            bar.text,
            ha=bar.side,
            va="center",
            fontsize=layout.small,
            color="white" if is_dark else _LINE,
            clip_on=inside,
        )
    return axes


def _annotated(layout: Layout) -> dict[str, Any]:
    """How an annotated action is drawn."""
    return {
        "facecolor": "white",
        "edgecolor": _LINE,
        "hatch": "//////",
        "linewidth": 0.65 * layout.curve,
    }


def _paler(color: str, strength: float) -> tuple[float, ...]:
    """A colour, mixed with the more white the weaker."""
    share = 0.3 + 0.7 * strength
    return tuple(
        1 - share + share * int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)
    )


def _draw_category(page: _Page, picture: Picture, index: int) -> Any:
    """SCP of a category, and below it how steep it is."""
    layout = page.layout
    scp = np.asarray(picture.scp)[:, index]
    axes = page.panel("scp", layout.scp, gap=0.7 * layout.gap)
    width = layout.curve if len(scp) < 400 else 0.65 * layout.curve
    top = max(1.0, float(np.nanmax(scp, initial=0.0)))
    axes.set(ylim=(0, 1.06 * top), yticks=[0, round(top, 2)])
    if picture.scp_threshold is not None:
        axes.axhline(picture.scp_threshold, **_DASHED)
    axes.stairs(scp, picture.times, baseline=None, color=_LINE, linewidth=width)
    name = str(picture.categories[index])
    page.name(name, page.middle(axes), part="SCP", height=layout.scp)

    edgeness = np.nan_to_num(np.asarray(picture.edgeness)[:, index])
    axes = page.panel("edgeness", layout.edgeness)
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
    layout = page.layout
    axes = page.panel("attention", layout.attention)
    attention = np.asarray(picture.attention)
    style = {"color": _WEIGHT, "linewidth": layout.curve}
    axes.stairs(attention, picture.times, baseline=None, **style)
    values = [float(np.nanmax(attention, initial=0.0))]
    if picture.attention_threshold is not None:
        values.append(picture.attention_threshold)
        axes.axhline(values[1], **_DASHED)
    top = max(values) if max(values) > 0 else 1.0
    axes.set(ylim=(0, 1.1 * top))
    axes.set_yticks([0, top], ["0", _short(top)])
    page.name("attention", page.middle(axes))
    return axes


def _short(value: float) -> str:
    """A number on an axis."""
    return f"{value:.2g}".replace("0.", ".", 1)


def _keys(
    picture: Picture, layout: Layout, has_bars: bool, has_scp: bool
) -> list[tuple[str, str, dict[str, Any]]]:
    """What the colours mean: names, whether patches or lines, and their styles."""
    is_attention = picture.attention is not None
    is_full = not layout.is_terse
    has_threshold = has_scp and picture.scp_threshold is not None
    has_threshold |= is_attention and picture.attention_threshold is not None
    curve = {"linewidth": layout.curve}
    keys = [
        (bool(picture.truth), "annotated", "patch", _annotated(layout)),
        (has_bars, "detected, with score, paler if lower", "patch", {"color": _FOUND}),
        (has_scp and is_full, "SCP", "line", {"color": _LINE, **curve}),
        (has_scp, "rising edge", "patch", {"color": _RISING}),
        (has_scp, "falling edge", "patch", {"color": _FALLING}),
        (is_attention and is_full, "attention", "line", {"color": _WEIGHT, **curve}),
        (has_threshold, "threshold", "line", _DASHED),
    ]
    return [(name, kind, style) for is_there, name, kind, style in keys if is_there]


def _draw_legend(
    page: _Page, keys: list[tuple[str, str, dict[str, Any]]], has_note: bool
) -> None:
    """What the colours mean, below the time axis."""
    if not keys:
        return
    layout = page.layout
    patch = drawing.matplotlib("patches").Patch
    line = drawing.matplotlib("lines").Line2D
    handles = [
        patch(label=name, **style)
        if kind == "patch"
        else line([], [], label=name, **style)
        for name, kind, style in keys
    ]
    left = layout.title if layout.is_terse else layout.left
    middle = (left + layout.width - layout.right) / 2
    page.figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(
            middle / layout.width,
            (0.04 + layout.row * has_note) / page.height,
        ),
        ncols=min(layout.keys, len(handles)),
        frameon=False,
        borderpad=0.2,
        borderaxespad=0,
        labelspacing=0.35,
        fontsize=layout.small,
        handlelength=1.6,
        columnspacing=1.3,
    )
