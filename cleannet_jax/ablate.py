"""Tables 2 and 3 of the paper on any data: every method, several seeds, one evaluator.

A cell is one method with one seed. Cells of a seed share the classifiers that they
have in common, and what these predict. In the folder of an ablation,

* classifiers/NAME-seedS is a run of stage 1, with its predictions of all videos in scp/;
* cells/METHOD-seedS is a run with predictions/, results/ and checkpoints/, a link to
  those of the classifier where nothing else is trained;
* table.txt, .csv, .tex and .json are the tables, written anew after every cell.

A cell whose results are there is never run again.
"""

import csv
import dataclasses
import io
import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax import experiment, localize, logs, runs, train
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import files
from cleannet_jax.data import snippets as snippets_lib

Params = Any

TABLE_2 = config_lib.VARIANTS
TABLE_3 = (*config_lib.CLASSIFIERS, "autoloc", "simple", "full")
# What an SCP of any origin can be followed by, for the matrix of both.
_MATRIX = ("threshold", "outer_inner", "plain", "autoloc", "t")
GROUPS = {
    "table2": TABLE_2,
    "table3": TABLE_3,
    "tables": tuple(dict.fromkeys(TABLE_2 + TABLE_3)),
    "matrix": tuple(
        f"{classifier}+{localizer}"
        for classifier in config_lib.CLASSIFIERS
        for localizer in _MATRIX
    ),
}

# mAP in percent by tIoU as the paper prints it: Tables 2 and 3 on THUMOS14 and Table 4
# on ActivityNet v1.2.
_THUMOS14 = (0.3, 0.4, 0.5, 0.6, 0.7)
_ACTIVITYNET = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
PAPER = {
    "thumos14": {
        "untrimmednet": dict(zip(_THUMOS14, (29.8, 22.8, 15.4, 8.3, 4.2), strict=True)),
        "plain": {0.5: 21.6},
        "actioness_only": {0.5: 1.2},
        "edgeness_only": {0.5: 11.4},
        "simple": dict(zip(_THUMOS14, (36.3, 30.7, 22.9, 13.8, 5.3), strict=True)),
        "t": {0.5: 23.4},
        "j": {0.5: 23.6},
        "full": dict(zip(_THUMOS14, (37.0, 30.9, 23.9, 13.9, 7.1), strict=True)),
        "hide_and_seek": {0.3: 19.5, 0.4: 12.7, 0.5: 6.8},
        "stpn": dict(zip(_THUMOS14, (31.1, 23.5, 16.2, 9.8, 5.1), strict=True)),
        "w_talc": dict(zip(_THUMOS14, (32.0, 26.0, 18.8, 10.9, 6.2), strict=True)),
        "autoloc": dict(zip(_THUMOS14, (35.8, 29.0, 21.2, 13.4, 5.8), strict=True)),
    },
    "activitynet12": {
        name: dict(zip(_ACTIVITYNET, values, strict=True))
        for name, values in {
            "untrimmednet": (7.4, 6.1, 5.2, 4.5, 3.9, 3.2, 2.5, 1.8, 1.2, 0.7),
            "w_talc": (37.0, 33.5, 30.4, 25.7, 14.6, 12.7, 10.0, 7.0, 4.2, 1.5),
            "autoloc": (27.3, 24.9, 22.5, 19.9, 17.5, 15.1, 13.0, 10.0, 6.8, 3.3),
            "full": (37.1, 33.4, 29.9, 26.7, 23.4, 20.3, 17.2, 13.9, 9.2, 5.0),
        }.items()
    },
}


class Result(NamedTuple):
    """The mAP of one method over the seeds that are done."""

    method: str
    seeds: tuple[int, ...]
    map: np.ndarray  # [S, K + 1] percent, at each tIoU and their mean

    @property
    def mean(self) -> np.ndarray:
        """[K + 1] mean over the seeds."""
        return self.map.mean(axis=0)

    @property
    def deviation(self) -> np.ndarray:
        """[K + 1] standard deviation over the seeds (n − 1); NaN with one seed."""
        if len(self.seeds) < 2:
            return np.full(self.map.shape[1], np.nan)
        return self.map.std(axis=0, ddof=1)


class Ablation(NamedTuple):
    """All that the tables are made of."""

    dataset: str  # name of the config
    data: str  # what was evaluated on, a line
    generated: bool
    tious: tuple[float, ...]
    results: list[Result]


def parse_methods(text: str) -> tuple[str, ...]:
    """The methods that a command line names, each once.

    Args:
      text: names of methods or of `GROUPS` with commas between them.

    Raises:
      InputError: one is neither.
    """
    methods = []
    for name in text.split(","):
        if name not in GROUPS:
            config_lib.parts(name)
        methods += GROUPS.get(name, [name])
    return tuple(dict.fromkeys(methods))


def ablate(
    config: config_lib.Config,
    data: str | None,
    *,
    methods: Sequence[str],
    seeds: Sequence[int],
    folder: pathlib.Path,
    bins: str,
) -> Ablation:
    """Trains, localizes with and evaluates every method with every seed.

    Args:
      config: of the data; what makes a method is put in.
      data: the feature folder; None for the embedded sample.
      methods: as for `config.variant`.
      seeds: of the runs.
      folder: of the ablation; going on where an earlier call has stopped.
      bins: of the diagnosis, a key of `evaluate.BINS`.

    Raises:
      InputError: something cannot be used, or the folder holds something else.
      Interrupted: SIGINT or SIGTERM came; the same call goes on from there.
    """
    for method in methods:
        config_lib.check(config_of(config, method, 0))
    dataset = experiment.open_dataset(config, data)
    where = "embedded sample" if data is None else str(pathlib.Path(data).absolute())
    cells = [(method, seed) for seed in seeds for method in methods]
    folder.mkdir(parents=True, exist_ok=True)
    with logs.progress_bar("ablation", total=len(cells)) as bar:
        for method, seed in cells:
            bar.set_postfix_str(f"{method}, seed {seed}")
            _run_cell(method, config, seed, dataset, where, folder, bins)
            # Every cell compiles its own programs. Kept, they would use up the memory
            # maps that a process may have, 65530 on Linux, after some forty cells.
            jax.clear_caches()
            bar.update()
            write_tables(collect(config, dataset, methods, seeds, folder), folder)
    return collect(config, dataset, methods, seeds, folder)


def config_of(config: config_lib.Config, method: str, seed: int) -> config_lib.Config:
    """The config of a cell: files of scores or heads go to those that can read them."""
    config = dataclasses.replace(config_lib.variant(config, method), seed=seed)
    if config.classifier != config_lib.SCORES:
        config = dataclasses.replace(config, scores="")
    if not config.classifier.startswith("untrimmednet"):
        config = dataclasses.replace(config, heads="")
    return config


def _run_cell(
    method: str,
    config: config_lib.Config,
    seed: int,
    dataset: dataset_lib.Dataset,
    where: str,
    folder: pathlib.Path,
    bins: str,
) -> None:
    """Trains, localizes and evaluates, unless it is done."""
    own, cell = config_of(config, method, seed), _cell_folder(folder, method, seed)
    with runs.open_run(cell, runs.describe(own, dataset, where)):
        if (cell / "results" / f"{method}.json").exists():
            return
        classified, saved = {}, snippets_lib.open_for(own, dataset)
        if not saved:
            alone = config_of(config, own.classifier, seed)
            classified, saved = _classify(alone, dataset, where, folder)
            if not own.train_generator:
                _link_checkpoints(cell, own)
            # C5 trains the head on; thresholding reads more than what is saved.
            if own.joint or not (own.action_score or own.edge_scores):
                saved = None
        params = train.train_generator(own, dataset, cell, classified, saved)
        experiment.evaluate_row(
            method, params, own, dataset, cell, saved=saved, bins=bins
        )


def _link_checkpoints(cell: pathlib.Path, config: config_lib.Config) -> None:
    """Makes the classifier's checkpoints those of a cell that trains nothing else."""
    link = cell / "checkpoints"
    name = f"{config.classifier}-seed{config.seed}"
    if not link.is_symlink():
        link.symlink_to(pathlib.Path("..", "..", "classifiers", name, "checkpoints"))


def _classify(
    config: config_lib.Config,
    dataset: dataset_lib.Dataset,
    where: str,
    folder: pathlib.Path,
) -> tuple[Params, snippets_lib.SavedPredictions]:
    """The parameters after stage 1, {"head"}, and its predictions of all videos."""
    run = folder / "classifiers" / f"{config.classifier}-seed{config.seed}"
    with runs.open_run(run, runs.describe(config, dataset, where)):
        params = {"head": train.train_classifier(config, dataset, run)}
        if not (run / "scp" / "scp.json").exists():
            ids = [*dataset.train_ids, *dataset.evaluation_ids]
            with logs.progress_bar("classify", total=len(ids)) as bar:
                localize.write_scp(
                    params,
                    dataset,
                    ids,
                    config,
                    run / "scp",
                    progress=lambda done, total: bar.update(),
                )
    return params, snippets_lib.open_folder(run / "scp", dataset)


def _cell_folder(folder: pathlib.Path, method: str, seed: int) -> pathlib.Path:
    return folder / "cells" / f"{method}-seed{seed}"


def collect(
    config: config_lib.Config,
    dataset: dataset_lib.Dataset,
    methods: Sequence[str],
    seeds: Sequence[int],
    folder: pathlib.Path,
) -> Ablation:
    """The results of the cells that are done."""
    results, report = [], {}
    for method in methods:
        rows = {}
        for seed in seeds:
            path = _cell_folder(folder, method, seed) / "results" / f"{method}.json"
            if path.exists():
                report = files.read_json(path)
                rows[seed] = [*report["map"], report["mean"]]
        if rows:
            results.append(Result(method, tuple(rows), np.array(list(rows.values()))))
    data = (
        f"{dataset.name}, subset {dataset.evaluation_subset!r}: "
        f"{report.get('num_videos')} videos, {report.get('num_instances')} instances; "
        f"protocol {report.get('protocol')}; mAP in percent"
    )
    return Ablation(config.dataset, data, dataset.generated, config.tious, results)


def write_tables(ablation: Ablation, folder: pathlib.Path) -> None:
    """Writes the tables in all four forms."""
    forms = {"txt": as_text, "csv": as_csv, "tex": as_latex, "json": as_json}
    for ending, form in forms.items():
        with files.open_atomic(folder / f"table.{ending}") as file:
            file.write(form(ablation))


def _paper(ablation: Ablation) -> tuple[str, dict[str, dict[float, float]]]:
    """The paper's data and figures to print beside ours: its own where it has them."""
    name = ablation.dataset if ablation.dataset in PAPER else "thumos14"
    return name, PAPER[name]


def _tables(ablation: Ablation) -> list[tuple[str, list[Result]]]:
    """Titles and rows of the tables that have at least two rows."""
    by_method = {result.method: result for result in ablation.results}
    parts = [
        ("Variants (Table 2)", [m for m in TABLE_2 if m in by_method]),
        ("Weakly supervised methods (Table 3)", [m for m in TABLE_3 if m in by_method]),
    ]
    seen = {*TABLE_2, *TABLE_3}
    parts.append(("Other methods", [m for m in by_method if m not in seen]))
    parts = [(title, [by_method[m] for m in methods]) for title, methods in parts]
    if len(by_method) < 2:
        return [("Results", ablation.results)]
    return [(title, rows) for title, rows in parts if rows]


def _figures(result: Result) -> list[str]:
    """Mean ± standard deviation at each tIoU and of the mean."""
    if len(result.seeds) < 2:
        return [f"{mean:.1f}" for mean in result.mean]
    return [
        f"{mean:.1f} ± {deviation:.1f}"
        for mean, deviation in zip(result.mean, result.deviation, strict=True)
    ]


def as_text(ablation: Ablation) -> str:
    """The tables for a person, the paper's figures at tIoU 0.5 in the last column."""
    name, paper = _paper(ablation)
    lines = [experiment.GENERATED_NOTE] if ablation.generated else []
    lines.append(ablation.data)
    lines.append(
        "mean ± standard deviation over seeds; paper: its mAP at tIoU 0.5 on "
        f"{name}, other features"
    )
    head = [f"{tiou:.2f}" for tiou in ablation.tious] + ["mean", "seeds", "paper"]
    for title, results in _tables(ablation):
        rows = [[title, *head]]
        for result in results:
            cited = paper.get(result.method, {}).get(0.5)
            last = [str(len(result.seeds)), "" if cited is None else f"{cited:.1f}"]
            rows.append([result.method, *_figures(result), *last])
        lines += ["", *_aligned(rows)]
    lines += _matrix_lines(ablation)
    return "\n".join(lines) + "\n"


def _matrix_lines(ablation: Ablation) -> list[str]:
    """Where an SCP comes from against what is done with it, mean over tIoU."""
    found = {config_lib.parts(result.method): result for result in ablation.results}
    classifiers = list(dict.fromkeys(classifier for classifier, _ in found))
    localizers = list(dict.fromkeys(localizer for _, localizer in found))
    localizers = [name for name in localizers if sum(c == name for _, c in found) > 1]
    if len(classifiers) < 2 or len(localizers) < 2:
        return []
    rows = [["SCP of, then (mean over tIoU)", *localizers]]
    for classifier in classifiers:
        cells = [found.get((classifier, localizer)) for localizer in localizers]
        rows.append(
            [classifier, *(_figures(cell)[-1] if cell else "" for cell in cells)]
        )
    return ["", *_aligned(rows)]


def _aligned(rows: list[list[str]]) -> list[str]:
    """Rows of text as lines, the first column to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def as_csv(ablation: Ablation) -> str:
    """One line a method and tIoU, and one for the mean over tIoU."""
    name, paper = _paper(ablation)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ("method", "tiou", "map_mean", "map_deviation", "seeds")
    writer.writerow([*head, f"paper_{name}", "generated_data"])
    for result in ablation.results:
        cited = paper.get(result.method, {})
        columns = [*ablation.tious, "mean"], result.mean, result.deviation
        for tiou, mean, deviation in zip(*columns, strict=True):
            spread = "" if np.isnan(deviation) else f"{deviation:.4f}"
            row = [result.method, tiou, f"{mean:.4f}", spread, len(result.seeds)]
            row += [cited.get(tiou, ""), str(ablation.generated).lower()]
            writer.writerow(row)
    return text.getvalue()


def as_latex(ablation: Ablation) -> str:
    """A tabular of every table, without any package."""
    name, paper = _paper(ablation)
    notes = [experiment.GENERATED_NOTE] if ablation.generated else []
    lines = [f"% {note}" for note in [*notes, ablation.data]]
    head = [f"{tiou:g}" for tiou in ablation.tious] + ["mean", "paper, 0.5"]
    for title, results in _tables(ablation):
        lines += [f"% {title}; paper: {name}, other features"]
        lines += [rf"\begin{{tabular}}{{l{'r' * len(head)}}}", r"\hline"]
        lines += [" & ".join(["Method", *head]) + r" \\", r"\hline"]
        for result in results:
            cited = paper.get(result.method, {}).get(0.5)
            figures = [f"${text}$".replace("±", r"\pm") for text in _figures(result)]
            method = result.method.replace("_", r"\_")
            last = "" if cited is None else f"{cited:.1f}"
            lines.append(" & ".join([method, *figures, last]) + r" \\")
        lines += [r"\hline", r"\end{tabular}", ""]
    return "\n".join(lines)


def as_json(ablation: Ablation) -> str:
    """Everything, every seed, in percent."""
    name, paper = _paper(ablation)
    content = {
        "data": ablation.data,
        "generated_data": ablation.generated,
        "unit": "percent",
        "tious": ablation.tious,
        "paper_data": name,
        "methods": {
            result.method: {
                "seeds": result.seeds,
                "map": result.map[:, :-1].tolist(),
                "mean": result.map[:, -1].tolist(),
                "paper": paper.get(result.method, {}),
            }
            for result in ablation.results
        },
    }
    return json.dumps(content, indent=1) + "\n"
