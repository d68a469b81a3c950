"""The folder of a run: what it was started with, and that only one program is in it."""

import contextlib
import dataclasses
import fcntl
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from cleannet_jax import config as config_lib
from cleannet_jax import errors
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import files

_PACKAGES = ("cleannet_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
_DESCRIPTION = "config.json"


class Description(NamedTuple):
    """What a run was started with: all that a later program needs to use its model.

    Attributes:
      config: of the run.
      data: the feature folder, or what stands in its place.
      categories: names of the N categories.
      stream_widths: feature widths of the RGB and the flow stream.
      generated: whether the features are made up rather than recorded.
      digest: of ids, lengths and labels of the training videos, in order.
    """

    config: config_lib.Config
    data: str
    categories: tuple[str, ...]
    stream_widths: tuple[int, int]
    generated: bool
    digest: str


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
        dataset.stream_widths,
        dataset.generated,
        hashlib.sha256(json.dumps(facts).encode()).hexdigest(),
    )


@contextlib.contextmanager
def open_run(folder: str | os.PathLike, description: Description) -> Iterator[None]:
    """Starts a run in a new folder, or goes on with the same run in its folder.

    Args:
      folder: of the run; made if it is not there.
      description: of the run.

    Raises:
      InputError: the folder holds something else, or a run that was started with
        another description, or another program is running in it.
    """
    folder = pathlib.Path(folder)
    path = folder / _DESCRIPTION
    if folder.exists() and not folder.is_dir():
        raise errors.InputError(f"{folder}: found a file, expected a folder")
    if path.exists():
        _check_same(path, read_description(folder), description)
    elif folder.exists() and any(folder.iterdir()):
        raise errors.InputError(
            f"{folder}: found files that are not of a run, expected a new folder or "
            f"one with a {_DESCRIPTION}; choose another --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ".lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise errors.InputError(
                    f"{folder}: another program is running in this folder"
                ) from None
            if not path.exists():
                files.write_json(path, _as_json(description))
            files.write_json(folder / "environment.json", environment())
            yield
    except OSError as error:
        place = error.filename or folder
        raise errors.InputError(f"{place}: {error.strerror}") from error


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
    content = files.read_json(path)
    try:
        values = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in content["config"].items()
        }
        return Description(
            config_lib.Config(**values),
            content["data"],
            tuple(content["categories"]),
            tuple(content["stream_widths"]),
            content["generated"],
            content["digest"],
        )
    except (KeyError, TypeError, AttributeError) as error:
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
    return content | {"config": dataclasses.asdict(description.config)}


def _check_same(path: pathlib.Path, found: Description, wanted: Description) -> None:
    """Raises unless a run was started with what is wanted now."""
    before, now = (json.loads(json.dumps(_as_json(x))) for x in (found, wanted))
    before |= before.pop("config")
    now |= now.pop("config")
    for name, value in now.items():
        if before[name] != value:
            raise errors.InputError(
                f"{path}: a run with {name} {before[name]!r}, expected {value!r}; "
                "choose another --out, or repeat the command that started this run"
            )
