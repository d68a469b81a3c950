"""What pages show, gathered from runs, an ablation, or files of detections.

Every number is what evaluation computes: average precision by `metrics`, intervals by
`evaluate`, types of errors by `metrics.diagnosis`, which matches as ActivityNet does
whatever the protocol. Those that need one threshold are at the tIoU nearest to
`REFERENCE`. Times are in seconds.
"""

import collections
import dataclasses
import functools
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax import errors, evaluate, logs, methods, results, runs
from cleannet_jax import run as run_lib
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import files, variants
from cleannet_jax.metrics import average_precision, diagnosis
from cleannet_jax.pages import signals as signals_lib
from cleannet_jax.report import runs as runs_report

# The tIoU at which an instance is called found and a detection false.
REFERENCE = 0.5

# Halves of the videos that intervals are from, and of those of one category.
_SAMPLES, _CATEGORY_SAMPLES = 1000, 400
_STAGES = ("head", "cleannet")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """How detections are evaluated, as `evaluate.evaluate` takes it."""

    tious: tuple[float, ...] = evaluate.THUMOS14_TIOUS
    protocol: str = "activitynet"
    subset: str | None = None
    variant: str = "official"
    missing: str = "count-as-empty"
    other_subsets: str = "count"
    ignore_unknown_labels: bool = False


class Curve(NamedTuple):
    """One number of a stage of training: steps [S] int and values [S], NaN among them."""

    stage: str
    name: str
    steps: np.ndarray
    values: np.ndarray


class InVideo(NamedTuple):
    """What one set of detections has in one video.

    Attributes:
      rows: [M] int, its detections in the table of all, by falling score.
      matched: [G] int, for each instance the detection that found it, a place in
        `rows`, or -1.
      ap: mean over its categories and over tIoU of the average precision in this video
        alone, in [0, 1]; None without an instance.
      missed: instances that nothing is matched to.
      false: detections matched to nothing, among the best G of each category, G being
        its number of instances in all videos.
    """

    rows: np.ndarray
    matched: np.ndarray
    ap: float | None
    missed: int
    false: int


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Entry:
    """One set of detections, of a run or of a file, and what is known of it.

    Attributes:
      name: what pages call it, each once.
      path: of the run or of the file.
      method: of the run; empty of a file.
      config: of the run.
      facts: names and values for the overview.
      generated: whether the data are made up.
      curves: of the training.
      gaps: what cannot be shown and why, a line each.
      cautions: what a reader of the numbers should know, a line each.
      report: of the evaluation; None where nothing could be evaluated.
      by_category: of each category with instances, the intervals of its AP.
      detections: [M] in seconds.
      outcomes: of the detections, at each tIoU.
      in_videos: by the ids of `Material.videos`.
      model: what computes or has its SCPs; None where there are none.
    """

    name: str
    path: str
    method: str = ""
    config: config_lib.Config | None = None
    facts: tuple[tuple[str, str], ...] = ()
    generated: bool = False
    curves: tuple[Curve, ...] = ()
    gaps: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    report: evaluate.Report | None = None
    by_category: Mapping[str, evaluate.Confidence] = dataclasses.field(
        default_factory=dict
    )
    detections: average_precision.Instances | None = None
    outcomes: diagnosis.Outcomes | None = None
    in_videos: Mapping[str, InVideo] = dataclasses.field(default_factory=dict)
    model: signals_lib.Model | signals_lib.Scores | None = None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Material:
    """All that pages show.

    Attributes:
      title: of the pages.
      entries: the first is the one that is looked at; those with a report are on the
        same ground truth by the same rules.
      videos: that were evaluated, by id, with the annotated instances.
      notes: what was left out and why, a line each.
      table: rows of all runs that were named, those on other data too.
      ablation: what an ablation's table.json holds, or None.
      comparisons: the pairs in its comparisons.json.
    """

    title: str
    entries: tuple[Entry, ...]
    videos: Mapping[str, annotations_lib.Video]
    notes: tuple[str, ...] = ()
    table: tuple[runs_report.Row, ...] = ()
    ablation: Mapping[str, Any] | None = None
    comparisons: tuple[Mapping[str, Any], ...] = ()


def reference(tious: np.ndarray) -> int:
    """Returns the index of the threshold nearest to `REFERENCE`."""
    return int(np.abs(np.asarray(tious) - REFERENCE).argmin())


def detections_in(entry: Entry, video_id: str) -> list[run_lib.Detection]:
    """Returns an entry's detections in a video, the best first."""
    table, rows = entry.detections, entry.in_videos[video_id].rows
    assert table is not None and table.scores is not None
    return [
        run_lib.Detection(table.labels[label], start, end, score)
        for label, (start, end), score in zip(
            table.label[rows].tolist(),
            table.segments[rows].tolist(),
            table.scores[rows].tolist(),
            strict=True,
        )
    ]


def end_of(
    video: annotations_lib.Video, found: Sequence[Sequence[run_lib.Detection]]
) -> float:
    """Returns where the time axis of a video ends, in seconds.

    Args:
      video: the annotation; where it has no duration, what was annotated or found
        last decides.
      found: the detections of each entry.
    """
    if video.duration:
        return video.duration
    ends = [
        *video.segments.ravel().tolist(),
        *(one.end for own in found for one in own),
    ]
    return max((end for end in ends if math.isfinite(end)), default=1.0) or 1.0


def gather(
    paths: Sequence[str | os.PathLike],
    *,
    rules: Rules | None = None,
    ground_truth: str | os.PathLike | None = None,
    data: str | os.PathLike | None = None,
    names: Mapping[int, str] | None = None,
    scores: signals_lib.Scores | None = None,
    intervals: bool = True,
) -> Material:
    """Reads and evaluates what pages are to show.

    Args:
      paths: folders of runs, one of an ablation, or files of detections.
      rules: of the evaluation of files; runs have their own.
      ground_truth: annotations; files of detections need them, and runs where theirs
        are not where they were.
      data: feature folder of runs, where theirs is not where it was.
      names: of labels that are numbers, as `evaluate.read_names` returns them.
      scores: SCPs that are shown beside the detections of files.
      intervals: whether to compute confidence intervals.

    Raises:
      InputError: a path is none of these, or nothing that was named can be shown.
    """
    places = list(dict.fromkeys(map(pathlib.Path, paths)))
    notes: list[str] = []
    ablation, title = None, ""
    comparisons: Sequence[Mapping[str, Any]] = ()
    for place in places:
        if not place.exists():
            raise errors.InputError(f"{place}: no such file or folder")
    if len(places) == 1 and (places[0] / "cells").is_dir():
        ablation, comparisons = _ablation(places[0])
        title = _titles(places)[0]
        places, note = _best_cell(places[0], ablation)
        notes.append(note)
    folders = [place for place in places if place.is_dir()]
    table = runs_report.collect(folders).rows if folders else ()
    entries, known = [], _Known(ground_truth, names)
    titles = _titles(places)
    for place, name in zip(places, titles, strict=True):
        if place.is_dir():
            read = _run(place, name, data)
        else:
            if ground_truth is None:
                raise errors.InputError(
                    f"{place}: a file of detections: expected --ground-truth FILE with it"
                )
            entry = Entry(name=name, path=str(place), model=scores)
            read = _Read(entry, place, rules or Rules())
        entries.append(_evaluated(read, known, intervals=intervals))
    kept, more = _comparable(entries)
    videos = {}
    if kept[0].report is not None:
        annotations, subset = known.of(kept[0])
        ids = annotations_lib.ground_truth(annotations, subset=subset).videos
        videos = {name: annotations.videos[name] for name in ids}
    return Material(
        title=title or _title(titles),
        entries=tuple(kept),
        videos=videos,
        notes=(*notes, *more),
        table=tuple(table),
        ablation=ablation,
        comparisons=tuple(comparisons),
    )


class _Read(NamedTuple):
    """An entry before its evaluation."""

    entry: Entry
    predictions: pathlib.Path | None
    rules: Rules
    ground_truth: str | None = None
    annotations: annotations_lib.Annotations | None = None


class _Known:
    """Annotations that were read, each file once, and which of them an entry has."""

    def __init__(
        self, given: str | os.PathLike | None, names: Mapping[int, str] | None
    ) -> None:
        self.given, self.names = given, names
        self._files: dict[str, annotations_lib.Annotations] = {}
        self._entries: dict[str, tuple[annotations_lib.Annotations, str]] = {}

    def read(self, path: str | os.PathLike) -> annotations_lib.Annotations:
        """The annotations of a file."""
        key = os.fspath(path)
        if key not in self._files:
            self._files[key] = evaluate.read_annotations(key, names=self.names)
        return self._files[key]

    def note(
        self, name: str, annotations: annotations_lib.Annotations, subset: str
    ) -> None:
        """Keeps what an entry was evaluated on."""
        self._entries[name] = annotations, subset

    def of(self, entry: Entry) -> tuple[annotations_lib.Annotations, str]:
        """What an entry was evaluated on: annotations of its variant, and the subset."""
        return self._entries[entry.name]


def _titles(places: Sequence[pathlib.Path]) -> list[str]:
    """Names of the entries: the last part of each path, more of it where two agree."""
    titles = [place.absolute().name or str(place) for place in places]
    count = collections.Counter(titles)
    return [
        str(place) if count[title] > 1 else title
        for place, title in zip(places, titles, strict=True)
    ]


def _title(names: Sequence[str]) -> str:
    """What the pages are called."""
    return " and ".join(names) if len(names) < 3 else f"{len(names)} runs"


def _ablation(folder: pathlib.Path) -> tuple[Any, list[Any]]:
    """What the table and the comparisons of an ablation hold."""
    if not (folder / "table.json").exists():
        raise errors.InputError(
            f"{folder}: no table.json in it: found an ablation without any result yet;"
            " the command that started it goes on"
        )
    table = files.read_json(folder / "table.json")
    if not isinstance(table, dict) or not table.get("methods"):
        raise errors.InputError(
            f"{folder / 'table.json'}: not the table of an ablation"
        )
    path = folder / "comparisons.json"
    pairs = files.read_json(path).get("pairs", []) if path.exists() else []
    return table, pairs


def _best_cell(
    folder: pathlib.Path, table: Mapping[str, Any]
) -> tuple[list[pathlib.Path], str]:
    """The cell to look at, and a line that says so."""
    means = {name: np.mean(row["mean"]) for name, row in table["methods"].items()}
    best = max(means, key=lambda name: means[name])
    seed = table["methods"][best]["seeds"][0]
    cell = folder / "cells" / f"{best}-seed{seed}"
    note = (
        f"Videos are those of {cell.name}, the method with the highest mean; for another"
        f" one: cleannet report {folder}/cells/NAME --out DIR"
    )
    return [cell], note


def _run(folder: pathlib.Path, title: str, data: str | os.PathLike | None) -> _Read:
    """What a run says of itself."""
    description = runs.read_description(folder)
    config = description.config
    name = _method(folder, config)
    gaps: list[str] = []
    entry = Entry(
        name=title,
        path=str(folder),
        method=name,
        config=config,
        facts=_facts(folder, description, name),
        generated=description.generated,
        curves=_curves(folder, config),
    )
    predictions = folder / "predictions" / f"{name}.json"
    rules = Rules(tious=config.tious, protocol=config.protocol)
    if not predictions.exists():
        why = "it has found nothing yet, or had nothing to evaluate on"
        if runs.read_model(folder) is None:
            why = "it has not finished; the command that started it goes on"
        gaps.append(f"{folder}: no predictions/{name}.json: {why}")
        return _Read(dataclasses.replace(entry, gaps=tuple(gaps)), None, rules)
    path = folder / "results" / f"{name}.json"
    content = files.read_checked_json(path) if path.exists() else {}
    rules = _rules_of(content, rules, path)
    model, annotations, more = signals_lib.open_model(
        folder, description, os.fspath(data) if data else None
    )
    cautions = results.cautions(content) if content else []
    entry = dataclasses.replace(
        entry, model=model, gaps=(*gaps, *more), cautions=tuple(cautions)
    )
    truth = content.get("ground_truth")
    return _Read(entry, predictions, rules, truth, annotations)


def _rules_of(content: Mapping[str, Any], rules: Rules, path: pathlib.Path) -> Rules:
    """How a run's results were evaluated."""
    names = ("subset", "protocol", "variant", "missing", "other_subsets")
    found = {name: content[name] for name in names if name in content}
    if found.get("variant", "official") not in variants.VARIANTS:
        raise errors.InputError(f"{path}: found the variant {found['variant']!r}")
    return dataclasses.replace(rules, **found)


def _method(folder: pathlib.Path, config: config_lib.Config) -> str:
    """The method of a run, as its files are named."""
    name = methods.name_of(config)
    found = sorted(path.stem for path in (folder / "predictions").glob("*.json"))
    own = config.classifier if config.classifier in methods.CLASSIFIERS else None
    others = [stem for stem in found if stem not in methods.baselines(name, own)]
    return name if name in found or len(others) != 1 else others[0]


def _facts(
    folder: pathlib.Path, description: runs.Description, method: str
) -> tuple[tuple[str, str], ...]:
    """What was run on what."""
    config = description.config
    facts = [
        ("run", str(folder)),
        ("method", method),
        ("classifier", config.classifier),
        ("seed", str(config.seed)),
        ("config", config.dataset),
        ("data", description.data),
        ("categories", str(len(description.categories))),
        ("features", str(description.streams)),
    ]
    model = runs.read_model(folder)
    if model and model.extraction.get("backbone"):
        facts.append(("backbone", str(model.extraction["backbone"])))
    path = folder / "environment.json"
    if path.exists():
        found = files.read_json(path)
        if isinstance(found, dict):
            packages = found.get("packages") or {}
            computed = ", ".join(map(str, found.get("devices", [])))
            version = packages.get("cleannet_jax", "?")
            facts.append(("computed by", f"cleannet_jax {version} on {computed}"))
    return tuple(facts)


def _curves(folder: pathlib.Path, config: config_lib.Config) -> tuple[Curve, ...]:
    """The numbers of a run's training; those of stage 1 may be a classifier's own."""
    places = [folder]
    if folder.parent.name == "cells":
        name = f"{config.classifier}-seed{config.seed}"
        places.append(folder.parent.parent / "classifiers" / name)
    curves = []
    for stage in _STAGES:
        for place in places:
            lines = list(logs.read_metrics(place, stage))
            if not lines:
                continue
            names = dict.fromkeys(name for line in lines for name in line)
            steps = np.array([line["step"] for line in lines])
            for name in names:
                if name in ("step", "stage"):
                    continue
                values = [float(line.get(name, np.nan)) for line in lines]
                curves.append(Curve(stage, name, steps, np.array(values)))
            break
    return tuple(curves)


def _evaluated(read: _Read, known: _Known, *, intervals: bool) -> Entry:
    """The entry with its evaluation, or with why there is none."""
    entry, rules = read.entry, read.rules
    if read.predictions is None:
        return entry
    annotations = read.annotations
    truth = known.given or read.ground_truth
    if known.given or annotations is None:
        if truth is None or not os.path.exists(truth):
            reason = (
                f"{truth or entry.path}: no annotations to measure against, so nothing"
                " is evaluated; name them with --ground-truth"
            )
            return dataclasses.replace(entry, gaps=(*entry.gaps, reason))
        annotations = known.read(truth)
    predictions = evaluate.read_predictions(read.predictions, names=known.names)
    source = str(read.predictions)
    subset = rules.subset or evaluate.find_subset(
        predictions, annotations, source=source
    )
    run = functools.partial(
        evaluate.evaluate,
        predictions,
        annotations,
        subset=subset,
        tious=rules.tious,
        variant=rules.variant,
        missing=rules.missing,
        other_subsets=rules.other_subsets,
        ignore_unknown_labels=rules.ignore_unknown_labels,
        source=source,
    )
    # Types of errors are defined by ActivityNet's matching, whatever the mAP is by.
    bins = "activitynet" if min(rules.tious) >= 0.5 else "thumos14"
    samples = _SAMPLES if intervals else 0
    if rules.protocol == "activitynet":
        report = run(protocol=rules.protocol, samples=samples, bins=bins)
    else:
        report = dataclasses.replace(
            run(protocol=rules.protocol, samples=samples),
            diagnosis=run(protocol="activitynet", bins=bins).diagnosis,
        )
    annotations = variants.apply_variant(annotations, rules.variant)
    known.note(entry.name, annotations, subset)
    truths = annotations_lib.ground_truth(annotations, subset=subset)
    outcomes = diagnosis.outcomes(predictions, truths, tious=rules.tious)
    lines = dict.fromkeys((*entry.cautions, *results.cautions(vars(report))))
    return dataclasses.replace(
        entry,
        cautions=tuple(lines),
        report=report,
        by_category=_by_category(report) if intervals else {},
        detections=predictions,
        outcomes=outcomes,
        in_videos=_in_videos(report, predictions, truths, outcomes),
    )


def _by_category(report: evaluate.Report) -> dict[str, evaluate.Confidence]:
    """Intervals of the AP of each category that has instances."""
    found = {}
    for index in np.flatnonzero(report.ranking.positives):
        own = _part(report.ranking, report.ranking.label == index, index=int(index))
        found[report.ranking.labels[index]] = evaluate.intervals(
            own, samples=_CATEGORY_SAMPLES, seed=0
        )
    return found


def _part(
    ranking: average_precision.Ranking,
    rows: np.ndarray,
    *,
    index: int | None = None,
    video: int | None = None,
) -> average_precision.Ranking:
    """Some detections of a ranking, with the instances of one category or video."""
    mine = ranking.truth_label == index
    if video is not None:
        mine = ranking.truth_video == video
    return ranking._replace(
        video=ranking.video[rows],
        label=ranking.label[rows],
        hit=ranking.hit[:, rows],
        counted=ranking.counted[:, rows],
        truth_video=ranking.truth_video[mine],
        truth_label=ranking.truth_label[mine],
    )


def _in_videos(
    report: evaluate.Report,
    predictions: average_precision.Instances,
    truths: average_precision.Instances,
    outcomes: diagnosis.Outcomes,
) -> dict[str, InVideo]:
    """What a set of detections has in each video."""
    ranking, k = report.ranking, reference(report.result.tious)
    own = {name: index for index, name in enumerate(predictions.videos)}
    ranked = {name: index for index, name in enumerate(ranking.videos)}
    by_video = _rows_by(predictions.video, len(predictions.videos))
    by_ranked = _rows_by(ranking.video, len(ranking.videos))
    by_truth = _rows_by(truths.video, len(truths.videos))
    positives = collections.Counter(truths.labels[index] for index in truths.label)
    scores = predictions.scores
    assert scores is not None
    limits = np.array([positives[label] for label in predictions.labels], int)
    matches = outcomes.matches[k]
    is_false = (matches < 0) & (outcomes.place < limits[predictions.label])
    found = {}
    for index, name in enumerate(truths.videos):
        rows = by_video[own[name]] if name in own else np.zeros(0, int)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        instances = by_truth[index]
        places = {int(matches[row]): place for place, row in enumerate(rows)}
        matched = np.array([places.get(int(row), -1) for row in instances], int)
        ap = None
        if instances.size:
            part = _part(ranking, by_ranked[ranked[name]], video=ranked[name])
            ap = float(average_precision.average(part).mean.mean())
        false = int(is_false[rows].sum())
        found[name] = InVideo(rows, matched, ap, int((matched < 0).sum()), false)
    return found


def _rows_by(keys: np.ndarray, count: int) -> list[np.ndarray]:
    """The rows that have each key, in their order."""
    order = np.argsort(keys, kind="stable")
    return np.split(order, np.searchsorted(keys[order], np.arange(1, count)))


def _comparable(entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """The entries that are on what the first is on, and a line for each other one."""
    first = next((entry for entry in entries if entry.report), None)
    if first is None or first.report is None:
        return list(entries), []
    kept = [first]
    notes: list[str] = []
    for entry in entries:
        if entry is first:
            continue
        if entry.report is None:
            notes += entry.gaps
            continue
        differs = _difference(first.report, entry.report)
        if differs:
            notes.append(
                f"{entry.name} is not shown beside {first.name}: {differs}; a page of its"
                " own shows it"
            )
        else:
            kept.append(entry)
    return kept, notes


def _difference(first: evaluate.Report, other: evaluate.Report) -> str:
    """In what two evaluations differ so that they cannot be compared; empty if not."""
    for name in ("subset", "protocol", "variant"):
        values = getattr(first, name), getattr(other, name)
        if values[0] != values[1]:
            return f"{name} {values[1]!r} and not {values[0]!r}"
    if not np.array_equal(first.result.tious, other.result.tious):
        return "other tIoU thresholds"
    if _truths(first) != _truths(other):
        return "other videos or instances to find"
    return ""


def _truths(report: evaluate.Report) -> list[tuple[str, str]]:
    """Video and category of every instance that was evaluated."""
    ranking = report.ranking
    pairs = zip(ranking.truth_video, ranking.truth_label, strict=True)
    return sorted((ranking.videos[v], ranking.labels[n]) for v, n in pairs)


def curve_breaks(entry: Entry) -> list[tuple[str, str, int]]:
    """Stage, name and first step of every number of training that is not finite."""
    found = []
    for curve in entry.curves:
        wrong = np.flatnonzero(~np.isfinite(curve.values))
        if wrong.size:
            found.append((curve.stage, curve.name, int(curve.steps[wrong[0]])))
    return found
