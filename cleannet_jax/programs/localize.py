"""Localizes actions in the videos of a feature folder with a trained run.

    cleannet localize checkpoints/thumos14-full-seed0 --data FOLDER --out found.json
    cleannet localize checkpoints/thumos14-full-seed0 --data FOLDER \\
        --subset test --out found.json --scp SCP_FOLDER

The predictions are an ActivityNet submission, in seconds. With --scp the snippet-level
classification predictions are kept too, one (T, N) array a video, for `cleannet score`.
"""

import argparse
import dataclasses
import pathlib

from cleannet_jax import errors
from cleannet_jax.programs import options

WHEN_STOPPED = "--out was not written"


def parser() -> options.Parser:
    """The options."""
    made = options.Parser("localize", __doc__, takes="RUN ")
    made.add_argument("run", metavar="RUN", help="folder of a finished run")
    made.add_option(
        "--data", metavar="DIR", help="feature folder; the generated sample without it"
    )
    made.add_option(
        "--manifest",
        metavar="FILE",
        help="its manifest (default: DIR/manifest.json, or else the run's)",
    )
    made.add_option(
        "--scores",
        metavar="DIR",
        help="SCPs of these videos, for a run that reads them (default: as the run)",
    )
    made.add_option(
        "--subset",
        metavar="NAME",
        help="the videos to localize in (default: the evaluation subset)",
    )
    made.add_option(
        "--out",
        metavar="FILE",
        required=True,
        help="predictions: JSON, or the THUMOS14 kit's text where it ends in .txt",
    )
    made.add_option(
        "--scp", metavar="DIR", help="folder to write the SCP of every video to"
    )
    options.add_cache(made)
    return made


def run(parsed: argparse.Namespace) -> int:
    """Localizes and writes; says what was done."""
    from cleannet_jax import experiment, localize, logs, methods, runs
    from cleannet_jax.data import snippets
    from cleannet_jax.data.detections import files as detections
    from cleannet_jax.programs import compilation

    compilation.cache(parsed.compilation_cache)
    folder = pathlib.Path(parsed.run)
    description = runs.read_description(folder)
    config = description.config
    config = dataclasses.replace(
        config, manifest=_manifest(parsed, folder, config.manifest)
    )
    if parsed.scores:
        config = dataclasses.replace(config, scores=parsed.scores)
        methods.check(config)
    dataset = experiment.open_dataset(
        config, parsed.data, categories=description.categories
    )
    if parsed.subset:
        dataset = dataclasses.replace(dataset, evaluation_subset=parsed.subset)
    experiment.check_streams(dataset, description, folder)
    ids = dataset.evaluation_ids
    if not ids:
        raise errors.InputError(
            f"{dataset.name}: no video of subset {dataset.evaluation_subset!r} has "
            "features"
        )
    if parsed.scp and config.scores:
        raise errors.InputError(
            f"--scp: {folder} computes no SCPs, it reads those of {config.scores}"
        )
    if parsed.scp:
        localize.check_scp_folder(parsed.scp)
    params = experiment.restore(folder, description)
    model = localize.Model(config, params, snippets.open_for(config, dataset))
    with logs.progress_bar("localize", total=len(ids)) as bar:
        (predictions,) = localize.localize(
            [model],
            dataset,
            ids,
            scp=parsed.scp,
            progress=lambda done, total: bar.update(),
        )
    details = experiment.details(dataset)
    detections.write(parsed.out, predictions, details=details)
    if dataset.generated:
        print(experiment.GENERATED_NOTE)
    count = len(predictions.scores)
    print(f"{count} detections in {len(ids)} videos: {parsed.out}")
    return 0


def _manifest(parsed: argparse.Namespace, folder: pathlib.Path, of_config: str) -> str:
    """The manifest to use: as named, or the data's own, or else that of the run."""
    if parsed.manifest:
        return parsed.manifest
    if parsed.data is None or pathlib.Path(parsed.data, "manifest.json").exists():
        return ""
    copied = folder / "manifest.json"
    return str(copied) if copied.exists() else of_config
