"""The folder of a run: what it was started with, its model, and who is in it.

| file | what |
| --- | --- |
| config.json, environment.json | what was run, and on what |
| model.json, model.npz | the trained model: all that localizing needs |
| metrics.jsonl, tensorboard/ | losses by step |
| checkpoints/STAGE/ | what training goes on from |
| predictions/METHOD.json, results/METHOD.json, results/table.txt | what came out |
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax import distributed, errors
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import arrays, files, folders, text
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data import snippets as snippets_lib

_PACKAGES = ("cleannet_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
_DESCRIPTION = "config.json"
_MODEL = "model.json"
_PARAMS = "model.npz"
MODEL_VERSION = 1

# Keys of a manifest that change what features are, or when.
_MANIFEST = (
    "streams",
    "stride_frames",
    "window_frames",
    "offset_frames",
    "fps",
    "train_subset",
    "evaluation_subset",
)
# Where a video's SCP and what goes with it are, in a folder of SCPs.
_SCORES = (".", "attention", "video")
# Fields that say where something is, by the input that says what it is: data may be moved.
_PLACES = {"features": ("data", "manifest"), "scores": ("scores",), "heads": ("heads",)}


class Description(NamedTuple):
    """What a run was started with: all that a later program needs to use its model.

    Attributes:
      config: of the run.
      data: the feature folder, or what stands in its place.
      categories: names of the N categories.
      streams: of the features.
      generated: whether the features are made up rather than recorded.
      digest: of ids, lengths and labels of the training videos, in order.
      inputs: what else a run is trained on and must not change in, by name, as JSON
        holds it: see `_inputs`. Runs of earlier versions have none.
    """

    config: config_lib.Config
    data: str
    categories: tuple[str, ...]
    streams: streams_lib.Streams
    generated: bool
    digest: str
    inputs: Mapping[str, Any] = types.MappingProxyType({})


class Timebase(NamedTuple):
    """Seconds = (snippet * stride + offset) / fps, counted in frames."""

    fps: float | None
    stride: float
    offset: float


class Model(NamedTuple):
    """What `model.json` says of the trained parameters beside it, in `model.npz`.

    Attributes:
      description: of the run that trained them.
      timebase: of the data set's videos; its `fps` is None where they differ in it.
      extraction: as in the manifest of its features.
    """

    description: Description
    timebase: Timebase
    extraction: Mapping[str, Any]


def describe(
    config: config_lib.Config, dataset: dataset_lib.Dataset, data: str
) -> Description:
    """The description of a run that trains on a dataset."""
    videos = [dataset.videos[video_id] for video_id in dataset.train_ids]
    facts = [(video.id, video.length, video.labels) for video in videos]
    return Description(
        config,
        data,
        dataset.categories,
        dataset.streams,
        dataset.generated,
        _sha256(facts),
        _inputs(config, dataset),
    )


def ground_truth_digest(dataset: dataset_lib.Dataset) -> str:
    """A digest of all that evaluating reads of a dataset's annotations."""
    facts = [
        (
            video.id,
            video.subset,
            video.labels,
            video.segments.tolist(),
            video.ambiguous.tolist(),
            video.duration,
        )
        for video in dataset.annotations.videos.values()
        if video.subset == dataset.evaluation_subset
    ]
    return _sha256(facts)


def evaluation_digest(dataset: dataset_lib.Dataset) -> str:
    """A digest of all that localizing reads of a dataset's evaluation videos."""
    facts = [
        (*_times(dataset, name), dataset.digests.get(name, b"").hex())
        for name in dataset.evaluation_ids
    ]
    return _sha256(facts)


def _times(dataset: dataset_lib.Dataset, video_id: str) -> tuple[Any, ...]:
    """When the snippets of a video are."""
    video = dataset.videos[video_id]
    return video.id, video.timebase, video.duration


def _inputs(config: config_lib.Config, dataset: dataset_lib.Dataset) -> dict[str, Any]:
    """What a run trains on beside its config and its labels, each under a name.

    Of the manifest, what changes what features are or when they are. Features by their
    values, which validation has read; files of other programs by their bytes. No
    parameter depends on the videos to evaluate on, which may change.
    """
    ids = dataset.train_ids
    found: dict[str, Any] = {}
    if dataset.manifest:
        content = manifest_lib.manifest_content(dataset.manifest)
        found = {name: content[name] for name in _MANIFEST}
    found["times of videos"] = _sha256([_times(dataset, name) for name in ids])
    if dataset.digests:
        found["features"] = _sha256(
            [(name, dataset.digests[name].hex()) for name in ids]
        )
    if config.scores:
        folder = pathlib.Path(config.scores)
        names = [f"{part}/{name}.npy" for name in ids for part in _SCORES]
        # Of scp.json what names the columns: the rest of it is of other videos too.
        columns = snippets_lib.read_index(folder / "scp.json")["categories"]
        found["scores"] = _sha256([columns, _digest_of_files(folder, names)])
    if config.heads:
        found["heads"] = _digest_of_files(pathlib.Path(config.heads), ["."])
    return json.loads(json.dumps(found))


def _digest_of_files(folder: pathlib.Path, names: Sequence[str]) -> str:
    """A digest of those of some files that are there."""
    paths = {name: folder / name for name in names}
    return _sha256(
        [(name, digest_of_file(path)) for name, path in paths.items() if path.is_file()]
    )


def _sha256(facts: Any) -> str:
    """A digest of what JSON can hold."""
    content = json.dumps(facts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def open_run(folder: str | os.PathLike, description: Description) -> Iterator[None]:
    """Starts a run in a new folder, or goes on with the same run in its folder.

    Of several processes it is process 0 alone that does.

    Args:
      folder: of the run; made if it is not there.
      description: of the run.

    Raises:
      InputError: the folder holds something else, or a run that was started with
        another description, or another program is running in it.
    """
    if not distributed.is_first():
        yield
        return
    folder = pathlib.Path(folder)
    path = folder / _DESCRIPTION
    _check_folder(folder, description)
    try:
        folders.make(folder)
        with folders.locked(folder):
            # Again: another program may have been in it in the meantime.
            _check_folder(folder, description)
            for part in (".", "predictions", "results"):
                folders.remove_remains(folder / part)
            if not path.exists():
                files.write_checked_json(path, _as_json(description))
            files.write_json(folder / "environment.json", environment())
            yield
    except OSError as error:
        place = error.filename or folder
        raise errors.InputError(f"{place}: {error.strerror}") from error


def _check_folder(folder: pathlib.Path, description: Description) -> None:
    """Raises unless a folder is new, or of a run of this description."""
    path = folder / _DESCRIPTION
    if folder.exists() and not folder.is_dir():
        raise errors.InputError(f"{folder}: found a file, expected a folder")
    if path.exists():
        _check_same(path, read_description(folder), description)
    elif not folders.is_new(folder):
        raise errors.InputError(
            f"{folder}: found files that are not of a run, expected a new folder or "
            f"one with a {_DESCRIPTION}; choose another --out"
        )


def read_description(folder: str | os.PathLike) -> Description:
    """Reads what a run was started with.

    Raises:
      InputError: the folder is not of a run, or its description was changed.
    """
    path = pathlib.Path(folder) / _DESCRIPTION
    if not path.exists():
        raise errors.InputError(
            f"{folder}: no {_DESCRIPTION} in it, expected the folder of a run"
        )
    return _parse(files.read_checked_json(path), path)


def write_model(
    folder: str | os.PathLike,
    description: Description,
    dataset: dataset_lib.Dataset,
    params: Any,
) -> None:
    """Writes what is needed to use a trained model, wherever its folder is moved.

    Args:
      folder: of the run.
      description: of the run.
      dataset: that it was trained on.
      params: a tree of dicts of arrays; {} where SCPs are read from files.
    """
    timebases = [video.timebase for video in dataset.videos.values()]
    rates, first = {timebase.fps for timebase in timebases}, timebases[0]
    content = _as_json(description) | {
        "version": MODEL_VERSION,
        "timebase": {
            "fps": first.fps if len(rates) == 1 else None,
            "stride": first.stride,
            "offset": first.offset,
        },
    }
    if dataset.manifest is not None and dataset.manifest.extraction:
        content["extraction"] = dict(dataset.manifest.extraction)
    flat = {"/".join(path): leaf for path, leaf in _leaves(params)}
    path = pathlib.Path(folder) / _PARAMS
    with files.open_atomic(path, "wb") as file:
        np.savez(file, **flat)
    content["params"] = digest_of_file(path)
    files.write_checked_json(pathlib.Path(folder) / _MODEL, content)


def read_model(folder: str | os.PathLike) -> Model | None:
    """Reads what a run's model is; None where the run has not written it.

    Raises:
      InputError: it is of another version, or was changed.
    """
    path = pathlib.Path(folder) / _MODEL
    if not path.exists():
        return None
    content = files.read_checked_json(path)
    version = content.get("version") if isinstance(content, dict) else None
    if version != MODEL_VERSION:
        raise errors.InputError(
            f"{path}: found version {version!r}, expected {MODEL_VERSION}"
        )
    try:
        timebase = Timebase(**content["timebase"])
    except (KeyError, TypeError) as error:
        raise errors.InputError(f"{path}: timebase: {error}") from None
    return Model(_parse(content, path), timebase, content.get("extraction", {}))


def read_params(folder: str | os.PathLike) -> Any:
    """Reads the trained parameters of a run, a tree of dicts of arrays.

    Raises:
      InputError: the file is absent or damaged.
    """
    path = pathlib.Path(folder) / _PARAMS
    damage = params_damage(folder)
    if damage:
        raise errors.InputError(damage)
    members = arrays.read_members(path)
    tree: dict[str, Any] = {}
    for name in sorted(members):
        *parents, last = name.split("/")
        node = tree
        for parent in parents:
            # One array that is inside of another, as no run writes them.
            if not isinstance(node := node.setdefault(parent, {}), dict):
                raise errors.InputError(
                    f"{path}: found {text.quoted(name)} inside of another array,"
                    " expected the parameters of a run; train it again"
                )
        node[last] = members[name]
    return tree


def params_damage(folder: str | os.PathLike) -> str:
    """What is wrong with the parameters of a run's model, a line; empty if nothing is.

    A model of an earlier version has no digest of them.
    """
    place = pathlib.Path(folder)
    try:
        content = files.read_checked_json(place / _MODEL)
        wanted = content.get("params") if isinstance(content, dict) else None
        found = wanted and digest_of_file(place / _PARAMS)
    except errors.InputError as error:
        return str(error)
    except OSError as error:
        return f"{place / _PARAMS}: {error.strerror}"
    if found == wanted:
        return ""
    return (
        f"{place / _PARAMS}: damaged: not the parameters that {_MODEL} speaks of; the"
        " command that trained the run writes them anew"
    )


def digest_of_file(path: str | os.PathLike) -> str:
    """A digest of the bytes of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _leaves(
    tree: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """The arrays of a tree of dicts with their paths."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from _leaves(value, (*path, name))
    else:
        yield path, np.asarray(tree)


def _parse(content: Any, path: pathlib.Path) -> Description:
    """A description from what its JSON file holds.

    Fields of the config that this version does not have are left out, and those that
    it lacks have their default.
    """
    known = {field.name for field in dataclasses.fields(config_lib.Config)}
    try:
        values = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in config_lib.renamed(content["config"]).items()
            if name in known
        }
        widths = tuple(content["stream_widths"])
        names = content.get("stream_names", ("rgb", "flow"))
        return Description(
            config_lib.Config(**values),
            content["data"],
            tuple(content["categories"]),
            streams_lib.Streams(tuple(names), widths),
            content["generated"],
            content["digest"],
            content.get("inputs", {}),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise errors.InputError(
            f"{path}: not the description of a run of this version: {error}"
        ) from None


def environment() -> dict[str, Any]:
    """Versions of what computes, and what it computes on."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "devices": [device.device_kind for device in jax.devices()],
    }


def _as_json(description: Description) -> dict[str, Any]:
    """A description as JSON holds it."""
    content = description._asdict()
    streams = content.pop("streams")
    content["inputs"] = dict(description.inputs)
    return content | {
        "config": dataclasses.asdict(description.config),
        "stream_names": list(streams.names),
        "stream_widths": list(streams.widths),
    }


def _check_same(path: pathlib.Path, found: Description, wanted: Description) -> None:
    """Raises unless a run was started with what is wanted now."""
    before, now = (json.loads(json.dumps(_as_json(x))) for x in (found, wanted))
    inputs, wanted_inputs = before.pop("inputs"), now.pop("inputs")
    before |= before.pop("config")
    now |= now.pop("config")
    if before.pop("digest") != now.pop("digest"):
        raise _changed(path, "the ids, lengths or labels of the training videos")
    for name, places in _PLACES.items():
        if name in inputs and inputs[name] == wanted_inputs.get(name):
            for place in places:
                del now[place]
    for name, value in now.items():
        if before[name] != value:
            raise errors.InputError(
                f"{path}: a run with {name} {before[name]!r}, expected {value!r}; "
                "choose another --out, or repeat the command that started this run"
            )
    # A run of an earlier version has not noted what it reads, and goes on.
    for name, value in wanted_inputs.items():
        if inputs and inputs.get(name) != value:
            is_digest = name in ("times of videos", "features", "scores", "heads")
            what = name if is_digest else f"{name} of the manifest"
            values = "" if is_digest else f", {inputs.get(name)!r} to {value!r},"
            raise _changed(path, f"the {what}{values}")


def _changed(path: pathlib.Path, what: str) -> errors.InputError:
    """The error of a run whose data are others now."""
    return errors.InputError(
        f"{path}: {what} have changed since this run was started, and going on would"
        " mix both; bring the data back as they were, or choose another --out"
    )
