"""Localizes actions in videos with a trained run.

    cleannet localize RUN --data FOLDER --out found.json
    cleannet localize RUN --data FOLDER --subset test --out found.json --scp SCP_FOLDER
    cleannet localize RUN --data a.npy b.npy --out found.json

Nobody need have annotated the videos. Without --subset they are those of the folder's
evaluation subset, or all with features where it has none. The predictions are in
seconds. With --scp the snippet-level classification predictions are kept too, one
(T, N) array a video, for `cleannet score`.
"""

import argparse
import dataclasses
import pathlib

from cleannet_jax import errors
from cleannet_jax.programs import options

# Options that name a folder to write, as `main` asks for it.
FOLDERS = ("scp",)


def parser() -> options.Parser:
    """The options."""
    made = options.Parser("localize", __doc__, takes="RUN ")
    made.add_argument("run", metavar="RUN", help="folder of a finished run")
    made.add_option(
        "--data",
        metavar="PATH",
        nargs="+",
        help="feature folder, or files of (T, D) with the streams side by side"
        " (default: the data that the run was trained on)",
    )
    made.add_option(
        "--manifest",
        metavar="FILE",
        help="of the folder (default: manifest.json in it, or as the run's data)",
    )
    made.add_option(
        "--fps",
        metavar="RATE",
        type=float,
        help="of videos without a manifest (default: as the run's data)",
        kind="frames a second",
    )
    made.add_option(
        "--scores",
        metavar="DIR",
        help="SCPs of these videos, for a run that reads them (default: as the run)",
    )
    made.add_option(
        "--subset",
        metavar="NAME",
        help="the videos to localize in, or `all` (default: the evaluation subset, or"
        " all where it has no features)",
    )
    made.add_option(
        "--out",
        metavar="FILE",
        required=True,
        help="predictions: JSON, a table where it ends in .csv, or the THUMOS14 kit's text"
        " where it ends in .txt",
    )
    made.add_option(
        "--scp", metavar="DIR", help="folder to write the SCP of every video to"
    )
    options.add_cache(made)
    return made


def run(parsed: argparse.Namespace) -> int:
    """Localizes and writes; says what was done."""
    from cleannet_jax import experiment, localize, logs, methods, new_videos, runs
    from cleannet_jax.data import snippets
    from cleannet_jax.data.detections import files as detections
    from cleannet_jax.programs import compilation

    compilation.cache(parsed.compilation_cache)
    folder = pathlib.Path(parsed.run)
    description = runs.read_description(folder)
    config = description.config
    data = parsed.data or [description.data]
    manifest = parsed.manifest or config.manifest
    read = *data, folder, manifest, parsed.scores or config.scores
    options.check_output("--out", parsed.out, *read, mark=options.DETECTIONS)
    # What training has found looks the same as what this command finds.
    found = (folder / "predictions").glob("*")
    options.check_output("--out", parsed.out, *found)
    if parsed.scp:
        _check_apart(parsed.out, parsed.scp)
    if parsed.scores:
        config = dataclasses.replace(config, scores=parsed.scores)
        methods.check(config)
    opened = new_videos.open_for(
        folder, description, parsed.data, manifest=parsed.manifest, fps=parsed.fps
    )
    dataset = new_videos.chosen(opened, parsed.subset)
    notes = experiment.check_streams(dataset, description.streams, folder)
    ids = dataset.evaluation_ids
    for note in (*notes, *dataset.notes, *dataset.warnings):
        print(note)
    if parsed.scp and config.scores:
        raise errors.InputError(
            f"--scp: {folder} computes no SCPs, it reads those of {config.scores}"
        )
    if parsed.scp:
        snippets.check_folder(parsed.scp)
    detections.check_names(parsed.out, dataset.categories, ids)
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


def _check_apart(out: str, scp: str) -> None:
    """Raises an InputError if --out is one of the files of --scp, or its folder."""
    folder = pathlib.Path(scp).resolve()
    taken = (folder, *(folder / name for name in ("scp.json", ".scp.json")))
    if pathlib.Path(out).resolve() in taken:
        raise errors.InputError(
            f"--out: {out} is written by --scp {scp} too; choose another name"
        )
