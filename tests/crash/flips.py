"""Flips single bits in the folder of a run, and looks at what is read of it then."""

import contextlib
import functools
import io
import pathlib
import random
import shutil
import sys
from typing import Any, NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import conftest

from . import commands


def feature_folder(place):
    """The small feature folder of the tests."""
    place.mkdir(parents=True)
    made = conftest.feature_folder
    return getattr(made, "__wrapped__", made)(place)


def run(found, number, *, seed=0, every=50):
    """Flips bits in a finished and an unfinished run, half of them in each.

    After each flip all that reads a run reads it: its description and model, its results,
    the checkpoints. It must be the same as before, or an error or a warning that names a
    file. After some, the training command is given again and must end with the same bytes.

    Args:
      found: the campaign; its failures and counts are added to.
      number: of bits.
      seed: of the draw.
      every: how many flips there are from one training command to the next.
    """
    draw = random.Random(seed)
    whole = found.inputs / "run"
    unfinished = found.folder / "flips" / "unfinished"
    shutil.copytree(whole, unfinished)
    shutil.rmtree(unfinished / "checkpoints/cleannet/2")
    for name in ("model.json", "model.npz"):
        (unfinished / name).unlink()
    for name in ("results", "predictions"):
        shutil.rmtree(unfinished / name)
    for kind, source in (("finished", whole), ("unfinished", unfinished)):
        place = found.folder / "flips" / f"{kind} trial"
        wanted = _read(source)
        # As likely in each file: most bytes are those of a few.
        files = [
            path.relative_to(source)
            for path in sorted(source.rglob("*"))
            if path.is_file() and "tensorboard" not in str(path) and path.stat().st_size
        ]
        for index in range(number // 2):
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(source, place / "out")
            path = place / "out" / draw.choice(files)
            content = bytearray(path.read_bytes())
            at, bit = draw.randrange(len(content)), draw.randrange(8)
            content[at] ^= 1 << bit
            path.write_bytes(content)
            what = f"{path.relative_to(place)}, byte {at}, bit {bit}"
            now = _read(place / "out", path.relative_to(place / "out"))
            _judge(found, kind, what, wanted, now)
            if index % every == 0:
                _judge_command(found, kind, what, place)


def _judge(found, kind, what, wanted, now):
    """Counts a flip as harmless or named; other numbers are a failure."""
    named = False
    for part, value in now.items():
        if _same(value, wanted[part]):
            continue
        if not (isinstance(value, str) or _is_less(part, wanted[part], value)):
            found.failures.append(f"flip in a {kind} run, {what}: {part}: other")
            return
        named = True
    found.counts["flips", f"{kind}, {'named' if named else 'harmless'}"] += 1


def _same(value, wanted):
    """Whether what was read is what it was before."""
    if isinstance(value, Checkpoints) and isinstance(wanted, Checkpoints):
        return value.latest == wanted.latest and not value.said
    return value == wanted


def _is_less(part, wanted, value):
    """Whether damage was said, and what is left is of before."""
    if part == "metrics":
        return [line for line in wanted if line in value] == value
    if isinstance(value, Checkpoints):
        return value.said and (value.latest is None or value.latest in wanted.all)
    return False


def _judge_command(found, kind, what, place):
    """Gives the training command again: the same bytes, or an error that names a file."""
    ended = commands.run_here(found.line("train"), place)
    same = commands.promised(place) == found.wanted["train"]
    is_named = ended.code == 2 and "Traceback" not in ended.err and "out" in ended.err
    if not (ended.code == 0 and (same or "metrics.jsonl" in what)) and not is_named:
        found.failures.append(f"flip in a {kind} run, {what}: command: {ended.code}")
        return
    found.counts["flips", f"{kind}, command: {'same' if same else 'named'}"] += 1


def _read(run, changed=None):
    """What is read of a run, by what reads it; errors as text.

    With `changed`, a file, only what reads the folder of it.
    """
    from cleannet_jax import logs, runs
    from cleannet_jax.report import runs as report

    def described():
        return runs.read_description(run)

    def model():
        found = runs.read_model(run)
        return found and (found, _bytes(runs.read_params(run)))

    readers = {
        "description": described,
        "model": model,
        "results": lambda: report.as_csv(report.collect([run])).replace(str(run), ""),
        "metrics": lambda: _metrics(logs, run),
    }
    if changed is None or changed.parts[0] == "checkpoints":
        stages = ("head", "cleannet") if changed is None else (changed.parts[1],)
        checkpoints = {
            f"checkpoints/{name}": functools.partial(
                _checkpoint, run, name, with_all=changed is None
            )
            for name in stages
        }
        readers = checkpoints if changed else readers | checkpoints
    return {name: _tried(reader) for name, reader in readers.items()}


def _metrics(logs, run):
    lines = [
        line for name in ("head", "cleannet") for line in logs.read_metrics(run, name)
    ]
    return [str(line) for line in lines]


def _tried(reader):
    from cleannet_jax import errors

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return reader()
    except errors.InputError as error:
        return f"error: {error}"


class Checkpoints(NamedTuple):
    """What is restored of a stage: the latest, all of them, and what is said of it."""

    latest: Any
    all: list
    said: list


def _checkpoint(run, name, *, with_all):
    """What is restored of a stage."""
    from cleannet_jax import checkpoint

    if name not in _STATES:
        _STATES[name] = _create_state(run, name)
    manager = checkpoint.open_manager(run / "checkpoints" / name)
    said = []
    found = checkpoint.restore_latest(manager, _STATES[name], warn=said.append)
    every = []
    for step in manager.all_steps() if with_all else ():
        one = checkpoint._restore(manager, step, _STATES[name])
        every.append((one.step, _bytes(one.state), str(one.pipeline)))
    manager.close()
    latest = found and (found.step, _bytes(found.state), str(found.pipeline))
    return Checkpoints(latest, every, said)


_STATES = {}


def _create_state(run, name):
    """A state of the shapes that the checkpoints of a stage have."""
    from cleannet_jax import methods, runs, train

    description = runs.read_description(run)
    config, streams = description.config, description.streams
    key = train.create_keys(config.seed)
    params = train.create_classifier_params(key.classifier, streams, 3, config)
    if name == "cleannet":
        width = streams.width
        generator = train.create_generator_params(key.generator, width, config)
        finished = methods.classifier(config).finish(params, streams)
        params = {"head": finished, "generator": generator}
    return train.create_train_state(train.Stage(name, config, streams), params)


def _bytes(tree):
    import jax
    import numpy as np

    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]
