"""The results of several runs in one table, those on other data under other headings."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from cleannet_jax import config as config_lib
from cleannet_jax import errors, experiment, methods, results, runs
from cleannet_jax.data import agreement, files
from cleannet_jax.report import evaluation, tables

# Fields of the config that a heading or a column of its own has.
_SHOWN = ("dataset", "protocol", "seed", "tious")


class Evaluated(NamedTuple):
    """What was evaluated on. Numbers of the same are comparable, others are not."""

    dataset: str
    data: str
    generated: bool
    subset: str
    variant: str
    protocol: str
    tious: tuple[float, ...]
    num_videos: int
    num_instances: int


class Row(NamedTuple):
    """One method of one run.

    Attributes:
      run: its folder.
      method: whose detections were evaluated; a run has its baselines' too.
      config: of the run, with what makes the method.
      evaluated: what on.
      map: [K] in percent, at each tIoU.
      mean: over them.
      cautions: what a reader of the numbers should know, `results.cautions`.
    """

    run: str
    method: str
    config: config_lib.Config
    evaluated: Evaluated
    map: tuple[float, ...]
    mean: float
    cautions: tuple[str, ...] = ()


class Collection(NamedTuple):
    """The rows of the runs in the order of the folders, and the runs that lack some."""

    rows: tuple[Row, ...]
    unfinished: tuple[str, ...]


def collect(folders: Iterable[str | os.PathLike]) -> Collection:
    """Returns what the runs in some folders have found until now.

    Args:
      folders: of runs, or of ablations, whose cells are runs.

    Raises:
      InputError: one is neither, or its files are not those of a run.
    """
    rows, unfinished = [], []
    for folder in dict.fromkeys(_run_folders(folders)):
        found = list(_rows(folder))
        rows += found
        is_cell = folder.parent.name == "cells"
        if not found or not (is_cell or (folder / "results" / "table.txt").exists()):
            unfinished.append(str(folder))
    return Collection(tuple(rows), tuple(unfinished))


def as_text(collection: Collection) -> str:
    """Returns the table for a person, mAP in percent."""
    parts = []
    for evaluated, rows in _groups(collection.rows):
        names = _differing(rows)
        heads = [f"{tiou:.2f}" for tiou in evaluated.tious]
        cells = [["run", "method", "seed", *names, *heads, "mean"]]
        for row in rows:
            figures = [f"{value:.1f}" for value in (*row.map, row.mean)]
            run = agreement.printable(row.run)
            cells.append([run, row.method, *_settings(row, names), *figures])
        cautions = {f"{row.run}, {row.method}": row.cautions for row in rows}
        notes = [agreement.printable(x) for x in evaluation.summary_lines(cautions)]
        lines = [*_heading(evaluated), *tables.aligned(cells), *notes]
        parts.append("\n".join(lines))
    if collection.unfinished:
        names = map(agreement.printable, collection.unfinished)
        parts.append("\n".join(f"unfinished: {name}" for name in names))
    return "\n\n".join(parts) + "\n"


def as_csv(collection: Collection) -> str:
    """Returns one line a row and tIoU, and one for the mean over tIoU."""
    names = _differing(collection.rows)
    facts = [name for name in Evaluated._fields if name != "tious"]
    lines = [["run", "method", "seed", *names, *facts, "tiou", "map"]]
    for row in collection.rows:
        values = row.evaluated._asdict()
        values["generated"] = str(row.evaluated.generated).lower()
        start = [row.run, row.method, *_settings(row, names)]
        start += [values[name] for name in facts]
        tious = (*row.evaluated.tious, "mean")
        for tiou, value in zip(tious, (*row.map, row.mean), strict=True):
            lines.append([*start, tiou, f"{value:.4f}"])
    return tables.as_csv(lines)


def _run_folders(folders: Iterable[str | os.PathLike]) -> Iterator[pathlib.Path]:
    """The folders of runs, cells in the place of an ablation's."""
    for folder in map(pathlib.Path, folders):
        cells = sorted((folder / "cells").glob("*/config.json"))
        if (folder / "config.json").is_file():
            yield folder
        elif cells:
            yield from (path.parent for path in cells)
        else:
            what = "no config.json in it" if folder.is_dir() else "no such folder"
            raise errors.InputError(
                f"{folder}: {what}, expected the folder of a run or of an ablation"
            )


def _rows(folder: pathlib.Path) -> Iterator[Row]:
    """The rows of one run, by method."""
    description = runs.read_description(folder)
    paths = sorted((folder / "results").glob("*.json"))
    baselines = {name for path in paths for name in methods.baselines(path.stem)}
    baselines -= {methods.name_of(description.config)}
    for path in paths:
        content = files.read_checked_json(path)
        try:
            evaluated = Evaluated(
                dataset=description.config.dataset,
                data=description.data,
                generated=content["generated_data"],
                subset=content["subset"],
                variant=content["variant"],
                protocol=content["protocol"],
                tious=tuple(map(float, content["tious"])),
                num_videos=content["num_videos"],
                num_instances=content["num_instances"],
            )
            figures = tuple(map(float, content["map"])), float(content["mean"])
        except (KeyError, TypeError, ValueError) as error:
            raise errors.InputError(
                f"{path}: not the results of a run: {error}"
            ) from None
        if len(figures[0]) != len(evaluated.tious):
            raise errors.InputError(
                f"{path}: found {len(figures[0])} values in map, expected one for each of"
                f" the {len(evaluated.tious)} tIoU thresholds"
            )
        config = description.config
        if path.stem in baselines:
            config = methods.apply(config, path.stem)
        told = tuple(results.cautions(content))
        yield Row(str(folder), path.stem, config, evaluated, *figures, told)


def _groups(rows: Sequence[Row]) -> Iterator[tuple[Evaluated, list[Row]]]:
    """The rows that are on the same, in the order of their first."""
    for evaluated in dict.fromkeys(row.evaluated for row in rows):
        yield evaluated, [row for row in rows if row.evaluated == evaluated]


def _heading(evaluated: Evaluated) -> list[str]:
    """What the rows below were evaluated on."""
    data, subset, variant = map(
        agreement.printable, (evaluated.data, evaluated.subset, evaluated.variant)
    )
    named = "" if variant == "official" else f", variant {variant}"
    lines = [experiment.GENERATED_NOTE] if evaluated.generated else []
    lines.append(
        f"{evaluated.dataset}, {data}, subset {subset!r}{named}:"
        f" {evaluated.num_videos} videos, {evaluated.num_instances} instances; protocol"
        f" {evaluated.protocol}; mAP in percent"
    )
    return lines


def _settings(row: Row, names: Sequence[str]) -> list[str]:
    """The seed of a row's run, and some fields of its config, as text."""
    fields = [config_lib.as_text(getattr(row.config, name)) for name in names]
    return [str(row.config.seed), *fields]


def _differing(rows: Sequence[Row]) -> list[str]:
    """The fields of the config that differ, except where the method says why."""
    return [
        field.name
        for field in dataclasses.fields(config_lib.Config)
        if field.name not in _SHOWN and _differs(rows, field.name)
    ]


def _differs(rows: Sequence[Row], name: str) -> bool:
    """Whether a field differs between runs, or between those with one method."""
    if name not in _method_fields():
        return len({getattr(row.config, name) for row in rows}) > 1
    seen = {(row.method, getattr(row.config, name)) for row in rows}
    return len(seen) > len({row.method for row in rows})


def _method_fields() -> set[str]:
    """The fields of the config that make a method."""
    made = [
        dataclasses.asdict(methods.apply(config_lib.Config(), name))
        for name in methods.METHODS
    ]
    return {name for name in made[0] if len({one[name] for one in made}) > 1}
