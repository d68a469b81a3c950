"""Figures for print, at the width of a column: a table, errors by type, training curves.

PDF has whole fonts in it, SVG outlines, PNG 300 dots an inch. Colours are Okabe and
Ito's, which colour-blind people can tell apart; what they tell, hatches, dashes or words
beside them tell too. The same input is the same bytes, with one version of matplotlib.
Names are any text: they are put on one line, without what steers the writing direction,
and cut where they do not fit.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors, evaluate
from cleannet_jax.metrics import diagnosis as diagnosis_lib
from cleannet_jax.report import drawing

_DOTS = 300  # an inch
_SMALLEST = 5.0  # Points that are still read.
_NAME = 40  # Characters of a name.
_POINTS = 160  # Of a curve; what is between two is a band.
_PANELS = 8  # Of curves.
_MARGIN = 0.13  # Inches right of a curve.
_EDGE = 0.05  # Inches around a table.

_LINE, _FAINT, _GREY = "#333333", "#DDDDDD", "#666666"
# A colour and a hatch for each of `diagnosis.TYPES`.
_TYPES = (
    ("#009E73", ""),
    ("#F0E442", ""),
    ("#E69F00", "////"),
    ("#56B4E9", ""),
    ("#0072B2", "...."),
    ("#BBBBBB", "\\\\\\\\"),
)
# What a metric of `train.train_step` is in words; others have no underscores.
_METRICS = {
    "classification": "classification loss",
    "regression": "contrast loss",
    "positives": "positive proposals",
    "instance": "instance loss",
    "co_activity": "co-activity loss",
}
_STAGES = {"head": "stage 1", "cleannet": "stage 2"}
# Of runs.
_CURVES = (
    ("#0072B2", "-"),
    ("#D55E00", (0, (4, 1.2))),
    ("#009E73", (0, (1.2, 1))),
    ("#CC79A7", (0, (5, 1, 1, 1))),
    ("#E69F00", (0, (7, 1.5))),
    ("#56B4E9", (0, (2.5, 1.5))),
    ("#333333", (0, (5, 1, 1, 1, 1, 1))),
)
_STYLE = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 6.5,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "legend.fontsize": 6,
    "axes.linewidth": 0.5,
    "axes.edgecolor": _LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "hatch.linewidth": 0.4,
    "patch.linewidth": 0.4,
}


class Result(NamedTuple):
    """A row of a table, in percent.

    Attributes:
      name: of the method or run.
      tious: [K] thresholds.
      map: [K + 1] at each threshold, and the mean over them; NaN where there is none.
      low: [K + 1] lower ends of intervals; empty where there are none.
      high: [K + 1] upper ends.
    """

    name: str
    tious: tuple[float, ...]
    map: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


def of_report(name: str, report: evaluate.Report) -> Result:
    """Returns a report of an evaluation as a row, with its intervals."""
    values = (100 * evaluate.with_mean(report.result.mean)).tolist()
    found = report.confidence
    ends = ((), ()) if found is None else (found.low, found.high)
    low, high = (tuple((100 * np.asarray(end)).tolist()) for end in ends)
    return Result(name, tuple(report.result.tious.tolist()), tuple(values), low, high)


def draw_table(
    path: str | os.PathLike,
    results: Sequence[Result],
    *,
    note: str = "",
    width: float = drawing.COLUMN,
) -> None:
    """Writes a table of mAP, the best of each column in bold, atomically.

    Below a number with an interval stands half of the interval's length.

    Args:
      path: of the file, which is PDF, SVG or PNG by its ending.
      results: at least one, all at the same thresholds.
      note: a line below, such as what the data are.
      width: in inches.

    Raises:
      InputError: the path has another ending, thresholds differ, or matplotlib is
        missing.
    """
    if len({result.tious for result in results}) != 1:
        raise errors.InputError(
            f"table: found {len(results)} results at"
            f" {len({result.tious for result in results})} sets of tIoU thresholds,"
            " expected results at the same"
        )
    drawing.save(
        path, lambda font: _table(font, results, note, width), style=_STYLE, dots=_DOTS
    )


def draw_errors(
    path: str | os.PathLike,
    diagnosis: diagnosis_lib.Diagnosis,
    *,
    note: str = "",
    width: float = drawing.COLUMN,
) -> None:
    """Writes DETAD's charts, means over the thresholds, atomically.

    What the best k G detections of each category are, what mAP gains without each type
    of error, and which instances are missed and how well their kind is found.

    Args:
      path: of the file, which is PDF, SVG or PNG by its ending.
      diagnosis: of an evaluation.
      note: a line below, such as what the data are.
      width: in inches.

    Raises:
      InputError: the path has another ending, or matplotlib is missing.
    """
    drawing.save(
        path,
        lambda font: _errors(font, diagnosis, note, width),
        style=_STYLE,
        dots=_DOTS,
    )


def draw_curves(
    path: str | os.PathLike,
    metrics: Mapping[str, Iterable[Mapping[str, Any]]],
    *,
    note: str = "",
    width: float = drawing.COLUMN,
) -> None:
    """Writes the curves of training, a panel for each metric of each stage, atomically.

    Of a long curve means are drawn, and a band from the least to the greatest value.
    Where a value is not finite there is a gap, and a cross at the bottom.

    Args:
      path: of the file, which is PDF, SVG or PNG by its ending.
      metrics: by the name of a run its lines, as `logs.read_metrics` yields them:
        "stage", "step", and numbers by name.
      note: a line below, such as what the data are.
      width: in inches.

    Raises:
      InputError: the path has another ending, there are no numbers, or matplotlib is
        missing.
    """
    rows = {name: list(lines) for name, lines in metrics.items()}
    panels = _panels(rows)
    if not panels:
        raise errors.InputError("curves: found no metrics, expected those of a run")
    drawing.save(
        path,
        lambda font: _curves(font, rows, panels, note, width),
        style=_STYLE,
        dots=_DOTS,
    )


def _new(width: float, height: float) -> Any:
    """An empty figure of a size in inches."""
    figure = drawing.matplotlib("figure").Figure(figsize=(width, height))
    drawing.matplotlib("backends.backend_agg").FigureCanvasAgg(figure)
    return figure


class _Sheet:
    """A figure whose texts are placed in inches from its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = _new(width, height)
        self.width, self.height = width, height

    def write(self, text: str, x: float, y: float, **style: Any) -> Any:
        """Writes one line whose base line is at y; returns it."""
        place = (x / self.width, 1 - y / self.height)
        return self.figure.text(*place, text, parse_math=False, **style)

    def rule(self, y: float, thick: float, left: float, right: float) -> None:
        """Draws a line across, from left to right."""
        at, ends = 1 - y / self.height, [left / self.width, right / self.width]
        line = drawing.matplotlib("lines").Line2D(ends, [at, at], color="k", lw=thick)
        self.figure.add_artist(line)


def _length(sheet: _Sheet, text: str, **style: Any) -> float:
    """Inches that a text takes."""
    artist = sheet.write(text, 0, 0, **style)
    found = artist.get_window_extent().width / sheet.figure.dpi
    artist.remove()
    return found


def _fitting(sheet: _Sheet, text: str, most: float, size: float) -> str:
    """A text, cut where it is longer than so many inches."""
    kept, length = text, _length(sheet, text, fontsize=size)
    while len(kept) > 1 and length > most:
        # In proportion first: the middle of the way to where it fits.
        share = int(len(kept) * most / length) + 1
        kept = kept[: max(min(share, len(kept) - 1), 1)].rstrip()
        text = kept + "…"
        length = _length(sheet, text, fontsize=size)
    return text


def _table(
    font: drawing.Font, results: Sequence[Result], note: str, width: float
) -> Any:
    """The table as a figure."""
    heads = [*(f"{tiou:.4g}" for tiou in results[0].tious), "mean"]
    cells = [[_rate(value) for value in result.map] for result in results]
    probe = _Sheet(width, 1.0)
    columns = [[head, *column] for head, *column in zip(heads, *cells, strict=True)]
    names = [font.shown(result.name, _NAME) for result in results]
    size, room, widths = _columns(probe, names, columns, width - 2 * _EDGE)
    names = [_fitting(probe, name, room, size) for name in names]

    ends = sum(bool(result.low) for result in results)
    spread = "±: half of a 95% interval" if ends else ""
    note = "; ".join(filter(None, (spread, font.shown(note, 200) if note else "")))
    step = 1.75 * size / 72
    lines = 2.15 + len(results) + 0.6 * ends + (0.9 if note else 0.0)
    sheet = _Sheet(width, step * lines + 0.12 + _EDGE)
    left, right = _EDGE, width - _EDGE
    rights = _EDGE + np.cumsum([room, *widths])[1:]
    y = _EDGE + step * 0.75
    sheet.rule(_EDGE, 0.9, left, right)
    _write_heading(sheet, left + room, rights[-1 - (len(rights) > 1)], y, size)
    y += step
    for head, place in zip(heads, rights, strict=True):
        sheet.write(head, place, y, ha="right", fontsize=size)
    sheet.rule(y + 0.3 * step, 0.5, left, right)
    best = _best(cells)
    for row, (result, name) in enumerate(zip(results, names, strict=True)):
        y += 1.15 * step if row == 0 else step
        sheet.write(name, left, y, fontsize=size)
        for column, place in enumerate(rights):
            weight = "bold" if len(results) > 1 and best[row][column] else "normal"
            style = {"ha": "right", "fontsize": size, "weight": weight}
            sheet.write(cells[row][column], place, y, **style)
        if result.low:
            y += 0.6 * step
            for low, high, place in zip(result.low, result.high, rights, strict=True):
                half = f"±{(high - low) / 2:.1f}" if math.isfinite(high - low) else ""
                small = {"fontsize": max(0.75 * size, 4.5), "color": _GREY}
                sheet.write(half, place, y, ha="right", **small)
    sheet.rule(y + 0.35 * step, 0.9, left, right)
    if note:
        line = _fitting(probe, note, right - left, 6)
        sheet.write(line, left, y + 1.3 * step, fontsize=6, color=_GREY)
    return sheet.figure


def _columns(
    probe: _Sheet, names: Sequence[str], columns: Sequence[Sequence[str]], width: float
) -> tuple[float, float, list[float]]:
    """The size of letters, and the widths of the names and of each column."""
    size, gap = 7.0, 0.09

    def needed(texts: Iterable[str], size: float) -> float:
        found = [_length(probe, each, fontsize=size, weight="bold") for each in texts]
        return max(found, default=0.0)

    widths = [needed(column, size) + gap for column in columns]
    least = 0.25 * width  # For names.
    if sum(widths) + least > width:
        size = max(size * (width - least) / sum(widths), _SMALLEST)
        widths = [needed(column, size) + gap * size / 7 for column in columns]
    room = max(width - sum(widths), 0.0)
    # What names leave is between the columns, so that no row has one long gap.
    own = max(_length(probe, name, fontsize=size) for name in names)
    spare = max(room - own, 0.0) / len(widths)
    return size, min(room, own), [each + spare for each in widths]


def _write_heading(
    sheet: _Sheet, left: float, right: float, y: float, size: float
) -> None:
    """What the numbers of the columns are, in the middle above them."""
    heading = "mAP (%) at tIoU"
    half = _length(sheet, heading, fontsize=size) / 2
    middle = min(max((left + right) / 2, half + _EDGE), sheet.width - half - _EDGE)
    sheet.write(heading, middle, y, ha="center", fontsize=size, color=_GREY)


def _rate(value: float) -> str:
    """A rate in percent."""
    return f"{value:.1f}" if math.isfinite(value) else "–"


def _best(cells: Sequence[Sequence[str]]) -> list[list[bool]]:
    """Which cells are the greatest of their columns, as they are printed."""
    numbers = [
        [-math.inf if cell == "–" else float(cell) for cell in row] for row in cells
    ]
    tops = [max(column) for column in zip(*numbers, strict=True)]
    return [
        [value == top > -math.inf for value, top in zip(row, tops, strict=True)]
        for row in numbers
    ]


def _errors(
    font: drawing.Font, found: diagnosis_lib.Diagnosis, note: str, width: float
) -> Any:
    """The charts of a diagnosis as a figure."""
    heights = [1.15, 0.8, 0.7, 0.7]
    gaps = [0.5, 0.46, 0.56, 0.0]  # Below each, for what stands there.
    top, bottom = 0.2, 0.36 + (0.16 if note else 0)
    height = sum(heights) + sum(gaps) + top + bottom
    figure = _new(width, height)
    left, inner = 0.42, width - 0.42 - 0.06
    y, boxes = height - top, []
    for each, gap in zip(heights, gaps, strict=True):
        y -= each
        boxes.append((left / width, y / height, inner / width, each / height))
        y -= gap
    x, below, across, tall = boxes[0]
    key = 1.05 / width  # For the names of types.
    _draw_profile(figure.add_axes((x, below, across - key, tall)), found)
    x, below, across, tall = boxes[1]
    shift = 0.5 / width
    _draw_gains(figure.add_axes((x + shift, below, across - shift, tall)), found)
    axes = figure.add_axes(boxes[2])
    _draw_bins(axes, found, "missed", "instances missed (%)")
    axes, whole = figure.add_axes(boxes[3]), 100 * float(_mean(found.map_n))
    title = f"normalised mAP (%); dashed, of all instances: {_rate(whole)}"
    _draw_bins(axes, found, "map_n", title)
    if math.isfinite(whole):
        dashed = {"linewidth": 0.7, "linestyle": (0, (4, 2)), "zorder": 0.9}
        axes.axhline(whole, color=_LINE, **dashed)
    if note:
        _write_note(figure, font, note, width, height)
    return figure


def _write_note(
    figure: Any, font: drawing.Font, note: str, width: float, height: float
) -> None:
    """Writes a line at the bottom."""
    probe = _Sheet(width, 1.0)
    line = _fitting(probe, font.shown(note, 200), width - 0.1, 6)
    place = (0.05 / width, 0.04 / height)
    figure.text(*place, line, fontsize=6, color=_GREY, parse_math=False)


def _mean(values: np.ndarray) -> Any:
    """The mean over thresholds of what there is; NaN where there is nothing."""
    known = ~np.isnan(values)
    total, count = np.where(known, values, 0.0).sum(0), known.sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _draw_profile(axes: Any, found: diagnosis_lib.Diagnosis) -> None:
    """Which types the best k G detections are of."""
    counts = np.asarray(found.counts, float)
    totals = counts.sum(axis=2, keepdims=True)
    shares = 100 * (counts / np.maximum(totals, 1)).mean(axis=0)  # [10, 6]
    places = np.arange(1, len(shares) + 1)
    base = np.zeros(len(shares))
    for kind, (color, hatch) in enumerate(_TYPES):
        style = {"color": color, "edgecolor": _LINE, "hatch": hatch, "linewidth": 0.3}
        style["label"] = diagnosis_lib.TYPES[kind]
        style["facecolor"] = style.pop("color")
        axes.bar(places, shares[:, kind], 0.82, base, **style)
        base += shares[:, kind]
    axes.set(xlim=(0.4, len(shares) + 0.6), ylim=(0, 100), xticks=places)
    axes.set_title("detections by type", loc="left", pad=3)
    axes.set_ylabel("share (%)", labelpad=2)
    axes.set_xlabel("best k G detections of a category", labelpad=1.5)
    handles, names = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1],
        names[::-1],
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        handlelength=1.3,
        handleheight=0.9,
        labelspacing=0.55,
    )


def _draw_gains(axes: Any, found: diagnosis_lib.Diagnosis) -> None:
    """By how much mAP rises without each type of error."""
    gains = 100 * _mean(np.asarray(found.impact, float))
    places = np.arange(len(gains))
    kinds = _TYPES[1:]
    for place, gain, (color, hatch) in zip(places, gains, kinds, strict=True):
        axes.barh(
            place,
            np.nan_to_num(gain),
            0.7,
            facecolor=color,
            edgecolor=_LINE,
            hatch=hatch,
            linewidth=0.3,
        )
        text = f" {gain:.1f}" if math.isfinite(gain) else " –"
        axes.text(max(np.nan_to_num(gain), 0), place, text, va="center", fontsize=6)
    axes.set_yticks(places, diagnosis_lib.TYPES[1:])
    most = max(np.nan_to_num(gains).max(initial=0.0), 1.0)
    least = min(np.nan_to_num(gains).min(initial=0.0), 0.0)
    axes.set(xlim=(1.05 * least, 1.15 * most), ylim=(len(gains) - 0.5, -0.5))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_title("mAP gained without that error (points)", loc="left", pad=3)


def _draw_bins(
    axes: Any, found: diagnosis_lib.Diagnosis, field: str, title: str
) -> None:
    """A rate of the bins of each characteristic."""
    at = 0.0
    ticks: list[float] = []
    names: list[str] = []
    for name, value in found.characteristics.items():
        rates = 100 * _mean(np.asarray(getattr(value, field), float))
        places = at + np.arange(len(rates))
        axes.bar(
            places, np.nan_to_num(rates), 0.8, color="#56B4E9", edgecolor=_LINE, lw=0.3
        )
        for place, rate in zip(places, rates, strict=True):
            text = f"{rate:.0f}" if math.isfinite(rate) else "–"
            # Above the axes, where no line goes through them.
            style = {"ha": "center", "va": "bottom", "fontsize": 6}
            axes.text(place, 102, text, **style)
        ticks += places.tolist()
        names += diagnosis_lib.SIZES[: len(rates)]
        middle = float(places.mean())
        place = axes.get_xaxis_transform()
        style = {"ha": "center", "va": "top", "fontsize": 6.5, "transform": place}
        axes.text(middle, -0.2, name, **style)
        at = places[-1] + 1.8
    axes.set_xticks(ticks, names)
    axes.tick_params(axis="x", length=0)
    axes.set(xlim=(-0.7, max(at - 1.1, 0.7)), ylim=(0, 100), yticks=[0, 50, 100])
    axes.grid(axis="y")
    axes.set_title(title, loc="left", pad=10)


def _panels(
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[tuple[str, str]]:
    """(stage, metric) of the panels: stages in order, the loss of each first."""
    found: dict[str, dict[str, None]] = {}
    for lines in rows.values():
        for line in lines:
            names = found.setdefault(line["stage"], {})
            names |= dict.fromkeys(name for name in line if name not in _NO_METRIC)
    panels = [
        (stage, name)
        for stage, names in found.items()
        for name in sorted(names, key=lambda name: (name != "loss", name))
    ]
    # The losses stay where there are too many.
    panels.sort(key=lambda panel: panel[1] != "loss")
    kept = set(panels[:_PANELS])
    order = list(found)
    return sorted(
        kept, key=lambda panel: (order.index(panel[0]), panel[1] != "loss", panel[1])
    )


_NO_METRIC = ("step", "stage")


def _curves(
    font: drawing.Font,
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    panels: Sequence[tuple[str, str]],
    note: str,
    width: float,
) -> Any:
    """The curves of training as a figure."""
    across = 1 if len(panels) == 1 else 2
    down = -(-len(panels) // across)
    names = [font.shown(name, _NAME) for name in rows]
    keys = -(-len(names) // across) if len(names) > 1 else 0
    tall, left, between = 0.95, 0.42, 0.54
    top, bottom = 0.2, 0.36 + 0.13 * keys + (0.14 if note else 0)
    height = top + bottom + down * tall + (down - 1) * between
    figure, probe = _new(width, height), _Sheet(width, 1.0)
    wide = (width - (left + _MARGIN) * across) / across
    for index, (stage, metric) in enumerate(panels):
        column, row = index % across, index // across
        x = left + column * (wide + left + _MARGIN)
        y = height - top - tall - row * (tall + between)
        box = (x / width, y / height, wide / width, tall / height)
        axes = figure.add_axes(box)
        for number, lines in enumerate(rows.values()):
            _draw_curve(axes, lines, stage, metric, _CURVES[number % len(_CURVES)])
        words = font.shown(_METRICS.get(metric, metric.replace("_", " ")), _NAME)
        title = _fitting(probe, words, wide + _MARGIN, 7)
        axes.set_title(title, loc="left", pad=3, parse_math=False)
        step = f"step of {font.shown(_STAGES.get(stage, stage), 16)}"
        axes.set_xlabel(step, labelpad=1.5, parse_math=False)
        axes.grid(axis="y")
        axes.locator_params(axis="x", nbins=4, integer=True)
        axes.locator_params(axis="y", nbins=4)
        if axes.dataLim.width == 0:
            axes.set_xticks([axes.dataLim.x0])
    if keys:
        _draw_key(figure, names, across, width, height, bool(note))
    if note:
        _write_note(figure, font, note, width, height)
    return figure


def _draw_key(
    figure: Any,
    names: Sequence[str],
    across: int,
    width: float,
    height: float,
    has_note: bool,
) -> None:
    """Which line is which run's."""
    line = drawing.matplotlib("lines").Line2D
    probe, room = _Sheet(width, 1.0), width / across - 0.45
    last = (len(names) - 1) // across
    for index, name in enumerate(names):
        color, dashes = _CURVES[index % len(_CURVES)]
        x = 0.08 + (index % across) * width / across
        y = 0.07 + 0.14 * has_note + 0.13 * (last - index // across)
        ends = [x / width, (x + 0.26) / width]
        style = {"color": color, "linestyle": dashes, "linewidth": 1.1}
        figure.add_artist(line(ends, [(y + 0.03) / height] * 2, **style))
        text = _fitting(probe, name, room, 6)
        place = ((x + 0.32) / width, y / height)
        figure.text(*place, text, fontsize=6, parse_math=False)


def _draw_curve(
    axes: Any,
    lines: Sequence[Mapping[str, Any]],
    stage: str,
    metric: str,
    style: tuple[str, Any],
) -> None:
    """One metric of one run in one stage."""
    pairs = [
        (line["step"], line[metric])
        for line in lines
        if line["stage"] == stage and metric in line
    ]
    if not pairs:
        return
    steps, values = np.array(pairs, float).T
    values = np.where(np.isfinite(values), values, np.nan)
    color, dashes = style
    lost = steps[np.isnan(values)]
    if lost.size:
        place = axes.get_xaxis_transform()
        marks = {"marker": "x", "markersize": 3, "linestyle": "", "clip_on": False}
        axes.plot(lost, np.zeros(len(lost)), color=color, transform=place, **marks)
    if len(steps) > _POINTS:
        parts = np.array_split(np.arange(len(steps)), _POINTS)
        known = [part[~np.isnan(values[part])] for part in parts]
        at = np.array([steps[part].mean() for part in parts])
        low, mean, high = (
            np.array([reduce(values[part]) if len(part) else np.nan for part in known])
            for reduce in (np.min, np.mean, np.max)
        )
        axes.fill_between(at, low, high, color=color, alpha=0.2, linewidth=0)
        steps, values = at, mean
    marker = {"marker": "o", "markersize": 2} if len(steps) == 1 else {}
    axes.plot(steps, values, color=color, linestyle=dashes, linewidth=1.0, **marker)
