"""Computes features of videos: a feature folder out of files.

    cleannet extract VIDEOS --to DIR --labels labels.csv
    cleannet extract a.mp4 b.mkv --to DIR --snippets-per-second 4
    cleannet extract VIDEOS --to DIR --backbone tsn --weights rgb.caffemodel flow.caffemodel
    cleannet extract VIDEOS --to DIR --backbone my_model.py:features

A folder is searched for files that end as videos do. Snippets are placed in time, by the
time stamps of the file. Interrupt it whenever you like; the same command goes on where it
was, and computes what is new in the folder. The exit status is 0; 1 where videos had to
be left out, which are named; or 2 with the reason in one line.
"""

import argparse
import os
import pathlib
from typing import Any

from cleannet_jax import errors
from cleannet_jax.programs import options

WHEN_STOPPED = "the same command goes on from there"
# Options that name a folder to write, as `main` asks for it.
FOLDERS = ("to",)


def parser() -> options.Parser:
    """The options."""
    made = options.Parser("extract", __doc__, takes="VIDEO... ", mixed=True)
    made.add_argument("videos", metavar="VIDEO", nargs="+", help="file, or folder")
    made.add_option(
        "--to",
        metavar="DIR",
        required=True,
        help="feature folder to make or go on with",
    )
    made.add_option(
        "--labels",
        metavar="FILE",
        help="labels of the videos, with times or without: JSON or CSV",
    )
    add_backbone(made)
    made.add_option(
        "--train-subset",
        metavar="NAME",
        default="training",
        help="what the labels call the videos to train on",
    )
    made.add_option(
        "--evaluation-subset",
        metavar="NAME",
        default="validation",
        help="what they call the videos to evaluate on",
    )
    made.add_option(
        "--workers",
        metavar="N",
        type=int,
        help="processes that decode (default: one a core)",
    )
    made.add_switch(
        "--dry-run", help="say how long it would take and how much memory, no more"
    )
    options.add_distributed(made)
    options.add_cache(made)
    return made


def add_backbone(made: options.Parser) -> None:
    """Adds the options that say what makes features of snippets."""
    made.add_option(
        "--backbone",
        metavar="NAME",
        default="efficientnet_lite0",
        help="efficientnet_lite0, tsn or blocks; MODULE:FUNCTION or FILE.py:FUNCTION of"
        " your own; or FILE.onnx",
    )
    made.add_option(
        "--streams",
        metavar="NAMES",
        help="with commas: of rgb,rgbdiff (efficientnet_lite0), rgb,flow (tsn), or"
        " rgb,motion (blocks) (default: all)",
    )
    made.add_option(
        "--snippets-per-second",
        metavar="RATE",
        type=float,
        help="snippets a second (default: 2; tsn: one for 15 frames)",
    )
    made.add_option(
        "--weights",
        metavar="FILE",
        nargs="+",
        help="of tsn, one a stream: .caffemodel, .pth, .safetensors; or `random`, for"
        " tests",
    )
    made.add_option(
        "--means",
        metavar="B,G,R",
        help="subtracted from pictures by tsn (default: 104,117,123)",
    )
    made.add_option(
        "--trained-on",
        metavar="NAMES",
        nargs="+",
        help="data that the weights, or your own backbone, have seen",
    )
    made.add_option(
        "--classes",
        metavar="FILE",
        help="names of the classes of UntrimmedNet's weights, one a line, whose heads"
        " become heads.npz, for `cleannet train --heads` (tsn)",
    )
    made.add_option(
        "--crops",
        metavar="NAME",
        default="center",
        help="center, or ten, whose features are averaged (tsn)",
    )
    made.add_option(
        "--flow",
        metavar="NAME",
        default="tvl1",
        help="tvl1, or dis, which is far faster and not what weights were trained on",
    )
    made.add_option(
        "--flow-cache",
        metavar="DIR",
        help="folder to keep flow in, for other weights or crops (tsn)",
    )
    made.add_option(
        "--frame-size",
        metavar="PIXELS",
        type=int,
        default=224,
        help="side of the square frames that a backbone of your own is given",
    )
    made.add_option(
        "--frames-per-snippet",
        metavar="N",
        type=int,
        default=8,
        help="frames that it is given of each snippet",
    )


def run(parsed: argparse.Namespace) -> int:
    """Extracts; 1 where videos were left out."""
    with options.distributed(parsed):
        return _run(parsed)


def _run(parsed: argparse.Namespace) -> int:
    """Does so in one process, or in each of several."""
    from cleannet_jax import distributed
    from cleannet_jax.data import annotation_files
    from cleannet_jax.features import backbones, extract

    videos = extract.find_videos(parsed.videos, written=parsed.to)
    _check_apart(parsed)
    labels = parsed.labels and annotation_files.read_annotations(parsed.labels)
    backbone = backbones.create(settings(parsed))
    if parsed.dry_run:
        if not distributed.is_first():
            return 0
        print(extract.estimate(videos, backbone, workers=parsed.workers))
        return 0
    report = extract.extract(
        videos,
        parsed.to,
        backbone,
        labels=labels or None,
        subsets=(parsed.train_subset, parsed.evaluation_subset),
        workers=parsed.workers,
    )
    left_out = distributed.told(lambda: bool(report.left_out))
    if not distributed.is_first():
        return 1 if left_out else 0
    print(extract.report_text(report))
    if backbone.heads is not None:
        path = pathlib.Path(parsed.to, extract.HEADS)
        print(f"  heads of the weights: {path}, for `cleannet train --heads {path}`")
    elif parsed.classes:
        print(
            "  note: the weights have no heads with attention: --classes is of no use"
        )
    return 1 if left_out else 0


def settings(parsed: argparse.Namespace) -> Any:
    """The `backbones.Settings` that the options of `add_backbone` say.

    Raises:
      InputError: a value is none that can be.
    """
    from cleannet_jax.features import backbones

    means = None
    if parsed.means is not None:
        try:
            means = tuple(float(text) for text in parsed.means.split(","))
        except ValueError:
            means = ()
        if len(means) != 3:
            raise errors.InputError(
                f"--means: found {parsed.means!r}, expected three numbers with commas"
            )
    return backbones.Settings(
        backbone=parsed.backbone,
        streams=tuple(parsed.streams.split(",")) if parsed.streams else (),
        snippets_per_second=parsed.snippets_per_second,
        weights=tuple(parsed.weights or ()),
        means=means,
        trained_on=tuple(parsed.trained_on or ()),
        classes=_classes(parsed.classes),
        crops=parsed.crops,
        flow=parsed.flow,
        flow_cache=parsed.flow_cache or "",
        frame_size=parsed.frame_size,
        frames_per_snippet=parsed.frames_per_snippet,
    )


def _classes(path: str | None) -> tuple[str, ...]:
    """Names of classes in a file, in the order of their numbers."""
    from cleannet_jax.data import labels

    return tuple(labels.read_names(path).values()) if path else ()


def _check_apart(parsed: argparse.Namespace) -> None:
    """Raises an InputError if --to is a folder that is searched for videos."""
    # Not `Path.resolve`, which raises for links that lead to each other.
    folder = os.path.realpath(parsed.to)
    for given in parsed.videos:
        if os.path.realpath(given) == folder:
            what = "the folder of the videos" if os.path.isdir(given) else "a video"
            raise errors.InputError(
                f"--to: {parsed.to} is {what}; choose another folder"
            )
