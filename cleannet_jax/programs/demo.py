"""Shows what this does, on short videos that it makes itself.

    cleannet demo
    cleannet demo --out DIR --clips 60 --seed 0

Sixty clips of moving shapes: what moves how is what there is to find, and shapes, colours
and places say nothing of it. It computes features, learns from the tags of forty clips
alone, finds the motions in the others, and draws one of them. Each command is printed, as
you would give it for your own videos.
"""

import argparse
import json
import pathlib
import shlex

from cleannet_jax import errors
from cleannet_jax.programs import options

WHEN_STOPPED = "the same command goes on from there"
FOLDERS = ("out",)

_NOTE = "the clips are made up: these numbers say that all works, and no more"


def parser() -> options.Parser:
    """The options."""
    made = options.Parser("demo", __doc__)
    made.add_option(
        "--out", metavar="DIR", default="cleannet_demo", help="folder to make"
    )
    made.add_option(
        "--clips",
        metavar="N",
        type=int,
        default=60,
        help="how many, a third of them to find motions in",
    )
    made.add_option("--seed", metavar="N", type=int, default=0, help="of the clips")
    return made


def run(parsed: argparse.Namespace) -> int:
    """Runs the commands one after another."""
    from cleannet_jax.data import files, folders
    from cleannet_jax.sample import clips

    if not 15 <= parsed.clips <= 1000:
        raise errors.InputError(f"--clips: found {parsed.clips}, expected 15 to 1000")
    out = pathlib.Path(parsed.out)
    made = {"clips": parsed.clips, "seed": parsed.seed}
    mark = out / "demo.json"
    if mark.exists() and files.read_json(mark) != made:
        raise errors.InputError(
            f"{out}: holds a demo of {files.read_json(mark)}, expected {made}; choose"
            " another --out"
        )
    if not mark.exists():
        if not folders.is_new(out, ("videos",)):
            raise errors.InputError(
                f"{out}: found files of something else, expected a new folder"
            )
        print(f"{parsed.clips} clips: {out / 'videos'}", flush=True)
        clips.write_clips(
            out / "videos",
            parsed.seed,
            count=parsed.clips,
            evaluation=parsed.clips // 3,
        )
        files.write_json(mark, made)
    code = _run_all(out)
    truth = json.loads((out / "videos/truth.json").read_text())["database"]
    shown = _shown(truth)
    print(f"\n{_NOTE}\nwhat was found in one of them: {out / 'found' / shown}.png")
    return code


def _shown(truth: dict) -> str:
    """The clip to draw: one to evaluate on with most instances."""
    names = [name for name in truth if truth[name]["subset"] == "validation"]
    return max(names, key=lambda name: len(truth[name]["annotations"]))


def _run_all(out: pathlib.Path) -> int:
    """Gives the commands; the exit code of the first that fails, or 0."""
    truth = json.loads((out / "videos/truth.json").read_text())["database"]
    video = out / "videos" / f"{_shown(truth)}.mp4"
    commands = []
    commands.append(
        f"extract {out}/videos --to {out}/features --labels {out}/videos/labels.csv"
        " --backbone blocks --snippets-per-second 4"
    )
    commands.append(f"train --dataset demo --data {out}/features --out {out}/run")
    commands.append(
        f"localize {out}/run --data {out}/features --subset unlabelled"
        f" --out {out}/found.json"
    )
    commands.append(
        f"evaluate {out}/found.json --ground-truth {out}/videos/truth.json"
        " --subset validation"
    )
    commands.append(
        f"localize {out}/run {video} --out {out}/found"
        f" --ground-truth {out}/videos/truth.json"
    )
    for line in commands:
        print(f"\n$ cleannet {line}", flush=True)
        code = _given(line)
        if code:
            return code
    return 0


def _given(line: str) -> int:
    """Runs a command as if it were given."""
    from cleannet_jax.programs import main

    name, *arguments = shlex.split(line)
    return main.run(name, arguments)
