"""Tables 2 and 3 of the paper on any data: every method, several seeds, one evaluator.

A cell is one method with one seed. Cells of a seed share the classifiers that they
have in common, and what these predict. In the folder of an ablation,

* classifiers/NAME-seedS is a run of stage 1, with its predictions of all videos in scp/;
* cells/METHOD-seedS is a run with its model, predictions/ and results/;
* table.txt, .csv, .tex and .json are the tables of `report.ablation`, written anew
  after every cell where the caller asks for it.

A cell whose results are there is never run again. Several processes run a cell
together; the folder has to be on a file system that all of them see.
"""

import dataclasses
import pathlib
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from cleannet_jax import compare as compare_lib
from cleannet_jax import config as config_lib
from cleannet_jax import (
    distributed,
    errors,
    evaluate,
    experiment,
    localize,
    logs,
    runs,
    train,
)
from cleannet_jax import methods as methods_lib
from cleannet_jax import results as results_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import files
from cleannet_jax.data import snippets as snippets_lib
from cleannet_jax.localizers import table

Params = Any

_MANY_MAPS = 40_000

# Halves of the videos that a difference of two methods is evaluated on.
_SAMPLES = 1000


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
    # By the name of a cell, what `results.cautions` says of its evaluation.
    cautions: Mapping[str, Sequence[str]] = types.MappingProxyType({})

    def collapsed(self, method: str) -> list[int]:
        """The seeds with which a method has learned nothing, or found nothing."""
        seeds = next(r.seeds for r in self.results if r.method == method)
        return [
            seed
            for seed in seeds
            if any(
                map(results_lib.is_collapse, self.cautions.get(_cell(method, seed), ()))
            )
        ]


def ablate(
    config: config_lib.Config,
    data: str | None,
    *,
    methods: Sequence[str],
    seeds: Sequence[int],
    folder: pathlib.Path,
    bins: str,
    dataset: dataset_lib.Dataset | None = None,
    on_cell: Callable[[Ablation], None] | None = None,
) -> Ablation:
    """Trains, localizes with and evaluates every method with every seed.

    Args:
      config: of the data; what makes a method is put in.
      data: the feature folder; None for the embedded sample.
      methods: as for `methods.apply`.
      seeds: of the runs.
      folder: of the ablation; going on where an earlier call has stopped.
      bins: of the diagnosis, a key of `evaluate.BINS`.
      dataset: what is in `data`, where it was opened already.
      on_cell: called after every cell with the results until then, by process 0.

    Returns:
      The results; on other processes than process 0 none.

    Raises:
      InputError: something cannot be used, or the folder holds something else.
      Interrupted: SIGINT or SIGTERM came; the same call goes on from there.
    """
    check(config, methods)
    dataset = dataset or experiment.open_dataset(config, data)
    experiment.check_evaluation(dataset)
    for method in methods:
        own = config_of(config, method, 0)
        methods_lib.check_categories(own, dataset.categories)
    where = experiment.place_of(data)
    cells = [(method, seed) for seed in seeds for method in methods]
    if distributed.is_first():
        folder.mkdir(parents=True, exist_ok=True)
    with logs.progress_bar("ablation", total=len(cells)) as bar:
        for method, seed in cells:
            bar.set_postfix_str(f"{method}, seed {seed}")
            _run_cell(method, config, seed, dataset, where, folder, bins)
            _free_memory_maps()
            bar.update()
            if on_cell and distributed.is_first():
                on_cell(collect(config, dataset, methods, seeds, folder))
    seeds = seeds if distributed.is_first() else ()
    return collect(config, dataset, methods, seeds, folder)


def check(config: config_lib.Config, methods: Sequence[str]) -> None:
    """Raises an InputError if a method makes no sense with the config."""
    for method in methods:
        methods_lib.check(config_of(config, method, 0))


def config_of(config: config_lib.Config, method: str, seed: int) -> config_lib.Config:
    """The config of a cell: files of scores or heads go to those that can read them."""
    config = dataclasses.replace(methods_lib.apply(config, method), seed=seed)
    if config.classifier != methods_lib.SCORES:
        config = dataclasses.replace(config, scores="")
    if not config.classifier.startswith("untrimmednet"):
        config = dataclasses.replace(config, heads="")
    return config


def _free_memory_maps() -> None:
    """Drops compiled programs before they use up what a process may map, 65530 places.

    A program takes some hundred, so that a large ablation would end in a crash.
    """
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_text().count("\n") > _MANY_MAPS:
        jax.clear_caches()


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
    description = runs.describe(own, dataset, where)
    with runs.open_run(cell, description):
        if distributed.told(lambda: _is_done(cell, method, dataset)):
            return
        classified: Params = {}
        saved = snippets_lib.open_for(own, dataset)
        if not saved:
            alone = config_of(config, own.classifier, seed)
            classified, saved = _classify(alone, dataset, where, folder)
            localizer = table.of(own)
            # C5 trains the head on; thresholding reads more than what is saved.
            if localizer.fine_tunes or localizer.kind == "threshold":
                saved = None
        params = train.train_generator(own, dataset, cell, classified, saved)
        if distributed.is_first():
            runs.write_model(cell, description, dataset, params)
        models = {method: localize.Model(own, params, saved)}
        found = experiment.localize_rows(models, dataset, cell)
        if distributed.is_first():
            experiment.evaluate_rows(models, found, dataset, cell, bins=bins)


def _classify(
    config: config_lib.Config,
    dataset: dataset_lib.Dataset,
    where: str,
    folder: pathlib.Path,
) -> tuple[Params, snippets_lib.SavedPredictions]:
    """The parameters after stage 1, {"head"}, and its predictions of all videos."""
    run = folder / "classifiers" / f"{config.classifier}-seed{config.seed}"
    description = runs.describe(config, dataset, where)
    with runs.open_run(run, description):
        if not distributed.told(lambda: _has_model(run)):
            params = {"head": train.train_classifier(config, dataset, run)}
            if distributed.is_first():
                runs.write_model(run, description, dataset, params)
            distributed.wait()
        # Read again, so that what follows does not depend on when it was trained.
        params = runs.read_params(run)
        ids = [*dataset.train_ids, *dataset.evaluation_ids]
        if not distributed.told(lambda: _has_scp(run / "scp", dataset, ids)):
            with logs.progress_bar("classify", total=len(ids)) as bar:
                localize.write_scp(
                    params,
                    dataset,
                    ids,
                    config,
                    run / "scp",
                    progress=lambda done, total: bar.update(),
                )
            distributed.wait()
    return params, snippets_lib.open_folder(run / "scp", dataset)


def _has_model(run: pathlib.Path) -> bool:
    """Whether a run has its model; one that is damaged is to be written anew."""
    if not (run / "model.json").exists():
        return False
    damage = runs.params_damage(run)
    if damage:
        print(f"warning: {damage}; this is done now", flush=True)
    return not damage


def _has_scp(
    folder: pathlib.Path, dataset: dataset_lib.Dataset, ids: Sequence[str]
) -> bool:
    """Whether SCPs are there, and those that were written; else they are made anew."""
    if not (folder / "scp.json").exists():
        return False
    is_whole = snippets_lib.is_as_written(folder, dataset, ids)
    if not is_whole:
        print(
            f"warning: {folder}: damaged, or of other videos or features than now: made"
            " anew",
            flush=True,
        )
    else:
        snippets_lib.remove_mark(folder)
    return is_whole


def _is_done(cell: pathlib.Path, method: str, dataset: dataset_lib.Dataset) -> bool:
    """Whether a cell has its results; damaged ones are to be made anew.

    Raises:
      InputError: they are of other annotations or videos than those that there are now.
    """
    results = cell / "results" / f"{method}.json"
    if not results.exists():
        return False
    try:
        content = files.read_checked_json(results)
        wanted = content.get("predictions_digest")
        predictions = cell / "predictions" / f"{method}.json"
        # Results of earlier versions have no digests.
        is_whole = wanted in (None, runs.digest_of_file(predictions))
    except (errors.InputError, OSError, AttributeError):
        is_whole = False
    if not is_whole:
        print(f"warning: {results}: damaged: made anew", flush=True)
        return False
    for what, key, now in (
        ("annotations", "ground_truth_digest", runs.ground_truth_digest(dataset)),
        ("features or times", "evaluation_digest", runs.evaluation_digest(dataset)),
    ):
        if content.get(key, now) != now:
            raise errors.InputError(
                f"{results}: the {what} to evaluate on have changed since this was"
                " written, and the table would mix both; bring them back as they were,"
                f" or delete {cell.parent}/*/results, and all cells are evaluated anew"
            )
    return True


def _cell(method: str, seed: int) -> str:
    """What people call a cell."""
    return f"{method}, seed {seed}"


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
    results, report, cautions = [], {}, {}
    for method in methods:
        rows = {}
        for seed in seeds:
            path = _cell_folder(folder, method, seed) / "results" / f"{method}.json"
            if path.exists():
                report = files.read_checked_json(path)
                rows[seed] = [*report["map"], report["mean"]]
                cautions[_cell(method, seed)] = results_lib.cautions(report)
        if rows:
            results.append(Result(method, tuple(rows), np.array(list(rows.values()))))
    data = (
        f"{dataset.name}, subset {dataset.evaluation_subset!r}: "
        f"{report.get('num_videos')} videos, {report.get('num_instances')} instances; "
        f"protocol {report.get('protocol')}; mAP in percent"
    )
    return Ablation(
        config.dataset, data, dataset.generated, config.tious, results, cautions
    )


def parse_pairs(text: str, methods: Sequence[str]) -> list[tuple[str, str]]:
    """Returns the pairs in a text such as full:plain,t:simple; none in an empty one.

    Args:
      text: pairs with commas between them.
      methods: of the ablation.

    Raises:
      InputError: a part is not a pair of two of the methods.
    """
    pairs = []
    for part in filter(None, text.split(",")):
        first, _, second = part.strip().partition(":")
        if first == second or not {first, second} <= set(methods):
            raise errors.InputError(
                f"--compare: found {part.strip()!r}, expected A:B of two of"
                f" {', '.join(methods)}"
            )
        pairs.append((first, second))
    return pairs


def compare(
    config: config_lib.Config,
    dataset: dataset_lib.Dataset,
    pairs: Sequence[tuple[str, str]],
    seeds: Sequence[int],
    folder: pathlib.Path,
) -> list[compare_lib.SeedComparison]:
    """Returns by how much A's mean over seeds is above B's, for each pair (A, B).

    Paired over videos and seeds. The intervals hold all true differences together 95
    times of a hundred, by Bonferroni: with P pairs each is one of 1 - 0.05 / P.

    Args:
      config: as for `ablate`.
      dataset: what was evaluated on.
      pairs: of methods whose cells are done.
      seeds: of the cells.
      folder: of the ablation.

    Raises:
      InputError: the detections of a cell are not there.
    """
    level = 1 - (1 - evaluate.LEVEL) / max(1, len(pairs))
    reports = {
        method: [_report(config, dataset, method, seed, folder) for seed in seeds]
        for method in dict.fromkeys(method for pair in pairs for method in pair)
    }
    return [
        compare_lib.compare_seeds(
            reports[other], reports[method], samples=_SAMPLES, level=level
        )
        for method, other in pairs
    ]


def _report(
    config: config_lib.Config,
    dataset: dataset_lib.Dataset,
    method: str,
    seed: int,
    folder: pathlib.Path,
) -> evaluate.Report:
    """The evaluation of a cell's detections."""
    path = _cell_folder(folder, method, seed) / "predictions" / f"{method}.json"
    return evaluate.evaluate(
        evaluate.read_predictions(path),
        dataset.annotations,
        subset=dataset.evaluation_subset,
        tious=config.tious,
        protocol=config.protocol,
        source=str(path),
    )
