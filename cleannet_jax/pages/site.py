"""Writes pages: a folder whose index.html a browser opens from disk, without a network.

| file | what |
| --- | --- |
| index.html, index.js | the overview: what was run on what, how well, and why not better |
| videos.html, videos.js | the index of videos |
| compare.html, compare.js | where the entries differ most, if there are two or more |
| videos/NUMBER.html, .js | a page a video, with its data beside it |
| static/ | style, scripts, and Plotly's own plotly.min.js |
| report.json | the mark by which the folder is known as one of ours; written last |

Data are scripts that assign to one variable, since a browser reads no JSON from disk.
Names of any spelling are in them as JSON in ASCII and in pages escaped by Jinja; files
are named by numbers alone.
"""

import importlib.resources
import importlib.util
import json
import math
import os
import pathlib
import shutil
import types
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import cleannet_jax
from cleannet_jax import compare, errors, evaluate, experiment, methods
from cleannet_jax import config as config_lib
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import files, folders
from cleannet_jax.localizers import table
from cleannet_jax.metrics import diagnosis
from cleannet_jax.pages import gather, why
from cleannet_jax.pages import signals as signals_lib
from cleannet_jax.report import picture, plain

MARK = "report.json"
_DIGITS = 4
# Categories of a video whose signals its page has; detections whose score is explained.
_SHOWN, _EXPLAINED = 12, 200
# Characters of a name, in a heading, a link or a control.
_LONGEST = 160

_NEEDED = {"jinja2": "jinja2", "plotly": "plotly"}


def check_folder(folder: str | os.PathLike) -> None:
    """Raises an InputError if a folder holds anything else than pages of ours."""
    folder = pathlib.Path(folder)
    if folder.exists() and not folder.is_dir():
        raise errors.InputError(f"{folder}: found a file, expected a folder")
    marks = (folder / MARK, folder / f".{MARK}")
    if not any(mark.exists() for mark in marks) and not folders.is_new(folder):
        raise errors.InputError(
            f"{folder}: found something else there, expected a new folder or one with"
            f" {MARK}; choose another --out"
        )


def check_packages() -> None:
    """Raises an InputError if a package that pages are made with is not there."""
    for name in _NEEDED:
        if importlib.util.find_spec(name) is None:
            raise errors.InputError(
                f"report: found no {name}, expected it: pip install"
                " 'cleannet_jax[report]'"
            )


def write(
    material: gather.Material,
    folder: str | os.PathLike,
    *,
    files_by_id: Mapping[str, pathlib.Path] = types.MappingProxyType({}),
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes pages, in the place of those that are there.

    Args:
      material: what they show.
      folder: to write; made if it is not there.
      files_by_id: video files that pages play, where they are now.
      progress: called with the number of videos done and of all videos.

    Raises:
      InputError: the folder holds something else, or a package is missing.
    """
    check_packages()
    check_folder(folder)
    folder = pathlib.Path(folder)
    folders.make(folder)
    started = folder / f".{MARK}"
    files.write_json(started, {})
    (folder / MARK).unlink(missing_ok=True)
    for part in ("videos", "static"):
        if (folder / part).is_dir():
            shutil.rmtree(folder / part)
        (folder / part).mkdir()
    # Of an earlier report that had them.
    for name in ("compare.html", "compare.js"):
        (folder / name).unlink(missing_ok=True)
    _write_static(folder / "static")
    render = _renderer(material)
    ids = list(material.videos)
    numbers = {name: f"{place + 1:05}" for place, name in enumerate(ids)}
    for place, name in enumerate(ids):
        own = folder / "videos"
        played = _link(files_by_id.get(name), own)
        _write_video(material, name, place, numbers, own, render, played)
        if progress:
            progress(place + 1, len(ids))
    _write_page(folder, "videos", _index(material, numbers), render)
    if sum(entry.report is not None for entry in material.entries) > 1:
        index = _index(material, numbers)
        lines = _differences(material)
        _write_page(folder, "compare", index, render, differences=lines)
    content = _overview(material, numbers)
    _write_page(folder, "index", content["data"], render, **content["page"])
    folders.sync(folder)
    files.write_json(
        folder / MARK,
        {"version": cleannet_jax.__version__, "videos": len(ids)},
    )
    started.unlink()


def _write_static(folder: pathlib.Path) -> None:
    """Style, scripts, and the plotting library from its own package."""
    own = importlib.resources.files("cleannet_jax.pages") / "static"
    for path in own.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    import plotly

    bundle = pathlib.Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    if not bundle.exists():
        raise errors.InputError(
            f"{bundle}: no such file, expected that of plotly: pip install"
            " --force-reinstall plotly"
        )
    shutil.copyfile(bundle, folder / "plotly.min.js")


def _renderer(material: gather.Material) -> Callable[..., str]:
    """What makes a page from the name of a template and its values."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cleannet_jax.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["line"] = lambda name: plain.one_line(str(name), _LONGEST)
    environment.filters["long"] = lambda name: plain.one_line(str(name), 2000)
    entries = [entry for entry in material.entries if entry.report is not None]
    shared = {
        "report_title": plain.one_line(material.title, _LONGEST),
        "generated": any(entry.generated for entry in material.entries),
        "generated_note": experiment.GENERATED_NOTE,
        "has_videos": bool(material.videos),
        "has_comparison": len(entries) > 1,
    }
    return lambda name, **values: environment.get_template(name).render(
        **shared, **values
    )


def _write_page(
    folder: pathlib.Path,
    name: str,
    data: Any,
    render: Callable[..., str],
    **values: Any,
) -> None:
    """Writes NAME.html, and NAME.js with its data."""
    _write_data(folder / f"{name}.js", data)
    text = render(f"{name}.html", root="", page=name, **values)
    with files.open_atomic(folder / f"{name}.html", is_bulk=True) as file:
        file.write(text)


def _write_data(path: pathlib.Path, data: Any) -> None:
    """Writes data as a script."""
    text = script(data)
    with files.open_atomic(path, is_bulk=True) as file:
        file.write(text)


def script(data: Any) -> str:
    """Returns a script that assigns data to `window.report`, in ASCII.

    >>> script({"name": "</script>"})
    'window.report={"name":"\\\\u003c/script>"};\\n'

    Args:
      data: as JSON can hold it; arrays are rounded to four digits, and what is no
        finite number is null.
    """
    text = json.dumps(_plain(data), allow_nan=False, separators=(",", ":"))
    text = text.replace("<", "\\u003c")
    return f"window.report={text};\n"


def _plain(value: Any) -> Any:
    """Data as JSON can hold them."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "biu":
            return value.tolist()
        rounded = np.round(value.astype(float), _DIGITS)
        return _plain(rounded.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        short = round(value, _DIGITS)
        return int(short) if short == int(short) else short
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _name(text: str) -> str:
    """A name as one line of a control or a chart."""
    return plain.one_line(text, _LONGEST)


def _index(material: gather.Material, numbers: Mapping[str, str]) -> dict[str, Any]:
    """The videos, a column a fact, and what each entry has in them."""
    labels = sorted({n for video in material.videos.values() for n in video.labels})
    places = {label: place for place, label in enumerate(labels)}
    entries = []
    for entry in material.entries:
        if entry.report is None:
            continue
        own = [entry.in_videos[name] for name in material.videos]
        entries.append(
            {
                "name": _name(entry.name),
                "ap": [None if one.ap is None else 100 * one.ap for one in own],
                "missed": [one.missed for one in own],
                "false": [one.false for one in own],
                "detections": [len(one.rows) for one in own],
            }
        )
    videos = material.videos.values()
    return {
        "labels": [_name(label) for label in labels],
        "ids": [_name(video.id) for video in videos],
        "pages": list(numbers.values()),
        "seconds": [video.duration for video in videos],
        "instances": [len(video.labels) for video in videos],
        "categories": [
            [places[label] for label in dict.fromkeys(video.labels)] for video in videos
        ],
        "entries": entries,
        "reference": _reference(material),
    }


def _differences(material: gather.Material) -> list[str]:
    """By how much each other entry differs from the first, a sentence each."""
    first, *others = (e for e in material.entries if e.report is not None)
    lines = []
    for other in others:
        assert first.report is not None and other.report is not None
        samples = first.report.confidence.samples if first.report.confidence else 0
        try:
            found = compare.compare(first.report, other.report, samples=samples or 1)
        except errors.InputError as error:
            lines.append(f"{other.name}: {error}")
            continue
        value, low, high = (
            100 * ends[-1] for ends in (found.difference, found.low, found.high)
        )
        line = f"{other.name} - {first.name}: {value:+.2f} points of mean mAP"
        if samples:
            verdict = "more than noise" if found.is_real[-1] else "not more than noise"
            line += f", 95% interval {low:+.2f} to {high:+.2f}: {verdict}"
        lines.append(line)
    return lines


def _reference(material: gather.Material) -> float | None:
    """The tIoU at which instances are called found."""
    for entry in material.entries:
        if entry.report is not None:
            tious = entry.report.result.tious
            return float(tious[gather.reference(tious)])
    return None


def _overview(
    material: gather.Material, numbers: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """The values of the overview's page, and the data of its charts."""
    first = material.entries[0]
    reasons = [
        {
            "kind": reason.kind,
            "text": plain.one_line(reason.text, 1000),
            "videos": [(numbers[n], _name(n)) for n in reason.videos if n in numbers],
        }
        for reason in why.reasons(first)
    ]
    entries = [
        {
            "name": entry.name,
            "facts": [*entry.facts, *_evaluation_facts(entry)],
            "config": _config(entry.config),
            "gaps": entry.gaps,
            "cautions": entry.cautions,
            "map": None if entry.report is None else _percents(entry.report),
        }
        for entry in material.entries
    ]
    rows = [
        {
            "run": row.run,
            "method": row.method,
            "on": f"{row.evaluated.data}, {row.evaluated.subset}",
            "mean": f"{row.mean:.1f}",
        }
        for row in material.table
    ]
    page = {
        "reasons": reasons,
        "entries": entries,
        "notes": material.notes,
        "rows": rows,
        "ablation": _ablation_rows(material),
        "num_videos": len(material.videos),
    }
    data = {
        "entries": [_charts(entry) for entry in material.entries],
        "ablation": _ablation_chart(material),
        "comparisons": [
            {
                "pair": [_name(name) for name in pair["pair"]],
                "value": pair["value"][-1],
                "low": pair["low"][-1],
                "high": pair["high"][-1],
                "real": pair["more_than_noise"][-1],
            }
            for pair in material.comparisons
        ],
    }
    return {"page": page, "data": data}


def _percents(report: evaluate.Report) -> dict[str, Any]:
    """A row of mAP, with its interval, as text."""
    means = evaluate.with_mean(report.result.mean)
    heads = [f"{tiou:g}" for tiou in report.result.tious] + ["mean"]
    cells = [f"{100 * value:.1f}" for value in means]
    spans = [""] * len(cells)
    if report.confidence:
        ends = zip(report.confidence.low, report.confidence.high, strict=True)
        spans = [f"{100 * low:.1f} to {100 * high:.1f}" for low, high in ends]
    return {"heads": heads, "cells": list(zip(cells, spans, strict=True))}


def _evaluation_facts(entry: gather.Entry) -> list[tuple[str, str]]:
    """What was evaluated, names and values."""
    report = entry.report
    if report is None:
        return []
    return [
        ("detections", f"{report.predictions}, {report.num_detections}"),
        ("ground truth", report.ground_truth),
        (
            "evaluated on",
            (
                f"subset {report.subset}, variant {report.variant}:"
                f" {report.num_videos} videos with {report.num_instances} instances"
            ),
        ),
        ("protocol", f"{report.protocol}: {evaluate.PROTOCOLS[report.protocol]}"),
    ]


def _config(config: config_lib.Config | None) -> list[tuple[str, list[tuple]]]:
    """The fields of a config by group: name, value, and whether it is the default."""
    if config is None:
        return []
    return [
        (
            title,
            [
                (
                    field.name,
                    config_lib.as_text(getattr(config, field.name)),
                    getattr(config, field.name) == field.default,
                )
                for field in fields
            ],
        )
        for title, fields in config_lib.groups().items()
    ]


def _ablation_rows(material: gather.Material) -> dict[str, Any] | None:
    """The table of an ablation as text."""
    found = material.ablation
    if found is None:
        return None
    rows = []
    for name, row in found["methods"].items():
        map_ = np.array([*np.transpose(row["map"]), row["mean"]], float)  # [K + 1, S]
        spread = map_.std(axis=1, ddof=1) if map_.shape[1] > 1 else [None] * len(map_)
        cells = [
            (f"{mean:.1f}", "" if some is None else f"{some:.1f}")
            for mean, some in zip(map_.mean(axis=1), spread, strict=True)
        ]
        rows.append((name, cells, len(row["seeds"]), row.get("collapsed", [])))
    return {
        "data": found["data"],
        "heads": [f"{tiou:g}" for tiou in found["tious"]] + ["mean"],
        "rows": rows,
    }


def _ablation_chart(material: gather.Material) -> list[dict[str, Any]]:
    """The means over tIoU of each seed by method, the best method first."""
    found = material.ablation
    if found is None:
        return []
    rows = [
        {"method": _name(name), "seeds": row["seeds"], "mean": row["mean"]}
        for name, row in found["methods"].items()
    ]
    return sorted(rows, key=lambda row: -np.mean(row["mean"]))


def _charts(entry: gather.Entry) -> dict[str, Any]:
    """The data of an entry's charts, rates in percent."""
    content: dict[str, Any] = {
        "name": _name(entry.name),
        "curves": [curve._asdict() for curve in entry.curves],
        "map": None,
        "categories": None,
        "errors": None,
        "characteristics": None,
    }
    report = entry.report
    if report is None:
        return content
    confidence = report.confidence
    content["map"] = {
        "tious": report.result.tious,
        "value": 100 * report.result.mean,
        "low": None if confidence is None else 100 * confidence.low[:-1],
        "high": None if confidence is None else 100 * confidence.high[:-1],
    }
    content["categories"] = [
        {
            "label": _name(label),
            "instances": int(report.result.positives[place]),
            "value": 100 * report.result.ap[:, place].mean(),
            "low": None if own is None else 100 * own.low[-1],
            "high": None if own is None else 100 * own.high[-1],
        }
        for place, label in enumerate(report.result.labels)
        if report.result.positives[place]
        for own in (entry.by_category.get(label),)
    ]
    found = report.diagnosis
    if found is not None:
        shares = found.counts / np.maximum(found.counts.sum(axis=2, keepdims=True), 1)
        content["errors"] = {
            "types": diagnosis.TYPES,
            "shares": 100 * shares.mean(axis=0),
            "impact": 100 * found.impact.mean(axis=0),
            "other_protocol": report.protocol != "activitynet",
        }
        content["characteristics"] = [
            {
                "name": name,
                "sizes": diagnosis.SIZES[: len(value.edges)],
                "edges": value.edges,
                "count": value.count,
                "missed": 100 * value.missed.mean(axis=0),
                "map": 100 * value.map_n.mean(axis=0),
                "whole": 100 * found.map_n.mean(),
            }
            for name, value in found.characteristics.items()
        ]
    return content


def _link(path: pathlib.Path | None, folder: pathlib.Path) -> str:
    """What leads from pages in a folder to a file; empty for none."""
    if path is None:
        return ""
    relative = os.path.relpath(path.resolve(), folder.resolve())
    return urllib.parse.quote(pathlib.PurePath(relative).as_posix())


def _write_video(
    material: gather.Material,
    name: str,
    place: int,
    numbers: Mapping[str, str],
    folder: pathlib.Path,
    render: Callable[..., str],
    played: str,
) -> None:
    """Writes the page of one video."""
    video, number = material.videos[name], numbers[name]
    ids = list(material.videos)
    data, truth = _video(material, video)
    _write_data(folder / f"{number}.js", data)
    near = (place - 1, place + 1)
    links = [numbers[ids[at]] if 0 <= at < len(ids) else None for at in near]
    text = render(
        "video.html",
        root="../",
        page="videos",
        number=number,
        place=place + 1,
        count=len(ids),
        video_id=name,
        duration=video.duration,
        truth=truth,
        previous=links[0],
        next=links[1],
        entries=[_name(entry["name"]) for entry in data["entries"]],
        categories=data["categories"],
        num_truths=len(video.labels),
        video_file=played,
    )
    with files.open_atomic(folder / f"{number}.html", is_bulk=True) as file:
        file.write(text)


def _video(
    material: gather.Material, video: annotations_lib.Video
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The data of a video's page, and the rows of its table of instances."""
    entries = [entry for entry in material.entries if entry.report is not None]
    found = [gather.detections_in(entry, video.id) for entry in entries]
    labels = picture.labels(video.labels, (one for own in found for one in own))
    places = {label: place for place, label in enumerate(labels)}
    shown = labels[:_SHOWN]
    content, truth = [], []
    for entry, rows in zip(entries, found, strict=True):
        own = entry.in_videos[video.id]
        segments = [*video.segments.tolist(), *(row[1:3] for row in rows[:_EXPLAINED])]
        of_run, gap = _signals(entry, video.id, shown, segments)
        fates = why.fates(video, own, rows, of_run, entry)
        outcomes = entry.outcomes
        assert outcomes is not None and entry.report is not None
        k = gather.reference(entry.report.result.tious)
        count = len(video.labels)
        mine = [*video.labels, *(row[0] for row in rows[:_EXPLAINED])]
        parts = _parts(of_run, mine)
        content.append(
            {
                "name": _name(entry.name),
                "label": [places[row[0]] for row in rows],
                "start": [row[1] for row in rows],
                "end": [row[2] for row in rows],
                "score": [row[3] for row in rows],
                "type": outcomes.types[k][own.rows],
                "matched": own.matched,
                "fates": fates,
                "gap": gap,
                "signals": _signal_data(of_run, places, entry),
                "truth_parts": parts[:count],
                "parts": parts[count:],
            }
        )
    order = np.argsort(video.segments[:, 0], kind="stable")
    for row in order.tolist():
        truth.append(
            {
                "row": row,
                "label": video.labels[row],
                "start": f"{video.segments[row, 0]:.2f}",
                "end": f"{video.segments[row, 1]:.2f}",
                "fates": [
                    (entry["name"], entry["fates"][row], entry["matched"][row] >= 0)
                    for entry in content
                ],
            }
        )
    data = {
        "categories": [_name(label) for label in labels],
        "duration": gather.end_of(video, found),
        "truth": {
            "label": [places[label] for label in video.labels],
            "start": video.segments[:, 0],
            "end": video.segments[:, 1],
            "order": order,
        },
        "types": diagnosis.TYPES,
        "reference": _reference(material),
        "entries": content,
    }
    return data, truth


def _signals(
    entry: gather.Entry,
    video_id: str,
    shown: Sequence[str],
    segments: Sequence[Sequence[float]],
) -> tuple[signals_lib.Signals | None, str]:
    """The signals of a video, and why there are none."""
    if entry.model is None:
        if entry.config is None:
            return None, (
                "These are detections of a file: there is no SCP to show; --scp names"
                " a folder of them."
            )
        return None, next((gap for gap in entry.gaps if "SCP" in gap), "No SCP here.")
    try:
        found = signals_lib.signals(entry.model, video_id, shown, segments)
    except errors.InputError as error:
        return None, f"No SCP here: {error}"
    if found is None:
        lacks = "no features" if entry.config else "none in the folder of SCPs"
        return None, f"No SCP here: the video has {lacks}."
    return found, ""


def _parts(
    found: signals_lib.Signals | None, labels: Sequence[str]
) -> list[list[float] | None]:
    """How the score of each segment adds up in its own category."""
    if found is None:
        return []
    places = {label: place for place, label in enumerate(found.categories)}
    stacked = [np.stack(parts, axis=1) for parts in found.parts]  # [M, 8] each
    return [
        stacked[places[label]][row].tolist() if label in places else None
        for row, label in enumerate(labels)
    ]


def _signal_data(
    found: signals_lib.Signals | None, places: Mapping[str, int], entry: gather.Entry
) -> dict[str, Any] | None:
    """The signals of a video for its page; times in seconds."""
    if found is None or entry.model is None:
        return None
    config = entry.model.config
    step = (found.times[-1] - found.times[0]) / (len(found.times) - 1)
    is_grid = found.likely is not None
    return {
        "first": float(found.times[0]),
        # Rounded it would not add up over a long video.
        "step": repr(float(step)),
        "length": len(found.times) - 1,
        "categories": [places[name] for name in found.categories],
        "scp": found.scp.T,
        "edgeness": found.edgeness.T,
        "attention": found.attention,
        "min_scp": config.min_scp if is_grid else None,
        "min_attention": config.min_attention if is_grid else None,
        "smooth": config.smoothing_width if config.smooth else 0,
        "evaluator": " + ".join(table.of(config).scores or ("contrast",)),
        "own": methods.name_of(config) if entry.config else None,
        "proposals": [
            {
                "start": found.times[0] + step * rows[:, 0],
                "end": found.times[0] + step * rows[:, 1],
                "score": scores,
            }
            for rows, scores in zip(found.proposals, found.proposal_scores, strict=True)
        ],
    }
