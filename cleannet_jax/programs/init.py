"""Describes a folder of features: writes the manifest.json that other programs read.

    cleannet init FOLDER
    cleannet init FOLDER --streams rgb:1024,flow:1024 --stride-frames 16 \\
        --window-frames 16 --fps 25

What files say is found there: where features are, and in which kind of file, names and
widths of streams, annotations, frame rates. What no file can tell, how long a snippet
lasts and which columns are of which stream, is asked for in one message and never
guessed. The exit status is 0; or 2 where something is not known, and nothing is written.
"""

import argparse

from cleannet_jax.programs import options


def parser() -> options.Parser:
    """The options."""
    made = options.Parser("init", __doc__, takes="FOLDER ")
    made.add_argument("folder", metavar="FOLDER", help="folder of features")
    made.add_option(
        "--streams",
        metavar="LIST",
        help="names of the streams in the order of their columns, with commas between"
        " them; NAME:WIDTH where one array holds several",
    )
    for flag, what in (
        ("--stride-frames", "frames from one snippet to the next"),
        ("--window-frames", "frames that a snippet is computed from"),
        ("--offset-frames", ("the frame at which snippet 0 begins; 0 where a snippet is"
         " computed from its own frames")),
        ("--fps", ("frames a second of every video; not needed where all annotations"
         " have their own")),
    ):  # fmt: skip
        made.add_option(flag, metavar="N", type=float, help=what, kind="number")
    for flag, metavar, what in (
        (
            "--annotations",
            "FILE",
            "path in the folder: annotations, or a table of labels",
        ),
        ("--train-subset", "NAME", "the subset of the annotations to train on"),
        ("--evaluation-subset", "NAME", "the one to localize in and evaluate on"),
        ("--file-pattern", "PATH", "where the files are, with {id} and {stream}"),
        (
            "--array",
            "NAME",
            "the array in a file that has several, with {id}, {stream}",
        ),
        ("--name", "TEXT", "what reports call the features (default: the folder's)"),
        ("--source", "TEXT", "where they come from, for people"),
        ("--backbone-trained-on", "LIST", "the data that their network was trained on"),
    ):
        made.add_option(flag, metavar=metavar, help=what)
    return made


def run(parsed: argparse.Namespace) -> int:
    """Writes the manifest; says what was found."""
    import dataclasses

    from cleannet_jax import draft

    values = {
        field.name: getattr(parsed, field.name)
        for field in dataclasses.fields(draft.Answers)
    }
    for name in ("streams", "backbone_trained_on"):
        if values[name] is not None:
            values[name] = tuple(values[name].split(","))
    for note in draft.write(parsed.folder, draft.Answers(**values)):
        print(note)
    print(
        f"written: {parsed.folder}/manifest.json; next: cleannet validate {parsed.folder}"
    )
    return 0
