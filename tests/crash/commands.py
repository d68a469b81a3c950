"""The commands that are stopped, on inputs that all trials share, and what they promise."""

import contextlib
import hashlib
import io
import os
import pathlib
import re
import traceback
from typing import NamedTuple

_TINY = "--head-steps 2 --steps 2 --checkpoint-every 1 --log-every 1 --num-samples 2"
_TINY += " --generator-width 4 --tious 0.5 --anchor-sizes 4 --num-buckets 1"

# By name, the command lines. They are given in a folder of their own, where they write;
# {inputs} is the folder of what they read.
COMMANDS = {
    "train": f"train --dataset thumos14 --data {{inputs}}/data --method t {_TINY}"
    " --out out",
    "convert": "convert {inputs}/data --layout feature-folder --to out",
    "convert-shards": "convert {inputs}/data --layout feature-folder --to out"
    " --to-shards 4",
    "localize": "localize {inputs}/run --out found.json --scp scp",
    "score": "score --scp {inputs}/scp --proposals {inputs}/found.json --out scored.json",
    "fuse-weight": "fuse-weight --scp {inputs}/scp --proposals {inputs}/found.json"
    " --ground-truth {inputs}/data/annotations.json --subset validation"
    " --evaluation-subset training --bootstrap 0 --scales none --suppressions none"
    " --tiou 0.5 --out weight.json",
    "ablate": "ablate --dataset thumos14 --data {inputs}/data --methods plain,t"
    f" --seeds 1 {_TINY} --out out",
    "extract": "extract {inputs}/videos --to out --backbone blocks --workers 1"
    " --snippets-per-second 100",
}

# What none of the commands but its own reads.
OF_VIDEOS = ("extract",)

# What is no promise: when and where it was, how far training was, events for TensorBoard.
_OTHER = re.compile(
    r"(^|/)(\.lock|environment\.json|tensorboard/.*|checkpoints/.*|stdout|stderr)$"
)
_LEFT = re.compile(r"(^|/)(\..*\.[a-z0-9_]{8}|[^/]*\.orbax-checkpoint-tmp[^/]*)(/|$)")


class Ended(NamedTuple):
    """How a process ended, and what it said."""

    code: int
    out: str
    err: str
    points: int


def line_of(name, inputs):
    """The arguments of a command."""
    return COMMANDS[name].format(inputs=inputs).split()


def promised(folder):
    """Digests of the promised files in the folder of a trial, by path."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not _OTHER.search(name) and not _LEFT.search(name):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def leftovers(folder):
    """Paths in the folder of a trial that are of a stopped command."""
    names = [str(p.relative_to(folder)) for p in pathlib.Path(folder).rglob("*")]
    return sorted(name for name in names if _LEFT.search(name))


def run_here(line, folder):
    """Runs a command in this process, in a folder; how it ended."""
    from cleannet_jax.programs import main

    folder.mkdir(parents=True, exist_ok=True)
    before, out, err = os.getcwd(), io.StringIO(), io.StringIO()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main.main(line)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except Exception:  # noqa: BLE001 - any is a failure
        code = 70
        err.write(traceback.format_exc())
    finally:
        os.chdir(before)
    return Ended(code, out.getvalue(), err.getvalue(), 0)
