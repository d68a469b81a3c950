"""A whole experiment: train a variant, localize with it and its baselines, evaluate."""

import pathlib
from typing import Any, NamedTuple

import jax

from cleannet_jax import (
    checkpoint,
    errors,
    evaluate,
    logs,
    runs,
    sample,
    train,
    validation,
)
from cleannet_jax import config as config_lib
from cleannet_jax import localize as localize_lib
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import files
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data import snippets as snippets_lib
from cleannet_jax.data.layouts import feature_folder, table
from cleannet_jax.models import classifiers
from cleannet_jax.ops import contrast

Params = Any

GENERATED_NOTE = (
    "GENERATED DATA: features and annotations are made up from a seed; these numbers "
    "do not compare with any published ones."
)
# The sample stays the same whatever the seed of the run, as a real dataset does.
_SAMPLE_SEED = 0


class Row(NamedTuple):
    """One line of the table at the end of an experiment."""

    variant: str
    report: evaluate.Report


def open_dataset(
    config: config_lib.Config, data: str | None, *, categories: tuple | None = None
) -> dataset_lib.Dataset:
    """Opens a feature folder, or the embedded sample where there is none.

    Args:
      config: names the sample, or where the manifest is.
      data: the feature folder; None for the sample.
      categories: names of the N categories of a trained model; None for those of
        the training subset.

    Raises:
      InputError: there is no such sample, or the folder cannot be used; the message
        is the whole validation report then.
    """
    if data is None:
        return sample.sample_dataset(config.dataset, seed=_SAMPLE_SEED)
    folder = pathlib.Path(data)
    path = pathlib.Path(config.manifest or folder / "manifest.json")
    if not config.manifest and not path.exists():
        raise _no_manifest(folder)
    manifest = manifest_lib.read_manifest(path)
    annotations = annotations_lib.read_annotations(folder / manifest.annotations)
    with logs.progress_bar("validate", total=len(annotations.videos)) as bar:
        report = validation.validate(
            folder,
            manifest=manifest,
            annotations=annotations,
            window=contrast.WINDOW,
            categories=categories,
            progress=lambda done, total: bar.update(done - bar.n),
        )
    text = validation.report_text(report)
    if report.errors:
        raise errors.InputError(f"the data cannot be used\n{text}")
    if report.warnings:
        print(text)
    return feature_folder.open_feature_folder(
        folder, manifest=manifest, annotations=annotations, categories=categories
    )


def _no_manifest(folder: pathlib.Path) -> errors.InputError:
    """The error of a folder without a manifest, with what to do about it."""
    if not folder.is_dir():
        return errors.InputError(f"{folder}: no such folder")
    try:
        layout = table.detect(folder)
    except errors.InputError as error:
        return errors.InputError(f"{folder}: no manifest.json in it; {error}")
    return errors.InputError(
        f"{folder}: no manifest.json in it, but it looks like the layout {layout!r}; "
        f"convert it once: python bin/convert.py {folder} --to NEW --layout {layout}"
    )


def train_and_evaluate(
    config: config_lib.Config, variant: str, data: str | None, folder: pathlib.Path
) -> str:
    """Trains a variant and evaluates it next to its baselines.

    Args:
      config: of the variant.
      variant: its name, for the table.
      data: the feature folder; None for the embedded sample.
      folder: of the run; going on where an earlier run of it has stopped.

    Returns:
      The table of results, baselines first.
    """
    dataset = open_dataset(config, data)
    if not dataset.evaluation_ids:
        raise errors.InputError(
            f"{dataset.name}: no video of subset {dataset.evaluation_subset!r}, the one "
            "to evaluate on, has features"
        )
    where = "embedded sample" if data is None else str(pathlib.Path(data).absolute())
    with runs.open_run(folder, runs.describe(config, dataset, where)):
        classified, trained = train.train(config, dataset, folder)
        rows = []
        for name in [*_baselines(variant), variant]:
            if name == variant:
                params, own_config = trained, config
            else:
                params, own_config = classified, config_lib.variant(config, name)
            rows.append(evaluate_row(name, params, own_config, dataset, folder))
        table = table_text(rows, dataset)
        with files.open_atomic(folder / "results" / "table.txt") as file:
            file.write(table + "\n")
    return table


def _baselines(variant: str) -> list[str]:
    """What a variant is compared with: thresholding and anchors on the same SCP."""
    classifier, _ = config_lib.parts(variant)
    names = [classifier, f"{classifier}+plain"]
    if classifier == config_lib.CLASSIFIERS[0]:
        names = [classifier, "plain"]
    return [name for name in names if name != variant]


def evaluate_row(
    name: str,
    params: Params,
    config: config_lib.Config,
    dataset: dataset_lib.Dataset,
    folder: pathlib.Path,
    *,
    saved: snippets_lib.SavedPredictions | None = None,
    bins: str | None = None,
) -> Row:
    """Localizes in the evaluation videos and evaluates what was found.

    Args:
      name: of the method, for files and tables.
      params: of the model.
      config: of the method.
      dataset: its evaluation videos are used.
      folder: gets predictions/NAME.json and results/NAME.json.
      saved: snippet predictions to read instead of computing them.
      bins: of an error diagnosis, a key of `evaluate.BINS`; None for none.
    """
    ids = dataset.evaluation_ids
    saved = saved or snippets_lib.open_for(config, dataset)
    with logs.progress_bar(f"localize {name}", total=len(ids)) as bar:
        predictions = localize_lib.localize(
            params,
            dataset,
            ids,
            config,
            saved=saved,
            progress=lambda done, total: bar.update(),
        )
    for kind in ("predictions", "results"):
        (folder / kind).mkdir(exist_ok=True)
    path = folder / "predictions" / f"{name}.json"
    annotations_lib.write_predictions(path, predictions, details=details(dataset))
    report = evaluate.evaluate(
        predictions,
        dataset.annotations,
        subset=dataset.evaluation_subset,
        tious=config.tious,
        bins=bins,
        source=str(path),
    )
    results = evaluate.as_dict(report) | {"generated_data": dataset.generated}
    files.write_json(folder / "results" / f"{name}.json", results)
    return Row(name, report)


def details(dataset: dataset_lib.Dataset) -> str:
    """What a predictions file says of the data that it was made from."""
    return f"{dataset.name}. {GENERATED_NOTE}" if dataset.generated else dataset.name


def table_text(rows: list[Row], dataset: dataset_lib.Dataset) -> str:
    """The table at the end of an experiment: mAP in percent for every row."""
    report = rows[-1].report
    tious = report.result.tious
    lines = [GENERATED_NOTE] if dataset.generated else []
    lines.append(
        f"{dataset.name}, subset {report.subset!r}: {report.num_videos} videos, "
        f"{report.num_instances} instances; protocol {report.protocol}; mAP in percent"
    )
    heads = "".join(f"{tiou:>7.2f}" for tiou in tious)
    width = max(16, *(len(row.variant) + 2 for row in rows))
    lines.append(f"{'tIoU':<{width}}{heads}{'mean':>8}")
    for row in rows:
        values = 100 * row.report.result.mean
        figures = "".join(f"{value:>7.1f}" for value in values)
        lines.append(f"{row.variant:<{width}}{figures}{values.mean():>8.1f}")
    return "\n".join(lines)


def restore(folder: pathlib.Path, description: runs.Description) -> Params:
    """The trained parameters of a run, those of its last stage.

    Raises:
      InputError: the run has not finished, or its checkpoint cannot be read.
    """
    config, widths = description.config, description.stream_widths
    keys = jax.random.split(jax.random.key(config.seed))
    params, name = {}, "head"
    if config.classifier != config_lib.SCORES:
        classifier = classifiers.classifier(config)
        num_categories = len(description.categories)
        params = classifier.create_params(keys[0], widths, num_categories)
    if config.train_generator:
        name = "cleannet"
        classified = {"head": classifier.finish(params)} if params else {}
        generator = train.create_generator_params(keys[1], sum(widths), config)
        params = classified | {"generator": generator}
    if not params:
        return {}
    stage = train.Stage(name, config, widths)
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
    return {"head": classifier.finish(params)} if name == "head" else params


def check_widths(
    dataset: dataset_lib.Dataset, description: runs.Description, folder: pathlib.Path
) -> None:
    """Raises an InputError unless features are as wide as those a run was trained on."""
    if dataset.stream_widths != description.stream_widths:
        raise errors.InputError(
            f"{dataset.name}: found streams of {dataset.stream_widths} columns, expected "
            f"the {description.stream_widths} that {folder} was trained on"
        )
