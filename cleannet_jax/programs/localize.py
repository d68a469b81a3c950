"""Localizes actions in videos with a trained run, or by words.

    cleannet localize RUN VIDEO... --out DIR
    cleannet localize VIDEO... --text "high jump" "long jump" --backbone my.py:clip --out DIR
    cleannet localize RUN --data FOLDER --out found.json
    cleannet localize RUN --data FOLDER --subset test --out found.json --scp SCP_FOLDER
    cleannet localize RUN --data a.npy b.npy --out found.json

Nobody need have annotated the videos. Without --subset they are those of the folder's
evaluation subset, or all with features where it has none. The predictions are in
seconds. With --scp the snippet-level classification predictions are kept too, one
(T, N) array a video, for `cleannet score`.

Of video files features are made as those of the run's training were, by `cleannet
extract`, and --out is a folder: results as JSON and CSV, subtitles and a picture of each
video. With --text no run is needed, but a network with a text tower.
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
    made = options.Parser("localize", __doc__, takes="RUN [VIDEO...] ", mixed=True)
    made.add_argument(
        "paths",
        metavar="RUN [VIDEO...]",
        nargs="*",
        help="folder of a finished run, and files or folders of videos",
    )
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
        " where it ends in .txt; of videos the folder of all results",
    )
    made.add_option(
        "--scp", metavar="DIR", help="folder to write the SCP of every video to"
    )
    _add_video_options(made)
    options.add_distributed(made)
    options.add_cache(made)
    return made


def _add_video_options(made: options.Parser) -> None:
    """Adds what only video files need."""
    group = made.add_argument_group("of video files")
    made.add_switch(
        "--clip", help="cut instances into files, from the keyframe before", group=group
    )
    made.add_switch(
        "--dry-run",
        help="say how long it would take and how much memory, no more",
        group=group,
    )
    made.add_option(
        "--ground-truth",
        metavar="FILE",
        help="annotations of the videos, drawn in their pictures",
        group=group,
    )
    made.add_option(
        "--workers",
        metavar="N",
        type=int,
        help="processes that decode (default: one a core)",
        group=group,
    )
    made.add_option(
        "--weights",
        metavar="FILE",
        nargs="+",
        help="of the backbone, where they have moved since the run's data were made",
        group=group,
    )
    group = made.add_argument_group("by words")
    made.add_option(
        "--text", metavar="TEXT", nargs="+", help="a category each", group=group
    )
    made.add_option(
        "--backbone",
        metavar="NAME",
        help="MODULE:FUNCTION or FILE.py:FUNCTION with an attribute `text`; for a run"
        " where the file of its backbone is now",
        group=group,
    )
    made.add_option(
        "--background",
        metavar="TEXT",
        nargs="+",
        help="texts of what is no category (default: one of nothing in particular)",
        group=group,
    )
    made.add_option(
        "--temperature",
        metavar="VALUE",
        type=float,
        help="that similarities are divided by (default: 0.01, as CLIP's)",
        group=group,
    )
    made.add_option(
        "--method",
        metavar="NAME",
        help="localizer, as in `cleannet ablate` (default: plain)",
        group=group,
    )
    made.add_option(
        "--snippets-per-second",
        metavar="RATE",
        type=float,
        help="snippets a second (default: 2)",
        group=group,
    )
    made.add_option(
        "--frame-size",
        metavar="PIXELS",
        type=int,
        help="side of the square frames that it is given (default: 224)",
        group=group,
    )
    made.add_option(
        "--frames-per-snippet",
        metavar="N",
        type=int,
        help="frames that it is given of each snippet (default: 8)",
        group=group,
    )


def run(parsed: argparse.Namespace) -> int:
    """Localizes and writes; says what was done."""
    if parsed.text or len(parsed.paths) > 1:
        return _run_on_videos(parsed)
    with options.distributed(parsed):
        return _run_on_features(parsed)


def _run_on_features(parsed: argparse.Namespace) -> int:
    """Localizes in features, in one process or in each of several."""
    if not parsed.paths:
        raise errors.InputError("RUN: found none, expected the folder of a run")
    (parsed.run,) = parsed.paths
    for name in (*_OF_VIDEOS, *_OF_WORDS):
        if getattr(parsed, name):
            what = "video files" if name in _OF_VIDEOS else "words, as --text says,"
            raise errors.InputError(
                f"--{name.replace('_', '-')}: is for {what} found none"
            )
    from cleannet_jax import (
        distributed,
        experiment,
        localize,
        logs,
        methods,
        new_videos,
        runs,
    )
    from cleannet_jax.data import snippets
    from cleannet_jax.data.detections import files as detections

    folder = pathlib.Path(parsed.run)
    description = runs.read_description(folder)
    config = description.config
    data = parsed.data or [description.data]
    manifest = parsed.manifest or config.manifest
    read = *data, folder, manifest, parsed.scores or config.scores
    options.check_output("--out", parsed.out, *read, mark=options.DETECTIONS)
    # What training has found looks the same as what this command finds.
    earlier = (folder / "predictions").glob("*")
    options.check_output("--out", parsed.out, *earlier)
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
        found = localize.localize(
            [model],
            dataset,
            ids,
            scp=parsed.scp,
            progress=lambda done, total: bar.update(),
        )
    if not distributed.is_first():
        return 0
    (predictions,) = found
    details = experiment.details(dataset)
    detections.write(parsed.out, predictions, details=details)
    if dataset.generated:
        print(experiment.GENERATED_NOTE)
    count = len(predictions.scores)
    print(f"{count} detections in {len(ids)} videos: {parsed.out}")
    return 0


# Options that nothing else reads, and those that video files do not.
_OF_VIDEOS = ("clip", "dry_run", "ground_truth", "workers", "weights")
_OF_WORDS = (
    "backbone",
    "background",
    "temperature",
    "method",
    "snippets_per_second",
    "frame_size",
    "frames_per_snippet",
)
_OF_FEATURES = ("data", "manifest", "fps", "scores", "subset", "scp")
_OF_FEATURES += ("distributed", "coordinator", "num_processes", "process_id")


def _run_on_videos(parsed: argparse.Namespace) -> int:
    """Localizes in video files; 1 where some had to be left out."""
    from cleannet_jax import in_videos, words
    from cleannet_jax.features import backbones, extract
    from cleannet_jax.programs import compilation

    _check_options(parsed)
    compilation.cache(parsed.compilation_cache)
    paths, texts = list(parsed.paths), list(parsed.text or ())
    if parsed.text:
        run = None
        names = ("snippets_per_second", "frame_size", "frames_per_snippet")
        given = {name: getattr(parsed, name) for name in names}
        given = {name: value for name, value in given.items() if value is not None}
        backbone = backbones.create(
            backbones.Settings(backbone=parsed.backbone, **given)
        )
    else:
        run = pathlib.Path(paths.pop(0))
        changes = {"weights": tuple(parsed.weights)} if parsed.weights else {}
        if parsed.backbone:
            changes["backbone"] = parsed.backbone
        backbone = in_videos.backbone_of(run, **changes)
    videos = extract.find_videos(paths, written=parsed.out)
    out = pathlib.Path(parsed.out)
    in_videos.check_folder(out)
    if parsed.dry_run:
        print(extract.estimate(videos, backbone, workers=parsed.workers))
        return 0
    more = {
        "truth": parsed.ground_truth,
        "clip": parsed.clip,
        "workers": parsed.workers,
    }
    if run is not None:
        found = in_videos.localize_with(run, videos, out, backbone, **more)
    else:
        found = words.localize_by_words(
            texts,
            videos,
            out,
            backbone,
            background=parsed.background or words.BACKGROUND,
            temperature=words.TEMPERATURE
            if parsed.temperature is None
            else parsed.temperature,
            method=parsed.method or "plain",
            **more,
        )
    print(in_videos.text(found, out))
    return 1 if found.left_out else 0


def _check_options(parsed: argparse.Namespace) -> None:
    """Raises an InputError for an option that is of something else than is asked for."""
    # Words that are files at the end are the videos: an option takes all that follows.
    while parsed.text and pathlib.Path(parsed.text[-1]).exists():
        parsed.paths.append(parsed.text.pop())
    of_words = () if parsed.text else [name for name in _OF_WORDS if name != "backbone"]
    for name in (*_OF_FEATURES, *of_words):
        if getattr(parsed, name) is not None:
            what = "words: --text" if name in _OF_WORDS else "features, not for videos"
            raise errors.InputError(f"--{name.replace('_', '-')}: is for {what}")
    if parsed.text is not None and not parsed.text:
        raise errors.InputError("--text: found no text, expected a category each")
    if parsed.text and not parsed.backbone:
        raise errors.InputError(
            "--text: found no --backbone, expected MODULE:FUNCTION or FILE.py:FUNCTION with"
            " an attribute `text`, see docs/video.md"
        )
    if parsed.text and parsed.weights:
        raise errors.InputError("--weights: is for runs, found --text")


def _check_apart(out: str, scp: str) -> None:
    """Raises an InputError if --out is one of the files of --scp, or its folder."""
    folder = pathlib.Path(scp).resolve()
    taken = (folder, *(folder / name for name in ("scp.json", ".scp.json")))
    if pathlib.Path(out).resolve() in taken:
        raise errors.InputError(
            f"--out: {out} is written by --scp {scp} too; choose another name"
        )
