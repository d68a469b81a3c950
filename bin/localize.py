"""Localizes actions in the videos of a feature folder with a trained run.

    python bin/localize.py checkpoints/thumos14-full-seed0 --data FOLDER --out found.json
    python bin/localize.py checkpoints/thumos14-full-seed0 --data FOLDER \\
        --subset test --out found.json --scp SCP_FOLDER

The predictions are an ActivityNet submission, in seconds. With --scp the snippet-level
classification predictions are kept too, one (T, N) array a video, for bin/score.py.
"""

import argparse
import dataclasses
import pathlib
import sys

from cleannet_jax import config as config_lib
from cleannet_jax import errors, experiment, localize, logs, runs
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import snippets as snippets_lib
from cleannet_jax.data.detections import thumos


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "--data", metavar="DIR", help="feature folder; the generated sample without it"
    )
    parser.add_argument(
        "--manifest",
        metavar="FILE",
        help="its manifest (default: the one the run was trained with, or "
        "DIR/manifest.json)",
    )
    parser.add_argument(
        "--scores",
        metavar="DIR",
        help="SCPs of these videos, for a run that reads them (default: as the run)",
    )
    parser.add_argument(
        "--subset", help="the videos to localize in (default: the evaluation subset)"
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        required=True,
        help="predictions: JSON, or the THUMOS14 kit's text where it ends in .txt",
    )
    parser.add_argument(
        "--scp", metavar="DIR", help="folder to write the SCP of every video to"
    )
    return parser.parse_args(arguments)


def run(parsed: argparse.Namespace) -> str:
    """Localizes and writes; returns what was done."""
    folder = pathlib.Path(parsed.run)
    description = runs.read_description(folder)
    config = description.config
    if parsed.manifest:
        config = dataclasses.replace(config, manifest=parsed.manifest)
    if parsed.scores:
        config = dataclasses.replace(config, scores=parsed.scores)
        config_lib.check(config)
    dataset = experiment.open_dataset(
        config, parsed.data, categories=description.categories
    )
    if parsed.subset:
        dataset = dataclasses.replace(dataset, evaluation_subset=parsed.subset)
    experiment.check_widths(dataset, description, folder)
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
    with logs.progress_bar("localize", total=len(ids)) as bar:
        predictions = localize.localize(
            params,
            dataset,
            ids,
            config,
            saved=snippets_lib.open_for(config, dataset),
            progress=lambda done, total: bar.update(),
        )
    if parsed.out.endswith(".txt"):
        thumos.write_detections(parsed.out, predictions)
    else:
        details = experiment.details(dataset)
        annotations_lib.write_predictions(parsed.out, predictions, details=details)
    if parsed.scp:
        localize.write_scp(params, dataset, ids, config, parsed.scp)
    found = f"{len(predictions.scores)} detections in {len(ids)} videos: {parsed.out}"
    return f"{experiment.GENERATED_NOTE}\n{found}" if dataset.generated else found


def main(arguments: list[str]) -> int:
    """Runs the program; returns its exit code."""
    parsed = parse_arguments(arguments)
    try:
        print(run(parsed))
    except errors.InputError as error:
        if error.report:
            print(error.report, file=sys.stderr)
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
