"""Converts features in the layout of another code base to a feature folder, once.

    cleannet convert data/TH14 --to DIR --layout autoloc
    cleannet convert FOLDER --to DIR --layout opentad --annotations thumos_14.json \\
        --stream-order rgb,flow
    cleannet convert rgb.caffemodel --to rgb.safetensors --layout tsn-weights --stream rgb \\
        --trained-on "UCF101"
    cleannet convert results.pc --to predictions.json --layout autoloc-results \\
        --dataset thumos14 --annotations DIR/annotations.json

Without --layout it is the one that the folder looks like. What a layout leaves open, such
as the order of streams, is an option and never guessed. Interrupt it whenever you like;
the same command goes on where it was. The exit status is 0; 1 where videos had to be
left out, which convert_report.json names; or 2 with the reason in one line where
nothing can be done.
"""

import argparse
import pathlib
from collections.abc import Iterator
from typing import Any

from cleannet_jax import errors
from cleannet_jax.programs import options

WHEN_STOPPED = "the same command goes on from there"

_RESULTS = "autoloc-results"
_WEIGHTS = "tsn-weights"

_OF_WEIGHTS = ("stream", "means", "trained_on")


def _numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between them."""
    return tuple(float(part) for part in text.split(","))


# Options of layouts: the type of a value, and what it is.
_OPTIONS = {
    "annotations": (str, "annotation file, or folder of THUMOS14's own text files"),
    "dataset": (str, "data set: thumos14, or activitynet12 (cmcs: activitynet)"),
    "stream_order": (
        str,
        "columns of joint features: rgb,flow or flow,rgb (halves), rgb, rgb:1024,flow:512",
    ),
    "fps": (float, "frames a second of every video"),
    "stride_frames": (float, "frames from one snippet to the next"),
    "window_frames": (float, "frames that a snippet is computed from"),
    "rescaled_to": (int, "snippets that every video was rescaled to"),
    "train_subset": (str, "what the annotations call the subset to train on"),
    "evaluation_subset": (str, "what they call the subset to evaluate on"),
    "file_pattern": (str, "names of the files, with {id} in them"),
    "features": (str, "name of the file of features, where there are several"),
    "labels": (str, "labels of training videos: segments or labels_all"),
    "ids": (str, "ids of videos: videoname or url"),
    "backbone": (str, "unt or i3d"),
    "crops": (str, "mean, or the number of one crop from 0"),
    "repack_of": (str, "whose features they are: autoloc, wtalc-i3d or wtalc-unt"),
    "train_csv": (str, "ground truth of the videos to train on"),
    "evaluation_csv": (str, "ground truth of the videos to evaluate on"),
    "categories": (lambda text: text.split(","), "names with commas between them"),
    "train_list": (str, "list of the videos to train on, one a line"),
    "evaluation_list": (str, "list of the videos to evaluate on, one a line"),
    "stream": (str, "of weights: rgb or flow"),
    "means": (_numbers, "subtracted from bytes, for each channel, with commas"),
    "trained_on": (str, "what weights have seen"),
    "id_map": (
        str,
        "org2idx.map, which says the id of each number in AutoLoc's results",
    ),
}


def parser() -> options.Parser:
    """The options."""
    from cleannet_jax.data.layouts import table

    made = options.Parser("convert", __doc__, takes="SOURCE ")
    made.add_argument("source", metavar="SOURCE", help="folder, or file of results")
    made.add_option(
        "--to",
        metavar="DIR",
        required=True,
        help="feature folder to make or go on with",
    )
    known = "; ".join(
        f"{name}: {layout.looks_like}" for name, layout in table.LAYOUTS.items()
    )
    made.add_option(
        "--layout",
        metavar="NAME",
        help=f"{known}; {_RESULTS}: pickle with detections, to a predictions file;"
        f" {_WEIGHTS}: .caffemodel or state dict of BN-Inception, to .safetensors",
    )
    made.add_switch("--float16", help="store half floats")
    made.add_option(
        "--to-shards",
        type=int,
        metavar="N",
        kind="number",
        help="store N videos a file, in ArrayRecord shards, for data sets of very many",
    )
    group = made.add_argument_group("options of the layouts")
    for name, (kind, text) in _OPTIONS.items():
        flag = f"--{name.replace('_', '-')}"
        is_number = kind in (int, float)
        made.add_option(
            flag,
            group=group,
            type=kind,
            metavar="VALUE",
            help=text,
            kind="number" if is_number else "",
        )
    return made


def run(parsed: argparse.Namespace) -> int:
    """Converts; 1 where videos were left out."""
    values = {name: getattr(parsed, name) for name in _OPTIONS}
    given = {name: value for name, value in values.items() if value is not None}
    if parsed.to_shards is not None and parsed.layout in (_WEIGHTS, _RESULTS):
        raise errors.InputError(
            f"--to-shards: is for features, not for {parsed.layout}"
        )
    if parsed.layout == _WEIGHTS:
        return _convert_weights(parsed, given)
    if parsed.layout == _RESULTS:
        return _convert_results(parsed, given)
    return _convert_features(parsed, given)


def _convert_weights(parsed: argparse.Namespace, given: dict[str, Any]) -> int:
    """Converts weights of a network; 0."""
    from cleannet_jax.features import tsn, weights

    for name in given:
        if name not in _OF_WEIGHTS:
            raise errors.InputError(
                f"--{name.replace('_', '-')}: is no option of the layout {_WEIGHTS}"
            )
    if parsed.stream not in weights.STREAM_CHANNELS:
        raise errors.InputError(
            f"--stream: found {parsed.stream!r}, expected rgb or flow, whose network it is"
        )
    if not parsed.trained_on:
        raise errors.InputError(
            "--trained-on: found nothing, expected the data that the weights have seen:"
            " features of these prove nothing there"
        )
    means = (tsn.FLOW_MEAN,) if parsed.stream == "flow" else tsn.MEANS
    if parsed.means and len(parsed.means) != len(means):
        raise errors.InputError(
            f"--means: found {len(parsed.means)} numbers, expected {len(means)} for the"
            f" stream {parsed.stream}"
        )
    options.check_output("--to", parsed.to, parsed.source)
    record = weights.convert(
        parsed.source,
        parsed.to,
        stream=parsed.stream,
        means=parsed.means or means,
        colour_order="xy" if parsed.stream == "flow" else "BGR",
        trained_on=parsed.trained_on,
    )
    print(f"{parsed.to}: {record}")
    return 0


def _convert_features(parsed: argparse.Namespace, given: dict[str, Any]) -> int:
    """Converts a folder; returns the exit code."""
    from cleannet_jax import convert, logs
    from cleannet_jax.data.layouts import table

    layout = parsed.layout
    if layout is None:
        layout = table.detect(parsed.source)
        found = table.LAYOUTS[layout].looks_like
        print(f"{parsed.source}: layout {layout}, found {found}")
    source = table.open_layout(layout, parsed.source, options=given)
    with logs.progress_bar("convert", total=len(source.ids)) as bar:
        report = convert.convert(
            source,
            parsed.to,
            float16=parsed.float16,
            per_shard=parsed.to_shards,
            progress=lambda done, total: bar.update(done - bar.n),
        )
    print(convert.report_text(report))
    print(f"  streams: {source.streams}")
    if layout == "autoloc":
        ids = [name for name in source.ids if name not in report.left_out]
        _recover_heads(parsed, ids)
    return 1 if report.left_out else 0


def _recover_heads(parsed: argparse.Namespace, ids: list[str]) -> None:
    """Writes `heads.npz`, UntrimmedNet's heads, beside AutoLoc's features."""
    from cleannet_jax import logs
    from cleannet_jax.data import recovered_heads
    from cleannet_jax.data.layouts import autoloc

    path = pathlib.Path(parsed.to) / "heads.npz"
    if path.exists():
        return
    categories, outputs = autoloc.open_outputs(
        parsed.source, ids=ids, dataset=parsed.dataset, annotations=parsed.annotations
    )
    with logs.progress_bar("heads", total=len(ids)) as bar:
        try:
            found = recovered_heads.recover(
                _counted(outputs, bar), categories=categories
            )
        except errors.InputError as error:
            print(f"  no heads.npz: {error}")
            return
    try:
        recovered_heads.write(path, found)
    except OSError as error:
        raise errors.InputError(f"{path}: {error.strerror}") from None
    print(
        f"  {path}: heads from {found.snippets} snippets ({found.left_out} left out);"
        " RMS error of log-probabilities, RGB and flow:"
        f" {found.class_errors[0]:.2g}, {found.class_errors[1]:.2g}; of attention:"
        f" {found.attention_errors[0]:.2g}, {found.attention_errors[1]:.2g}"
    )


def _counted(items: Iterator[Any], bar: Any) -> Iterator[Any]:
    """Yields items, each counted on the bar."""
    for item in items:
        yield item
        bar.update()


def _convert_results(parsed: argparse.Namespace, given: dict[str, Any]) -> int:
    """Converts detections; returns the exit code."""
    from cleannet_jax.data.detections import files as detections
    from cleannet_jax.data.layouts import autoloc

    needed = {"dataset", "annotations"}
    if not needed <= given.keys() <= needed | {"id_map"}:
        raise errors.InputError(
            f"layout {_RESULTS!r} needs --dataset and --annotations, may have --id-map,"
            f" and has no other option; found {', '.join(given) or 'none'}"
        )
    if pathlib.Path(parsed.to).exists():
        raise errors.InputError(f"{parsed.to}: is there already")
    detections.check_ending(parsed.to)
    warnings: list[str] = []
    predictions = autoloc.read_results(parsed.source, **given, warn=warnings.append)
    details = f"AutoLoc's detections, converted from {parsed.source}"
    try:
        detections.write(parsed.to, predictions, details=details)
    except OSError as error:
        raise errors.InputError(f"{parsed.to}: {error.strerror}") from None
    count, videos = len(predictions.video), len(predictions.videos)
    for line in warnings:
        print(f"warning: {line}")
    print(f"{parsed.to}: {count} detections in {videos} videos")
    return 1 if warnings else 0
