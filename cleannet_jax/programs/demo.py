"""Shows what this does, on short videos that it makes itself.

    cleannet demo
    cleannet demo --out DIR --clips 60 --seed 0

Sixty clips of moving shapes: what moves how is what there is to find, and shapes, colours
and places say nothing of it. It computes features, learns from the tags of forty clips
alone, finds the motions in the others, and draws one of them. Each command is printed, as
you would give it for your own videos. About a minute on two cores.
"""

import argparse
import pathlib
import shlex
from typing import Any

from cleannet_jax import errors
from cleannet_jax.programs import options

WHEN_STOPPED = "the same command goes on from there"
FOLDERS = ("out",)


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
    """Makes the clips and gives the commands; the exit code of one that fails, or 0."""
    if not 15 <= parsed.clips <= 1000:
        raise errors.InputError(f"--clips: found {parsed.clips}, expected 15 to 1000")
    if parsed.seed < 0:
        raise errors.InputError(f"--seed: found {parsed.seed}, expected 0 or more")
    out = pathlib.Path(parsed.out)
    _begin(out, {"clips": parsed.clips, "seed": parsed.seed})
    truth = _make_clips(out, parsed.clips, parsed.seed)
    shown = _shown(truth)
    for why, line in _commands(out, shown):
        print(f"\n{why}\n$ cleannet {line}", flush=True)
        code = _given(line)
        if code:
            return code
    print(f"\n{_ending(out, shown)}")
    return 0


def _begin(out: pathlib.Path, made: dict[str, int]) -> None:
    """Marks a folder as that of a demo.

    Raises:
      InputError: it is that of another one, or of something else.
    """
    from cleannet_jax.data import files, folders

    mark = out / "demo.json"
    if mark.exists():
        found = files.read_json(mark)
        if found != made:
            raise errors.InputError(
                f"{mark}: found a demo of {found}, expected {made}; choose another --out"
            )
        return
    if not folders.is_new(out):
        raise errors.InputError(
            f"{out}: found files of something else, expected a new folder"
        )
    folders.make(out)
    files.write_json(mark, made)


def _make_clips(out: pathlib.Path, count: int, seed: int) -> dict[str, Any]:
    """Writes clips, unless they are there, and labels; what happens in each when."""
    from cleannet_jax.data import files
    from cleannet_jax.sample import clips

    evaluation = count // 3
    print(
        f"{count} made-up clips of a moving shape: {', '.join(clips.MOTIONS)}.\n"
        f"Of {count - evaluation} it is told which motions they show, and not when; in"
        f" the other {evaluation} it is to find them.",
        flush=True,
    )
    truth = out / "videos/truth.json"
    if not truth.exists():  # It is written last.
        print(f"drawing them: {out / 'videos'}", flush=True)
        clips.write_clips(out / "videos", seed, count=count, evaluation=evaluation)
    database = files.read_json(truth)["database"]
    known = {name: _tags(video) for name, video in database.items()}
    files.write_json(out / "labels.json", {"database": known})
    return database


def _tags(video: dict[str, Any]) -> dict[str, Any]:
    """What is told of a video: tags to train on, times to evaluate with."""
    from cleannet_jax.sample import clips

    if video["subset"] != clips.TRAIN_SUBSET:
        return video
    labels = sorted({one["label"] for one in video["annotations"]})
    return {"subset": video["subset"], "labels": labels}


def _shown(truth: dict[str, Any]) -> str:
    """The clip to draw: one to evaluate on, with most categories, then instances."""
    from cleannet_jax.sample import clips

    def richness(name: str) -> tuple[int, int]:
        labels = [one["label"] for one in truth[name]["annotations"]]
        return len(set(labels)), len(labels)

    subset = clips.EVALUATION_SUBSET
    return max((n for n in truth if truth[n]["subset"] == subset), key=richness)


def _commands(out: pathlib.Path, shown: str) -> list[tuple[str, str]]:
    """What each command is for, and its line."""
    place = shlex.quote(str(out))
    extract = (
        f"extract {place}/videos --to {place}/features --labels {place}/labels.json"
        " --backbone blocks --snippets-per-second 4"
    )
    train = f"train --dataset demo --data {place}/features --out {place}/run"
    localize = (
        f"localize {place}/run {place}/videos/{shown}.mp4 --out {place}/found"
        f" --ground-truth {place}/videos/truth.json"
    )
    what_rows_are = (
        "Training on the tags; then mAP in the other clips: untrimmednet is the"
        " classifier's\nown thresholding, plain and full evaluate proposals by contrast."
    )
    return [
        ("Features: four snippets a second, motion and colour in blocks.", extract),
        (what_rows_are, train),
        ("What happens in a video, and when.", localize),
    ]


def _given(line: str) -> int:
    """Runs a command as if it were given."""
    from cleannet_jax.programs import main

    name, *arguments = shlex.split(line)
    return main.run(name, arguments)


def _ending(out: pathlib.Path, shown: str) -> str:
    """What to look at now."""
    return (
        f"Open {out / 'found' / shown}.png: what was found in one clip, the truth"
        " (hatched), and why.\n"
        f"Play {out / 'videos' / shown}.mp4 with the subtitles"
        f" {out / 'found' / shown}.srt.\n"
        "The clips are made up and easy: the numbers say that all works, not how well"
        " it does\non real videos. For your own: docs/your_videos.md"
    )
