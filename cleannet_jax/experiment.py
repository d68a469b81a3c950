"""A whole experiment: train a method, localize with it and its baselines, evaluate."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cleannet_jax import (
    checkpoint,
    collapse,
    distributed,
    errors,
    evaluate,
    logs,
    methods,
    results,
    runs,
    sample,
    train,
    validation,
)
from cleannet_jax import config as config_lib
from cleannet_jax import localize as localize_lib
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import annotation_files, files
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data import snippets as snippets_lib
from cleannet_jax.data.detections import files as detections_lib
from cleannet_jax.data.layouts import feature_folder, table
from cleannet_jax.metrics import average_precision
from cleannet_jax.ops import edges

Params = Any

GENERATED_NOTE = (
    "GENERATED DATA: features and annotations are made up from a seed; these numbers "
    "do not compare with any published ones."
)
# The sample stays the same whatever the seed of the run, as a real dataset does.
_SAMPLE_SEED = 0


class Row(NamedTuple):
    """One line of the table at the end of an experiment."""

    method: str
    report: evaluate.Report


def open_dataset(config: config_lib.Config, data: str | None) -> dataset_lib.Dataset:
    """Opens a feature folder to train on, or the embedded sample where there is none.

    Of several processes it is process 0 that validates it, for all.

    Args:
      config: names the sample, or where the manifest is.
      data: the feature folder; None for the sample.

    Raises:
      InputError: there is no such sample, or the folder cannot be used; its `report`
        is that of the validation then.
    """
    if data is None:
        made = sample.sample_dataset(config.dataset, seed=_SAMPLE_SEED)
        return dataset_lib.scaled(made, config.feature_scales)
    folder = pathlib.Path(data)
    manifest = read_manifest(folder, config.manifest)
    if config.feature_scales:
        # Wrong numbers of them are said before anything is read.
        dataset_lib.factors_of(manifest.streams, config.feature_scales)
    annotations = annotation_files.read_for(folder, manifest)

    def validate() -> tuple[list[str], dict[str, str]]:
        report = validated(folder, manifest, annotations, scales=config.feature_scales)
        if report.errors:
            text, cause = validation.failure(report)
            raise errors.InputError(cause, report=text)
        if report.warnings:
            print(validation.report_text(report))
        digests = {name: digest.hex() for name, digest in report.digests.items()}
        return list(validation.summary_lines(report)), digests

    warnings, digests = distributed.told(validate)
    dataset = feature_folder.open_feature_folder(
        folder, manifest=manifest, annotations=annotations
    )
    dataset = dataclasses.replace(dataset, warnings=tuple(warnings))
    dataset = dataset_lib.verified(
        dataset, {name: bytes.fromhex(digest) for name, digest in digests.items()}
    )
    return dataset_lib.scaled(dataset, config.feature_scales)


def validated(
    folder: pathlib.Path,
    manifest: manifest_lib.Manifest,
    annotations: annotations_lib.Annotations,
    *,
    scales: tuple[float, ...] = (),
) -> validation.Report:
    """Returns what validation finds in a feature folder, and shows how far it is.

    Args:
      folder: of the features.
      manifest: its description.
      annotations: of the videos.
      scales: that features are multiplied by, one a stream; empty for none.
    """
    with logs.progress_bar("validate", total=len(annotations.videos)) as bar:
        return validation.validate(
            folder,
            manifest=manifest,
            annotations=annotations,
            window=edges.WINDOW,
            scales=scales,
            progress=lambda done, total: bar.update(done - bar.n),
        )


def read_manifest(
    folder: pathlib.Path, path: str | None = None
) -> manifest_lib.Manifest:
    """The manifest of a feature folder; its absence comes with what to do about it.

    Args:
      folder: of the features.
      path: of the manifest; None or empty for the one in the folder.
    """
    if not path and not (folder / "manifest.json").exists():
        raise _no_manifest(folder)
    return manifest_lib.read_manifest(path or folder / "manifest.json")


def _no_manifest(folder: pathlib.Path) -> errors.InputError:
    """The error of a folder without a manifest, with what to do about it."""
    if not folder.is_dir():
        return errors.InputError(f"{folder}: no such folder")
    try:
        layout = table.detect(folder)
    except errors.InputError as error:
        return errors.InputError(
            f"{folder}: no manifest.json in it; `cleannet init {folder}` writes one, or"
            f" name it with --manifest, or convert another layout ({error})"
        )
    return errors.InputError(
        f"{folder}: no manifest.json in it, but it looks like the layout {layout!r}; "
        f"convert it once: cleannet convert {folder} --to NEW --layout {layout}"
    )


SAMPLE = "embedded sample"


def place_of(data: str | None) -> str:
    """What a run's description says of where its data are."""
    return SAMPLE if data is None else str(pathlib.Path(data).absolute())


def train_and_evaluate(
    config: config_lib.Config,
    method: str,
    data: str | None,
    folder: pathlib.Path,
    *,
    dataset: dataset_lib.Dataset | None = None,
) -> list[Row]:
    """Trains a method and evaluates it next to its baselines.

    Args:
      config: of the method.
      method: its name, for the table.
      data: the feature folder; None for the embedded sample.
      folder: of the run; going on where an earlier run of it has stopped.
      dataset: what is in `data`, where it was opened already.

    Returns:
      The rows of the table of results, baselines first; none where there is nothing to
      evaluate on, and none on other processes than process 0.
    """
    dataset = dataset or open_dataset(config, data)
    methods.check_categories(config, dataset.categories)
    without_table = why_not_evaluated(dataset)
    if without_table:
        print(f"no mAP in the end: {without_table}")
    description = runs.describe(config, dataset, place_of(data))
    with runs.open_run(folder, description):
        classified, trained = train.train(config, dataset, folder)
        if distributed.is_first():
            runs.write_model(folder, description, dataset, trained)
        names = methods.baselines(method, config.classifier)
        rows = {name: methods.apply(config, name) for name in names}
        saved = snippets_lib.open_for(config, dataset)
        models = {
            name: localize_lib.Model(own, classified, saved)
            for name, own in rows.items()
        }
        models[method] = localize_lib.Model(config, trained, saved)
        found = localize_rows(models, dataset, folder)
        if without_table or not distributed.is_first():
            return []
        return evaluate_rows(models, found, dataset, folder)


def why_not_evaluated(dataset: dataset_lib.Dataset) -> str:
    """Why no mAP can be had of a data set, in one line; empty where it can."""
    if not dataset.evaluation_ids:
        return (
            f"{dataset.name}: no video of subset {dataset.evaluation_subset!r}, the one "
            "to evaluate on, has features"
        )
    try:
        subset = dataset.evaluation_subset
        annotations_lib.ground_truth(dataset.annotations, subset=subset)
    except errors.InputError as error:
        return str(error)
    return ""


def check_evaluation(dataset: dataset_lib.Dataset) -> None:
    """Raises an InputError if there is nothing to evaluate on."""
    why = why_not_evaluated(dataset)
    if why:
        raise errors.InputError(why)


def localize_rows(
    models: Mapping[str, localize_lib.Model],
    dataset: dataset_lib.Dataset,
    folder: pathlib.Path,
) -> list[average_precision.Instances]:
    """Localizes in the evaluation videos, by each model.

    Args:
      models: by the names of their methods, for files.
      dataset: its evaluation videos are used.
      folder: gets predictions/NAME.json.

    Returns:
      The detections of each model; none on other processes than process 0.
    """
    ids = dataset.evaluation_ids
    if not ids:
        return []
    with logs.progress_bar(f"localize {', '.join(models)}", total=len(ids)) as bar:
        found = localize_lib.localize(
            list(models.values()),
            dataset,
            ids,
            progress=lambda done, total: bar.update(),
        )
    if not distributed.is_first():
        return []
    (folder / "predictions").mkdir(exist_ok=True)
    for name, predictions in zip(models, found, strict=True):
        detections_lib.write(
            _predictions_path(folder, name), predictions, details=details(dataset)
        )
    return found


def _predictions_path(folder: pathlib.Path, method: str) -> pathlib.Path:
    return folder / "predictions" / f"{method}.json"


def evaluate_rows(
    models: Mapping[str, localize_lib.Model],
    found: Sequence[average_precision.Instances],
    dataset: dataset_lib.Dataset,
    folder: pathlib.Path,
    *,
    bins: str | None = None,
) -> list[Row]:
    """Evaluates what was found.

    Args:
      models: by the names of their methods, for files and tables; the last one is what
        the run has trained.
      found: the detections of each.
      dataset: what they are detections in.
      folder: gets results/NAME.json.
      bins: of an error diagnosis, a key of `evaluate.BINS`; None for none.
    """
    (folder / "results").mkdir(exist_ok=True)
    rows = []
    for (name, model), predictions in zip(models.items(), found, strict=True):
        report = evaluate.evaluate(
            predictions,
            dataset.annotations,
            subset=dataset.evaluation_subset,
            tious=model.config.tious,
            protocol=model.config.protocol,
            bins=bins,
            source=str(_predictions_path(folder, name)),
        )
        if name == next(reversed(models)):
            more = collapse.cautions(model.config, folder)
            report = dataclasses.replace(report, warnings=(*report.warnings, *more))
        path = _predictions_path(folder, name)
        content = results.as_dict(report) | {
            "generated_data": dataset.generated,
            "predictions_digest": runs.digest_of_file(path),
            "ground_truth_digest": runs.ground_truth_digest(dataset),
            "evaluation_digest": runs.evaluation_digest(dataset),
        }
        files.write_checked_json(folder / "results" / f"{name}.json", content)
        rows.append(Row(name, report))
    return rows


def details(dataset: dataset_lib.Dataset) -> str:
    """What a predictions file says of the data that it was made from."""
    return f"{dataset.name}. {GENERATED_NOTE}" if dataset.generated else dataset.name


def restore(folder: pathlib.Path, description: runs.Description) -> Params:
    """The trained parameters of a run, those of its last stage.

    Raises:
      InputError: the run has not finished, or its checkpoint cannot be read.
    """
    if runs.read_model(folder) is not None:
        return runs.read_params(folder)
    # A run of a version that wrote no model: its last checkpoint.
    config, streams = description.config, description.streams
    keys = train.create_keys(config.seed)
    params: Params = {}
    name = "head"
    if config.classifier != methods.SCORES:
        classifier = methods.classifier(config)
        num_categories = len(description.categories)
        params = classifier.create_params(keys.classifier, streams, num_categories)
    if config.train_generator:
        name = "cleannet"
        classified = {"head": classifier.finish(params, streams)} if params else {}
        generator = train.create_generator_params(keys.generator, streams.width, config)
        params = classified | {"generator": generator}
    if not params:
        return {}
    stage = train.Stage(name, config, streams)
    place = folder / "checkpoints" / name
    if not place.is_dir():
        raise errors.InputError(f"{place}: no such folder; has the run finished?")
    manager = checkpoint.open_manager(place)
    restored = checkpoint.restore_latest(
        manager, train.create_train_state(stage, params)
    )
    manager.close()
    if restored is None or restored.step < stage.steps:
        found = "no checkpoint" if restored is None else f"step {restored.step}"
        raise errors.InputError(
            f"{place}: found {found}, expected step {stage.steps}; repeat the training "
            "command to finish the run"
        )
    params = restored.state.params
    return {"head": classifier.finish(params, streams)} if name == "head" else params


def check_streams(
    dataset: dataset_lib.Dataset,
    expected: streams_lib.Streams,
    folder: str | os.PathLike,
) -> tuple[str, ...]:
    """Returns what a reader should know of streams that a run is to localize in.

    Args:
      dataset: of the videos.
      expected: the streams that the run was trained on.
      folder: of the run.

    Raises:
      InputError: they are not as wide as those it was trained on, or in another order.
    """
    found = dataset.streams
    if found.widths != expected.widths:
        raise errors.InputError(
            f"{dataset.name}: found streams of {found.widths} columns, expected the "
            f"{expected.widths} that {folder} was trained on"
        )
    names = [name.casefold() for name in found.names]
    trained_on = [name.casefold() for name in expected.names]
    both = set(names) & set(trained_on)
    if any(names.index(name) != trained_on.index(name) for name in both):
        raise errors.InputError(
            f"{dataset.name}: found the streams {', '.join(found.names)}, expected"
            f" {', '.join(expected.names)} in that order, which {folder} was trained on"
        )
    if names == trained_on:
        return ()
    note = (
        f"note: streams {', '.join(found.names)} are taken for"
        f" {', '.join(expected.names)}, which {folder} was trained on"
    )
    return (note,)
